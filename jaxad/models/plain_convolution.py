"""Convolution as JAX has it, what its options mean for its sizes, and what its outputs read."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

Pads = tuple[tuple[int, int], tuple[int, int]]
Pair = tuple[int, int]


def plain_convolution(
    x: Array,
    kernel: Array,
    *,
    pads: Pads,
    strides: Pair,
    spacing: Pair = (1, 1),
    groups: int = 1,
    precision: jax.lax.Precision | None = None,
) -> Array:
    """Correlate `[n, h, w, c]` with a kernel `[p, q, c / groups, f]`; options as for `convolve`."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        rhs_dilation=spacing,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        precision=precision,
    )


def shifted(x: Array, size: Pair, *, pads: Pads, strides: Pair, beyond: float = 0.0) -> list[Array]:
    """What each place of a window sees as it moves over images `[n, h, w, c]`, row by row of the window."""
    x = jax.lax.pad(x, jnp.asarray(beyond, x.dtype), [(0, 0, 0), *((*pair, 0) for pair in pads), (0, 0, 0)])
    (p, q), (h, w), (down, across) = size, x.shape[1:3], strides
    return [x[:, a : h - p + a + 1 : down, b : w - q + b + 1 : across] for a in range(p) for b in range(q)]


def outputs_along(length: int, size: int, pads: Pair, *, stride: int = 1, dilation: int = 1, spacing: int = 1) -> int:
    """Outputs along one axis."""
    return ((length - 1) * dilation + sum(pads) - (size - 1) * spacing) // stride + 1


def turned(kernel: Array) -> Array:
    """The kernel `[p, q, c, f]` of the transpose, `[p, q, f, c]`."""
    return kernel[::-1, ::-1].swapaxes(2, 3)
