"""Areas and curves of one score a pixel, from arrays that hold all of them."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jaxad._check import InputError, need_numbers
from jaxad.metrics.curves import Curve
from jaxad.metrics.regions import Mapped, label_regions, need_good_and_bad, need_mapped
from jaxad.metrics.streaming import PixelMetrics


def pixel_auroc(masks: ArrayLike, maps: ArrayLike, *, inside: ArrayLike | None = None) -> float:
    """`auroc` over all pixels of all images at once: large defects weigh more than small ones.

    Args:
      masks: True on defects, [n, h, w], or n images [h, w] of any sizes.
      maps: finite scores, likewise.
      inside: True where pixels count, likewise; by default everywhere.

    Raises:
      InputError: shapes differ, no defect or nothing but defects is there, or a score is not finite.
    """
    return PixelMetrics.in_memory(_photographs(masks, maps, inside)).auroc()


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
    photographs = _photographs(masks, maps, inside)
    shares = [_region_shares(each) for each in photographs]
    need_good_and_bad(pixels=sum(x.size for x in shares), defective=sum(int(np.count_nonzero(x)) for x in shares))
    share = np.concatenate(shares)
    scores = np.concatenate([each.map[each.inside] for each in photographs])
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
    return PixelMetrics.in_memory(_photographs(masks, maps, inside)).aupro(limit=limit)


def _photographs(masks: ArrayLike, maps: ArrayLike, inside: ArrayLike | None) -> list[Mapped]:
    truth, scores = _images(masks, what="masks"), _images(maps, what="maps")
    where = [None] * len(truth) if inside is None else _images(inside, what="inside")
    counts = len(truth), len(scores), len(where)
    if len(set(counts)) > 1:
        raise InputError(f"masks, maps and inside must be of as many images, got {', '.join(map(str, counts))}")
    return [need_mapped(*each) for each in zip(truth, scores, where, strict=True)]


def _images(stack: ArrayLike, *, what: str) -> list[np.ndarray]:
    several: Any = stack if isinstance(stack, list | tuple) else np.atleast_1d(need_numbers(stack, what=what))
    return [need_numbers(image, what=what) for image in several]


def _region_shares(mapped: Mapped) -> Float[np.ndarray, " k"]:
    """The share of its region that each pixel inside is; 0 off the defects."""
    labels, areas = label_regions(mapped.mask, mapped.inside)
    return np.where(areas > 0, 1.0 / np.maximum(areas, 1), 0.0)[labels[mapped.inside]]
