"""Roots with a gradient wherever they are taken, and the precision of what half precision cannot hold."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


def root(squares: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Square roots of numbers `[...]` that are 0 or more; where one is 0 its gradient is 0, and no infinity.

    So what is compared with itself, or varies nowhere, has a gradient too.
    """
    some = squares != 0  # what is no number stays none
    return jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1.0)), 0.0)


SAME = 1e-6
"""Share of their own size by which numbers that are all the same may differ: they are rounded."""


def is_rounding(
    deviation: Float[Array, "..."] | np.ndarray, values: Float[Array | np.ndarray, "..."]
) -> Bool[Array, "..."]:
    """Whether numbers `values` that deviate by so much are all the same but for their rounding in single precision."""
    return jnp.asarray(deviation) <= SAME * jnp.sqrt(jnp.mean(jnp.square(values)))


def at_least_single(values: Float[Array | np.ndarray, "*any"]) -> Float[Array, "*any"]:
    """Numbers `[...]` in single precision, or in their own where that is wider: half neither sums nor factors."""
    array = jnp.asarray(values)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))
