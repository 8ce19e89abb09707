"""A small U-Net: images in, one number a pixel out."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._types import Images
from jaxad.models.layers import Conv, ConvTranspose


class Segmenter(nn.Module):
    """U-Net after Ronneberger et al., arXiv:1505.04597, with strides in place of pooling, for images of any size.

    Attributes:
        filters: channels at full size, at half of it, and so on.
    """

    filters: Sequence[int] = (8, 16, 32)

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "n h w"]:
        """One number a pixel of images `[n, h, w, c]`: `[n, h, w]`."""
        x = jnp.asarray(images) - 0.5
        levels = []
        for i, features in enumerate(self.filters):
            x = _layer(features, f"down_{i}_first", stride=2 if i else 1)(x)
            x = _layer(features, f"down_{i}_second")(x)
            levels.append(x)
        for i, features in reversed(list(enumerate(self.filters[:-1]))):
            _, height, width, _ = levels[i].shape
            wider = ConvTranspose(features, (2, 2), (2, 2), kernel_init=HE, name=f"up_{i}_wider")(x)
            x = jnp.concatenate([wider[:, :height, :width], levels[i]], axis=-1)
            x = _layer(features, f"up_{i}")(x)
        return Conv(1, (1, 1), name="output")(x)[..., 0]


HE = nn.initializers.he_normal()


def _layer(features: int, name: str, *, stride: int = 1) -> Callable[[Array], Array]:
    convolution = Conv(features, (3, 3), (stride, stride), kernel_init=HE, name=name)
    return lambda x: nn.leaky_relu(convolution(x))
