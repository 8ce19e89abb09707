"""From photographs to scores and maps in their own pixels, by one function on the device.

Photographs are `[h, w, c]`, uint8, uint16 or float32 in [0, 1], maps float32 `[h, w]`, regions of interest bool
`[h, w]`. Whole numbers go up to the device as they are; a score and a map come down.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Shaped
from PIL import Image

from jaxad._check import InputError
from jaxad.calibration import Usual, unusualness
from jaxad.canvases import Canvases, OneCanvas
from jaxad.detector import Detector, Found, Names, Scored, Shot, on_devices, pool_anew, score_shots, what_is
from jaxad.extents import Batch, model_input, on_photograph
from jaxad.images import unit_pixels
from jaxad.preparation import Area, Geometry, Preparation, fill, need_same_aspect, rectangle_around, restore
from jaxad.recipes import Recipe

MOST_SCALE = 1.1
"""How many times as large, or as small, a photograph may be as those whose positions were calibrated, and how many
times as high or as wide as those that were compared whole."""
MOST_ENLARGED = 2.0
"""How many times as much a photograph may be enlarged to be compared whole as the smallest of those fitted on."""

Pixels = Shaped[np.ndarray, "h w c"]
Region = Bool[np.ndarray, "h w"] | None


class PipelineScores(NamedTuple):
    """Anomaly scores of photographs; higher is more anomalous."""

    score: Float[np.ndarray, " n"]
    """One score an image, in the recipe's own unit, or in that of the map where it is pooled from it."""
    map: list[np.ndarray]
    """One score a pixel of each photograph, float32 `[h, w]` at the photograph's own size; in deviations above the
    usual where the pipeline is calibrated."""


class Seen(NamedTuple):
    """What was found of one photograph, before it is brought into its own pixels."""

    score: float
    map: Float[np.ndarray, "height width"]
    """At the size of the model's input."""
    counted: Bool[np.ndarray, "height width"] | None
    """Which pixels of the map count; by default all."""
    geometry: Geometry
    inside: Region
    """The region of interest in the photograph's pixels."""


def judge(detector: Detector, usual: Usual | None, batch: Batch, *, names: Names = ()) -> dict[str, Scored]:
    """The score that judges images, by its name, and others that are asked for; jit-safe.

    Maps are in deviations above the `usual` where that is given, and so is the score of a model of windows, which is
    then pooled from the map.
    """
    scored = detector.apply(model_input(batch, detector.shape[-1]), extent=batch.extent, counted=batch.counted)
    name, recipe = detector.score_name, detector.recipe
    judged = scored[name]
    if usual is not None:
        score, score_map = judged.score, unusualness(judged.map, usual)
        if recipe.pools_maps:
            counted = batch.counted
            if counted is None and batch.extent is not None:
                counted = on_photograph((score_map.shape[1], score_map.shape[2]), batch.extent)
            score = pool_anew(recipe, judged, score_map, usual, counted=counted)
        judged = Scored(score, score_map)
    return {**{one: scored[one] for one in names or ()}, name: judged}


def look(
    detector: Detector,
    preparation: Preparation,
    roi: Bool[np.ndarray, "rows columns"] | None,
    usual: Usual | None,
    photographs: Sequence[Shaped[np.ndarray, "..."]],
    *,
    shapes: tuple[float, float] | None = None,
    enlarged: float | None = None,
) -> list[Seen | InputError]:
    """What the detector says of photographs of any sizes, or why it can say nothing of one, in their order.

    `shapes` are the least and the largest height, in widths, of photographs that it was fitted on, and `enlarged` how
    many times as large the smallest of these became.
    """
    canvases: Canvases | OneCanvas | None = detector.canvases
    placed: Area | None = None
    if canvases is not None and usual is not None and usual.mean.shape != (1, 1):
        calibrated = usual.mean.shape[0], usual.mean.shape[1]
        placed = looked_at(detector.recipe, calibrated, region_at(roi, *calibrated))
        usual = usual_at(usual, placed)
        canvases = OneCanvas((placed.height, placed.width))
    shots: list[Shot] = []
    found: list[Seen | InputError] = []
    prepared: list[tuple[int, Geometry, Region, Area]] = []
    for place, pixels in enumerate(photographs):
        try:
            inside = region_at(roi, pixels.shape[0], pixels.shape[1])
            if shapes is not None:
                _need_shape(pixels.shape[0], pixels.shape[1], shapes)
            planned = preparation.geometry(pixels.shape[0], pixels.shape[1])
            if enlarged is not None:
                _need_pixels(planned, enlarged)
            if placed is not None:
                _need_scale(planned, calibrated)
            shot, geometry = _prepared(detector, preparation, inside, pixels)
            area = placed or looked_at(detector.recipe, shot.size, shot.counted)
            shot = _cut(shot, area)
            detector.need_shape((*shot.size, detector.shape[-1]))
        except InputError as error:
            found.append(error)
            continue
        shots.append(shot)
        prepared.append((place, geometry, inside, area))
        found.append(InputError("it was not scored"))
    score = partial(_judge_batch, (detector.for_scoring, usual))
    name = detector.score_name
    scored = score_shots(score, (name,), shots, detector.recipe, canvases, shares=detector.shares)
    for (place, geometry, inside, area), shot, scores in zip(prepared, shots, scored, strict=True):
        if isinstance(scores, InputError):
            found[place] = scores
            continue
        one = scores[name]
        found[place] = Seen(one.score, *_padded(one.map, shot.counted, area, geometry.size), geometry, inside)
        if not np.isfinite(one.score):
            found[place] = InputError(
                f"its score must be finite, got {one.score}; fit again, for weights may be broken, unless the score of "
                f"{what_is(detector.recipe)} gives that"
            )
    return found


