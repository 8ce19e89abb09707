"""The detector: a recipe with its trained variables; it scores, saves itself, and is read from a file."""

from jaxad.detector.arrays import flat
from jaxad.detector.batches import Found, Names, Shot, score_shots
from jaxad.detector.computing import (
    CALIBRATED,
    Scored,
    example_of,
    naming,
    need_sound,
    pool_anew,
    pool_maps,
    pooled,
    score_shapes,
    shape_of,
    start_shapes,
    template,
    what_is,
)
from jaxad.detector.detector import PART, Candidate, Detector, Scores, on_devices
from jaxad.detector.left_out import each_left_out
from jaxad.detector.loading import from_contents

__all__ = [
    "CALIBRATED",
    "PART",
    "Candidate",
    "Detector",
    "Found",
    "Names",
    "Scored",
    "Scores",
    "Shot",
    "each_left_out",
    "example_of",
    "flat",
    "from_contents",
    "naming",
    "need_sound",
    "on_devices",
    "pool_anew",
    "pool_maps",
    "pooled",
    "score_shapes",
    "score_shots",
    "shape_of",
    "start_shapes",
    "template",
    "what_is",
]
