"""Fitting: normal images and a recipe in, a detector out; and what can be wrong with it."""

from jaxad.fitting.choosing import NothingToldWarning
from jaxad.fitting.detectors import choose_recipe, derived, fit, fit_members
from jaxad.fitting.health import BLIND, find_faults, tell_drawn_defects
from jaxad.fitting.learning import FitDivergedError
from jaxad.fitting.soundness import make_loss, start

__all__ = [
    "BLIND",
    "FitDivergedError",
    "NothingToldWarning",
    "choose_recipe",
    "derived",
    "find_faults",
    "fit",
    "fit_members",
    "make_loss",
    "start",
    "tell_drawn_defects",
]
