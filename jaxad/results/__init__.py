"""The folder that scoring writes: its format, written row by row, and read whole."""

from jaxad.results.reading import COLUMNS, Results, map_path, picture_path, read_results
from jaxad.results.regions import Region, find_regions
from jaxad.results.stamps import Stamp, stamp_of
from jaxad.results.writing import STARTED, Output, Result, in_words

__all__ = [
    "COLUMNS",
    "STARTED",
    "Output",
    "Region",
    "Result",
    "Results",
    "Stamp",
    "find_regions",
    "in_words",
    "map_path",
    "picture_path",
    "read_results",
    "stamp_of",
]
