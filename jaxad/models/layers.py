"""Layers that are fast on every backend, with the parameters of `flax.linen`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad.models.convolution import convolve
from jaxad.models.normalisation import normalise, rescale
from jaxad.models.plain_convolution import Pair

Padding = Literal["SAME", "VALID"]


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
    def __call__(
        self, x: Float[Array, "n h w c"], *, strides: Pair | None = None, spacing: Pair = (1, 1)
    ) -> Float[Array, "n h2 w2 f"]:
        """Convolve `[n, h, w, c]` to `[n, h2, w2, features]`.

        Args:
            x: the images.
            strides: in place of the layer's own.
            spacing: pixels from one tap of the kernel to the next.
        """
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        strides = self.strides if strides is None else strides
        reach = [(size - 1) * apart + 1 for size, apart in zip(self.kernel_size, spacing, strict=True)]
        # jax 0.8 gives integers of NumPy.
        pads = jax.lax.padtype_to_pads(x.shape[1:3], reach, strides, self.padding)
        down, across = ((int(before), int(after)) for before, after in pads)
        return convolve(x, kernel, bias, strides=strides, spacing=spacing, pads=(down, across))


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
            return after(rescale(before(x), mean.value, gain, bias, axis=-1))
        y, batch_mean, batch_variance = normalise(x, scale, bias, before=before, after=after, epsilon=self.epsilon)
        if not self.is_initializing():
            mean.value = self.momentum * mean.value + (1 - self.momentum) * batch_mean
            variance.value = self.momentum * variance.value + (1 - self.momentum) * batch_variance
        return y


def _identity(x: Array) -> Array:
    return x


def _transposed_pads(size: int, stride: int, padding: Padding) -> Pair:
    """Zeros around the dilated input such that the result is the gradient of the convolution of that padding."""
    if padding == "VALID":
        return size - 1, size - 1 + max(0, stride - size)
    total = size + stride - 2
    low = size - 1 if stride > size - 1 else -(-total // 2)
    return low, total - low


@contextlib.contextmanager
def noting_epsilons() -> Iterator[dict[str, float]]:
    """What each normalisation that is called meanwhile adds to its variance, by the path of its module."""
    found: dict[str, float] = {}

    def note(method: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if hasattr(context.module, "epsilon"):
            found["/".join(context.module.path)] = context.module.epsilon
        return method(*args, **kwargs)

    with nn.intercept_methods(note):
        yield found
