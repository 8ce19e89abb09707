"""Convolutions that are fast on every backend, with the parameters of `flax.linen`.

On GPU and TPU a convolution stays a convolution. XLA on CPU runs convolutions inside a loop about ten
times slower than it should, so there each becomes one matrix product with shifted slices. The choice is made
where the program is lowered, so one traced model is right on every device.
"""

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = Literal["SAME", "VALID"]
Pads = tuple[tuple[int, int], tuple[int, int]]
Pair = tuple[int, int]


class Conv(nn.Module):
    """Convolution of `[n, h, w, c]`, as `flax.linen.Conv`: same parameters, same values.

    Attributes:
        features: channels of the result.
        kernel_size: height and width of the kernel.
        strides: pixels from one output to the next.
        padding: `"SAME"` or `"VALID"`, as TensorFlow defines them.
        kernel_init: draws the kernel; Glorot-uniform is the default of Keras.
    """

    features: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Padding = "SAME"
    kernel_init: Callable[..., Array] = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """Convolve `[n, h, w, c]` to `[n, h2, w2, features]`."""
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        down, across = jax.lax.padtype_to_pads(x.shape[1:3], self.kernel_size, self.strides, self.padding)
        return convolve(x, kernel, bias, strides=self.strides, pads=(down, across))


class ConvTranspose(nn.Module):
    """Transposed convolution of `[n, h, w, c]`, as `flax.linen.ConvTranspose`: same parameters, same values.

    It is the gradient of the convolution of that padding, which is what Keras computes; Keras and PyTorch
    store the kernel turned by 180 degrees, with its two channel axes exchanged.

    Attributes:
        features: channels of the result.
        kernel_size: height and width of the kernel.
        strides: outputs per input along each axis.
        padding: `"SAME"` gives `strides` times the size of the input, `"VALID"` every pixel a kernel touches.
        kernel_init: draws the kernel; Glorot-uniform is the default of Keras.
    """

    features: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Padding = "SAME"
    kernel_init: Callable[..., Array] = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        """Convolve `[n, h, w, c]` to `[n, h2, w2, features]`."""
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        down, across = (
            _transposed_pads(k, s, self.padding) for k, s in zip(self.kernel_size, self.strides, strict=True)
        )
        return convolve(x, kernel, bias, dilation=self.strides, pads=(down, across))


class BatchNorm(nn.Module):
    """Normalisation over the batch, as `flax.linen.BatchNorm`: same parameters and statistics; then an activation.

    Attributes:
        activation: applied to the result; inside, so that it runs in the layout that the backend likes best.
        activation_first: apply it to the input instead.
        momentum: share of the running statistics that an update keeps; this default and the next are those of Keras.
        epsilon: added to the variance.
    """

    activation: Callable[[Array], Array]
    activation_first: bool = False
    momentum: float = 0.99
    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, x: Float[Array, "n *space c"], *, train: bool) -> Float[Array, "n *space c"]:
        """Normalise `[n, ..., c]` by channel: by the batch's own statistics in training, else by the running ones."""
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        variance = self.variable("batch_stats", "var", jnp.ones, shape)
        before = self.activation if self.activation_first else _identity
        after = _identity if self.activation_first else self.activation
        if not train:
            gain = scale * jax.lax.rsqrt(variance.value + self.epsilon)
            return after(_rescale(before(x), mean.value, gain, bias, axis=-1))
        normalise = partial(_normalise, before=before, after=after, epsilon=self.epsilon)
        y, batch_mean, batch_variance = jax.lax.platform_dependent(
            x,
            scale,
            bias,
            cpu=partial(normalise, examples_last=True),
            default=partial(normalise, examples_last=False),
        )
        if not self.is_initializing():
            mean.value = self.momentum * mean.value + (1 - self.momentum) * batch_mean
            variance.value = self.momentum * variance.value + (1 - self.momentum) * batch_variance
        return y


def _normalise(
    x: Array,
    scale: Array,
    bias: Array,
    *,
    examples_last: bool,
    before: Callable[[Array], Array],
    after: Callable[[Array], Array],
    epsilon: float,
) -> tuple[Array, Array, Array]:
    """Normalised `[n, ..., c]`, and the mean and variance of every channel."""
    x = before(jnp.swapaxes(x, 0, -1) if examples_last else x)
    axis = 0 if examples_last else x.ndim - 1
    others = tuple(i for i in range(x.ndim) if i != axis)
    mean, variance = jnp.mean(x, others), jnp.var(x, others)
    y = after(_rescale(x, mean, scale * jax.lax.rsqrt(variance + epsilon), bias, axis=axis))
    return jnp.swapaxes(y, 0, -1) if examples_last else y, mean, variance


def _rescale(x: Array, mean: Array, gain: Array, bias: Array, *, axis: int) -> Array:
    shape = [1] * x.ndim
    shape[axis] = -1
    return (x - mean.reshape(shape)) * gain.reshape(shape) + bias.reshape(shape)


