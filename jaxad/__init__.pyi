from . import datasets, detector, heatmaps, losses, metrics, models, patches, plots, protocols, recipes, training
from ._check import InputError
from .detector import Detector, Scores, fit
from .recipes import RECIPES
from .training import DivergedError, History

__all__ = [
    "RECIPES",
    "Detector",
    "DivergedError",
    "History",
    "InputError",
    "Scores",
    "datasets",
    "detector",
    "fit",
    "heatmaps",
    "losses",
    "metrics",
    "models",
    "patches",
    "plots",
    "protocols",
    "recipes",
    "training",
]
