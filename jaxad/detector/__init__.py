"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from jaxad.detector.detector import CALIBRATED, POOLS, Detector, Scores, load
from jaxad.detector.fitting import FitDivergedError, fit, fit_members
from jaxad.detector.health import find_faults

__all__ = ["CALIBRATED", "POOLS", "Detector", "FitDivergedError", "Scores", "find_faults", "fit", "fit_members", "load"]
