"""Dense autoencoders of whole images: every layer is one matrix product."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxad._types import Images, PRNGKey
from jaxad.models.conv_ae import AutoencoderOutput
from jaxad.models.layers import BatchNorm

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": nn.sigmoid,
    "linear": lambda x: x,
}


class DenseAE(nn.Module):
    """Autoencoder of dense layers on the flattened image.

    Attributes:
        image_shape: height, width and channels.
        encoder: widths of the encoder; the last is the code's.
        decoder: widths of the decoder before the output layer.
        code_activation: of the code, a name in `ACTIVATIONS`; "linear" cannot die, as a ReLU code of few units can.
        decoder_activation: of the decoder's hidden layers; the encoder's are ReLU.
        output_activation: of the reconstruction.
        norm: BatchNorm on the input and before the output activation, with the defaults of PyTorch.
        torch_init: draw weights and biases as PyTorch does; else Glorot-uniform and zero, as Keras does.
    """

    image_shape: tuple[int, int, int]
    encoder: tuple[int, ...] = (128, 64, 32, 2)
    decoder: tuple[int, ...] = (32, 64, 128)
    code_activation: str = "relu"
    decoder_activation: str = "relu"
    output_activation: str = "sigmoid"
    norm: bool = False
    torch_init: bool = False

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> AutoencoderOutput:
        """Encode and decode images `[n, h, w, c]`.

        Args:
            images: the images.
            train: use, and update, the batch's own statistics in BatchNorm.
        """
        x = jnp.asarray(images).reshape(images.shape[0], -1)
        pixels = x.shape[1]
        if self.norm:
            x = _torch_norm(ACTIVATIONS["linear"], "input_norm")(x, train=train)
        names = [*("relu" for _ in self.encoder[:-1]), self.code_activation]
        for i, (features, name) in enumerate(zip(self.encoder, names, strict=True)):
            x = ACTIVATIONS[name](self._dense(x, features, f"encoder_{i}"))
        code = x
        for i, features in enumerate(self.decoder):
            x = ACTIVATIONS[self.decoder_activation](self._dense(x, features, f"decoder_{i}"))
        x = self._dense(x, pixels, "output")
        activation = ACTIVATIONS[self.output_activation]
        x = _torch_norm(activation, "output_norm")(x, train=train) if self.norm else activation(x)
        return AutoencoderOutput(x.reshape(images.shape), code)

    def _dense(self, x: Array, features: int, name: str) -> Array:
        if not self.torch_init:
            return nn.Dense(features, kernel_init=nn.initializers.glorot_uniform(), name=name)(x)
        bound = x.shape[-1] ** -0.5

        def init(key: PRNGKey, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        return nn.Dense(features, kernel_init=init, bias_init=init, name=name)(x)


def _torch_norm(activation: Callable[[Array], Array], name: str) -> BatchNorm:
    return BatchNorm(activation, momentum=0.9, epsilon=1e-5, name=name)
