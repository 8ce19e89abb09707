"""How well scores separate anomalous images or pixels from good ones. Host code: NumPy, no gradients.

A label or mask is 1 or True where anomalous; a higher score is more anomalous.
All results are shares without unit, from 0 to 1. Every image of a batch counts, and every pixel of it.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jaxad._check import InputError, need_binary, need_finite, need_same_shape

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

    return float(roc_auc_score(*_labelled(labels, scores)))


def auroc_between(normal: ArrayLike, anomalous: ArrayLike) -> float:
    """`auroc` of normal scores [n] against anomalous ones [m], given apart.

    >>> auroc_between([0.1, 0.4], [0.35, 0.8])
    0.75
    """
    labels = np.repeat([0, 1], [len(np.asarray(normal)), len(np.asarray(anomalous))])
    return auroc(labels, np.concatenate([normal, anomalous]))


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

    return float(average_precision_score(*_labelled(labels, scores)))


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

    rate, found, thresholds = roc_curve(*_labelled(labels, scores))
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

    precision, recall, thresholds = precision_recall_curve(*_labelled(labels, scores))
    return recall[::-1], precision[::-1], np.append(np.inf, thresholds[::-1])


def pixel_auroc(masks: ArrayLike, maps: ArrayLike) -> float:
    """`auroc` over all pixels of all images at once: large defects weigh more than small ones.

    Args:
      masks: True on defects, [n, h, w].
      maps: finite scores, [n, h, w].

    Raises:
      InputError: shapes differ, no defect or nothing but defects is there, or a score is not finite.
    """
    truth, scores = _masked(masks, maps)
    return auroc(truth.ravel(), scores.ravel())


def pro_curve(masks: ArrayLike, maps: ArrayLike) -> Curve:
    """Per-region overlap against the false-positive rate: the exact curve, a point for every score that occurs.

    A region is a set of 8-connected defect pixels of one image. The overlap is the share of a region's pixels
    that is found, averaged over all regions of all images, each of the same weight. The false-positive rate
    is taken over all defect-free pixels of all images. As MVTec AD evaluates it (Bergmann et al., The MVTec
    Anomaly Detection Dataset, IJCV 2021), which samples the thresholds for want of memory. This takes
    O(pixels) memory and one sort.

    Args:
      masks: True on defects, [n, h, w].
      maps: finite scores, [n, h, w].

    Returns:
      False-positive rate [k] and overlap [k], both rising from 0 to 1, and thresholds [k], falling from infinity.

    Raises:
      InputError: as `pixel_auroc`.
    """
    truth, scores = _masked(masks, maps)
    share = _region_shares(truth).ravel()
    order = np.argsort(scores, axis=None)[::-1]
    falling = scores.ravel()[order]
    false_positives = np.cumsum(~truth.ravel()[order])
    overlap = np.cumsum(share[order])
    # Equal scores pass the threshold together, so only the last of each run is a point of the curve.
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), falling.size - 1)
    return (
        np.append(0.0, false_positives[ends] / false_positives[-1]),
        np.append(0.0, overlap[ends] / overlap[-1]),
        np.append(np.inf, falling[ends]),
    )


def aupro(masks: ArrayLike, maps: ArrayLike, *, limit: float = 0.3) -> float:
    """Area under `pro_curve` up to a false-positive rate of `limit`, divided by `limit`.

    Trapezoids, with linear interpolation at the limit. A constant map gives limit / 2.

    Args:
      masks: True on defects, [n, h, w].
      maps: finite scores, [n, h, w].
      limit: the largest false-positive rate that counts, above 0 and up to 1; 0.3 is usual.

    Raises:
      InputError: as `pixel_auroc`, or the limit is out of range.
    """
    if not 0.0 < limit <= 1.0:
        raise InputError(f"limit of the false-positive rate must lie above 0 and up to 1, got {limit}")
    rate, overlap, _ = pro_curve(masks, maps)
    inside = int(np.searchsorted(rate, limit))
    at_limit = np.interp(limit, rate[inside - 1 : inside + 1], overlap[inside - 1 : inside + 1])
    rate, overlap = np.append(rate[:inside], limit), np.append(overlap[:inside], at_limit)
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
    truth, flagged = np.asarray(labels), np.asarray(decisions)
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


def _labelled(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, values = np.asarray(labels), np.asarray(scores)
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


def _masked(masks: ArrayLike, maps: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(masks), np.asarray(maps)
    need_same_shape(truth, scores, what="masks and maps")
    if truth.ndim != 3:
        raise InputError(f"masks and maps must have three axes [n, h, w], got shape {truth.shape}")
    need_binary(truth, what="masks")
    need_finite(scores, what="maps")
    truth = truth.astype(bool)
    if not truth.any():
        raise InputError("masks must hold at least one defect pixel, got none")
    if truth.all():
        raise InputError("masks must leave at least one defect-free pixel, got none")
    return truth, scores


def _region_shares(masks: np.ndarray) -> Float[np.ndarray, "n h w"]:
    """The share of its region that each pixel is; 0 off the defects."""
    from skimage.measure import label

    shares = np.zeros(masks.shape)
    for index in np.flatnonzero(masks.any(axis=(1, 2))):
        regions = label(masks[index], connectivity=2)
        sizes = np.bincount(regions.ravel())
        shares[index] = np.where(masks[index], 1.0 / np.maximum(sizes, 1)[regions], 0.0)
    return shares
