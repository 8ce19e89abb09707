"""Convolution as the backend likes it best.

On TPU a convolution stays a convolution. XLA on CPU runs convolutions inside a loop about ten times slower than it
should, so there each becomes one matrix product with shifted slices. On GPU those of a small batch in training do:
there is so little to compute that cuDNN takes longer. The choice is made where the program is lowered, so one traced
model is right on every device.
"""

from collections.abc import Callable
from functools import partial

import jax
from jaxtyping import Array, Float

from jaxad.models.examples_last import products_examples_last, transposed_examples_last
from jaxad.models.plain_convolution import Pads, Pair, plain_convolution
from jaxad.models.small_products import small_products
from jaxad.models.sums import add_bias
from jaxad.models.transposed import transposed


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
        cpu, products, default = (
            partial(one, pads=pads, strides=strides, spacing=spacing)
            for one in (products_examples_last, small_products, plain_convolution)
        )
    elif strides == spacing == (1, 1):
        cpu = partial(transposed_examples_last, pads=pads, dilation=dilation)
        products, default = (
            partial(transposed, pads=pads, dilation=dilation, convolution=one)
            for one in (small_products, plain_convolution)
        )
    else:
        raise ValueError(f"a transposed convolution takes strides and spacing of 1, got {strides} and {spacing}")
    gpu = _in_training(products, default)
    y = jax.lax.platform_dependent(x, kernel, cpu=cpu, cuda=gpu, rocm=gpu, default=default)
    return add_bias(y, bias)


def _in_training(lowering: Callable[..., Array], otherwise: Callable[..., Array]) -> Callable[..., Array]:
    """The first where gradients are taken, else the second."""
    chosen = jax.custom_vjp(otherwise)
    chosen.defvjp(partial(jax.vjp, lowering), lambda pull, g: pull(g))
    return chosen
