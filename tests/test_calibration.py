import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad._check import InputError
from jaxad.calibration import fit_unit, fit_usual, in_unit, pool, unusualness

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


def test_constant_maps_keep_their_unit():
    usual = fit_usual(np.ones((3, 2, 2), np.float32))
    np.testing.assert_array_equal(unusualness(np.full((1, 2, 2), 5, np.float32), usual), 4)


@settings(deadline=None, max_examples=20)
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
        (lambda: unusualness(MAPS[:, :3], fit_usual(MAPS)), "must be 4 x 5 pixels.* got 3 x 5"),
        (lambda: pool(MAPS, share=0.0), r"share must lie in \(0, 1\]"),
        (lambda: fit_unit(jnp.ones(1)), "at least 2 held-out normal scores, got 1"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