def judged_anew(detector: Detector, seen: Seen, score_map: Float[np.ndarray, "height width"], usual: Usual) -> Seen:
    """What was seen, with its map in deviations above the usual, and the score that follows from it; see `judge`."""
    if not detector.recipe.pools_maps:
        return seen._replace(map=score_map)
    counted = None if seen.counted is None else seen.counted[None]
    judged = Scored(jnp.asarray([seen.score], jnp.float32), seen.map[None])
    (score,) = pool_anew(detector.recipe, judged, score_map[None], usual, counted=counted)
    return seen._replace(map=score_map, score=float(score))


def brought_back(seen: Seen) -> Found:
    """Score and map `[h, w]` in the photograph's own pixels; the map has its lowest score outside the region."""
    score_map = restore(seen.map, seen.geometry)
    if seen.inside is not None:
        score_map = np.where(seen.inside, score_map, score_map[seen.inside].min())
    return Found(seen.score, score_map)


@partial(jax.jit, static_argnums=1)
def _judge_batch(fitted: tuple[Detector, Usual | None], names: Names, batch: Batch) -> dict[str, Scored]:
    def run(fitted: tuple[Detector, Usual | None], batch: Batch) -> dict[str, Scored]:
        return judge(*fitted, batch, names=names)

    return on_devices(fitted[0].mesh, run, fitted, batch)


def _prepared(detector: Detector, preparation: Preparation, inside: Region, pixels: Pixels) -> tuple[Shot, Geometry]:
    """A photograph as the model takes it. Where no pixel moves, whole numbers stay whole numbers."""
    geometry, pixels = preparation.geometry(pixels.shape[0], pixels.shape[1]), fill(pixels, inside)
    if geometry.size == geometry.source:
        return Shot(pixels, inside), geometry
    image, _ = preparation.prepare(unit_pixels(pixels[None])[0])
    counted = None
    if inside is not None:
        counted = prepare_region(preparation, inside)
    if geometry.inside != geometry.size and detector.recipe.reach is not None:
        # What pads the photograph is no part of it.
        (top, left), (height, width) = geometry.corner, geometry.inside
        photograph = np.s_[top : top + height, left : left + width]
        if detector.canvases is not None:
            # Windows do not look at it either: the photograph lies in the corner of a canvas.
            counted = None if counted is None else counted[photograph]
            return Shot(image[photograph], counted), geometry._replace(corner=(0, 0))
        on_it = np.zeros(geometry.size, bool)
        on_it[photograph] = True
        counted = on_it if counted is None else counted & on_it
    return Shot(image, counted), geometry


def prepare_region(preparation: Preparation, inside: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "height width"]:
    """Which pixels of the model's input count, of a photograph with this region of interest `[h, w]`.

    Raises:
        InputError: none is left.
    """
    resized, geometry = preparation.prepare(inside[..., None].astype(np.float32))
    counted = np.asarray(resized[..., 0] > 0.5)
    if not counted.any():
        raise InputError(f"nothing of the region of interest is left at {geometry.size[0]} x {geometry.size[1]} pixels")
    return counted


def _need_scale(geometry: Geometry, canvas: tuple[int, int]) -> None:
    """Refuse a photograph that would be resized much: its noise, which windows are judged by, would be another."""
    factor = geometry.inside[0] / geometry.source[0]
    if not 1 / MOST_SCALE <= factor <= MOST_SCALE:
        size, wanted = (" x ".join(map(str, pair)) for pair in (geometry.source, canvas))
        raise InputError(
            f"it has {size} pixels, and windows are judged by their positions on photographs of about {wanted}; take "
            "photographs of that size, or fit on such as these, or on both"
        )


