"""The decoder's table: the same as the decoder to rounding, wherever it is asked."""

import dataclasses
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxad
from jaxad.detector import Detector
from jaxad.models import PatchVAE, decoder_table, with_decoder_table
from jaxad.models.decoder_products import DecoderProducts
from tests.drawn import examples
from tests.drawn_variables import drawn_variables

# Most of the time goes into compiling.
COMPILE_FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**16),
    places=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    filters=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    channels=st.sampled_from([1, 3]),
    ranges=st.sampled_from([None, (1e-3, 0.25)]),
)
@settings(max_examples=examples(8), deadline=None)
def test_the_table_says_what_the_decoder_says(seed, places, filters, channels, ranges):
    size = tuple(n << len(filters) for n in places)
    model = PatchVAE(size, tuple(filters), 2, channels, ranges)
    variables = drawn_variables(model, seed)
    with mock.patch.object(decoder_table, "LARGEST", 2**30):
        tabulated = with_decoder_table(model, variables)
    assert "tables" in tabulated
    # Codes far away reach the last, endless pieces; the code 0 leaves some first pixels at the first knot.
    codes = np.random.default_rng(seed).normal(size=(64, 2)).astype(np.float32) * np.logspace(-3, 3, 64)[:, None]
    codes = jnp.asarray(np.concatenate([codes, np.zeros((1, 2))]), jnp.float32)
    decode = jax.jit(partial(model.apply, method="decode"), compiler_options=COMPILE_FAST)
    with jax.enable_x64(True):
        exact = decode(*jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (variables, codes)))
    heads = zip(*jax.device_get((decode(tabulated, codes), decode(variables, codes), exact)), strict=True)
    for ours, plain, true in heads:
        # Far away large numbers cancel, and the decoder in float32 is itself further than this from the true one.
        rounding = np.abs(plain - true).max(axis=(1, 2, 3), keepdims=True)
        assert (np.abs(ours - true) <= 2e-5 + 2e-5 * np.abs(true) + rounding).all()


def test_pieces_of_a_relu_by_hand():
    # 2 - x, x - 1 and 3 on x >= 0: the first two cross zero at 2 and 1.
    knots, values = np.zeros(1), np.array([2.0, -1.0, 3.0]).reshape(1, 1, 1, 3)
    slopes = np.array([-1.0, 1.0, 0.0]).reshape(1, 1, 1, 3)
    finer = decoder_table._with_crossings(knots, values, slopes)
    np.testing.assert_array_equal(finer, [0.0, 1.0, 2.0])
    values, slopes = decoder_table._rectify(knots, finer, values, slopes)
    np.testing.assert_array_equal(values[:, 0, 0], [[2, 0, 3], [1, 0, 3], [0, 1, 3]])
    np.testing.assert_array_equal(slopes[:, 0, 0], [[-1, 0, 0], [-1, 1, 0], [0, 1, 0]])


def test_a_table_that_would_be_too_large_is_left_out(monkeypatch):
    model = PatchVAE((8, 8), (4, 4))
    variables = drawn_variables(model, 0)
    monkeypatch.setattr(decoder_table, "LARGEST", 1000)
    assert with_decoder_table(model, variables) == variables


@pytest.fixture(scope="module")
def detector():
    recipe = dataclasses.replace(jaxad.RECIPES["patch-vae"], filters=(4, 8))
    return Detector(recipe, (12, 13, 1), drawn_variables(recipe.model((12, 13, 1)), 1))


@pytest.mark.slow
def test_a_detector_scores_by_the_table_and_keeps_it_to_itself(detector, tmp_path):
    images = np.random.default_rng(0).uniform(size=(3, 12, 13, 1)).astype(np.float32)
    assert "tables" in detector.for_scoring.variables
    assert detector.for_scoring is detector.for_scoring
    for name, scored in detector.apply(images).items():
        np.testing.assert_allclose(detector.score_all(images)[name].map, scored.map, rtol=2e-5)
    detector.save(tmp_path / "detector.jaxad")
    assert set(jaxad.load(tmp_path / "detector.jaxad").variables) == {"params", "batch_stats"}


@pytest.mark.slow
def test_a_part_of_a_sum_has_its_table_too(detector):
    """The sum with the table is the sum without it."""
    images = np.random.default_rng(0).uniform(size=(3, 12, 13, 1)).astype(np.float32)
    recipe = dataclasses.replace(jaxad.RECIPES["surface"], parts=(detector.recipe,))
    unit = {"mean": np.float32(2), "deviation": np.float32(3)}
    fused = Detector(
        recipe, detector.shape, {"patch-vae": {"variables": detector.variables, "image": unit, "map": unit}}
    )
    assert "tables" in fused.for_scoring.variables["patch-vae"]["variables"]
    np.testing.assert_allclose(fused.score(images).map, fused.apply(images)["fused"].map, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(fused.score(images).map, (detector.score(images).map - 2) / 3, rtol=2e-5, atol=1e-5)


@pytest.mark.slow
def test_a_table_is_not_rounded_to_sixteen_bits(detector, monkeypatch):
    kinds = []
    look_up = decoder_table.DecoderTable.look_up

    def watched(table, first, **options):
        kinds.append({leaf.dtype.name for leaf in jax.tree.leaves(table)})
        return look_up(table, first, **options)

    monkeypatch.setattr(decoder_table.DecoderTable, "look_up", watched)
    detector.score(np.zeros((1, 12, 13, 1), np.float32), dtype="bfloat16")
    assert kinds
    assert all(kind == {"float32"} for kind in kinds)


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**16),
    places=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    filters=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    channels=st.sampled_from([1, 3]),
)
@settings(max_examples=examples(8), deadline=None)
def test_products_say_what_the_table_says(seed, places, filters, channels):
    """What other devices than CPU and GPU compute, computed here."""
    size = tuple(n << len(filters) for n in places)
    model = PatchVAE(size, tuple(filters), 2, channels)
    with mock.patch.object(decoder_table, "LARGEST", 2**30):
        tabulated = with_decoder_table(model, drawn_variables(model, seed))
    first = jnp.asarray(np.abs(np.random.default_rng(seed).normal(size=(32, places[0] * places[1]))), jnp.float32)
    by_products = jax.jit(DecoderProducts.multiply, compiler_options=COMPILE_FAST)(
        tabulated["tables"]["products"], first
    )
    looked_up = tabulated["tables"]["decoder"].look_up(first)
    for ours, theirs in zip(by_products, looked_up, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5 * np.abs(theirs).max())
