"""A denoising autoencoder with augmentation and an optimiser of its own.

    jaxad fit DIR -o denoising.jaxad --recipe denoising:Denoising --set noise=0.3
    jaxad score denoising.jaxad DIR -o scored --import denoising

Vincent et al., "Extracting and composing robust features with denoising autoencoders", 2008.
"""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

import jaxad


class Net(nn.Module):
    width: int

    @nn.compact
    def __call__(self, images):
        x = nn.gelu(nn.Conv(self.width, (3, 3), 2)(images))
        x = nn.gelu(nn.Conv(2 * self.width, (3, 3), 2)(x))
        x = nn.gelu(nn.ConvTranspose(self.width, (3, 3), (2, 2))(x))
        x = nn.ConvTranspose(images.shape[-1], (3, 3), (2, 2))(x)
        return x[:, : images.shape[1], : images.shape[2]]


class Denoising(jaxad.NetworkRecipe):
    width: int = 16
    noise: float = 0.2
    epochs: int = 20

    def model(self, shape):
        return Net(self.width)

    def optimizer(self, *, updates):
        rate = optax.warmup_cosine_decay_schedule(0.0, 3e-3, updates // 10, updates)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-4))

    def loss(self, model, variables, batch, key):
        noise_key, turn_key = jax.random.split(key)
        turned = jax.random.bernoulli(turn_key, shape=(len(batch), 1, 1, 1))
        batch = jnp.where(turned, batch[:, :, ::-1], batch)
        noisy = batch + self.noise * jax.random.normal(noise_key, batch.shape)
        return jnp.mean((batch - model.apply(variables, noisy)) ** 2), {}, {}

    def score(self, model, variables, images):
        return jnp.mean((images - model.apply(variables, images)) ** 2, axis=-1)
