"""From photographs to scores and maps in their own pixels: prepare, score, restore, within a region of interest.

Photographs are float32 `[h, w, c]` in [0, 1], maps float32 `[h, w]`, regions of interest bool `[h, w]`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from jaxad._check import InputError
from jaxad.calibration import Usual, unusualness
from jaxad.detector import POOLS, Detector
from jaxad.preparation import Geometry, Preparation, need_same_aspect, restore
from jaxad.recipes import FusionRecipe, Recipe, compares_positions

HIDDEN = np.float32(0.5)
"""What every pixel outside the region of interest is set to before a model sees it."""


class PartScores(NamedTuple):
    """Anomaly scores of photographs; higher is more anomalous."""

    image: Float[np.ndarray, " n"]
    """One score an image, in the recipe's own unit, or in that of the map where it is pooled from it."""
    map: list[np.ndarray]
    """One score a pixel of each photograph, float32 `[h, w]` at the photograph's own size; in deviations above the
    usual where the part is calibrated."""


def sees_windows(recipe: Recipe) -> bool:
    """Whether the recipe's model sees windows or spots, so that an image's score is pooled from its map."""
    return recipe.model == "patch_vae" or not compares_positions(recipe)


def pools_maps(recipe: Recipe, *, calibrated: bool, within_region: bool) -> bool:
    """Whether an image's score is pooled from its map anew, after calibration or within a region of interest."""
    # A fusion adds image scores; the pool of the added maps tells less.
    return sees_windows(recipe) and (within_region or (calibrated and not isinstance(recipe, FusionRecipe)))


class Seen(NamedTuple):
    """What a detector says of photographs of one size, before it is brought into their own pixels."""

    image: Float[np.ndarray, " n"]
    map: Float[np.ndarray, "n height width"]
    geometries: list[Geometry]
    inside: Bool[np.ndarray, "h w"] | None
    """The region of interest in the photographs' pixels."""


def look(
    detector: Detector,
    preparation: Preparation,
    roi: Bool[np.ndarray, "rows columns"] | None,
    batch: Sequence[Float[np.ndarray, "h w c"]],
) -> Seen:
    """Scores [n] and maps [n, height, width] of photographs [h, w, c] of one size, at the size of the model's input.

    Raises:
        InputError: sizes differ, or the model cannot score this one.
    """
    inside = region_at(roi, batch[0].shape[0], batch[0].shape[1])
    prepared = [preparation.prepare(hide(pixels, inside)) for pixels in batch]
    if len({image.shape for image, _ in prepared}) != 1:
        raise InputError("photographs of one batch must have one size; Part.score takes mixed ones")
    scores = detector.score(np.stack([image for image, _ in prepared]))
    return Seen(scores.image, scores.map, [geometry for _, geometry in prepared], inside)


def judge(recipe: Recipe, seen: Seen, calibrated: Float[np.ndarray, "n height width"] | None) -> PartScores:
    """Scores [n] and maps [h, w] in the photographs' own pixels; `calibrated` maps, where given, in place of the raw.

    Outside the region of interest nothing is seen and nothing counts; the map has its lowest score there. The score of
    a model of windows is pooled from the calibrated map, or from what is inside the region.
    """
    inside, image = seen.inside, seen.image
    found = seen.map if calibrated is None else calibrated
    maps = [restore(one, geometry) for one, geometry in zip(found, seen.geometries, strict=True)]
    if pools_maps(recipe, calibrated=calibrated is not None, within_region=inside is not None):
        counted = found if inside is None else np.stack([one[inside][None] for one in maps])
        image = np.array(POOLS[recipe.pool](counted), np.float32)
    if inside is None:
        return PartScores(image, maps)
    return PartScores(image, [np.where(inside, one, one[inside].min()) for one in maps])


def usual_at(usual: Usual, shape: tuple[int, ...]) -> Usual:
    """What is usual in maps of height and width `shape`: at each position, or over all where the size is another."""
    if tuple(shape) == usual.mean.shape:
        return usual
    return Usual(*(jnp.full(shape, jnp.mean(each)) for each in usual))


def calibrated_maps(maps: Float[np.ndarray, "n h w"], usual: Usual) -> Float[np.ndarray, "n h w"]:
    """Maps [n, h, w] in deviations above the usual; see `usual_at`."""
    return np.asarray(unusualness(maps, usual_at(usual, maps.shape[1:])))


def score_batch(
    detector: Detector,
    preparation: Preparation,
    roi: Bool[np.ndarray, "rows columns"] | None,
    usual: Usual | None,
    batch: Sequence[Float[np.ndarray, "h w c"]],
) -> PartScores:
    """Score photographs [h, w, c] of one size at once: `look`, then `judge`, by what is usual where that is given."""
    seen = look(detector, preparation, roi, batch)
    return judge(detector.recipe, seen, None if usual is None else calibrated_maps(seen.map, usual))


def hide(pixels: Float[np.ndarray, "h w c"], inside: Bool[np.ndarray, "h w"] | None) -> Float[np.ndarray, "h w c"]:
    """A photograph [h, w, c] with everything outside the region of interest in even grey."""
    return pixels if inside is None else np.where(inside[..., None], pixels, HIDDEN)


def region_at(roi: Bool[np.ndarray, "rows columns"] | None, height: int, width: int) -> Bool[np.ndarray, "h w"] | None:
    """The region of interest [h, w] of a photograph of this size, resized if need be; None where there is none.

    Raises:
        InputError: the photograph has another orientation or aspect, or at this size nothing of it is left.
    """
    if roi is None or roi.shape == (height, width):
        return roi
    need_same_aspect(roi.shape, (height, width))
    inside = np.asarray(Image.fromarray(roi).resize((width, height), Image.Resampling.NEAREST))
    if not inside.any():
        raise InputError(f"nothing of the region of interest is left at {height} x {width} pixels")
    return inside
