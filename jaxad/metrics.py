"""How well scores separate anomalous images or pixels from good ones. Host code: NumPy, no gradients.

A label or mask is 1 or True where anomalous; a higher score is more anomalous.
All results are shares without unit, from 0 to 1. Every image of a batch counts, and every pixel of it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import ArrayLike

from jaxad._check import InputError, need_binary, need_finite, need_numbers, need_same_shape

Curve = tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]
"""False-positive rate, share found, and the threshold: points where `score >= threshold` counts as anomalous."""


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the receiver operating characteristic, from scikit-learn.

    It is the probability that an anomalous image scores above a good one; ties count one half.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75

    Args:
      labels: 0 or 1, [n].
      scores: finite, [n].

    Raises:
      InputError: shapes differ, a label is not 0 or 1, only one class is there, or a score is not finite.
    """
    from sklearn.metrics import roc_auc_score

    return float(_judged(roc_auc_score, labels, scores))


def auroc_between(normal: ArrayLike, anomalous: ArrayLike) -> float:
    """`auroc` of normal scores [n] against anomalous ones [m], given apart.

    >>> auroc_between([0.1, 0.4], [0.35, 0.8])
    0.75
    """
    good, bad = need_numbers(normal, what="normal scores"), need_numbers(anomalous, what="anomalous scores")
    return auroc(np.repeat([0, 1], [good.size, bad.size]), np.append(good, bad))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean precision over the recalls, sum (R_i - R_{i-1}) P_i, from scikit-learn: no interpolation.

    Scores without information give the share of anomalous images.

    >>> average_precision([0, 0, 1, 1], [0.0, 0.0, 0.0, 0.0])
    0.5

    Args:
      labels: 0 or 1, [n].
      scores: finite, [n].

    Raises:
      InputError: as `auroc`.
    """
    from sklearn.metrics import average_precision_score

    return float(_judged(average_precision_score, labels, scores))


def roc(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Receiver operating characteristic, from scikit-learn, without its collinear points.

    Args:
      labels: 0 or 1, [n].
      scores: finite, [n].

    Returns:
      False-positive rate [k] and true-positive rate [k], both rising from 0 to 1, and thresholds [k], falling
      from infinity.

    Raises:
      InputError: as `auroc`.
    """
    from sklearn.metrics import roc_curve

    rate, found, thresholds = _judged(roc_curve, labels, scores)
    return rate, found, thresholds


def precision_recall(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Precision against recall, from scikit-learn: a point a score; `average_precision` is its area.

    Args:
      labels: 0 or 1, [n].
      scores: finite, [n].

    Returns:
      Recall [k], rising from 0 to 1, precision [k], 1 at recall 0, and thresholds [k], falling from infinity.

    Raises:
      InputError: as `auroc`.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = _judged(precision_recall_curve, labels, scores)
    return recall[::-1], precision[::-1], np.append(np.inf, thresholds[::-1])


def pixel_auroc(masks: ArrayLike, maps: ArrayLike, *, inside: ArrayLike | None = None) -> float:
    """`auroc` over all pixels of all images at once: large defects weigh more than small ones.

    Args:
      masks: True on defects, [n, h, w], or n images [h, w] of any sizes.
      maps: finite scores, likewise.
      inside: True where pixels count, likewise; by default everywhere.

    Raises:
      InputError: shapes differ, no defect or nothing but defects is there, or a score is not finite.
    """
    counted = _counted(masks, maps, inside)
    return auroc(_joined(counted.masks, counted.inside), _joined(counted.maps, counted.inside))


def pro_curve(masks: ArrayLike, maps: ArrayLike, *, inside: ArrayLike | None = None) -> Curve:
    """Per-region overlap against the false-positive rate: the exact curve, a point for every score that occurs.

    A region is a set of 8-connected defect pixels of one image. The overlap is the share of a region's pixels
    that is found, averaged over all regions of all images, each of the same weight. The false-positive rate
    is taken over all defect-free pixels of all images. As MVTec AD evaluates it (Bergmann et al., The MVTec
    Anomaly Detection Dataset, IJCV 2021), which samples the thresholds for want of memory. This takes
    O(pixels) memory and one sort.

    Pixels that are not `inside` are neither false positives nor parts of regions: a region that lies partly outside
    remains one, whose share is taken of its pixels inside, and one that lies wholly outside does not count.

    Args:
      masks: True on defects, [n, h, w], or n images [h, w] of any sizes.
      maps: finite scores, likewise.
      inside: True where pixels count, likewise; by default everywhere.

    Returns:
      False-positive rate [k] and overlap [k], both rising from 0 to 1, and thresholds [k], falling from infinity.

    Raises:
      InputError: as `pixel_auroc`.
    """
    counted = _counted(masks, maps, inside)
    share = np.concatenate(
        [_region_shares(mask, where) for mask, where in zip(counted.masks, counted.inside, strict=True)]
    )
    scores = _joined(counted.maps, counted.inside)
    order = np.argsort(scores)[::-1]
    falling = scores[order]
    false_positives = np.cumsum(share[order] == 0)
    overlap = np.cumsum(share[order])
    # Equal scores pass the threshold together, so only the last of each run is a point of the curve.
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), falling.size - 1)
    return (
        np.append(0.0, false_positives[ends] / false_positives[-1]),
        np.append(0.0, overlap[ends] / overlap[-1]),
        np.append(np.inf, falling[ends]),
    )


