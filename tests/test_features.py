import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import features
from jaxad._check import InputError
from jaxad.features import gradient_energies, oriented_gradients
from tests.drawn import examples
from tests.references.features import gradient_energies as slow_gradient_energies
from tests.references.features import oriented_gradients as slow_oriented_gradients

pytestmark = pytest.mark.usefixtures("compile_fast")

PHOTOGRAPH = (skimage.data.camera()[100:228:8, 100:292:8] / 255).astype(np.float32)[None, :, :, None]


@pytest.mark.parametrize(
    "options",
    [
        {"blur": 0.5, "orientations": 12, "spread": 2.0, "step": 4, "power": 1 / 3},
        {"blur": 1.0, "orientations": 5, "spread": 1.0, "step": 3, "power": 1.0},
    ],
    ids=["default", "other"],
)
def test_oriented_gradients_against_loops(options):
    images = np.concatenate([PHOTOGRAPH, PHOTOGRAPH[:, ::-1] ** 2], axis=-1)
    expected = slow_oriented_gradients(images[0], **options)
    np.testing.assert_allclose(oriented_gradients(images, **options)[0], expected, atol=2e-5)


def test_gradient_energies_against_loops():
    images = np.concatenate([PHOTOGRAPH, PHOTOGRAPH[:, ::-1] ** 2], axis=-1)
    options = {"blurs": (0.5, 2.0), "orientations": 5, "spread": 3.0, "step": 4, "floor": 0.01}
    expected = slow_gradient_energies(images[0], **options)
    np.testing.assert_allclose(gradient_energies(images, **options)[0], expected, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("transform", [oriented_gradients, gradient_energies])
@settings(deadline=None, max_examples=examples(3))
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 3))
def test_tiles_are_the_whole(transform, h, w, most):
    images = np.random.default_rng(h).random((2, h, w, 2), np.float32)
    whole = transform(images, step=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "TILE", most)
        np.testing.assert_allclose(transform(images, step=9), whole, atol=1e-5)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_image():
    """What the device works in, apart from the image and the result."""
    needed = {}
    for side in (512, 1024):
        image = jax.ShapeDtypeStruct((1, side, side, 1), np.float32)
        needed[side] = jax.jit(gradient_energies).lower(image).compile().memory_analysis().temp_size_in_bytes
    assert needed[1024] - needed[512] < 8 * 1024 * 1024 * 4
    assert needed[1024] < 2.5 * needed[512]


def test_no_grid_point_is_near_the_border():
    """A bright border counts as little for the outermost points as a Gaussian says at one deviation."""
    image = np.zeros((1, 40, 40, 1), np.float32)
    image[:, 0] = 1
    brightness = gradient_energies(image)[0, :, 5, 0]
    weights = np.exp(-0.5 * ((np.arange(40) - 4) / 4) ** 2)
    assert float(brightness[0]) == pytest.approx(weights[0] / weights.sum(), rel=1e-4)


def test_gradient_energies_of_a_flat_image_are_its_brightness_and_the_floor():
    found = gradient_energies(np.full((1, 12, 16, 1), 0.25, np.float32), floor=0.01)
    np.testing.assert_allclose(found[..., 0], 0.25, atol=1e-6)
    np.testing.assert_allclose(found[..., 1:], np.log(0.01), atol=1e-4)


def test_gradient_energies_forget_the_sign_of_an_edge():
    energies = gradient_energies(PHOTOGRAPH)
    np.testing.assert_allclose(gradient_energies(1 - PHOTOGRAPH)[..., 1:], energies[..., 1:], atol=1e-3)


def test_an_edge_has_the_direction_in_which_it_rises():
    """A step up to the right is direction 0 of 4, one up downwards direction 1, and their opposites 2 and 3."""
    rising = np.zeros((1, 12, 12, 1), np.float32)
    rising[:, :, 6:] = 1
    turned = [rising, rising.swapaxes(1, 2), rising[:, :, ::-1], rising.swapaxes(1, 2)[:, ::-1]]
    for direction, image in enumerate(turned):
        strengths = oriented_gradients(np.ascontiguousarray(image), orientations=4, power=1.0).sum((0, 1, 2))
        assert int(jnp.argmax(strengths)) == direction
        assert float(strengths[direction] / strengths.sum()) > 0.99


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(6))
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 6), st.integers(2, 9))
def test_any_size_gives_unit_length_and_ignores_contrast(h, w, step, orientations):
    images = np.random.default_rng(0).random((2, h, w, 1), np.float32)
    found = oriented_gradients(images, step=step, orientations=orientations)
    assert found.shape == (2, -(-h // step), -(-w // step), orientations)
    np.testing.assert_allclose((found**2).sum((1, 2, 3)), 1, rtol=1e-5)
    if min(h, w) > 3:
        np.testing.assert_allclose(
            oriented_gradients(images * 0.5, step=step, orientations=orientations), found, atol=2e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "image", [jnp.zeros((1, 9, 9, 1)), jnp.ones((1, 9, 9, 1)), PHOTOGRAPH], ids=["0", "1", "photo"]
)
@pytest.mark.parametrize("transform", [oriented_gradients, gradient_energies])
def test_gradients_are_finite(image, transform):
    weights = np.random.default_rng(0).random(transform(image).shape)
    gradient = jax.grad(lambda x: jnp.sum(transform(x) * weights))(jnp.asarray(image))
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("transform", "options", "words"),
    [
        (oriented_gradients, {"blur": 0.0, "power": -1.0}, "blur must be positive, got 0.0"),
        (oriented_gradients, {"orientations": 1}, "orientations must be at least 2, got 1"),
        (oriented_gradients, {"step": 0}, "step must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(transform, options, words):
    with pytest.raises(InputError, match=words):
        transform(PHOTOGRAPH, **options)
