"""From photographs to scores and maps in their own pixels: prepare, score, restore, within a region of interest.

Photographs are float32 `[h, w, c]` in [0, 1], maps float32 `[h, w]`, regions of interest bool `[h, w]`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from jaxad._check import InputError
from jaxad.detector import POOLS, Detector
from jaxad.preparation import Preparation, restore
from jaxad.recipes import Recipe, compares_positions

HIDDEN = np.float32(0.5)
"""What every pixel outside the region of interest is set to before a model sees it."""


class PartScores(NamedTuple):
    """Anomaly scores of photographs; higher is more anomalous."""

    image: Float[np.ndarray, " n"]
    """One raw score an image, in the recipe's own unit."""
    map: list[np.ndarray]
    """One score a pixel of each photograph, float32 `[h, w]` at the photograph's own size."""


def sees_windows(recipe: Recipe) -> bool:
    """Whether the recipe's model sees windows or spots, so that an image's score is pooled from its map."""
    return recipe.model == "patch_vae" or not compares_positions(recipe)


def score_batch(
    detector: Detector,
    preparation: Preparation,
    roi: Bool[np.ndarray, "rows columns"] | None,
    batch: Sequence[Float[np.ndarray, "h w c"]],
) -> PartScores:
    """Score photographs of one size at once: scores [n] and maps [h, w].

    Outside the region of interest nothing is seen and nothing counts; the map has its lowest score there.

    Raises:
        InputError: sizes differ, or the model cannot score this one.
    """
    inside = region_at(roi, batch[0].shape[0], batch[0].shape[1])
    prepared = [preparation.prepare(hide(pixels, inside)) for pixels in batch]
    if len({image.shape for image, _ in prepared}) != 1:
        raise InputError("photographs of one batch must have one size; Part.score takes mixed ones")
    scores = detector.score(np.stack([image for image, _ in prepared]))
    maps = [restore(found, geometry) for found, (_, geometry) in zip(scores.map, prepared, strict=True)]
    if inside is None:
        return PartScores(scores.image, maps)
    image = scores.image
    if sees_windows(detector.recipe):
        pool = POOLS[detector.recipe.pool]
        image = np.array([pool(found[inside][None, None])[0] for found in maps], np.float32)
    return PartScores(image, [np.where(inside, found, found[inside].min()) for found in maps])


def hide(pixels: Float[np.ndarray, "h w c"], inside: Bool[np.ndarray, "h w"] | None) -> Float[np.ndarray, "h w c"]:
    """A photograph [h, w, c] with everything outside the region of interest in even grey."""
    return pixels if inside is None else np.where(inside[..., None], pixels, HIDDEN)


def region_at(roi: Bool[np.ndarray, "rows columns"] | None, height: int, width: int) -> Bool[np.ndarray, "h w"] | None:
    """The region of interest [h, w] of a photograph of this size, resized if need be; None where there is none.

    Raises:
        InputError: at this size nothing of it is left.
    """
    if roi is None or roi.shape == (height, width):
        return roi
    inside = np.asarray(Image.fromarray(roi).resize((width, height), Image.Resampling.NEAREST))
    if not inside.any():
        raise InputError(f"nothing of the region of interest is left at {height} x {width} pixels")
    return inside
