"""What held-out normal images say of a detector: what is usual at each position, scores, levels of maps, golden images.

Where all of them come to the model in one size and are enough, maps are calibrated position by position, so that a
border or a busy region does not always glow; see `jaxad.calibration`. No image is judged by its own map.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxad import pipeline
from jaxad._check import InputError
from jaxad.calibration import (
    Trust,
    Usual,
    everywhere,
    fit_trust,
    fit_usual,
    unusualness,
    unusualness_by_others,
)
from jaxad.datasets import Once, Sums
from jaxad.detector import Detector
from jaxad.folders.left_out import agree
from jaxad.folders.roi import Roi
from jaxad.folders.training_images import read_once
from jaxad.images import UnreadableError, batches
from jaxad.images.photograph import MAX_PIXELS
from jaxad.preparation import Preparation
from jaxad.thresholds import FEWEST

QUANTILE = 0.999
FEWEST_MAPS = 10
"""Held-out maps to calibrate positions by: the deviation of ten normal numbers is off by a quarter."""
TRUSTED = 0.5
"""Trust in positions from which on they count; below, chance is the greater part of what they differ in."""
MAP_PIXELS = 2**26
"""Pixels of the held-out maps that are kept to calibrate by, 268 MB; further maps are judged by those."""
GOLDEN = 4
GOLDEN_SIDE = 128
"""Height and width of a golden image at most, where the detector takes any size."""


class HeldOut(NamedTuple):
    """What was found on held-out images; see the attributes of `jaxad.pipeline.Pipeline`."""

    sums: dict[Path, Sums]
    """The files with the digests of each; each photograph is there once."""
    preparation: Preparation
    """As it was given; where positions count, photographs of any size are brought to the one that these have."""
    agreed: bool
    """Whether images that were learned from, left out in turn, score as these do; then they count too."""
    scores: np.ndarray
    """Of the held-out images, and of those that were left out."""
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
    known: Mapping[Path, Sums],
    left_out: Iterable[pipeline.Seen] = (),
    max_pixels: int = MAX_PIXELS,
    on_step: Callable[[str, int, int], None],
    on_photograph: Callable[[Path, np.ndarray], None] = lambda *_: None,
) -> HeldOut:
    """Score held-out normal images, few at a time; `sizes` are their heights and widths by path.

    Copies of one another and of the images that were learned from, `known` by what `jaxad.datasets.pixel_sum` gives of
    them, do not count. For `max_pixels` see `jaxad.images.read_photograph`. `on_photograph` is called with every path
    and its photograph, float32 `[h, w, c]`.

    What was seen of trained images, each `left_out` of what it is judged by (see `jaxad.folders.left_out`), counts as
    what is seen of held-out ones, unless their scores do not agree: then these count alone.

    The colour scale begins at the median pixel, each image counting the same, and ends twice as far up as the 0.999
    quantile. The pixel limit is the largest 0.999 quantile of any map.

    Raises:
        InputError: fewer than two can be read.
    """
    unreadable: list[UnreadableError] = []
    golden: list[np.ndarray] = []
    judged: set[Path] = set()
    once = Once(known)

    def readable() -> Iterator[tuple[Path, np.ndarray]]:
        judging = partial(on_step, "judging")
        for path, found in read_once(sizes, once, unreadable, max_pixels=max_pixels, on_step=judging):
            on_photograph(path, found.pixels)
            yield path, found.samples

    def seen() -> Iterator[pipeline.Seen]:
        for batch in batches(readable()):
            found = pipeline.look(detector, preparation, roi, None, [pixels for _, pixels in batch])
            for (path, samples), one in zip(batch, found, strict=True):
                if isinstance(one, InputError):
                    unreadable.append(UnreadableError(path, str(one)))
                    continue
                if len(golden) < GOLDEN:
                    golden.append(_golden(samples, preparation, detector))
                judged.add(path)
                yield one
        if len(judged) < FEWEST:
            raise InputError(f"at least {FEWEST} held-out images must be usable, got {len(judged)}; {unreadable[0]}")

    inputs = {preparation.geometry(*size).size for size in sizes.values()}
    pipeline.admit(detector, preparation, roi, sizes.values())
    usual: Usual | None = None
    found, agreed = seen(), False
    if detector.usual is None and len(inputs) == 1:
        kept = list(_bounded(found, pixels=MAP_PIXELS))
        others = list(_bounded(left_out, pixels=MAP_PIXELS - sum(one.map.size for one in kept)))
        agreed = agree(*(np.array([one.score for one in some]) for some in (kept, others)))
        usual, found = _calibrated(detector, kept + others if agreed else kept, found)
    scores, colour_limits, pixel_limit = _levels(found)
    preparation = _with_positions(preparation, usual, inputs)
    return HeldOut(
        {path: value for path, value in once.sums.items() if path in judged},
        preparation,
        agreed,
        scores,
        colour_limits,
        pixel_limit,
        tuple(golden),
        pipeline.golden_scores(detector, preparation, usual, golden),
        usual,
        unreadable,
    )


def judged_anew(
    held: HeldOut, detector: Detector, preparation: Preparation, left_out: Iterator[pipeline.Seen]
) -> HeldOut:
    """The same of a `detector` that has learned from the held-out images too, by all that it has learned from.

    What was seen of each, `left_out` in turn, is usual now, and sets scores and levels. Golden images are turned over:
    as they are the detector knows them by heart.
    """
    usual, found = _calibrated(detector, list(_bounded(left_out, pixels=MAP_PIXELS)), left_out)
    scores, colour_limits, pixel_limit = _levels(found)
    golden = tuple(np.ascontiguousarray(one[:, ::-1]) for one in held.golden)
    return held._replace(
        preparation=_with_positions(preparation, usual, {detector.shape[:2]}),
        scores=scores,
        colour_limits=colour_limits,
        pixel_limit=pixel_limit,
        golden=golden,
        golden_scores=pipeline.golden_scores(detector, preparation, usual, golden),
        usual=usual,
    )


def _levels(seen: Iterable[pipeline.Seen]) -> tuple[np.ndarray, tuple[float, float], float]:
    """The scores of what was seen, the limits of the colour scale and the limit of pixels."""
    scores: list[float] = []
    levels: list[np.ndarray] = []
    for one in seen:
        score, score_map = pipeline.brought_back(one)
        scores.append(score)
        levels.append(np.quantile(score_map if one.inside is None else score_map[one.inside], (0.5, QUANTILE)))
    medians, tops = np.array(levels).T
    low, top = float(np.median(medians)), float(np.median(tops))
    return np.array(scores, np.float32), (low, low + 2 * (top - low)), float(np.max(tops))


def _with_positions(preparation: Preparation, usual: Usual | None, inputs: Iterable[tuple[int, int]]) -> Preparation:
    """Where positions count, photographs of another size are brought to the one that these had."""
    if usual is None or usual.mean.shape == (1, 1) or preparation.mode != "native":
        return preparation
    (box,) = inputs
    return replace(preparation, mode="letterbox", box=box)


def _calibrated(
    detector: Detector, kept: list[pipeline.Seen], seen: Iterator[pipeline.Seen]
) -> tuple[Usual | None, Iterator[pipeline.Seen]]:
    """What is usual, at each position or everywhere, where that can be told, and what was seen in its unit.

    Maps that it is fitted on, those `kept`, are judged by the others of them; what is `seen` after them by all.
    """
    if len(kept) < FEWEST_MAPS:
        return None, itertools.chain(kept, seen)
    maps = np.stack([one.map for one in kept])
    masks = [one.counted for one in kept if one.counted is not None]
    counted = np.any(masks, axis=0) if masks else None
    trust = fit_trust(maps, inside=counted)
    by_position = detector.recipe.aligned and (detector.recipe.reach is None or max(trust) >= TRUSTED)
    if not by_position:
        trust = Trust(0.0, 0.0)
    usual = fit_usual(maps, trust=trust, inside=counted)
    if not by_position:
        usual = everywhere(usual, inside=counted)
    by_others = np.asarray(unusualness_by_others(maps, trust=trust, inside=counted))

    def in_unit() -> Iterator[pipeline.Seen]:
        for one, score_map in zip(kept, by_others, strict=True):
            yield pipeline.judged_anew(detector, one, score_map, usual)
        for one in seen:
            yield pipeline.judged_anew(detector, one, np.asarray(unusualness(one.map[None], usual))[0], usual)

    return usual, in_unit()


def _bounded(seen: Iterable[pipeline.Seen], *, pixels: int) -> Iterator[pipeline.Seen]:
    """The first, until their maps have so many pixels; what comes after is not asked for."""
    if pixels > 0:
        for one in seen:
            yield one
            pixels -= one.map.size
            if pixels <= 0:
                return


def _golden(samples: np.ndarray, preparation: Preparation, detector: Detector) -> np.ndarray:
    """The photograph [h, w, c], or its middle where the model takes any size, as whole numbers."""
    if detector.canvases is not None:
        side = math.ceil(max(GOLDEN_SIDE, *detector.recipe.least_size) / min(1.0, preparation.scale))
        top, left = (max(0, (length - side) // 2) for length in samples.shape[:2])
        samples = samples[top : top + side, left : left + side].copy()
    return samples if samples.dtype.kind == "u" else np.rint(samples * np.iinfo(np.uint16).max).astype(np.uint16)
