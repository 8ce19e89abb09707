"""One part to inspect, ready for use: a detector, what is done to a photograph before it, and a threshold behind it."""

from jaxad.part.part import Part, load_part
from jaxad.part.scoring import PartScores, hide, region_at, score_batch, sees_windows

__all__ = [
    "Part",
    "PartScores",
    "hide",
    "load_part",
    "region_at",
    "score_batch",
    "sees_windows",
]
