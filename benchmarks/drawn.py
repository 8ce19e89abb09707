"""Detectors whose weights are drawn, so that they cost what trained ones cost and nobody has to train them."""

from functools import partial
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
    """The variables of a network before training, with biases and statistics that are not all 0 or 1.

    Drawn by numpy: on a device flax would compile and run a program for every weight, 40 s for the five systems.
    """
    draw = np.random.default_rng(0)

    def drawn(path: Any, leaf: jax.ShapeDtypeStruct) -> Any:
        low, high = SPREAD.get(path[-1].key) or _glorot(leaf.shape)
        return draw.uniform(low, high, leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(partial(start, recipe=recipe, shape=shape), jax.random.key(0))
    variables: Variables = jax.tree_util.tree_map_with_path(drawn, shapes)
    return variables


def _glorot(shape: tuple[int, ...]) -> tuple[float, float]:
    """Between what a kernel `[..., in, out]` is drawn."""
    limit = float(np.sqrt(6 / (np.prod(shape[:-2]) * sum(shape[-2:]))))
    return -limit, limit


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
