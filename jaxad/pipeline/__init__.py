"""A deployable pipeline: preparation of photographs, detector, calibration and decision threshold."""

from jaxad.pipeline.pipeline import Pipeline, golden_scores, load, load_pipeline
from jaxad.pipeline.scoring import (
    PipelineScores,
    Seen,
    brought_back,
    judge,
    judged_anew,
    look,
    prepare_region,
    region_at,
)

__all__ = [
    "Pipeline",
    "PipelineScores",
    "Seen",
    "brought_back",
    "golden_scores",
    "judge",
    "judged_anew",
    "load",
    "load_pipeline",
    "look",
    "prepare_region",
    "region_at",
]