def aupro(masks: ArrayLike, maps: ArrayLike, *, inside: ArrayLike | None = None, limit: float = 0.3) -> float:
    """Area under `pro_curve` up to a false-positive rate of `limit`, divided by `limit`.

    Trapezoids, with linear interpolation at the limit. A constant map gives limit / 2.

    Args:
      masks: True on defects, [n, h, w], or n images [h, w] of any sizes.
      maps: finite scores, likewise.
      inside: True where pixels count, likewise; by default everywhere.
      limit: the largest false-positive rate that counts, above 0 and up to 1; 0.3 is usual.

    Raises:
      InputError: as `pixel_auroc`, or the limit is out of range.
    """
    if not 0.0 < limit <= 1.0:
        raise InputError(f"limit of the false-positive rate must lie above 0 and up to 1, got {limit}")
    rate, overlap, _ = pro_curve(masks, maps, inside=inside)
    below = int(np.searchsorted(rate, limit))
    at_limit = np.interp(limit, rate[below - 1 : below + 1], overlap[below - 1 : below + 1])
    rate, overlap = np.append(rate[:below], limit), np.append(overlap[:below], at_limit)
    return float(np.trapezoid(overlap, rate) / limit)


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How decisions meet labels: counts, and the shares that follow from them.

    A share whose denominator is zero is NaN: it is not known.
    """

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def precision(self) -> float:
        """Share of the flagged that is anomalous, tp / (tp + fp)."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the anomalous that is flagged, tp / (tp + fn)."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn)."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def confusion(labels: ArrayLike, decisions: ArrayLike) -> Confusion:
    """Count decisions against labels; arrays of any one shape, so pixels count as well as images.

    >>> confusion([0, 0, 1, 1], [0, 1, 1, 1])
    Confusion(tp=2, fp=1, tn=1, fn=0)

    Args:
      labels: 0 or 1; 1 is anomalous.
      decisions: 0 or 1, of the same shape; 1 is flagged.

    Raises:
      InputError: shapes differ, or a value is not 0 or 1.
    """
    truth, flagged = need_numbers(labels, what="labels"), need_numbers(decisions, what="decisions")
    need_same_shape(truth, flagged, what="labels and decisions")
    need_binary(truth, what="labels")
    need_binary(flagged, what="decisions")
    truth, flagged = truth.astype(bool), flagged.astype(bool)
    return Confusion(
        tp=int(np.count_nonzero(truth & flagged)),
        fp=int(np.count_nonzero(~truth & flagged)),
        tn=int(np.count_nonzero(~truth & ~flagged)),
        fn=int(np.count_nonzero(truth & ~flagged)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _judged(metric: Callable[..., Any], labels: ArrayLike, scores: ArrayLike) -> Any:
    """What a metric of scikit-learn makes of labels and scores."""
    truth, values = _labelled(labels, scores)
    # It takes differences to find ties and a sum to find NaN: for the largest floats both overflow, and no harm done.
    with np.errstate(over="ignore", invalid="ignore"):
        return metric(truth, values)


def _labelled(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, values = need_numbers(labels, what="labels"), need_numbers(scores, what="scores")
    need_same_shape(truth, values, what="labels and scores")
    if truth.ndim != 1:
        raise InputError(f"labels and scores must have one axis [n], got shape {truth.shape}")
    need_binary(truth, what="labels")
    need_finite(values, what="scores")
    truth = truth.astype(bool)
    if truth.all() or not truth.any():
        only = "empty" if not truth.size else f"only {int(truth[0])}"
        raise InputError(f"labels must hold both 0 (good) and 1 (anomalous), got {only}")
    return truth, values


class _Counted(NamedTuple):
    """Masks and maps [h, w] of as many images, and where their pixels count."""

    masks: list[np.ndarray]
    maps: list[np.ndarray]
    inside: list[np.ndarray]


def _counted(masks: ArrayLike, maps: ArrayLike, inside: ArrayLike | None) -> _Counted:
    truth, scores = _images(masks, what="masks"), _images(maps, what="maps")
    everywhere = [np.broadcast_to(True, mask.shape) for mask in truth]
    counted = _Counted(truth, scores, everywhere if inside is None else _images(inside, what="inside"))
    if not len(truth) == len(scores) == len(counted.inside):
        raise InputError(
            f"masks, maps and inside must be of as many images, got {', '.join(str(len(x)) for x in counted)}"
        )
    for mask, score_map, where in zip(*counted, strict=True):
        need_same_shape(mask, score_map, what="masks and maps")
        need_same_shape(mask, where, what="masks and inside")
        if mask.ndim != 2:
            raise InputError(
                f"masks and maps must have three axes [n, h, w], or be images [h, w], got one of shape {mask.shape}"
            )
        need_binary(mask, what="masks")
        need_binary(where, what="inside")
        need_finite(score_map, what="maps")
    masks, insides = ([x.astype(bool, copy=False) for x in stack] for stack in (truth, counted.inside))
    defects = [mask[where] for mask, where in zip(masks, insides, strict=True)]
    if not any(defect.any() for defect in defects):
        raise InputError("masks must hold at least one defect pixel, got none")
    if all(defect.all() for defect in defects):
        raise InputError("masks must leave at least one defect-free pixel, got none")
    return _Counted(masks, scores, insides)


def _images(stack: ArrayLike, *, what: str) -> list[np.ndarray]:
    several: Any = stack if isinstance(stack, list | tuple) else np.atleast_1d(need_numbers(stack, what=what))
    return [need_numbers(image, what=what) for image in several]


def _joined(images: list[np.ndarray], inside: list[np.ndarray]) -> Shaped[np.ndarray, " k"]:
    return np.concatenate([image[where] for image, where in zip(images, inside, strict=True)])


def _region_shares(mask: Bool[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, " k"]:
    """The share of its region that each pixel inside is; 0 off the defects."""
    from skimage.measure import label

    regions = label(mask, connectivity=2)[inside]
    return np.where(regions, 1.0 / np.maximum(np.bincount(regions), 1)[regions], 0.0)
