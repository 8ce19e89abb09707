"""What held-out normal images say of a detector: what is usual at each position, scores, levels of maps, golden images.

Where all of them come to the model in one size and are enough, maps are calibrated position by position, so that a
border or a busy region does not always glow; see `jaxad.calibration`. No image is judged by its own map.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxad import part
from jaxad._check import InputError
from jaxad.calibration import Usual, fit_trust, fit_usual, unusualness_by_others
from jaxad.datasets import FEWEST, Once, Photograph, UnreadableError, photographs, read_photographs, same_size_batches
from jaxad.detector import Detector
from jaxad.folders.training_images import Roi
from jaxad.preparation import Preparation
from jaxad.recipes import Recipe, compares_positions, window_of

QUANTILE = 0.999
FEWEST_MAPS = 10
"""Held-out maps to calibrate positions by: the deviation of ten normal numbers is off by a quarter."""
MAP_PIXELS = 2**26
"""Pixels of the held-out maps that are kept to calibrate by, 268 MB; further maps are judged by those."""
GOLDEN = 4
GOLDEN_SIDE = 128
"""Height and width of a golden image at most, where the detector takes any size."""


class HeldOut(NamedTuple):
    """What was found on held-out images; see the attributes of `jaxad.part.Part`."""

    sums: dict[Path, str]
    """The files with what `jaxad.datasets.pixel_sum` gives of them; each photograph is there once."""
    scores: np.ndarray
    colour_limits: tuple[float, float]
    pixel_limit: float
    golden: tuple[np.ndarray, ...]
    golden_scores: np.ndarray
    usual: Usual | None
    unreadable: list[UnreadableError]

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return list(self.sums)


def judge_held_out(
    detector: Detector,
    preparation: Preparation,
    roi: Roi,
    sizes: Mapping[Path, tuple[int, int]],
    *,
    known: Mapping[Path, str],
    on_step: Callable[[str, int, int], None],
) -> HeldOut:
    """Score held-out normal images, few at a time; `sizes` are their heights and widths by path.

    Copies of one another and of the images that were learned from, `known` by what `jaxad.datasets.pixel_sum` gives of
    them, do not count.

    The colour scale begins at the median pixel, each image counting the same, and ends twice as far up as the 0.999
    quantile. The pixel limit is the largest 0.999 quantile of any map.

    Raises:
        InputError: fewer than two can be read.
    """
    unreadable: list[UnreadableError] = []
    golden: list[np.ndarray] = []
    once = Once(known)

    def readable() -> Iterator[tuple[Path, np.ndarray]]:
        for done, (path, found) in enumerate(read_photographs(sizes), start=1):
            on_step("judging", done, len(sizes))
            if isinstance(found, UnreadableError):
                unreadable.append(found)
                continue
            copy = once.refuse(path, found.pixels)
            if copy:
                unreadable.append(copy)
                continue
            if len(golden) < GOLDEN:
                golden.append(_golden(found, preparation, detector.recipe))
            yield path, found.pixels

    batches = same_size_batches(readable())
    seen: Iterator[part.Seen] = (
        part.look(detector, preparation, roi, [pixels for _, pixels in batch]) for batch in batches
    )
    usual: Usual | None = None
    found: Iterator[part.PartScores] = (part.judge(detector.recipe, one, None) for one in seen)
    if detector.usual is None and len({preparation.geometry(*size).size for size in sizes.values()}) == 1:
        usual, found = _by_position(detector.recipe, preparation, seen)
    scores: list[float] = []
    levels: list[np.ndarray] = []
    for one in found:
        scores += one.image.tolist()
        for score_map in one.map:
            inside = part.region_at(roi, *score_map.shape)
            levels.append(np.quantile(score_map if inside is None else score_map[inside], (0.5, QUANTILE)))
    if len(scores) < FEWEST:
        raise InputError(f"at least {FEWEST} held-out images must be readable, got {len(scores)}; {unreadable[0]}")
    medians, tops = np.array(levels).T
    low, top = float(np.median(medians)), float(np.median(tops))
    again = [part.score_batch(detector, preparation, None, usual, [next(photographs(one))]).image[0] for one in golden]
    return HeldOut(
        once.sums,
        np.array(scores, np.float32),
        (low, low + 2 * (top - low)),
        float(np.max(tops)),
        tuple(golden),
        np.array(again, np.float32),
        usual,
        unreadable,
    )


def _by_position(
    recipe: Recipe, preparation: Preparation, seen: Iterator[part.Seen]
) -> tuple[Usual | None, Iterator[part.PartScores]]:
    """What is usual at each position, where that can be told, and the scores by it.

    Maps that it is fitted on are judged by the others of them.
    """
    kept: list[part.Seen] = []
    for one in seen:
        kept.append(one)
        if sum(each.map.size for each in kept) >= MAP_PIXELS:
            break
    if sum(len(each.image) for each in kept) < FEWEST_MAPS:
        return None, (part.judge(recipe, one, None) for one in itertools.chain(kept, seen))
    maps = np.concatenate([one.map for one in kept])
    insides = [
        preparation.prepare(one.inside[..., None].astype(np.float32))[0] for one in kept if one.inside is not None
    ]
    inside = np.any([mask[..., 0] > 0.5 for mask in insides], axis=0) if insides else None
    trust = fit_trust(maps, inside=inside)
    usual = fit_usual(maps, trust=trust, inside=inside)
    by_others = np.asarray(unusualness_by_others(maps, trust=trust, inside=inside))
    ends = np.cumsum([len(one.image) for one in kept])[:-1]
    pairs = itertools.chain(
        zip(kept, np.split(by_others, ends), strict=True),
        ((one, part.calibrated_maps(one.map, usual)) for one in seen),
    )
    return usual, (part.judge(recipe, one, calibrated) for one, calibrated in pairs)


def _golden(photograph: Photograph, preparation: Preparation, recipe: Recipe) -> np.ndarray:
    """The photograph [h, w, c], or its middle where the model takes any size, as whole numbers."""
    pixels = photograph.pixels
    if not compares_positions(recipe):
        side = math.ceil(max(GOLDEN_SIDE, *window_of(recipe)) / min(1.0, preparation.scale))
        top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
        pixels = pixels[top : top + side, left : left + side]
    kind = np.uint8 if photograph.bits <= 8 else np.uint16
    return np.rint(pixels * np.iinfo(kind).max).astype(kind)
