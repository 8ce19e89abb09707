"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from jaxad.detector.detector import CALIBRATED, PART, POOLS, Detector, Scores, from_contents, load
from jaxad.detector.fitting import FitDivergedError, fit, fit_members
from jaxad.detector.health import find_faults

__all__ = [
    "CALIBRATED",
    "PART",
    "POOLS",
    "Detector",
    "FitDivergedError",
    "Scores",
    "find_faults",
    "fit",
    "fit_members",
    "from_contents",
    "load",
]
