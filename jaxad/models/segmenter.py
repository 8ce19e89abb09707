"""A small U-Net: images in, one number a pixel out."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._types import Images
from jaxad.models.layers import Conv, ConvTranspose
from jaxad.models.network import Rest, clear, reduce_rest


class Segmenter(nn.Module):
    """U-Net after Ronneberger et al., arXiv:1505.04597, with strides in place of pooling, for images of any size.

    Attributes:
        filters: channels at full size, at half of it, and so on.
    """

    filters: Sequence[int] = (8, 16, 32)

    @nn.compact
    def __call__(self, images: Images, rest: Rest | None = None) -> Float[Array, "n h w"]:
        """One number a pixel of images `[n, h, w, c]`: `[n, h, w]`.

        `rest` says how many of their rows and columns, from the first on, show photographs that end there or go on
        beyond; sides are then multiples of `2^(levels - 1)`. The photographs' border is where those end, not the
        images'.
        """
        x = clear(jnp.asarray(images) - 0.5, rest)
        levels, lengths = [], []
        for i, features in enumerate(self.filters):
            if i:
                x = _halved(x, features, f"down_{i}_first", rest)
                rest = reduce_rest(rest, 2)
            else:
                x = _layer(features, f"down_{i}_first")(x)
            lengths.append(rest)
            x = clear(_layer(features, f"down_{i}_second")(clear(x, rest)), rest)
            levels.append(x)
        for i, features in reversed(list(enumerate(self.filters[:-1]))):
            _, height, width, _ = levels[i].shape
            wider = ConvTranspose(features, (2, 2), (2, 2), kernel_init=HE, name=f"up_{i}_wider")(x)
            x = jnp.concatenate([clear(wider[:, :height, :width], lengths[i]), levels[i]], axis=-1)
            x = clear(_layer(features, f"up_{i}")(x), lengths[i])
        return Conv(1, (1, 1), name="output")(x)[..., 0]


HE = nn.initializers.he_normal()


def _layer(features: int, name: str) -> Callable[[Array], Array]:
    convolution = Conv(features, (3, 3), kernel_init=HE, name=name)
    return lambda x: nn.leaky_relu(convolution(x))


def _halved(x: Array, features: int, name: str, rest: Rest | None) -> Array:
    """A layer of stride 2. Its "same" padding begins a pixel earlier along an axis whose length is odd."""
    if rest is None:
        return nn.leaky_relu(Conv(features, (3, 3), (2, 2), kernel_init=HE, name=name)(x))
    n, height, width, c = x.shape
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    begin = (0, 1 - rest[0] % 2, 1 - rest[1] % 2, 0)
    x = jax.lax.dynamic_slice(padded, begin, (n, height + 1, width + 1, c))
    return nn.leaky_relu(Conv(features, (3, 3), (2, 2), "VALID", kernel_init=HE, name=name)(x))
