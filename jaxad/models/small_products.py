"""Convolutions of few numbers as matrix products, for GPU."""

import itertools
import operator
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxad.models.plain_convolution import Pads, Pair, outputs_along, plain_convolution, shifted, turned
from jaxad.models.transposed import phases

MOST_READS = 2**25
"""How many numbers all outputs of one layer may read, for it to become a product."""


def small_products(x: Array, kernel: Array, *, pads: Pads, strides: Pair, spacing: Pair) -> Array:
    """The convolution of `[n, h, w, c]` as a matrix product, channels last, where outputs read few numbers."""
    p, q, c, f = kernel.shape
    down, across = (
        outputs_along(length, size, around, stride=stride)
        for length, size, around, stride in zip(x.shape[1:3], (p, q), pads, strides, strict=True)
    )
    beyond = any(zeros >= size for size, around in zip((p, q), pads, strict=True) for zeros in around)
    if spacing != (1, 1) or beyond or x.shape[0] * down * across * p * q * c > MOST_READS:
        return plain_convolution(x, kernel, pads=pads, strides=strides, spacing=spacing)
    if strides == (1, 1) and 4 * f <= c:
        return _shifted_products(x, kernel, pads, (down, across))
    return _one_product(x, kernel, pads, strides)


def _shifted_products(x: Array, kernel: Array, pads: Pads, shape: Pair) -> Array:
    """What each input adds to `p q f` outputs as one product; each output adds up its own."""
    p, q, c, f = kernel.shape
    _, h, w, _ = x.shape
    products = (_rows(x) @ kernel.transpose(2, 0, 1, 3).reshape(c, -1)).reshape(*x.shape[:-1], -1)
    zero, taps = jnp.zeros((), products.dtype), iter(jax.lax.split(products, [f] * (p * q), -1))
    edges = [
        [(before - a, outputs - length - before + a, 0) for a in range(size)]
        for length, outputs, size, (before, _) in zip((h, w), shape, (p, q), pads, strict=True)
    ]
    whole = (0, 0, 0)
    sums = (jax.lax.pad(next(taps), zero, [whole, *pair, whole]) for pair in itertools.product(*edges))
    return reduce(operator.add, sums)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _one_product(x: Array, kernel: Array, pads: Pads, strides: Pair) -> Array:
    """All that each output reads, side by side, times the kernel.

    The gradient towards `x` is such a product too, written by hand: that of slices would be sums of shifted arrays,
    which XLA computes again in every sum that it is part of.
    """
    reads = _reads(x, kernel.shape, pads, strides)
    return (_rows(reads) @ _rows(kernel)).reshape(*reads.shape[:-1], -1)


def _one_product_forward(x: Array, kernel: Array, pads: Pads, strides: Pair) -> tuple[Array, tuple[Array, Array]]:
    return _one_product(x, kernel, pads, strides), (x, kernel)


def _one_product_backward(pads: Pads, strides: Pair, kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = kept
    # Without the barrier XLA 0.10 may find no tiles for the product below when it compiles for a GPU that is not there.
    reads, g = jax.lax.optimization_barrier((_reads(x, kernel.shape, pads, strides), g))
    for_kernel = _rows(reads).T @ _rows(g)
    back = [
        (size - 1 - before, length - 1 - (outputs - 1) * stride + before)
        for length, outputs, size, (before, _), stride in zip(
            x.shape[1:3], g.shape[1:3], kernel.shape[:2], pads, strides, strict=True
        )
    ]
    return phases(
        g, turned(kernel), pads=(back[0], back[1]), dilation=strides, convolution=small_products
    ), for_kernel.reshape(kernel.shape)


_one_product.defvjp(_one_product_forward, _one_product_backward)


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _reads(x: Array, shape: tuple[int, ...], pads: Pads, strides: Pair) -> Array:
    """The `p q c` numbers that each output reads, `[n, h2, w2, p q c]`."""
    return jnp.concatenate(shifted(x, (shape[0], shape[1]), pads=pads, strides=strides), -1)