def _identity(x: Array) -> Array:
    return x


def convolve(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "p q c f"],
    bias: Float[Array, " f"],
    *,
    pads: Pads,
    strides: Pair = (1, 1),
    dilation: Pair = (1, 1),
) -> Float[Array, "n h2 w2 f"]:
    """Correlate `[n, h, w, c]` with a kernel `[p, q, c, f]`, lowered as the backend likes it best.

    Args:
        x: the images.
        kernel: the kernel, not flipped.
        bias: added to every output, one number a feature.
        pads: zeros before and after each axis, after dilation.
        strides: pixels from one output to the next.
        dilation: 1 + the zeros put between neighbouring inputs; above 1 the convolution is a transposed one.

    Returns:
        `[n, h2, w2, f]`.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        bias,
        cpu=partial(_products, pads=pads, strides=strides, dilation=dilation),
        default=partial(_convolution, pads=pads, strides=strides, dilation=dilation),
    )


def _convolution(x: Array, kernel: Array, bias: Array, *, pads: Pads, strides: Pair, dilation: Pair) -> Array:
    y = jax.lax.conv_general_dilated(
        x, kernel, strides, pads, lhs_dilation=dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + bias.reshape(1, 1, 1, -1)


def _products(x: Array, kernel: Array, bias: Array, *, pads: Pads, strides: Pair, dilation: Pair) -> Array:
    """The convolution as a matrix product and shifted slices, in the order that moves fewer numbers.

    Inside, images lie as `[c, h, w, n]`: with the examples last every slice is a block of whole rows and every
    sum runs along them. XLA joins the transposes of neighbouring layers, so few of them are carried out.
    """
    if strides != (1, 1) and dilation != (1, 1):
        return _convolution(x, kernel, bias, pads=pads, strides=strides, dilation=dilation)
    _, h, w, c = x.shape
    p, q, _, f = kernel.shape
    shape = _outputs(h, p, pads[0], strides[0], dilation[0]), _outputs(w, q, pads[1], strides[1], dilation[1])
    x = jnp.swapaxes(x, 0, -1)
    if strides != (1, 1) or (dilation == (1, 1) and f >= c):
        y = _slices_then_product(x, kernel, pads, strides, shape)
    else:
        y = _product_then_shifts(x, kernel, pads, dilation, shape)
    return jnp.swapaxes(y + bias.reshape(-1, 1, 1, 1), 0, -1)


def _slices_then_product(x: Array, kernel: Array, pads: Pads, strides: Pair, shape: Pair) -> Array:
    """Gather the p q c numbers that each output needs, then one product: `[c, h, w, n]` to `[f, h2, w2, n]`."""
    p, q, c, f = kernel.shape
    n = x.shape[-1]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)])
    h, w = ((length - 1) * step + 1 for length, step in zip(shape, strides, strict=True))
    slices = [x[:, a : a + h : strides[0], b : b + w : strides[1]] for a in range(p) for b in range(q)]
    columns = jnp.concatenate(slices).reshape(p * q * c, -1)
    return (kernel.reshape(-1, f).T @ columns).reshape(f, *shape, n)


def _product_then_shifts(x: Array, kernel: Array, pads: Pads, dilation: Pair, shape: Pair) -> Array:
    """One product gives what each input adds to p q f outputs; each output gathers its own: to `[f, h2, w2, n]`.

    The outputs at one phase of the dilation, `y :: dilation`, draw on the same taps of the kernel.
    """
    p, q, c, f = kernel.shape
    _, h, w, n = x.shape
    products = (kernel.transpose(0, 1, 3, 2).reshape(-1, c) @ x.reshape(c, -1)).reshape(-1, h, w, n)
    # Split, not indexed: the gradient of a split is one concatenation, that of p q indices p q sums.
    taps = jax.lax.split(products, [f] * (p * q))
    zero = jnp.zeros((), products.dtype)
    tall, wide = (-(-length // step) for length, step in zip(shape, dilation, strict=True))

    def shifted(a: int, b: int, y: int, x: int) -> Array:
        down, across = (y + a - pads[0][0]) // dilation[0], (x + b - pads[1][0]) // dilation[1]
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


def _outputs(length: int, size: int, pads: Pair, stride: int, dilation: int) -> int:
    """Outputs along one axis."""
    return ((length - 1) * dilation + 1 + sum(pads) - size) // stride + 1


def _transposed_pads(size: int, stride: int, padding: Padding) -> Pair:
    """Zeros around the dilated input such that the result is the gradient of the convolution of that padding."""
    if padding == "VALID":
        return size - 1, size - 1 + max(0, stride - size)
    total = size + stride - 2
    low = size - 1 if stride > size - 1 else -(-total // 2)
    return low, total - low
