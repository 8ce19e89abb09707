"""A dense VAE of whole images, whose decoder gives every pixel one and the same variance."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxad._types import Images, PRNGKey
from jaxad.models.patch_vae import PatchVAEOutput

Z_LOG_VARIANCE_RANGE = -8.0, 4.0
"""Where the log-variance of the code is clipped, so that no first update can make it overflow."""


class DenseVAE(nn.Module):
    """VAE of dense layers on the flattened image; the one window that it sees is the image.

    Attributes:
        image_shape: height, width and channels.
        layers: widths between image and code; the decoder uses them in reverse.
        latent_dim: size of the code z.
        variance: of every pixel, in squared units of the pixel.
    """

    image_shape: tuple[int, int, int]
    layers: Sequence[int] = (512, 256)
    latent_dim: int = 16
    variance: float = 0.05

    @nn.compact
    def __call__(self, images: Images, *, key: PRNGKey | None = None, train: bool = False) -> PatchVAEOutput:
        """Encode and decode images `[n, h, w, c]`.

        Args:
            images: the images.
            key: draws z from the posterior; without a key z is the posterior mean.
            train: changes nothing here.
        """
        del train
        x = jnp.asarray(images).reshape(images.shape[0], -1)
        pixels = x.shape[1]
        for i, features in enumerate(self.layers):
            x = nn.relu(_dense(features, f"encoder_{i}")(x))
        z_mean = _dense(self.latent_dim, "z_mean")(x)
        z_log_variance = jnp.clip(_dense(self.latent_dim, "z_log_variance")(x), *Z_LOG_VARIANCE_RANGE)
        z: Array = z_mean
        if key is not None:
            z = z_mean + jnp.exp(0.5 * z_log_variance) * jax.random.normal(key, z_mean.shape)
        for i, features in enumerate(reversed(self.layers)):
            z = nn.relu(_dense(features, f"decoder_{i}")(z))
        mean = nn.sigmoid(_dense(pixels, "output")(z)).reshape(images.shape)
        return PatchVAEOutput(mean, jnp.full_like(mean, self.variance), z_mean, z_log_variance)


def _dense(features: int, name: str) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.glorot_uniform(), name=name)
