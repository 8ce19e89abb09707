import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import integrate, stats

from jaxad import losses

# In float64 the terms agree with scipy's to a few units of its last places.
FLOAT64 = 1e-12
# In float32 a sum of at most a hundred terms of one size.
FLOAT32 = 2e-6
LOG_2_PI = math.log(2 * math.pi)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def sample(shape=(4, 5, 6, 2), z=3):
    """Arguments of `negative_elbo` in its order, float64."""
    rng = np.random.default_rng(0)
    x, mean = rng.random((2, *shape))
    return x, mean, rng.uniform(0.05, 1.0, shape), rng.normal(size=(shape[0], z)), rng.normal(size=(shape[0], z))


def terms(x, mean, variance, z_mean, z_log_variance):
    """D, A + M and their weighted sums by scipy."""
    d = [sum(map(divergence_by_quadrature, m, v)) for m, v in zip(z_mean, z_log_variance, strict=True)]
    likelihood = -stats.norm.logpdf(x, mean, np.sqrt(variance)).sum((1, 2, 3))
    return np.array(d), likelihood


def divergence_by_quadrature(mean, log_variance):
    """Integral of q log(q / p) for q = N(mean, exp(log_variance)) and p = N(0, 1)."""
    q, p = stats.norm(mean, math.exp(log_variance / 2)), stats.norm(0, 1)
    low, high = mean - 12 * q.std(), mean + 12 * q.std()
    value, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), low, high, points=[mean], epsabs=1e-13, epsrel=1e-13
    )
    return value


def test_divergence_is_its_integral(x64):
    *_, z_mean, z_log_variance = sample()
    expected, _ = terms(*sample())
    np.testing.assert_allclose(losses.divergence(z_mean, z_log_variance), expected, rtol=FLOAT64)


def test_log_variance_and_residual_are_the_likelihood(x64):
    x, mean, variance, *_ = sample()
    _, expected = terms(*sample())
    total = losses.log_variance(variance) + losses.residual(x, mean, variance)
    np.testing.assert_allclose(total, expected, rtol=FLOAT64)


def test_standard_normal_posterior_costs_nothing():
    zeros = jnp.zeros((3, 2))
    np.testing.assert_array_equal(losses.divergence(zeros, zeros), np.zeros(3))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda: losses.divergence(jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))), 12.5),
        (lambda: losses.divergence(jnp.zeros((1, 1)), jnp.full((1, 1), math.log(4.0))), 1.5 - math.log(2.0)),
        (lambda: losses.log_variance(jnp.ones((1, 2, 3, 2))), 6 * LOG_2_PI),
        (lambda: losses.log_variance(jnp.full((1, 1, 2, 1), 0.25)), LOG_2_PI - 2 * math.log(2.0)),
        (lambda: losses.residual(jnp.full((1, 2, 2, 1), 0.5), jnp.zeros((1, 2, 2, 1)), jnp.ones((1, 2, 2, 1))), 0.5),
        (lambda: losses.residual(jnp.ones((1, 1, 1, 2)), jnp.zeros((1, 1, 1, 2)), jnp.full((1, 1, 1, 2), 0.25)), 4.0),
    ],
)
def test_numbers_by_hand(value, expected):
    np.testing.assert_allclose(value(), [expected], rtol=FLOAT32)


def test_perfect_mean_leaves_no_residual():
    x, _, variance, *_ = map(jnp.float32, sample())
    np.testing.assert_array_equal(losses.residual(x, x, variance), np.zeros(4))


def test_batch_summed_mean_is_the_published_scalar(x64):
    d, likelihood = terms(*sample())
    published = likelihood.sum() + d.mean()
    np.testing.assert_allclose(losses.batch_summed_negative_elbo(*sample()).mean(), published, rtol=FLOAT64)


CASES = {
    losses.divergence: (slice(3, 5), lambda d, likelihood: d),
    losses.negative_elbo: (slice(0, 5), lambda d, likelihood: d + likelihood),
    losses.batch_summed_negative_elbo: (slice(0, 5), lambda d, likelihood: d + len(d) * likelihood),
}


@pytest.mark.parametrize("call", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("function", CASES)
def test_every_way_of_calling(function, call):
    arguments, combine = CASES[function]
    d, likelihood = terms(*sample())
    values = call(function)(*map(jnp.float32, sample()[arguments]))
    assert values.dtype == jnp.float32
    # D and A + M may differ in sign: rounding is of the size of the larger one.
    size = np.abs(combine(d, np.abs(likelihood))).max()
    np.testing.assert_allclose(values, combine(d, likelihood), rtol=0, atol=FLOAT32 * size)


@pytest.mark.parametrize("function", [losses.divergence, losses.negative_elbo])
def test_under_vmap(function, x64):
    arguments, combine = CASES[function]
    pairs = [array.reshape(2, 2, *array.shape[1:]) for array in sample()[arguments]]
    expected = combine(*terms(*sample())).reshape(2, 2)
    np.testing.assert_allclose(jax.vmap(function)(*pairs), expected, rtol=FLOAT64)


@pytest.mark.parametrize("function", CASES)
def test_gradients_are_finite_differences(function, x64):
    arguments, _ = CASES[function]
    check_grads(function, sample((2, 2, 3, 1), z=2)[arguments], order=1, modes=["rev"])


def test_value_of_one_image_does_not_depend_on_the_others():
    arrays = list(map(jnp.float32, sample()))
    alone = [losses.negative_elbo(*(array[i : i + 1] for array in arrays))[0] for i in range(4)]
    np.testing.assert_allclose(losses.negative_elbo(*arrays), np.array(alone), rtol=FLOAT32)


@pytest.mark.parametrize("kind", [np.float16, jnp.bfloat16])
def test_sums_over_half_precision_are_in_single(kind) -> None:
    alike = partial(pytest.approx, rel=1e-4)  # the XLA of jax 0.8 adds 90,000 numbers one after the other
    x, half = (np.full((1, 300, 300, 1), value, kind) for value in (1.0, 0.5))
    assert losses.relative_error(x, half) == alike(0.2)
    assert losses.residual(x, half, x) == alike(0.5 * 90_000 / 4)
    assert losses.log_variance(x) == alike(45_000 * np.log(2 * np.pi))
    assert losses.squared_error(x, half).dtype == np.float32
