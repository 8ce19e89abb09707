"""What accelerators compute by itself, where XLA would join it with what uses it to no good."""

import jax
from jaxtyping import Array


def apart(x: Array) -> Array:
    """The same numbers; on devices other than the CPU they are there before anything is computed of them."""
    return jax.lax.platform_dependent(x, cpu=lambda x: x, default=jax.lax.optimization_barrier)
