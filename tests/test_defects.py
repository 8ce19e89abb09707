from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import datasets, defects
from jaxad._check import InputError
from jaxad.defects import KINDS, draw_defects, draw_on_each, mix, turn_by_half, turn_upside_down
from tests.drawn import examples

pytestmark = pytest.mark.usefixtures("compile_fast")

PHOTOGRAPHS = datasets.textures("gravel", "train", count=60, size=64).images


@pytest.fixture(scope="module")
def drawn():
    """Defective photographs, their masks and the names of the kinds."""
    images, masks, kinds = jax.jit(draw_defects)(jax.random.key(0), PHOTOGRAPHS)
    return np.asarray(images), np.asarray(masks), np.array(KINDS)[np.asarray(kinds)]


@pytest.mark.slow
def test_every_kind_is_drawn(drawn):
    assert set(drawn[2]) == set(KINDS)


def test_most_of_an_image_stays_as_it_is_and_its_defect_does_not(drawn):
    images, masks, _ = drawn
    change = np.abs(images - PHOTOGRAPHS)[..., 0]
    assert (change == 0).mean(axis=(1, 2)).min() > 0.3
    inside = np.array([one[mask].mean() for one, mask in zip(change, masks, strict=True) if mask.any()])
    assert len(inside) > 50
    assert (inside > 0.02).mean() > 0.8


def test_kinds_do_what_they_say(drawn):
    images, masks, kinds = drawn
    for image, good, mask, kind in zip(images[..., 0], PHOTOGRAPHS[..., 0], masks, kinds, strict=True):
        if mask.sum() < 30:
            continue
        change = (image - good)[mask]
        if kind == "shaded":
            assert (change >= 0).all() or (change <= 0).all()
        if kind == "faded":
            assert (
                np.abs(np.diff(image, axis=1))[mask[:, 1:]].mean() < np.abs(np.diff(good, axis=1))[mask[:, 1:]].mean()
            )
        if kind == "noisy":
            assert (change > 0).any()
            assert (change < 0).any()


def test_same_key_same_defects(drawn):
    again, masks, _ = jax.jit(draw_defects)(jax.random.key(0), PHOTOGRAPHS)
    np.testing.assert_array_equal(again, drawn[0])
    np.testing.assert_array_equal(masks, drawn[1])
    other, *_ = jax.jit(draw_defects)(jax.random.key(1), PHOTOGRAPHS)
    assert (np.asarray(other) != drawn[0]).any()


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(8))
@given(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30), st.integers(1, 3))
def test_any_size_stays_in_range(n, h, w, c):
    images = np.random.default_rng(0).random((n, h, w, c), np.float32)
    for found in (
        jax.jit(draw_defects)(jax.random.key(h), images)[0],
        turn_upside_down(images),
        turn_by_half(images),
        mix(images),
    ):
        found = np.asarray(found)
        assert found.shape == images.shape
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1


def test_images_that_are_wrong_as_a_whole():
    np.testing.assert_array_equal(turn_upside_down(PHOTOGRAPHS), np.flip(PHOTOGRAPHS, 1))
    np.testing.assert_array_equal(turn_by_half(PHOTOGRAPHS), np.rot90(PHOTOGRAPHS, 2, axes=(1, 2)))
    mixed = np.asarray(mix(PHOTOGRAPHS))
    np.testing.assert_allclose(mixed[3], (PHOTOGRAPHS[3] + PHOTOGRAPHS[2]) / 2)
    np.testing.assert_allclose(mixed[0], (PHOTOGRAPHS[0] + PHOTOGRAPHS[-1]) / 2)


@pytest.mark.slow
def test_one_after_the_other_they_are_the_same():
    found = draw_on_each(jax.random.key(0), PHOTOGRAPHS)
    np.testing.assert_allclose(found, jax.jit(draw_defects)(jax.random.key(0), PHOTOGRAPHS)[0], atol=1e-5)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(30))
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_the_median_of_brightness(height: int, width: int, seed: int):
    values = np.random.default_rng(seed).random((height, width), np.float32) ** 3
    low, high = np.quantile(values, 0.5, method="lower"), np.quantile(values, 0.5, method="higher")
    assert low - 2**-defects.HALVINGS <= float(defects._median(jnp.asarray(values))) <= high


@pytest.mark.parametrize("change", [partial(draw_defects, jax.random.key(0)), turn_upside_down, turn_by_half, mix])
def test_what_is_no_image_is_refused(change, unchecked):
    with pytest.raises(InputError, match="four axes"):
        change(PHOTOGRAPHS[0])
