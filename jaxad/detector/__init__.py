"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from jaxad.detector.detector import CALIBRATED, POOLS, Candidate, Detector, Scores, load
from jaxad.detector.fitting import fit, fit_members
from jaxad.detector.health import find_faults
from jaxad.detector.learning import FitDivergedError

__all__ = [
    "CALIBRATED",
    "POOLS",
    "Candidate",
    "Detector",
    "FitDivergedError",
    "Scores",
    "find_faults",
    "fit",
    "fit_members",
    "load",
]
