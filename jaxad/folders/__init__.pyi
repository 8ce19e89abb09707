from .evaluation import evaluate_folder
from .fitting import fit_folder
from .inspection import inspect_folder
from .merging import merge_folders
from .scoring import score_folder

__all__ = ["evaluate_folder", "fit_folder", "inspect_folder", "merge_folders", "score_folder"]
