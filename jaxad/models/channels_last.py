"""Convolutions of deep networks, whose images are few and have many channels, which lie last on every backend.

`convolution` is for the many small windows of the project's own models. Here sums run along the channels: on CPU a
depthwise convolution becomes shifted products added up, some ten times faster than XLA's grouped convolution; a
convolution of one pixel is a matrix product; every other one is a convolution everywhere. The choice is made where the
program is lowered, so one traced model is right on every device.
"""

import operator
from functools import partial, reduce
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad.models.plain_convolution import Pads, plain_convolution, shifted

Padding = Literal["SAME"] | int
"""`"SAME"` as TensorFlow pads, which depends on the image's size; a number of zeros on every side, as PyTorch pads."""


class Convolution(nn.Module):
    """Convolution of `[n, h, w, c]`, computed in the type of its kernel.

    Attributes:
        features: channels of the result.
        size: height and width of the kernel `[size, size, c, features]`.
        stride: pixels from one output to the next.
        padding: see `Padding`.
    """

    features: int
    size: int = 1
    stride: int = 1
    padding: Padding = 0

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """Convolve `[n, h, w, c]` to `[n, h2, w2, features]`."""
        kernel = self.param("kernel", HE, (self.size, self.size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        pads = make_pads(x, self.size, self.stride, self.padding)
        return convolve_dense(x.astype(kernel.dtype), kernel, bias, pads=pads, stride=self.stride)


class DepthwiseConvolution(nn.Module):
    """Convolution of each channel of `[n, h, w, c]` by itself, computed in the type of its kernel.

    Attributes:
        size: height and width of the kernel `[size, size, c]`.
        stride: pixels from one output to the next.
        padding: see `Padding`.
    """

    size: int
    stride: int = 1
    padding: Padding = 0

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """Convolve `[n, h, w, c]` to `[n, h2, w2, c]`."""
        kernel = self.param("kernel", HE_DEPTHWISE, (self.size, self.size, x.shape[-1]))
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        pads = make_pads(x, self.size, self.stride, self.padding)
        return convolve_depthwise(x.astype(kernel.dtype), kernel, bias, pads=pads, stride=self.stride)


HE = nn.initializers.he_normal()
HE_DEPTHWISE = nn.initializers.he_normal(batch_axis=-1, out_axis=())


def make_pads(x: Float[Array, "n h w c"], size: int, stride: int, padding: Padding) -> Pads:
    """Zeros before and after the rows and the columns of images `[n, h, w, c]`."""
    if padding == "SAME":
        # jax 0.8 gives integers of NumPy.
        (top, bottom), (left, right) = jax.lax.padtype_to_pads(x.shape[1:3], (size, size), (stride, stride), "SAME")
        return (int(top), int(bottom)), (int(left), int(right))
    return (padding, padding), (padding, padding)


def convolve_dense(
    x: Float[Array, "n h w c"], kernel: Float[Array, "p q c f"], bias: Float[Array, " f"], *, pads: Pads, stride: int
) -> Float[Array, "n h2 w2 f"]:
    """Correlate `[n, h, w, c]` with a kernel `[p, q, c, f]` and add `bias`: `[n, h2, w2, f]`.

    Args:
        x: the images.
        kernel: the kernel, not flipped.
        bias: added to every output, one number a feature.
        pads: zeros before and after each axis.
        stride: pixels from one output to the next.
    """
    whole = partial(plain_convolution, pads=pads, strides=(stride, stride))
    if kernel.shape[:2] == (1, 1) and pads == ((0, 0), (0, 0)):
        y = jax.lax.platform_dependent(x, kernel, cpu=partial(_product, stride=stride), default=whole)
    else:
        y = whole(x, kernel)
    return y + bias.reshape(1, 1, 1, -1)


def convolve_depthwise(
    x: Float[Array, "n h w c"], kernel: Float[Array, "p q c"], bias: Float[Array, " c"], *, pads: Pads, stride: int
) -> Float[Array, "n h2 w2 c"]:
    """Correlate each channel of `[n, h, w, c]` with its own kernel of `[p, q, c]` and add `bias`: `[n, h2, w2, c]`.

    Args:
        x: the images.
        kernel: the kernels, not flipped.
        bias: added to every output, one number a channel.
        pads: zeros before and after each axis.
        stride: pixels from one output to the next.
    """
    # Few of a network's multiplications, and rounded they move scores four to seven times as far as all others do.
    highest = jax.lax.Precision.HIGHEST
    grouped = partial(plain_convolution, pads=pads, strides=(stride, stride), groups=x.shape[-1], precision=highest)
    y = jax.lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_shifted_products, pads=pads, stride=stride),
        default=lambda x, kernel: grouped(x, kernel[:, :, None]),
    )
    return y + bias.reshape(1, 1, 1, -1)


def max_pool(x: Float[Array, "n h w c"], *, size: int, stride: int, padding: int) -> Float[Array, "n h2 w2 c"]:
    """Greatest value of every window of `[n, h, w, c]`, which may reach `padding` pixels over the border."""
    pads = make_pads(x, size, stride, padding)

    def windows(x: Array) -> Array:
        edges = [(0, 0), *pads, (0, 0)]
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), edges)

    def shifts(x: Array) -> Array:
        return reduce(jnp.maximum, shifted(x, (size, size), pads=pads, strides=(stride, stride), beyond=-jnp.inf))

    return jax.lax.platform_dependent(x, cpu=shifts, default=windows)


def _product(x: Array, kernel: Array, *, stride: int) -> Array:
    return jnp.einsum("nhwc,cf->nhwf", x[:, ::stride, ::stride], kernel[0, 0])


def _shifted_products(x: Array, kernel: Array, *, pads: Pads, stride: int) -> Array:
    p, q, c = kernel.shape
    taps, seen = kernel.reshape(p * q, 1, 1, 1, c), shifted(x, (p, q), pads=pads, strides=(stride, stride))
    return reduce(operator.add, (y * tap for y, tap in zip(seen, taps, strict=True)))
