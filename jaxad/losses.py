"""Losses, one value per image; the same functions score.

Images are `[n, h, w, c]` in [0, 1] and every result is `[n]`, in nats unless a line says otherwise.
Nothing is averaged over the batch here: training does that where everybody can see it.
What is no float array with these axes, and shapes that differ, are refused by an `InputError`.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxad._check import InputError, need_floats
from jaxad._floats import at_least_single
from jaxad._types import AnyArray, Images, Maps
from jaxad.ssim import ssim

TINY = 1e-12
"""Least sum of squares that divides."""

Codes = Float[Array | np.ndarray, "n z"]


def divergence(z_mean: Codes, z_log_variance: Codes) -> Float[Array, " n"]:
    """Divergence of the posterior from the standard normal, -1/2 sum(1 + log v - m^2 - v), in nats per image.

    The term D of the negative ELBO D + A + M (Kingma & Welling, arXiv:1312.6114, appendix B).
    Summed over the latent dimensions z.

    >>> float(divergence(jnp.zeros((1, 2)), jnp.zeros((1, 2)))[0])
    0.0
    """
    z_mean, z_log_variance = _need_alike("n z", z_mean=z_mean, z_log_variance=z_log_variance)
    return -0.5 * jnp.sum(1.0 + z_log_variance - z_mean**2 - jnp.exp(z_log_variance), axis=-1)


def log_variance(variance: Images) -> Float[Array, " n"]:
    """Logarithm of the decoder's variance, 1/2 sum log(2 pi variance), in nats per image.

    The term A of the negative ELBO D + A + M of Matsubara et al., arXiv:1807.05800:
    what a Gaussian pixel costs even when its mean is right. Summed over h, w and c.
    """
    (variance,) = _need_alike("n h w c", variance=variance)
    return 0.5 * _total(jnp.log(2.0 * math.pi * variance))


def residual(x: Images, mean: Images, variance: Images) -> Float[Array, " n"]:
    """Squared error in units of the decoder's own variance, 1/2 sum (x - mean)^2 / variance, in nats per image.

    The term M of the negative ELBO D + A + M; alone it is the unregularised score
    of Matsubara et al., arXiv:1807.05800. Summed, not averaged, over h, w and c.
    """
    x, mean, variance = _need_alike("n h w c", x=x, mean=mean, variance=variance)
    return 0.5 * _total((x - mean) ** 2 / variance)


def negative_elbo(
    x: Images, mean: Images, variance: Images, z_mean: Codes, z_log_variance: Codes
) -> Float[Array, " n"]:
    """The negative evidence lower bound D + A + M of every image, in nats; see the three terms above."""
    return divergence(z_mean, z_log_variance) + log_variance(variance) + residual(x, mean, variance)


def batch_summed_negative_elbo(
    x: Images, mean: Images, variance: Images, z_mean: Codes, z_log_variance: Codes
) -> Float[Array, " n"]:
    """The published code's loss: A and M summed over the batch while D is averaged over it.

    Its mean over the batch is the published scalar, so D weighs 1/n of what the ELBO asks:
    each image's value is D + n (A + M), in nats. Kept to reproduce published figures; train with `negative_elbo`.
    """
    likelihood = log_variance(variance) + residual(x, mean, variance)
    return divergence(z_mean, z_log_variance) + x.shape[0] * likelihood


def squared_error(x: Images, reconstruction: Images) -> Float[Array, " n"]:
    """Mean squared error of every image over h, w and c, in squared units of the pixel."""
    x, reconstruction = _need_alike("n h w c", x=x, reconstruction=reconstruction)
    return jnp.mean((x - reconstruction) ** 2, axis=(1, 2, 3))


def relative_error(x: Images, reconstruction: Images) -> Float[Array, " n"]:
    """Squared error in units of the squares of both images, from 0 for equal ones to 2 for opposite ones; without unit.

    `sum (x - r)^2 / (sum x^2 + sum r^2)` over h, w and c: 1 - D of Milletari et al., arXiv:1606.04797, section 3, so 1
    where the two have no pixel in common. A faint image is judged as strictly as a bright one. Two black images give 0.
    """
    x, reconstruction = _need_alike("n h w c", x=x, reconstruction=reconstruction)
    return _total((x - reconstruction) ** 2) / jnp.maximum(_total(x**2) + _total(reconstruction**2), TINY)


def ssim_loss(x: Images, reconstruction: Images) -> Float[Array, " n"]:
    """1 - SSIM of every image, from 0 for equal images to 2; without unit. See `jaxad.ssim.ssim`.

    Raises:
        InputError: images are smaller than the 11 x 11 window of SSIM.
    """
    return 1.0 - ssim(x, reconstruction)


def _need_alike(axes: str, **arrays: AnyArray) -> list[Array]:
    """The arrays, in single precision at least, which sums over an image take.

    What is no float array with these axes is refused, and shapes that differ, which would be broadcast in silence.
    """
    for name, array in arrays.items():
        need_floats(array, axes, what=name)
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = " and ".join(str(tuple(array.shape)) for array in arrays.values())
        raise InputError(f"{', '.join(arrays)} must have the same shape, got {shapes}")
    return [at_least_single(array) for array in arrays.values()]


def _total(values: Images) -> Float[Array, " n"]:
    """Sum of `[n, h, w, c]` over h, w and c, as a product with ones: XLA on CPU takes ten times as long to add rows."""
    rows = jnp.asarray(values).reshape(values.shape[0], -1)
    return jnp.matmul(rows, jnp.ones(rows.shape[1], rows.dtype), precision=jax.lax.Precision.HIGHEST)


def cross_entropy(masks: Bool[Array | np.ndarray, "n h w"], log_odds: Maps) -> Float[Array, " n"]:
    """What it costs to say that each pixel is defective with these log-odds, in nats, averaged over h and w.

    `-log p` where the mask is True and `-log (1 - p)` where it is not, with `p = 1 / (1 + exp(-log_odds))`.

    >>> float(cross_entropy(jnp.zeros((1, 2, 2), bool), jnp.zeros((1, 2, 2)))[0])
    0.6931
    """
    (log_odds,) = _need_alike("n h w", log_odds=log_odds)
    if getattr(masks, "shape", None) != log_odds.shape or masks.dtype.kind != "b":
        raise InputError(f"masks must be a bool array of shape {log_odds.shape}, one an entry of log_odds")
    return jnp.mean(jax.nn.softplus(jnp.where(masks, -log_odds, log_odds)), axis=(1, 2))
