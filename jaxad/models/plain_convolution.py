"""Convolution as JAX has it, and what its options mean for its sizes."""

import jax
from jaxtyping import Array

Pads = tuple[tuple[int, int], tuple[int, int]]
Pair = tuple[int, int]


def plain_convolution(x: Array, kernel: Array, *, pads: Pads, strides: Pair, spacing: Pair) -> Array:
    """Correlate `[n, h, w, c]` with a kernel `[p, q, c, f]`; options as for `convolve`."""
    return jax.lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=spacing, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def outputs_along(length: int, size: int, pads: Pair, *, stride: int = 1, dilation: int = 1, spacing: int = 1) -> int:
    """Outputs along one axis."""
    return ((length - 1) * dilation + sum(pads) - (size - 1) * spacing) // stride + 1


def turned(kernel: Array) -> Array:
    """The kernel `[p, q, c, f]` of the transpose, `[p, q, f, c]`."""
    return kernel[::-1, ::-1].swapaxes(2, 3)
