"""Decision thresholds for anomaly scores. An image is called anomalous when its score is strictly above the threshold.

`quantile` and `for_false_positive_rate` look at the scores of normal images alone; only `best_f1` uses labels. Use
normal images that no model, calibration or pooling was fitted on, or the promised rates are too low.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxad._check import InputError, need_numbers, need_share

Scores = Float[np.ndarray, " n"]
Labels = Bool[np.ndarray, " n"] | Int[np.ndarray, " n"]

CONFIDENCE = 0.95
FEWEST = 2
"""Held-out images: a spread needs two."""


@dataclass(frozen=True)
class Threshold:
    """A threshold found from normal scores, and what those scores say about its false-positive rate.

    value: the decision is `score > value`, in the unit of the scores.
    rate: share of the given normal scores strictly above `value`, in [0, 1].
    interval: Clopper-Pearson interval (low, high) for the true false-positive rate at `value`.
    count: how many normal scores there were.
    enough: whether `count >= 1 / wanted rate`; with fewer, one false alarm among them would already exceed the rate,
        so the threshold is the largest normal score and the wanted rate is not supported by the data.
    """

    value: float
    rate: float
    interval: tuple[float, float]
    count: int
    enough: bool

    def doubts(self, rate: float) -> list[str]:
        """A sentence where there were too few normal scores for the false-positive rate that was asked for."""
        if self.enough:
            return []
        return [
            f"{self.count} good images do not support a false-positive rate of {100 * rate:.3g}%: the true one may "
            f"be up to {self.interval[1]:.1%}; {math.ceil(1 / rate - 1e-9)} are wanted"
        ]

    def doubts_of(self, scores: Scores) -> list[str]:
        """A sentence where so many other normal scores `[n]` are above `value` that the interval does not hold."""
        above, most = int(np.sum(np.asarray(scores) > self.value)), self.interval[1]
        if not len(scores) or _clopper_pearson(above, len(scores), confidence=CONFIDENCE)[0] <= most:
            return []
        return [
            f"{above} of {len(scores)} good images are above the threshold, which promised at most {most:.1%}: they "
            "differ from those that were fitted on, by light or make, or many of those are all but copies of one "
            "another; fit on photographs that show all that is usual"
        ]


@dataclass(frozen=True)
class LabelledThreshold:
    """A threshold found with labels: decide `score > value`; `f1` in [0, 1] was reached on the fitted scores."""

    value: float
    f1: float


def quantile(normal_scores: Scores, *, q: float = 0.995, confidence: float = CONFIDENCE) -> Threshold:
    """The `q`-quantile of normal scores [n], interpolated linearly between neighbouring scores.

    The wanted false-positive rate is 1 - q. For `confidence` and the fields of the result see
    `for_false_positive_rate`. Raises InputError on no scores, NaN or infinite scores, and q or confidence outside
    (0, 1).
    """
    scores = np.sort(_need_scores(normal_scores, what="normal scores"))
    need_share(q, what="q")
    place = q * (scores.size - 1)
    below = math.floor(place)
    low, high = float(scores[below]), float(scores[min(below + 1, scores.size - 1)])
    # Unlike their difference, which `numpy.quantile` takes, shares of two scores cannot overflow.
    between = scores.dtype.type(low * (1 - (place - below)) + high * (place - below))
    return _describe(min(max(float(between), low), high), scores, wanted=1 - q, confidence=confidence)


def for_false_positive_rate(normal_scores: Scores, *, rate: float = 0.01, confidence: float = CONFIDENCE) -> Threshold:
    """The smallest of the normal scores [n] with at most a share `rate` of them strictly above it.

    The interval covers the true rate with probability `confidence` at least, also though the threshold was chosen
    from these very scores: with k of n scores above it, the true rate is distributed as Beta(k + 1, n - k) where the
    scores have no ties, and the interval's upper end is that law's own quantile, its lower end a more cautious one.
    Raises InputError on no scores, NaN or infinite scores, and rate or confidence outside (0, 1).
    Interval: Clopper and Pearson, Biometrika 26(4), 1934.
    """
    scores = np.sort(_need_scores(normal_scores, what="normal scores"))
    need_share(rate, what="rate")
    # A product such as 0.29 * 100 falls just short of the whole number that is meant.
    allowed = min(math.floor(rate * scores.size + 1e-9), scores.size - 1)
    return _describe(float(scores[scores.size - 1 - allowed]), scores, wanted=rate, confidence=confidence)


def best_f1(labels: Labels, scores: Scores) -> LabelledThreshold:
    """The threshold with the largest F1 on labelled scores. Uses labels: an optimistic bound, not a deployable choice.

    `labels` [n] are False or 0 for normal, True or 1 for anomalous; `scores` [n]. F1 = 2 TP / (2 TP + FP + FN) of the
    decision `score > value`. `value` is one of the scores, or the next number below all of them where it is best to
    flag everything; among equals the highest is taken, which raises the fewest alarms.
    Raises InputError on no scores, NaN or infinite scores, other labels, other lengths, and labels without an anomaly.
    """
    values = _need_scores(scores, what="scores")
    truth = need_numbers(labels, what="labels")
    if truth.shape != values.shape:
        raise InputError(f"labels and scores must have one length, got shapes {truth.shape} and {values.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise InputError(f"labels must be 0 (normal) or 1 (anomalous), got {np.unique(truth)[:5].tolist()}")
    if not truth.any():
        raise InputError("labels must hold at least one anomaly (1), got none; F1 is not defined without")
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    hits = np.cumsum(truth[order].astype(np.int64))
    f1 = 2 * hits / (np.arange(1, values.size + 1) + hits[-1])
    # Equal scores are flagged together, so a cut is possible only behind the last of them.
    cuts = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    best = int(cuts[np.argmax(f1[cuts])])
    # Below the least number of its kind lies minus infinity.
    with np.errstate(over="ignore"):
        below = ranked[best + 1] if best + 1 < ranked.size else np.nextafter(ranked[-1], ranked.dtype.type(-np.inf))
    return LabelledThreshold(value=float(below), f1=float(f1[best]))


def _describe(value: float, scores: Scores, *, wanted: float, confidence: float) -> Threshold:
    need_share(confidence, what="confidence")
    above = int(np.count_nonzero(scores > value))
    return Threshold(
        value=value,
        rate=above / scores.size,
        interval=_clopper_pearson(above, scores.size, confidence=confidence),
        count=int(scores.size),
        enough=scores.size >= 1 / wanted - 1e-9,
    )


def _clopper_pearson(successes: int, trials: int, *, confidence: float) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail, misses = (1 - confidence) / 2, trials - successes
    low = float(betaincinv(successes, misses + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, misses, 1 - tail)) if misses else 1.0
    return low, high


def _need_scores(scores: Scores, *, what: str) -> Scores:
    values = need_numbers(scores, what=what)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"{what} must be a list of at least one number [n], got shape {values.shape}")
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError(
            f"{what} must be floating-point numbers, got {values.dtype}; convert: scores.astype('float32')"
        )
    if values.dtype.itemsize > 8:
        values = values.astype(np.float64)  # as the threshold will be
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(
            f"{what} must be finite, got {bad.size} NaN or infinite, first at position {bad[0]}; mend or drop them"
        )
    return values


def count_held_out(count: int, *, share: float) -> int:
    """How many of `count` images a share of them is, rounded; 0 where that is fewer than two, or all of them.

    >>> count_held_out(12, share=0.2), count_held_out(12, share=0.1), count_held_out(12, share=1.0)
    (2, 0, 0)
    """
    held = round(share * count)
    return held if FEWEST <= held < count else 0


def count_wanted(least: int, *, share: float) -> int:
    """How many images it takes at the least to hold out a share of them, two or more, and keep `least`.

    >>> count_wanted(1, share=0.2), count_wanted(4, share=0.2), count_wanted(1, share=0.99)
    (8, 8, 51)
    """
    bounds = FEWEST + least, (FEWEST - 0.5) / share, (least - 0.5) / (1 - share)
    counts = itertools.count(math.ceil(max(bounds)))
    return next(count for count in counts if 0 < count_held_out(count, share=share) <= count - least)
