"""Compiled models for other run times: one file that scores images where jaxad is not installed."""

from jaxad.export.computation import Computation
from jaxad.export.exporting import FORMATS, export_model

__all__ = ["FORMATS", "Computation", "export_model"]
