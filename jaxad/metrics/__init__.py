"""How well scores separate anomalous images or pixels from good ones. Host code: NumPy, no gradients.

A label or mask is 1 or True where anomalous; a higher score is more anomalous.
All results are shares without unit, from 0 to 1. Every image of a batch counts, and every pixel of it.
"""

from jaxad.metrics.confusion import Confusion, confusion
from jaxad.metrics.curves import Curve, auroc, auroc_between, average_precision, precision_recall, roc
from jaxad.metrics.pixels import aupro, pixel_auroc, pro_curve
from jaxad.metrics.streaming import PixelMetrics

__all__ = [
    "Confusion",
    "Curve",
    "PixelMetrics",
    "aupro",
    "auroc",
    "auroc_between",
    "average_precision",
    "confusion",
    "pixel_auroc",
    "precision_recall",
    "pro_curve",
    "roc",
]
