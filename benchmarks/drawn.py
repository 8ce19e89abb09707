"""Detectors whose weights are drawn, so that they cost what trained ones cost and nobody has to train them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxad
from jaxad.calibration import Unit, Usual
from jaxad.detector import Detector
from jaxad.fitting import start
from jaxad.recipes import NetworkRecipe, Recipe, Shape, SolvedRecipe, Variables

SPREAD = {"bias": (-0.5, 0.5), "mean": (-0.5, 0.5), "scale": (0.5, 1.5), "var": (0.5, 1.5)}
IMAGES, LEAST_IMAGES = 600, 8
PIXELS = 2**22
"""Of all images together that a closed form is fitted on, about."""


def drawn_detector(recipe: Recipe | str = "patch-vae", shape: Shape = (28, 28, 1)) -> Detector:
    """A detector for images of `shape`: networks with drawn weights, biases and statistics, closed forms of noise."""
    if isinstance(recipe, str):
        recipe = jaxad.RECIPES[recipe]
    count = max(LEAST_IMAGES, min(IMAGES, PIXELS // (shape[0] * shape[1])))
    images = np.random.default_rng(0).uniform(size=(count, *shape)).astype(np.float32)
    usual = Usual(jnp.zeros(shape[:2]), jnp.ones(shape[:2])) if recipe.judges_by_holdout else None
    return Detector(recipe, shape, _variables(recipe, images), usual)


def drawn_weights(recipe: NetworkRecipe, shape: Shape) -> Variables:
    """The variables of a network before training, with biases and statistics that are not all 0 or 1."""
    draw = np.random.default_rng(0)

    def drawn(path: Any, leaf: jax.Array) -> Any:
        limits = SPREAD.get(path[-1].key)
        return draw.uniform(*limits, leaf.shape).astype(np.float32) if limits else leaf

    variables: Variables = jax.tree_util.tree_map_with_path(drawn, start(jax.random.key(0), recipe, shape))
    return variables


def _variables(recipe: Recipe, images: np.ndarray) -> Variables:
    if recipe.ingredients:
        unit = Unit(jnp.zeros(()), jnp.ones(()))._asdict()
        return {
            part.name: {"variables": _variables(part, images), "image": unit, "map": unit}
            for part in recipe.ingredients
        }
    if isinstance(recipe, NetworkRecipe):
        shape: Shape = images.shape[1:]
        return recipe.finish(recipe.model(shape), drawn_weights(recipe, shape), images)
    assert isinstance(recipe, SolvedRecipe)
    return recipe.solve(images)
