"""Convolution as the backend likes it best.

On GPU and TPU a convolution stays a convolution. XLA on CPU runs convolutions inside a loop about ten
times slower than it should, so there each becomes one matrix product with shifted slices. The choice is made
where the program is lowered, so one traced model is right on every device.
"""

import itertools
import operator
from dataclasses import dataclass
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Pads = tuple[tuple[int, int], tuple[int, int]]
Pair = tuple[int, int]


def convolve(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "p q c f"],
    bias: Float[Array, " f"],
    *,
    pads: Pads,
    strides: Pair = (1, 1),
    dilation: Pair = (1, 1),
    spacing: Pair = (1, 1),
) -> Float[Array, "n h2 w2 f"]:
    """Correlate `[n, h, w, c]` with a kernel `[p, q, c, f]`, lowered as the backend likes it best.

    Args:
        x: the images.
        kernel: the kernel, not flipped.
        bias: added to every output, one number a feature.
        pads: zeros before and after each axis, after dilation.
        strides: pixels from one output to the next.
        dilation: 1 + the zeros put between neighbouring inputs; above 1 the convolution is a transposed one.
        spacing: inputs from one tap of the kernel to the next; above 1 it is an atrous one, and not a transposed one.

    Returns:
        `[n, h2, w2, f]`.
    """
    if dilation == (1, 1):
        on_cpu = partial(_products, pads=pads, strides=strides, spacing=spacing)
        elsewhere = partial(_convolution, pads=pads, strides=strides, spacing=spacing)
    elif strides == spacing == (1, 1):
        on_cpu = partial(_transposed_products, pads=pads, dilation=dilation)
        elsewhere = partial(_phases, pads=pads, dilation=dilation)
    else:
        raise ValueError(f"a transposed convolution takes strides and spacing of 1, got {strides} and {spacing}")
    y = jax.lax.platform_dependent(x, kernel, cpu=on_cpu, default=elsewhere)
    return y + bias.reshape(1, 1, 1, -1)


def _convolution(x: Array, kernel: Array, *, pads: Pads, strides: Pair, spacing: Pair) -> Array:
    return jax.lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=spacing, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _phases(x: Array, kernel: Array, *, pads: Pads, dilation: Pair) -> Array:
    """A transposed convolution as plain ones: outputs at one phase of the dilation draw on the same taps of the kernel.

    No zeros stand between the inputs, to be written and multiplied. Phases that read alike are one convolution.
    """
    n, h, w, _ = x.shape
    p, q, _, f = kernel.shape
    rows, columns = _Phases(h, p, pads[0], dilation[0]), _Phases(w, q, pads[1], dilation[1])
    alike: dict[Pads, list[Pair]] = {}
    for phase in itertools.product(range(dilation[0]), range(dilation[1])):
        alike.setdefault((rows.pads(phase[0]), columns.pads(phase[1])), []).append(phase)
    outputs: dict[Pair, Array] = {}
    for reads, phases in alike.items():
        taps = jnp.concatenate([kernel[rows.taps(y), columns.taps(x)] for y, x in phases], -1)
        if taps.size:
            found = _convolution(x, taps, pads=reads, strides=(1, 1), spacing=(1, 1))
        else:
            found = jnp.zeros((n, rows.most, columns.most, taps.shape[-1]), x.dtype)
        outputs |= zip(phases, jnp.split(found, len(phases), -1), strict=True)
    strips = [jnp.stack([outputs[y, x] for x in range(dilation[1])], 3) for y in range(dilation[0])]
    whole = jnp.stack(strips, 2).reshape(n, rows.most * dilation[0], columns.most * dilation[1], f)
    return whole[:, : rows.outputs, : columns.outputs]


@dataclass(frozen=True)
class _Phases:
    """The outputs of a transposed convolution along one axis, `phase :: dilation`."""

    length: int
    size: int
    padding: Pair
    dilation: int

    @property
    def outputs(self) -> int:
        return _outputs(self.length, self.size, self.padding, dilation=self.dilation)

    @property
    def most(self) -> int:
        """Outputs of a phase; some have one less."""
        return -(-self.outputs // self.dilation)

    def taps(self, phase: int) -> slice:
        return slice((self.padding[0] - phase) % self.dilation, None, self.dilation)

    def pads(self, phase: int) -> Pair:
        """Zeros before and after the inputs, or below zero how many of them are left out."""
        first = self.taps(phase).start
        before = (self.padding[0] - phase - first) // self.dilation
        return before, self.most - self.length - before + len(range(first, self.size, self.dilation)) - 1


def _products(x: Array, kernel: Array, *, pads: Pads, strides: Pair, spacing: Pair) -> Array:
    """The convolution as a matrix product and shifted slices, in the order that moves fewer numbers.

    Inside, images lie as `[c, h, w, n]`: with the examples last every slice is a block of whole rows and every
    sum runs along them. XLA joins the transposes of neighbouring layers, so few of them are carried out.
    """
    _, h, w, c = x.shape
    p, q, _, f = kernel.shape
    shape = (
        _outputs(h, p, pads[0], stride=strides[0], spacing=spacing[0]),
        _outputs(w, q, pads[1], stride=strides[1], spacing=spacing[1]),
    )
    x = jnp.swapaxes(x, 0, -1)
    if strides != (1, 1) or f >= c:
        y = _slices_then_product(x, kernel, pads, strides, spacing, shape)
    elif spacing == (1, 1) and h <= 2 * p:
        y = _columns_then_shifts(x, kernel, pads, shape)
    else:
        y = _product_then_shifts(x, kernel, pads, (1, 1), spacing, shape)
    return jnp.swapaxes(y, 0, -1)


def _transposed_products(x: Array, kernel: Array, *, pads: Pads, dilation: Pair) -> Array:
    """The transposed convolution as one matrix product and shifted slices; see `_products`."""
    _, h, w, _ = x.shape
    p, q, _, _ = kernel.shape
    shape = (
        _outputs(h, p, pads[0], dilation=dilation[0]),
        _outputs(w, q, pads[1], dilation=dilation[1]),
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


def _outputs(length: int, size: int, pads: Pair, *, stride: int = 1, dilation: int = 1, spacing: int = 1) -> int:
    """Outputs along one axis."""
    return ((length - 1) * dilation + sum(pads) - (size - 1) * spacing) // stride + 1
