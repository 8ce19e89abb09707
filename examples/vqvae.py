"""A VQ-VAE whose codebook follows the codes by a moving average: a collection of variables of its own.

    jaxad fit DIR -o vqvae.jaxad --recipe vqvae:VQVAE --set codes=128
    jaxad score vqvae.jaxad DIR -o scored --import vqvae

van den Oord et al., "Neural discrete representation learning", 2017.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

import jaxad


class Net(nn.Module):
    codes: int
    width: int
    decay: float = 0.99

    @nn.compact
    def __call__(self, images, train=False):
        z = nn.Conv(self.width, (3, 3), 2)(nn.relu(nn.Conv(self.width, (3, 3), 2)(images)))
        book = self.variable(
            "codebook", "codes", lambda: jax.random.normal(self.make_rng("params"), (self.codes, self.width))
        )
        sizes = self.variable("codebook", "sizes", jnp.ones, (self.codes,))
        flat = z.reshape(-1, self.width)
        places = jnp.argmin(jnp.sum(book.value**2, 1)[None] - 2 * flat @ book.value.T, axis=1)
        if train and not self.is_initializing():
            mine = jax.nn.one_hot(places, self.codes).T
            sizes.value = self.decay * sizes.value + (1 - self.decay) * mine.sum(1)
            moves = jax.lax.stop_gradient(mine @ flat) - mine.sum(1)[:, None] * book.value
            book.value = book.value + (1 - self.decay) * moves / sizes.value[:, None]
        quantised = book.value[places].reshape(z.shape)
        commitment = jnp.mean((z - jax.lax.stop_gradient(quantised)) ** 2)
        x = z + jax.lax.stop_gradient(quantised - z)
        x = nn.ConvTranspose(images.shape[-1], (3, 3), (2, 2))(nn.relu(nn.ConvTranspose(self.width, (3, 3), (2, 2))(x)))
        return x[:, : images.shape[1], : images.shape[2]], commitment


class VQVAE(jaxad.NetworkRecipe):
    codes: int = 64
    width: int = 32
    epochs: int = 20

    def model(self, shape):
        return Net(self.codes, self.width)

    def loss(self, model, variables, batch, key):
        (x_hat, commitment), changed = model.apply(variables, batch, train=True, mutable=["codebook"])
        return jnp.mean((batch - x_hat) ** 2) + commitment, changed, {"commitment": commitment}

    def score(self, model, variables, images):
        return jnp.mean((images - model.apply(variables, images)[0]) ** 2, axis=-1)
