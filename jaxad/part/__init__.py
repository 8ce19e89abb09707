"""One part to inspect, ready for use: a detector, what is done to a photograph before it, and a threshold behind it."""

from jaxad.part.part import Part, load, load_part
from jaxad.part.scoring import (
    HIDDEN,
    PartScores,
    Seen,
    calibrated_maps,
    hide,
    judge,
    look,
    pools_maps,
    region_at,
    score_batch,
    sees_windows,
    usual_at,
)

__all__ = [
    "HIDDEN",
    "Part",
    "PartScores",
    "Seen",
    "calibrated_maps",
    "hide",
    "judge",
    "load",
    "load_part",
    "look",
    "pools_maps",
    "region_at",
    "score_batch",
    "sees_windows",
    "usual_at",
]
