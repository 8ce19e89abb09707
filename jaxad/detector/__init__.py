"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from jaxad.detector.detector import POOLS, Detector, Scores, load
from jaxad.detector.fitting import FitDivergedError, fit, fit_members
from jaxad.detector.health import find_faults

__all__ = ["POOLS", "Detector", "FitDivergedError", "Scores", "find_faults", "fit", "fit_members", "load"]
