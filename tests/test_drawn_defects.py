"""The network that finds drawn defects sees large images tile by tile."""

import functools
from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad.methods import RECIPES, drawn_defects
from tests.drawn import examples

pytestmark = pytest.mark.usefixtures("compile_fast")

RECIPE = replace(RECIPES["drawn-defects"], filters=(2, 2, 3))
MODEL = RECIPE.model((48, 48, 1))


@pytest.fixture(scope="module")
def variables(compile_fast):
    return jax.jit(MODEL.init)(jax.random.key(0), np.zeros((1, 48, 48, 1), np.float32))


def score(variables, image):
    return RECIPE.score(MODEL, variables, image)["log_odds"]


@settings(deadline=None, max_examples=examples(3))
@given(st.integers(100, 130), st.integers(100, 130))
def test_the_map_is_the_same_tile_by_tile(variables, h, w):
    """Up to the border, for every remainder of the size by the strides."""
    image = np.random.default_rng(h).random((1, h, w, 1), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn_defects, "TILE", 11)
        tiled = jax.jit(functools.partial(score, variables))(image)
    whole = jax.jit(lambda image: MODEL.apply(variables, image))(image)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_large_images_take_little_more_memory_than_their_maps(variables, monkeypatch):
    monkeypatch.setattr(drawn_defects, "TILE", 32)

    def needed(side):
        image = jax.ShapeDtypeStruct((1, side, side, 1), np.float32)
        return jax.jit(functools.partial(score, variables)).lower(image).compile().memory_analysis().temp_size_in_bytes

    # The map as tiles, as strips and end to end.
    assert needed(512) - needed(256) <= 3 * 4 * (512**2 - 256**2)
