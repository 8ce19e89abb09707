"""One part to inspect, ready for use: a detector, what is done to a photograph before it, and a threshold behind it."""

from jaxad.part.part import Part, golden_scores, load_part, part_from_contents
from jaxad.part.scoring import PartScores, Seen, brought_back, hide, judge, judged_anew, look, region_at, sees_windows

__all__ = [
    "Part",
    "PartScores",
    "Seen",
    "brought_back",
    "golden_scores",
    "hide",
    "judge",
    "judged_anew",
    "load_part",
    "look",
    "part_from_contents",
    "region_at",
    "sees_windows",
]
