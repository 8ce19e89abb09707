"""What held-out normal images say of a detector: their scores, the levels of their maps, a few to verify it by."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxad import part
from jaxad._check import InputError
from jaxad.datasets import Photograph, UnreadableError, photographs, read_photographs, same_size_batches
from jaxad.detector import Detector
from jaxad.folders.plan import FEWEST
from jaxad.folders.training_images import Roi
from jaxad.preparation import Preparation
from jaxad.recipes import Recipe, compares_positions, window_of

QUANTILE = 0.999
GOLDEN = 4
GOLDEN_SIDE = 128
"""Height and width of a golden image at most, where the detector takes any size."""


class HeldOut(NamedTuple):
    """What was found on held-out images; see the attributes of `jaxad.part.Part`."""

    paths: list[Path]
    scores: np.ndarray
    colour_limits: tuple[float, float]
    pixel_limit: float
    golden: tuple[np.ndarray, ...]
    golden_scores: np.ndarray
    unreadable: list[UnreadableError]


def judge_held_out(
    detector: Detector,
    preparation: Preparation,
    roi: Roi,
    paths: Sequence[Path],
    *,
    on_step: Callable[[str, int, int], None],
) -> HeldOut:
    """Score held-out normal images, few at a time.

    The colour scale begins at the median pixel, each image counting the same, and ends twice as far up as the 0.999
    quantile. The pixel limit is the largest 0.999 quantile of any map.

    Raises:
        InputError: fewer than two can be read.
    """
    unreadable: list[UnreadableError] = []
    golden: list[np.ndarray] = []

    def readable() -> Iterator[tuple[Path, np.ndarray]]:
        for done, (path, found) in enumerate(read_photographs(paths), start=1):
            on_step("judging", done, len(paths))
            if isinstance(found, UnreadableError):
                unreadable.append(found)
                continue
            if len(golden) < GOLDEN:
                golden.append(_golden(found, preparation, detector.recipe))
            yield path, found.pixels

    judged: list[Path] = []
    scores: list[float] = []
    levels: list[np.ndarray] = []
    for batch in same_size_batches(readable()):
        found = part.score_batch(detector, preparation, roi, [pixels for _, pixels in batch])
        judged += [path for path, _ in batch]
        scores += found.image.tolist()
        for score_map in found.map:
            inside = part.region_at(roi, *score_map.shape)
            levels.append(np.quantile(score_map if inside is None else score_map[inside], (0.5, QUANTILE)))
    if len(scores) < FEWEST:
        raise InputError(f"at least {FEWEST} held-out images must be readable, got {len(scores)}; {unreadable[0]}")
    medians, tops = np.array(levels).T
    low, top = float(np.median(medians)), float(np.median(tops))
    again = [part.score_batch(detector, preparation, None, [next(photographs(one))]) for one in golden]
    return HeldOut(
        judged,
        np.array(scores, np.float32),
        (low, low + 2 * (top - low)),
        float(np.max(tops)),
        tuple(golden),
        np.array([one.image[0] for one in again], np.float32),
        unreadable,
    )


def _golden(photograph: Photograph, preparation: Preparation, recipe: Recipe) -> np.ndarray:
    """The photograph [h, w, c], or its middle where the model takes any size, as whole numbers."""
    pixels = photograph.pixels
    if not compares_positions(recipe):
        side = math.ceil(max(GOLDEN_SIDE, *window_of(recipe)) / min(1.0, preparation.scale))
        top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
        pixels = pixels[top : top + side, left : left + side]
    kind = np.uint8 if photograph.bits <= 8 else np.uint16
    return np.rint(pixels * np.iinfo(kind).max).astype(kind)
