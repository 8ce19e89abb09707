"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from jaxad.detector.choosing import NothingToldWarning
from jaxad.detector.detector import CALIBRATED, PART, POOLS, Candidate, Detector, Scores, from_contents, load
from jaxad.detector.fitting import choose_recipe, fit, fit_members
from jaxad.detector.health import BLIND, find_faults, tell_drawn_defects
from jaxad.detector.learning import FitDivergedError

__all__ = [
    "BLIND",
    "CALIBRATED",
    "PART",
    "POOLS",
    "Candidate",
    "Detector",
    "FitDivergedError",
    "NothingToldWarning",
    "Scores",
    "choose_recipe",
    "find_faults",
    "fit",
    "fit_members",
    "from_contents",
    "load",
    "tell_drawn_defects",
]
