"""A deployable pipeline: preparation of photographs, detector, calibration and decision threshold."""

from jaxad.pipeline.pipeline import Pipeline, golden_scores, load, load_pipeline
from jaxad.pipeline.scoring import (
    PipelineScores,
    Seen,
    admit,
    area_of,
    brought_back,
    judge,
    judged_anew,
    look,
    looked_at,
    prepare_region,
    region_at,
    usual_at,
)

__all__ = [
    "Pipeline",
    "PipelineScores",
    "Seen",
    "admit",
    "area_of",
    "brought_back",
    "golden_scores",
    "judge",
    "judged_anew",
    "load",
    "load_pipeline",
    "look",
    "looked_at",
    "prepare_region",
    "region_at",
    "usual_at",
]
