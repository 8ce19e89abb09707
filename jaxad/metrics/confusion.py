"""How decisions meet labels."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from jaxad._check import need_binary, need_numbers, need_same_shape


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
