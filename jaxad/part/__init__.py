"""One part to inspect, ready for use: a detector, what is done to a photograph before it, and a threshold behind it."""

from jaxad.part.part import Part, golden_scores, load, load_part
from jaxad.part.scoring import PartScores, Seen, brought_back, judge, judged_anew, look, region_at

__all__ = [
    "Part",
    "PartScores",
    "Seen",
    "brought_back",
    "golden_scores",
    "judge",
    "judged_anew",
    "load",
    "load_part",
    "look",
    "region_at",
]
