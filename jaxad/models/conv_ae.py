"""Convolutional autoencoders of whole images, with a dense code or without."""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._types import Images
from jaxad.models.layers import BatchNorm, Conv, ConvTranspose

Blocks = tuple[tuple[int, int], ...]
"""Features and stride of every block."""


class AutoencoderOutput(NamedTuple):
    """What an autoencoder makes of images `[n, h, w, c]`."""

    reconstruction: Float[Array, "n h w c"]
    code: Float[Array, "n *code"]


class ConvAE(nn.Module):
    """Autoencoder of 3x3 convolutions, each with BatchNorm and LeakyReLU, and a sigmoid at the end.

    Height and width may be any: the decoder's result is cropped where strides do not divide them.

    Attributes:
        image_shape: height, width and channels.
        encoder: features and stride of the convolutions.
        decoder: features and stride of the transposed ones; the strides multiply to those of the encoder.
        latent_dim: size of the dense code; None keeps the last convolution's output as the code.
        slope: of the LeakyReLU below zero.
        activation_first: LeakyReLU before BatchNorm instead of after it.
    """

    image_shape: tuple[int, int, int]
    encoder: Blocks = ((32, 2), (64, 2))
    decoder: Blocks = ((64, 2), (32, 2))
    latent_dim: int | None = 16
    slope: float = 0.2
    activation_first: bool = True

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> AutoencoderOutput:
        """Encode and decode images `[n, h, w, c]`.

        Args:
            images: the images.
            train: use, and update, the batch's own statistics in BatchNorm.
        """
        x = jnp.asarray(images)
        height, width, channels = self.image_shape
        activation = partial(nn.leaky_relu, negative_slope=self.slope)
        for i, (features, stride) in enumerate(self.encoder):
            x = Conv(features, (3, 3), (stride, stride), name=f"encoder_{i}")(x)
            x = BatchNorm(activation, self.activation_first, name=f"encoder_norm_{i}")(x, train=train)
        code = x
        if self.latent_dim is not None:
            shape = x.shape[1:]
            code = _dense(self.latent_dim, "code")(x.reshape(x.shape[0], -1))
            x = _dense(shape[0] * shape[1] * shape[2], "decoder_dense")(code).reshape(-1, *shape)
        for i, (features, stride) in enumerate(self.decoder):
            x = ConvTranspose(features, (3, 3), (stride, stride), name=f"decoder_{i}")(x)
            x = BatchNorm(activation, self.activation_first, name=f"decoder_norm_{i}")(x, train=train)
        x = nn.sigmoid(ConvTranspose(channels, (3, 3), name="output")(x))
        return AutoencoderOutput(x[:, :height, :width], code)


def _dense(features: int, name: str) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.glorot_uniform(), name=name)
