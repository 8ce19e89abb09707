"""Whole runs: data, training, scores, figures and `results.json` in one folder."""

from jaxad.protocols.demo import run_demo
from jaxad.protocols.run import run_recipe

__all__ = ["run_demo", "run_recipe"]
