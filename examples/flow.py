"""A normalising flow on windows, scored by likelihood: images of any size, by the same kernel as jaxad's own.

    jaxad fit DIR -o flow.jaxad --recipe flow:Flow
    jaxad score flow.jaxad DIR -o scored --import flow

Dinh et al., "Density estimation using Real NVP", 2017.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

import jaxad


class Couplings(nn.Module):
    layers: int
    width: int

    @nn.compact
    def __call__(self, windows):
        x = windows.reshape(len(windows), -1) * 4 - 2
        size, log_det = x.shape[1], 0.0
        for layer in range(self.layers):
            seen, moved = x[:, layer % 2 :: 2], x[:, 1 - layer % 2 :: 2]
            hidden = nn.relu(nn.Dense(self.width)(seen))
            scale, shift = jnp.split(nn.Dense(2 * moved.shape[1], kernel_init=nn.initializers.zeros)(hidden), 2, axis=1)
            scale = jnp.tanh(scale)
            x = x.at[:, 1 - layer % 2 :: 2].set(moved * jnp.exp(scale) + shift)
            log_det = log_det + scale.sum(1)
        return (0.5 * jnp.sum(x**2, axis=1) - log_det) / size  # nats a number


class Flow(jaxad.NetworkRecipe):
    side: int = 8
    stride: int = 2
    layers: int = 6
    width: int = 64
    crops: int = 20_000
    epochs: int = 5
    pool: str = "max"

    reach = property(lambda self: self.side - 1)
    step = property(lambda self: self.stride)
    least_size = property(lambda self: (self.side, self.side))

    def model(self, shape):
        return Couplings(self.layers, self.width)

    def examples(self, key, images):
        return jaxad.patches.random_crops(key, images, count=self.crops, size=(self.side, self.side))

    def loss(self, model, variables, batch, key):
        return jnp.mean(model.apply(variables, batch)), {}, {}

    def score(self, model, variables, images, extent=None):
        score_windows = jax.tree_util.Partial(model.apply, variables)
        sizes = {"size": (self.side, self.side), "stride": (self.stride, self.stride)}
        return jaxad.heatmaps.heatmap(score_windows, images, **sizes, extent=extent)
