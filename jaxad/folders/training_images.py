"""What a detector is trained on: photographs of any sizes as one array `[m, h, w, c]` of bounded size.

A model of whole images gets every photograph whole, letterboxed to one size at which all fit memory. A model of
windows gets the photographs whole where they have one size and are few enough, else tiles of one size cut from all of
them: side by side, the last row and column flush with the border, so that together they show every pixel. Tiles beyond
that are left out at random. No window that a model learns from reaches over the border of a tile.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxad import pipeline
from jaxad._check import InputError
from jaxad.datasets import Once, Sums
from jaxad.folders.plan import VALUES, Plan
from jaxad.folders.roi import Roi
from jaxad.folders.sizes import why_not_whole
from jaxad.images import Photograph, UnreadableError, read_photographs
from jaxad.images.photograph import MAX_PIXELS
from jaxad.patches import grid
from jaxad.preparation import Area, Preparation, fill
from jaxad.recipes import ChoiceRecipe, Recipe

TILE = 256
"""Height and width of a tile at most."""

EVEN = 0.04
"""Share of the range of values: ten grey levels of 255."""


class Tile(NamedTuple):
    """One training image: which file it is cut from, and where of the prepared photograph."""

    path: Path
    area: Area


class TrainingImages(NamedTuple):
    """What was read: images [m, h, w, c], the files they are from and those that are not among them."""

    images: Float[np.ndarray, "m h w c"]
    sums: dict[Path, Sums]
    """The files with the digests of each; each photograph is there once."""
    unreadable: list[UnreadableError]
    """Files that could not be read, and copies of others."""

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return list(self.sums)


def plan_tiles(
    sizes: Mapping[Path, tuple[int, int]],
    *,
    recipe: Recipe,
    preparation: Preparation,
    roi: Roi,
    seed: int,
    values: int,
) -> list[Tile]:
    """What to cut from which photograph, `sizes` being heights and widths by path; all areas have one size.

    For models of windows they hold at most so many `values` in all, or it is a single tile; with a region of interest
    they are cut from the rectangle around it.
    """
    if recipe.compares_positions:
        return _whole(sizes, preparation)
    seen = {size: pipeline.area_of(recipe, preparation, roi, size) for size in set(sizes.values())}
    areas = {path: seen[size] for path, size in sizes.items()}
    heights, widths = {area.height for area in areas.values()}, {area.width for area in areas.values()}
    shapes = [(area.height, area.width) for area in areas.values()]
    if why_not_whole(shapes, preparation.channels, values=values) is None:
        return [Tile(path, area) for path, area in areas.items()]
    window = recipe.least_size
    height, width = (max(w, min(TILE, *sides)) for w, sides in zip(window, (heights, widths), strict=True))
    tiles = [
        Tile(path, Area(area.top + row, area.left + column, height, width))
        for path, area in areas.items()
        for row in grid((area.height, area.width), (height, width), (height, width))[0]
        for column in grid((area.height, area.width), (height, width), (height, width))[1]
    ]
    most = max(1, values // (height * width * preparation.channels))
    if len(tiles) > most:
        chosen = np.random.default_rng(seed).choice(len(tiles), most, replace=False)
        tiles = [tiles[index] for index in np.sort(chosen)]
    return tiles


def _whole(sizes: Mapping[Path, tuple[int, int]], preparation: Preparation) -> list[Tile]:
    return [Tile(path, Area(0, 0, *preparation.geometry(h, w).size)) for path, (h, w) in sizes.items()]


class TileCutter:
    """Cuts tiles out of photographs as they come, in any order, whoever reads them; each is prepared once."""

    def __init__(self, tiles: Sequence[Tile], *, preparation: Preparation, roi: Roi) -> None:
        self.preparation, self.roi = preparation, roi
        self.areas: dict[Path, list[Area]] = {}
        for tile in tiles:
            self.areas.setdefault(tile.path, []).append(tile.area)
        height, width = tiles[0].area[2:]
        self._images = np.empty((len(tiles), height, width, preparation.channels), np.float32)
        self._filled = 0
        self.taken: list[Path] = []

    @property
    def images(self) -> Float[np.ndarray, "m h w c"]:
        """What was cut so far."""
        return self._images[: self._filled]

    def take(self, path: Path, pixels: Float[np.ndarray, "h w c"]) -> None:
        """Cut what is wanted of the photograph `[h, w, c]` at this path, if anything is."""
        if path not in self.areas:
            return
        self.taken.append(path)
        inside = pipeline.region_at(self.roi, pixels.shape[0], pixels.shape[1])
        image, _ = self.preparation.prepare(fill(pixels, inside))
        for area in self.areas[path]:
            self._images[self._filled] = image[area.window]
            self._filled += 1


def joined(training: TrainingImages, later: TileCutter, sums: Mapping[Path, Sums]) -> TrainingImages:
    """What was read to train on, and after it the photographs in `sums` that a cutter of whole ones has taken."""
    kept = [path in sums for path in later.taken]
    images = np.concatenate([training.images, later.images[kept]])
    return TrainingImages(
        images, {**training.sums, **{path: sums[path] for path in later.taken if path in sums}}, training.unreadable
    )


def make_cutters(plan: Plan, *, roi: Roi, seed: int) -> list[TileCutter]:
    """Of what the plan trains on: first what `auto` chooses by, last what a model that takes any size is trained on.

    It is one where both are the same; where there are two, a model of whole images is trained on the first.
    """
    tiles = plan_tiles(plan.train, recipe=plan.recipe, preparation=plan.preparation, roi=roi, seed=seed, values=VALUES)
    cutter = TileCutter(tiles, preparation=plan.preparation, roi=roi)
    if not isinstance(plan.recipe, ChoiceRecipe) or plan.grid is None:
        return [cutter]
    whole = _whole(plan.train, plan.grid)
    chosen_by = TileCutter(whole, preparation=plan.grid, roi=roi)
    same = all(plan.grid.geometry(*size) == plan.preparation.geometry(*size) for size in plan.train.values())
    return [chosen_by] if same and tiles == whole else [chosen_by, cutter]


def read_tiles(
    tiles: Sequence[Tile],
    *,
    preparation: Preparation,
    roi: Roi,
    max_pixels: int = MAX_PIXELS,
    on_step: Callable[[str, int, int], None],
) -> TrainingImages:
    """Read the photographs of the tiles one by one and cut them, `[m, h, w, c]`; see `fit_folder` for options.

    Raises:
        InputError: none can be read.
    """
    return read_into([TileCutter(tiles, preparation=preparation, roi=roi)], max_pixels=max_pixels, on_step=on_step)[0]


def read_into(
    cutters: Sequence[TileCutter], *, max_pixels: int = MAX_PIXELS, on_step: Callable[[str, int, int], None]
) -> list[TrainingImages]:
    """Read the photographs of all cutters, each file once, and what every one has cut, images `[m, h, w, c]`.

    Raises:
        InputError: none can be read.
    """
    wanted = dict.fromkeys(path for cutter in cutters for path in cutter.areas)
    once = Once({})
    unreadable: list[UnreadableError] = []
    for path, found in read_once(wanted, once, unreadable, max_pixels=max_pixels, on_step=partial(on_step, "reading")):
        for cutter in cutters:
            cutter.take(path, found.pixels)
    if not once.sums:
        raise InputError(f"no image to train on can be read, such as {unreadable[0]}")
    return [
        TrainingImages(cutter.images, {path: once.sums[path] for path in cutter.areas if path in once.sums}, unreadable)
        for cutter in cutters
    ]


def read_once(
    paths: Collection[Path],
    once: Once,
    unreadable: list[UnreadableError],
    *,
    max_pixels: int,
    on_step: Callable[[int, int], None],
) -> Iterator[tuple[Path, Photograph]]:
    """The photographs of these files that can be read and are no copies; the others go to `unreadable`.

    `on_step` is called with how many are done, and how many there are.
    """
    for done, (path, found) in enumerate(read_photographs(paths, max_pixels=max_pixels, with_sums=True), start=1):
        on_step(done, len(paths))
        if isinstance(found, UnreadableError):
            unreadable.append(found)
        elif copy := once.refuse(path, found):
            unreadable.append(copy)
        else:
            yield path, found


def doubt_range(images: Float[np.ndarray, "m h w c"]) -> list[str]:
    """A sentence where hardly any of the range of values is used: by images almost black, white or of one grey."""
    least, most = np.quantile(images[:: -(-len(images) // 64), ::4, ::4], (0.001, 0.999))
    if most - least >= EVEN:
        return []
    return [
        f"little can be seen in photographs that are almost even: 99.8 % of their values lie between {least:.3f} and "
        f"{most:.3f}, of 0 for black to 1 for white; light them better, or, where 16-bit files hold fewer bits, spread "
        "these over the range"
    ]
