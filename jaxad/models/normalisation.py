"""Normalisation of every channel over a batch, in the layout that the backend likes best."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad.models.sums import channel_sums


def normalise(
    x: Float[Array, "n *space c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    *,
    before: Callable[[Array], Array],
    after: Callable[[Array], Array],
    epsilon: float,
) -> tuple[Float[Array, "n *space c"], Float[Array, " c"], Float[Array, " c"]]:
    """Normalise `[n, ..., c]` by channel over the batch; the result, and the mean and variance `[c]` that it had.

    Args:
        x: the images.
        scale: deviation that every channel gets.
        bias: mean that it gets.
        before: applied to `x`.
        after: applied to the result.
        epsilon: added to the variance.
    """
    chosen = partial(_normalise, before=before, after=after, epsilon=epsilon)
    return jax.lax.platform_dependent(
        x,
        scale,
        bias,
        cpu=partial(chosen, examples_last=True),
        default=partial(chosen, examples_last=False),
    )


def _normalise(
    x: Array,
    scale: Array,
    bias: Array,
    *,
    examples_last: bool,
    before: Callable[[Array], Array],
    after: Callable[[Array], Array],
    epsilon: float,
) -> tuple[Array, Array, Array]:
    """Normalised `[n, ..., c]`, and the mean and variance of every channel."""
    x = before(jnp.swapaxes(x, 0, -1) if examples_last else x)
    y, mean, variance = _standardise(x, scale, bias, 0 if examples_last else x.ndim - 1, epsilon)
    y = after(y)
    return jnp.swapaxes(y, 0, -1) if examples_last else y, mean, variance


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _standardise(x: Array, scale: Array, bias: Array, axis: int, epsilon: float) -> tuple[Array, Array, Array]:
    """Give every channel, along `axis`, the mean `bias` and the deviation `scale`; also its old mean and variance.

    No gradient flows through those two. It is written by hand because autodiff goes over the images more often.
    """
    mean, variance = _moments(x, axis)
    return rescale(x, mean, scale * jax.lax.rsqrt(variance + epsilon), bias, axis=axis), mean, variance


def _moments(x: Array, axis: int) -> tuple[Array, Array]:
    """Mean and variance of every channel.

    With channels last both sums are of one pass, over differences from some number of the channel, so that little is
    lost where the variance is small beside the mean.
    """
    if axis == 0:
        others = range(1, x.ndim)
        return jnp.mean(x, others), jnp.var(x, others)
    some = x[(0,) * (x.ndim - 1)]
    apart = x - _along(some, x, axis)
    count = x.size // x.shape[axis]
    mean, square = _total(apart, axis) / count, _total(apart * apart, axis) / count
    return some + mean, jnp.maximum(square - mean * mean, 0.0)


def _total(x: Array, axis: int) -> Array:
    return jnp.sum(x, range(1, x.ndim)) if axis == 0 else channel_sums(x)


def _standardise_forward(
    x: Array, scale: Array, bias: Array, axis: int, epsilon: float
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array, Array]]:
    y, mean, variance = _standardise(x, scale, bias, axis, epsilon)
    return (y, mean, variance), (x, scale, mean, jax.lax.rsqrt(variance + epsilon))


def _standardise_backward(
    axis: int, epsilon: float, kept: tuple[Array, Array, Array, Array], gradients: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """Ioffe & Szegedy, arXiv:1502.03167, section 3."""
    (x, scale, mean, precision), (g, _, _) = kept, gradients
    centred = x - _along(mean, x, axis)
    for_bias, for_scale = _total(g, axis), _total(g * centred, axis) * precision
    count = x.size // x.shape[axis]
    pull = _along(for_bias / count, x, axis) + centred * _along(for_scale * precision / count, x, axis)
    return (g - pull) * _along(scale * precision, x, axis), for_scale, for_bias


_standardise.defvjp(_standardise_forward, _standardise_backward)


def rescale(x: Array, mean: Array, gain: Array, bias: Array, *, axis: int) -> Array:
    """`(x - mean) gain + bias` with one number a channel, `[c]`, which lies along `axis`."""
    return (x - _along(mean, x, axis)) * _along(gain, x, axis) + _along(bias, x, axis)


def _along(values: Array, x: Array, axis: int) -> Array:
    """One value a channel, shaped to go with `x`."""
    return values.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
