from functools import partial

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from jaxad._check import InputError
from jaxad.ssim import gaussian_rows, ssim, ssim_map
from tests.drawn import examples
from tests.references.ssim_slow import ssim_map_slow

pytestmark = pytest.mark.usefixtures("compile_fast")

pixels = st.floats(0, 1, width=32)
shapes = st.sampled_from([(1, 11, 14, 2), (2, 13, 11, 1)])  # few, because every shape is compiled anew
pairs = shapes.flatmap(lambda s: st.tuples(*(hnp.arrays(np.float32, s, elements=pixels) for _ in range(2))))
# Where a window is flat and far from the image's mean, float32 leaves about 1e-7 as its variance, against 9e-4 = k2^2.
ROUNDING = 3e-4
few = partial(settings, max_examples=examples(15), deadline=None)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 28, 28, 1), (1, 11, 17, 3), (2, 11, 11, 1), (1, 40, 33, 2)])
@pytest.mark.parametrize("call", ["eager", "jit", "vmap"])
def test_ssim_map_is_the_slow_reference(shape, call):
    x, y = draw(0, *shape), draw(1, *shape)
    calls = {
        "eager": ssim_map,
        "jit": jax.jit(ssim_map),
        "vmap": lambda x, y: jax.vmap(ssim_map)(x[:, None], y[:, None])[:, 0],
    }
    np.testing.assert_allclose(calls[call](x, y), ssim_map_slow(x, y), atol=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("window", "sigma", "span"), [(7, 1.0, 1.0), (4, 2.0, 1.0), (1, 1.5, 1.0), (11, 1.5, 255.0)])
def test_options_reach_the_formula(window, sigma, span):
    x, y = span * draw(2, 1, 13, 14, 2), span * draw(3, 1, 13, 14, 2)
    found = ssim_map(x, y, window=window, sigma=sigma, data_range=span)
    np.testing.assert_allclose(found, ssim_map_slow(x, y, span, window, sigma), atol=5e-5)


@pytest.mark.slow
def test_ssim_is_the_mean_over_positions_and_channels():
    x, y = draw(4, 3, 15, 12, 2), draw(5, 3, 15, 12, 2)
    np.testing.assert_allclose(ssim(x, y), ssim_map_slow(x, y).mean(axis=(1, 2, 3)), atol=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.25, 0.75), (0.5, 0.5), (1.0, 0.9), (0.0, 0.0)])
def test_two_flat_images_leave_only_the_luminance_term(a, b):
    x, y = np.full((1, 12, 12, 1), a, np.float32), np.full((1, 12, 12, 1), b, np.float32)
    np.testing.assert_allclose(ssim(x, y), [(2 * a * b + 1e-4) / (a * a + b * b + 1e-4)], rtol=1e-5)


def test_an_image_against_its_negative_is_anticorrelated():
    x = draw(6, 1, 21, 21, 1) - 0.5
    assert float(ssim_map(x, -x).min()) < -0.5


def test_ssim_agrees_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    x, y = draw(7, 2, 32, 30, 3), draw(8, 2, 32, 30, 3)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "win_size": 11}
    for k in range(2):
        for c in range(3):
            _, full = metrics.structural_similarity(x[k, ..., c], y[k, ..., c], full=True, **options)
            np.testing.assert_allclose(ssim_map(x, y)[k, ..., c], full[5:-5, 5:-5], atol=1e-5)


def test_ssim_agrees_with_tensorflow(parity_dir):
    data = np.load(f"{parity_dir}/ssim_ae.npz")
    np.testing.assert_allclose(ssim(data["x"], data["reconstruction"]), data["ssim"], atol=1e-5)


@pytest.mark.slow
@few()
@given(pairs)
def test_ssim_is_symmetric_and_bounded(pair):
    x, y = pair
    forward = ssim_map(x, y)
    np.testing.assert_allclose(forward, ssim_map(y, x), atol=1e-6)
    assert float(jnp.abs(forward).max()) <= 1 + ROUNDING


@pytest.mark.slow
@few()
@given(pairs)
def test_equal_images_have_ssim_one(pair):
    np.testing.assert_allclose(ssim_map(pair[0], pair[0]), 1.0, atol=1e-6)


@pytest.mark.slow
@few()
@given(pairs)
def test_ssim_map_moves_with_the_image(pair):
    x, y = (np.pad(v, ((0, 0), (2, 1), (0, 3), (0, 0))) for v in pair)
    h, w = pair[0].shape[1] - 10, pair[0].shape[2] - 10
    np.testing.assert_allclose(ssim_map(x, y)[:, 2 : 2 + h, :w], ssim_map(*pair), atol=ROUNDING)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("equal", [True, False])
def test_gradient_is_finite_on_flat_and_equal_images(value, equal):
    x = np.full((2, 16, 16, 1), value, np.float32)
    y = x if equal else 1 - x
    for arg in (0, 1):
        gradient = jax.jit(jax.grad(lambda x, y: ssim(x, y).sum(), argnums=arg))(x, y)
        assert bool(jnp.isfinite(gradient).all())


@pytest.mark.slow
def test_gradient_is_the_slope_of_the_slow_reference():
    x, y = draw(9, 1, 12, 12, 1), draw(10, 1, 12, 12, 1)
    direction = draw(11, 1, 12, 12, 1) - 0.5
    gradient = jax.grad(lambda y: ssim(x, y).sum())(y)
    x64, y64, d64, step = (v.astype(np.float64) for v in (x, y, direction, np.array(1e-5)))
    slope = (ssim_map_slow(x64, y64 + step * d64).mean() - ssim_map_slow(x64, y64 - step * d64).mean()) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(gradient, direction), slope, rtol=1e-3)


def test_training_inside_a_scan_raises_similarity():
    x = draw(12, 4, 16, 16, 1)

    def step(y, _):
        value, gradient = jax.value_and_grad(lambda y: ssim(x, y).mean())(y)
        return y + 10 * gradient, value

    _, values = jax.jit(lambda y: jax.lax.scan(step, y, None, length=20))(draw(13, 4, 16, 16, 1))
    assert float(values[-1]) > float(values[0]) + 0.1


def test_gaussian_rows_are_one_normalised_gaussian_moved_along():
    rows = np.asarray(gaussian_rows(14))
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)
    weights = np.exp(-((np.arange(11) - 5.0) ** 2) / 4.5)
    for i in range(4):
        np.testing.assert_allclose(rows[i, i : i + 11], weights / weights.sum(), rtol=1e-5)
        assert np.count_nonzero(rows[i]) == 11


@pytest.mark.parametrize("shape", [(1, 10, 28, 1), (1, 28, 8, 1)])
def test_images_smaller_than_the_window_are_refused_with_the_reason(shape):
    with pytest.raises(InputError, match="window of 11 x 11"):
        ssim(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@pytest.mark.parametrize("option", ["data_range", "sigma", "k1", "k2"])
def test_options_must_be_positive(option):
    x = np.zeros((1, 12, 12, 1), np.float32)
    with pytest.raises(InputError, match=option):
        ssim(x, x, **{option: 0.0})


def test_unequal_shapes_are_refused():
    # Where annotations are checked at run time, their check comes first.
    with pytest.raises((InputError, TypeCheckError), match=r"shape|parameter 'y'"):
        ssim(np.zeros((1, 12, 12, 1), np.float32), np.zeros((1, 13, 12, 1), np.float32))
