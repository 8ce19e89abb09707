"""Pipelines fitted on a few small photographs."""

import dataclasses

import jax
import numpy as np

import jaxad
from jaxad import thresholds
from jaxad.calibration import Usual
from jaxad.pipeline import Pipeline, golden_scores
from jaxad.preparation import Preparation
from tests.photograph_folder import photograph


def make_part(recipe: jaxad.recipes.Recipe, preparation: Preparation, roi: np.ndarray | None = None) -> Pipeline:
    images = np.stack([preparation.prepare(photograph(i)[..., None] / np.float32(255))[0] for i in range(8)])
    detector, _ = jaxad.fit(jax.random.key(0), recipe, images)
    normal = np.array([1.0, 2.0, 4.0], np.float32)
    # A detector that was calibrated itself takes its own size alone.
    golden = (photograph(50), photograph(51, (32, 40) if recipe.holdout else (20, 24), dtype=np.uint16))
    made = Pipeline(
        detector=detector,
        preparation=preparation,
        threshold=thresholds.for_false_positive_rate(normal, rate=0.3),
        rate=0.3,
        normal_scores=normal,
        colour_limits=(0.0, 5.0),
        pixel_limit=3.0,
        golden=golden,
        golden_scores=np.zeros(2, np.float32),
        provenance={"seed": 0, "versions": {"numpy": "2"}},
        roi=roi,
    )
    return dataclasses.replace(made, golden_scores=dataclasses.replace(made, roi=None).score(golden).score)


def with_usual(made: Pipeline) -> Pipeline:
    """Calibrated at positions of inputs of 32 x 40 pixels."""
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(0, 9, (32, 40)), rng.uniform(1, 2, (32, 40))
    usual = Usual(*(jax.numpy.asarray(each, jax.numpy.float32) for each in (mean, deviation)))
    letterbox = Preparation(made.detector.shape[-1], "letterbox", box=(32, 40))
    calibrated = dataclasses.replace(made, usual=usual, preparation=letterbox)
    scores = golden_scores(calibrated.detector, letterbox, usual, made.golden)
    return dataclasses.replace(calibrated, golden_scores=scores)