def _need_shape(height: int, width: int, shapes: tuple[float, float]) -> None:
    """Refuse a photograph of a shape that none had which it would be compared with, position by position."""
    low, high = shapes
    if not low / MOST_SCALE <= height / width <= high * MOST_SCALE:
        wanted = " to ".join(dict.fromkeys((f"{low:.3g}", f"{high:.3g}")))
        raise InputError(
            f"it has {height} x {width} pixels, {height / width:.3g} times as high as wide, and whole photographs of "
            f"{wanted} are compared; take photographs of that shape, or fit on such as these"
        )


def _need_pixels(geometry: Geometry, enlarged: float) -> None:
    """Refuse a photograph of few pixels: enlarged much it shows nothing sharp, and what is not there is not found."""
    if geometry.enlarged > MOST_ENLARGED * enlarged:
        own, wanted = (" x ".join(map(str, pair)) for pair in (geometry.source, geometry.inside))
        raise InputError(
            f"its {own} pixels would be enlarged {geometry.enlarged:.3g} times, to {wanted}, and compared with others "
            f"that were enlarged {enlarged:.3g} times at most; take photographs of more pixels"
        )


def looked_at(recipe: Recipe, size: tuple[int, int], counted: Bool[np.ndarray, "height width"] | None) -> Area:
    """What a model sees of an input of this height and width: all, or what lies around the pixels that count.

    Models that compare whole inputs see all of it. Others see the rectangle around these pixels, at least as large as
    they need, as if photographs had been cut: what fills a photograph beyond is no texture that they know.
    """
    if counted is None or recipe.compares_positions:
        return Area(0, 0, *size)
    return rectangle_around(counted, least=recipe.least_size)


def area_of(
    recipe: Recipe, preparation: Preparation, roi: Bool[np.ndarray, "rows columns"] | None, size: tuple[int, int]
) -> Area:
    """What a model sees of photographs of this height and width, once they are prepared; see `looked_at`.

    Raises:
        InputError: the region has another shape, or nothing of it is left.
    """
    inside = region_at(roi, *size)
    counted = None if inside is None else prepare_region(preparation, inside)
    return looked_at(recipe, preparation.geometry(*size).inside, counted)


def usual_at(usual: Usual, area: Area) -> Usual:
    """What is usual at the positions of an area; unchanged where it is the same everywhere, `[1, 1]`."""
    if usual.mean.shape in ((1, 1), (area.height, area.width)):
        return usual
    return Usual(usual.mean[area.window], usual.deviation[area.window])


def admit(
    detector: Detector,
    preparation: Preparation,
    roi: Bool[np.ndarray, "rows columns"] | None,
    sizes: Iterable[tuple[int, int]],
) -> None:
    """Prepare for photographs of these heights and widths, one entry each: the fewer programs are compiled."""
    if detector.canvases is None:
        return
    counts, inputs = Counter(sizes), Counter[tuple[int, int]]()
    for size, count in counts.items():
        # What cannot be scored says so when it is.
        with suppress(InputError):
            area = area_of(detector.recipe, preparation, roi, size)
            inputs[area.height, area.width] += count
    detector.canvases.admit(inputs.elements())


def _cut(shot: Shot, area: Area) -> Shot:
    """What a photograph shows of an area."""
    counted = None if shot.counted is None else shot.counted[area.window]
    return Shot(shot.pixels[area.window], None if counted is None or counted.all() else counted)


def _padded(
    score_map: Float[np.ndarray, "p q"], counted: Bool[np.ndarray, "p q"] | None, area: Area, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """A map of an area of the model's input as one of all of it, and where that counts: not beyond the area."""
    if score_map.shape == size:
        return score_map, counted
    corner = (area.top, area.left)
    beyond = [(f, whole - f - length) for f, whole, length in zip(corner, size, score_map.shape, strict=True)]
    inside = np.ones(score_map.shape, bool) if counted is None else counted
    return np.pad(score_map, beyond, mode="edge"), np.pad(inside, beyond)


def region_at(roi: Bool[np.ndarray, "rows columns"] | None, height: int, width: int) -> Region:
    """The region of interest [h, w] of a photograph of this size, resized if need be; None where there is none.

    Raises:
        InputError: the photograph has another orientation or aspect, or at this size nothing of it is left.
    """
    if roi is None or roi.shape == (height, width):
        return roi
    need_same_aspect(roi.shape, (height, width))
    # As numbers: Pillow's True is a byte of 255, which XLA takes for -1.
    inside = np.asarray(Image.fromarray(roi.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)) > 0
    if not inside.any():
        raise InputError(f"nothing of the region of interest is left at {height} x {width} pixels")
    return inside
