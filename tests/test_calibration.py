import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad._check import InputError
from jaxad.calibration import (
    Trust,
    fit_trust,
    fit_unit,
    fit_usual,
    in_unit,
    unusualness,
    unusualness_by_others,
)
from jaxad.pooling import pool
from tests.drawn import examples

pytestmark = pytest.mark.usefixtures("compile_fast")

MAPS = np.random.default_rng(0).normal(3.0, 2.0, (20, 4, 5)).astype(np.float32)


def test_two_maps_in_closed_form():
    """Values a and a + 2 have mean a + 1 and deviation sqrt 2; softening adds its share of the mean deviation."""
    low = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    usual = fit_usual(np.concatenate([low, low + 2]), softening=0.5)
    np.testing.assert_allclose(usual.mean, low[0] + 1)
    np.testing.assert_allclose(usual.deviation, 1.5 * np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(unusualness(low + 4, usual), 3 / (1.5 * np.sqrt(2)) * np.ones((1, 2, 3)), rtol=1e-6)


def test_normal_maps_have_mean_0_and_near_unit_deviation():
    calibrated = np.asarray(unusualness(MAPS, fit_usual(MAPS, softening=1e-6)))
    np.testing.assert_allclose(calibrated.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(calibrated.std(0, ddof=1), 1, rtol=1e-4)


def test_units_do_not_matter():
    one, other = (unusualness(x, fit_usual(x)) for x in (MAPS, 100 * MAPS - 7))
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_summed_in_single(dtype):
    halves = jnp.asarray(200 * MAPS, dtype)
    for law in (fit_usual, fit_trust, unusualness_by_others):
        for found, wanted in zip(law(halves), law(halves.astype(jnp.float32)), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("value", [50.7, 1.1, 0.3, -1e-4, 3e7])
@pytest.mark.parametrize("count", [3, 10, 11])
def test_what_is_the_same_but_for_rounding_keeps_its_unit(value, count):
    maps = np.full((count, 2, 3), value, np.float32)
    step = abs(value) / 8
    np.testing.assert_allclose(unusualness(maps[:1] + step, fit_usual(maps)), step, rtol=1e-4)
    np.testing.assert_allclose(in_unit(maps[0] + step, fit_unit(maps)), step, rtol=1e-4)
    np.testing.assert_allclose(unusualness_by_others(maps), 0, atol=1e-6 * abs(value))


def test_constant_maps_keep_their_unit():
    usual = fit_usual(np.ones((3, 2, 2), np.float32))
    np.testing.assert_array_equal(unusualness(np.full((1, 2, 2), 5, np.float32), usual), 4)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(8))
@given(st.integers(3, 9), st.integers(1, 5), st.integers(2, 5), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_by_others_is_a_fit_without_each(n, h, w, mean, variance, everywhere):
    rng = np.random.default_rng(n + 10 * h + 100 * w)
    maps = rng.normal(5.0, 1.0 + np.arange(w), (n, h, w)).astype(np.float32)
    inside = None if everywhere else np.arange(h * w).reshape(h, w) % 3 != 1
    options = {"trust": Trust(mean, variance), "inside": inside}
    found = unusualness_by_others(maps, **options)
    for i in range(n):
        expected = unusualness(maps[i : i + 1], fit_usual(np.delete(maps, i, axis=0), **options))[0]
        np.testing.assert_allclose(found[i], expected, rtol=1e-3, atol=1e-3)


def test_by_others_is_sound_where_nothing_varies():
    """One map stands out at one position, and all agree everywhere else."""
    maps = np.full((5, 3, 3), 2.0, np.float32)
    maps[2, 1, 1] += 1
    found = np.asarray(unusualness_by_others(maps))
    assert np.isfinite(found).all()
    # The others do not vary at all, so scores keep their unit.
    assert found[2, 1, 1] == pytest.approx(1, rel=1e-5)
    assert np.abs(np.delete(found, 2, axis=0)[:, 1, 1]).max() < 1


def test_without_trust_all_positions_share_one_unit():
    usual = fit_usual(MAPS, trust=Trust(0.0, 0.0), softening=1e-6)
    np.testing.assert_allclose(usual.mean, MAPS.mean(), rtol=1e-5)
    np.testing.assert_allclose(usual.deviation, np.sqrt(MAPS.var(0, ddof=1).mean()), rtol=1e-5)


def test_positions_are_trusted_where_they_differ_by_more_than_chance():
    rng = np.random.default_rng(0)
    noise, offsets = rng.normal(0, 1, (40, 30, 30)), rng.normal(0, 5, (40, 1, 1))
    places, spreads = rng.normal(0, 1, (30, 30)), np.where(np.arange(30) < 15, 0.5, 2.0)
    same = fit_trust((noise + offsets).astype(np.float32))
    assert max(same) < 0.15
    moved = fit_trust((noise + offsets + places).astype(np.float32))
    # Of the variance of a mean over 40 images 1/40 is chance and 1 is not.
    assert float(moved.mean) == pytest.approx(1 - (1 / 40) / (1 + 1 / 40), abs=0.01)
    spread = fit_trust((noise * spreads).astype(np.float32))
    assert float(spread.mean) < 0.15
    # Variances of .25 and 4 differ by 1.875^2 over the positions, and by 2 v^2 / 39 by chance.
    assert float(spread.variance) == pytest.approx(1 - (2 / 39 * (0.25**2 + 4**2) / 2) / 1.875**2, abs=0.03)
    assert [float(x) for x in fit_trust(np.ones((4, 3, 3), np.float32))] == [0, 0]


def test_only_what_is_inside_is_averaged():
    inside = np.zeros((4, 5), bool)
    inside[1:3, 1:4] = True
    maps = np.where(inside, MAPS, 99.0).astype(np.float32)
    cut = maps[:, 1:3, 1:4]
    trust = fit_trust(maps, inside=inside)
    np.testing.assert_allclose(trust, fit_trust(cut), atol=1e-5)
    half = Trust(0.5, 0.5)
    whole, part = fit_usual(maps, trust=half, inside=inside), fit_usual(cut, trust=half)
    for found, expected in zip(whole, part, strict=True):
        np.testing.assert_allclose(found[1:3, 1:4], expected, rtol=1e-5)
        np.testing.assert_allclose(found[0], np.mean(expected), rtol=1e-5)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(20))
@given(st.integers(1, 6), st.integers(1, 6), st.floats(0.01, 1.0))
def test_pool_against_sorting(h, w, share):
    maps = np.random.default_rng(1).random((3, h, w), np.float32)
    count = max(1, round(share * h * w))
    expected = np.sort(maps.reshape(3, -1))[:, ::-1][:, :count].mean(1)
    np.testing.assert_allclose(pool(maps, share=share), expected, rtol=1e-5)


def test_pool_lies_between_mean_and_maximum():
    np.testing.assert_allclose(pool(MAPS, share=1.0), MAPS.mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(pool(MAPS, share=1e-9), MAPS.max((1, 2)))


def test_a_unit_is_a_deviation_above_the_mean():
    """Scores 0 and 2 have mean 1 and deviation sqrt 2, so 3 is sqrt 2 above."""
    unit = fit_unit(jnp.asarray([[0.0], [2.0]]))
    np.testing.assert_allclose(in_unit(jnp.asarray([1.0, 3.0]), unit), [0, np.sqrt(2)], atol=1e-6)


def test_scores_that_are_all_the_same_keep_their_unit():
    np.testing.assert_allclose(in_unit(jnp.asarray([4.5]), fit_unit(np.full(3, 4.0, np.float32))), [0.5])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_usual(MAPS[:1]), "at least 2 held-out normal images, got 1"),
        (lambda: fit_usual(MAPS, softening=0.0), "softening must be positive"),
        (lambda: fit_trust(MAPS[:2]), "maps to calibrate by must be at least 3, got 2"),
        (lambda: unusualness_by_others(MAPS[:2]), "maps to calibrate by must be at least 3, got 2"),
        (lambda: unusualness(MAPS[:, :3], fit_usual(MAPS)), "must be 4 x 5 pixels.* got 3 x 5"),
        (lambda: pool(MAPS, share=0.0), r"share must lie in \(0, 1\]"),
        (lambda: fit_unit(jnp.ones(1)), "at least 2 held-out normal scores, got 1"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
