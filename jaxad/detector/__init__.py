"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from jaxad.detector.batches import Found, Names, Shot, score_shots
from jaxad.detector.choosing import NothingToldWarning
from jaxad.detector.detector import (
    CALIBRATED,
    PART,
    POOLS,
    Candidate,
    Detector,
    Scores,
    on_devices,
)
from jaxad.detector.fitting import choose_recipe, fit, fit_members
from jaxad.detector.health import BLIND, find_faults, tell_drawn_defects
from jaxad.detector.learning import FitDivergedError
from jaxad.detector.loading import from_contents
from jaxad.detector.system import Scored

__all__ = [
    "BLIND",
    "CALIBRATED",
    "PART",
    "POOLS",
    "Candidate",
    "Detector",
    "FitDivergedError",
    "Found",
    "Names",
    "NothingToldWarning",
    "Scored",
    "Scores",
    "Shot",
    "choose_recipe",
    "find_faults",
    "fit",
    "fit_members",
    "from_contents",
    "on_devices",
    "score_shots",
    "tell_drawn_defects",
]
