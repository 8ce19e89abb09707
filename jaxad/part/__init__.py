"""One part to inspect, ready for use: a detector, what is done to a photograph before it, and a threshold behind it."""

from jaxad.part.part import Part, PartScores, load_part, sees_windows, takes_one_size
from jaxad.part.photographs import photographs, same_size_batches

__all__ = [
    "Part",
    "PartScores",
    "load_part",
    "photographs",
    "same_size_batches",
    "sees_windows",
    "takes_one_size",
]
