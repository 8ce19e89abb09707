"""The folder that scoring writes: its format, written row by row, and read whole."""

from jaxad.results.mirror import kept_at
from jaxad.results.reading import COLUMNS, Results, map_path, picture_path, read_results
from jaxad.results.regions import Region, find_regions
from jaxad.results.stamps import Stamp, lost_sentences, stamp_of
from jaxad.results.writing import STARTED, Output, Result, UnwrittenError

__all__ = [
    "COLUMNS",
    "STARTED",
    "Output",
    "Region",
    "Result",
    "Results",
    "Stamp",
    "UnwrittenError",
    "find_regions",
    "kept_at",
    "lost_sentences",
    "map_path",
    "picture_path",
    "read_results",
    "stamp_of",
]
