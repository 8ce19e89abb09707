"""Areas and curves of one score an image."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jaxad._check import InputError, need_binary, need_finite, need_numbers, need_same_shape

Curve = tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]
"""Two shares and the threshold from which on scores count as anomalous: points where `score >= threshold`."""


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
      Precision [k], 1 at recall 0, recall [k], rising from 0 to 1, and thresholds [k], falling from infinity.

    Raises:
      InputError: as `auroc`.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = _judged(precision_recall_curve, labels, scores)
    return precision[::-1], recall[::-1], np.append(np.inf, thresholds[::-1])


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
