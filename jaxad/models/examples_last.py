"""Convolutions as matrix products and shifted slices, for CPU.

Inside, images lie as `[c, h, w, n]`: with the examples last every slice is a block of whole rows and every sum runs
along them. XLA joins the transposes of neighbouring layers, so few of them are carried out.
"""

import itertools
import operator
from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxad.models.plain_convolution import Pads, Pair, outputs_along


def products_examples_last(x: Array, kernel: Array, *, pads: Pads, strides: Pair, spacing: Pair) -> Array:
    """The convolution as a matrix product and shifted slices, in the order that moves fewer numbers."""
    _, h, w, c = x.shape
    p, q, _, f = kernel.shape
    shape = (
        outputs_along(h, p, pads[0], stride=strides[0], spacing=spacing[0]),
        outputs_along(w, q, pads[1], stride=strides[1], spacing=spacing[1]),
    )
    x = jnp.swapaxes(x, 0, -1)
    if strides != (1, 1) or f >= c:
        y = _slices_then_product(x, kernel, pads, strides, spacing, shape)
    elif spacing == (1, 1) and h <= 2 * p:
        y = _columns_then_shifts(x, kernel, pads, shape)
    else:
        y = _product_then_shifts(x, kernel, pads, (1, 1), spacing, shape)
    return jnp.swapaxes(y, 0, -1)


def transposed_examples_last(x: Array, kernel: Array, *, pads: Pads, dilation: Pair) -> Array:
    """The transposed convolution as one matrix product and shifted slices; see `products_examples_last`."""
    _, h, w, _ = x.shape
    p, q, _, _ = kernel.shape
    shape = (
        outputs_along(h, p, pads[0], dilation=dilation[0]),
        outputs_along(w, q, pads[1], dilation=dilation[1]),
    )
    y = _product_then_shifts(jnp.swapaxes(x, 0, -1), kernel, pads, dilation, (1, 1), shape)
    return jnp.swapaxes(y, 0, -1)


def _slices_then_product(x: Array, kernel: Array, pads: Pads, strides: Pair, spacing: Pair, shape: Pair) -> Array:
    """Gather the p q c numbers that each output needs, then one product: `[c, h, w, n]` to `[f, h2, w2, n]`."""
    p, q, _, f = kernel.shape
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)])
    h, w = ((length - 1) * step + 1 for length, step in zip(shape, strides, strict=True))
    begins = itertools.product(range(0, p * spacing[0], spacing[0]), range(0, q * spacing[1], spacing[1]))
    slices = [x[:, a : a + h : strides[0], b : b + w : strides[1]] for a, b in begins]
    # Turned before it is flattened: XLA would fold a plain `.T` into a slower product.
    return _product(kernel.transpose(3, 0, 1, 2).reshape(f, -1), jnp.concatenate(slices))


def _columns_then_shifts(x: Array, kernel: Array, pads: Pads, shape: Pair) -> Array:
    """Whole columns of pixels as the channels of a row, so that only shifts across are left: to `[f, h2, w2, n]`.

    The kernel down a column is a band of a dense matrix, so some of the product multiplies zeros; where the column
    is short that costs less than the shifts down which it saves.
    """
    p, q, c, f = kernel.shape
    _, h, w, n = x.shape
    places = jnp.stack([jnp.eye(shape[0], h, a - pads[0][0], dtype=kernel.dtype) for a in range(p)])
    band = jnp.einsum("pYy,pqcf->qcyfY", places, kernel).reshape(1, q, c * h, f * shape[0])
    row = _product_then_shifts(x.reshape(c * h, 1, w, n), band, ((0, 0), pads[1]), (1, 1), (1, 1), (1, shape[1]))
    return row.reshape(f, *shape, n)


def _product_then_shifts(x: Array, kernel: Array, pads: Pads, dilation: Pair, spacing: Pair, shape: Pair) -> Array:
    """One product gives what each input adds to p q f outputs; each output gathers its own: to `[f, h2, w2, n]`.

    The outputs at one phase of the dilation, `y :: dilation`, draw on the same taps of the kernel.
    """
    p, q, c, f = kernel.shape
    _, h, w, n = x.shape
    products = _product(kernel.transpose(0, 1, 3, 2).reshape(-1, c), x)
    # Split, not indexed: the gradient of a split is one concatenation, that of p q indices p q sums.
    taps = jax.lax.split(products, [f] * (p * q))
    zero = jnp.zeros((), products.dtype)
    tall, wide = (-(-length // step) for length, step in zip(shape, dilation, strict=True))

    def shifted(a: int, b: int, y: int, x: int) -> Array:
        down = (y + a * spacing[0] - pads[0][0]) // dilation[0]
        across = (x + b * spacing[1] - pads[1][0]) // dilation[1]
        edges = [(0, 0, 0), (-down, tall - h + down, 0), (-across, wide - w + across, 0), (0, 0, 0)]
        return jax.lax.pad(taps[a * q + b], zero, edges)

    def phase(y: int, x: int) -> Array:
        taps_down = range((pads[0][0] - y) % dilation[0], p, dilation[0])
        taps_across = range((pads[1][0] - x) % dilation[1], q, dilation[1])
        sums = [shifted(a, b, y, x) for a in taps_down for b in taps_across]
        return reduce(operator.add, sums) if sums else jnp.zeros((f, tall, wide, n), products.dtype)

    rows = [jnp.stack([phase(y, x) for x in range(dilation[1])], 3) for y in range(dilation[0])]
    outputs = jnp.stack(rows, 2).reshape(f, tall * dilation[0], wide * dilation[1], n)
    return outputs[:, : shape[0], : shape[1]]


def _product(matrix: Array, x: Array) -> Array:
    """`[m, k]` times `[k, h, w, n]`."""
    if not jax.sharding.get_abstract_mesh().empty:
        # The examples stay an axis of their own, or they could not lie on several devices. It is slower on one.
        return jnp.einsum("mk,khwn->mhwn", matrix, x)
    return (matrix @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])
