"""Sums over everything but the channels, which lie last, as the backend likes them best."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def channel_sums(x: Float[Array, "n *space c"]) -> Float[Array, " c"]:
    """Sum `[n, ..., c]` by channel."""
    return jax.lax.platform_dependent(x, cuda=_in_two_steps, rocm=_in_two_steps, default=_at_once)


@jax.custom_vjp
def add_bias(x: Float[Array, "n *space c"], bias: Float[Array, " c"]) -> Float[Array, "n *space c"]:
    """`x` `[n, ..., c]` with one number added a channel, `[c]`; its gradient is the sum by channel."""
    return x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


add_bias.defvjp(lambda x, bias: (add_bias(x, bias), None), lambda _, g: (g, channel_sums(g)))


def _at_once(x: Array) -> Array:
    return jnp.sum(x, range(x.ndim - 1))


def _in_two_steps(x: Array) -> Array:
    """Each of about as many rows: of a tall and narrow matrix XLA on GPU adds all rows on few threads, one by one."""
    if not jax.sharding.get_abstract_mesh().empty:
        return _at_once(x)  # the examples stay an axis of their own, or they could not lie on several devices
    rows = x.reshape(-1, x.shape[-1])
    first = next(each for each in range(math.isqrt(len(rows)), 0, -1) if len(rows) % each == 0)
    # Without the barrier XLA would make one step of them.
    return jax.lax.optimization_barrier(rows.reshape(first, -1, x.shape[-1]).sum(0)).sum(0)
