from .evaluation import evaluate_folder
from .fitting import fit_folder
from .inspection import inspect_folder
from .scoring import score_folder
from .watching import watch_folder

__all__ = ["evaluate_folder", "fit_folder", "inspect_folder", "score_folder", "watch_folder"]
