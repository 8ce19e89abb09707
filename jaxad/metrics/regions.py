"""Photographs of which pixels are judged, and the regions of their defects."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped
from numpy.typing import ArrayLike

from jaxad._check import InputError, need_binary, need_finite, need_numbers, need_same_shape


class Mapped(NamedTuple):
    """True mask and map of one photograph, and where its pixels count."""

    mask: Bool[np.ndarray, "h w"]
    map: Shaped[np.ndarray, "h w"]
    inside: Bool[np.ndarray, "h w"]


def need_mapped(mask: ArrayLike, score_map: ArrayLike, inside: ArrayLike | None) -> Mapped:
    """Mask, map and what counts as arrays [h, w]; refuse other shapes and values."""
    truth, scores = need_numbers(mask, what="masks"), need_numbers(score_map, what="maps")
    where = np.broadcast_to(True, truth.shape) if inside is None else need_numbers(inside, what="inside")
    need_same_shape(truth, scores, what="masks and maps")
    need_same_shape(truth, where, what="masks and inside")
    if truth.ndim != 2:
        raise InputError(
            f"masks and maps must have three axes [n, h, w], or be images [h, w], got one of shape {truth.shape}"
        )
    need_binary(truth, what="masks")
    need_binary(where, what="inside")
    need_finite(scores, what="maps")
    return Mapped(truth.astype(bool, copy=False), scores, where.astype(bool, copy=False))


def need_good_and_bad(*, pixels: int, defective: int) -> None:
    """Refuse pixels of which none or all are defective."""
    if not defective:
        raise InputError("masks must hold at least one defect pixel, got none")
    if defective == pixels:
        raise InputError("masks must leave at least one defect-free pixel, got none")


def label_regions(
    mask: Bool[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, " regions"]]:
    """The number of its region, from 1, at each defect pixel that is inside, else 0; and the pixels of each number.

    A region is a set of 8-connected defect pixels [h, w], whether inside or not; only those inside are counted.
    """
    from skimage.measure import label

    labels = np.zeros(mask.shape, np.int32)
    if not mask.any():
        return labels, np.zeros(1, int)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    labels[box] = np.where(inside[box], label(mask[box], connectivity=2), 0)
    return labels, np.bincount(labels[labels > 0], minlength=1)
