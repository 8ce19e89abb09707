"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from jaxad.detector.detector import CALIBRATED, PART, POOLS, Candidate, Detector, Scores, from_contents
from jaxad.detector.fitting import fit, fit_members
from jaxad.detector.health import find_faults, tell_drawn_defects
from jaxad.detector.learning import FitDivergedError

__all__ = [
    "CALIBRATED",
    "PART",
    "POOLS",
    "Candidate",
    "Detector",
    "FitDivergedError",
    "Scores",
    "find_faults",
    "fit",
    "fit_members",
    "from_contents",
    "tell_drawn_defects",
]
