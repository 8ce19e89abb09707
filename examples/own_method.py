"""A method of one's own, checked, fitted, saved and loaded: `python own_method.py`.

On the command line: `jaxad fit DIR -o linear.jaxad --recipe own_method:Linear`.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

import jaxad
from jaxad.testing import check_recipe


class Linear(jaxad.NetworkRecipe):
    width: int = 8
    epochs: int = 20

    def model(self, shape):
        return nn.Sequential([nn.Dense(self.width), nn.Dense(shape[-1])])

    def loss(self, model, variables, batch, key):
        return jnp.mean((batch - model.apply(variables, batch)) ** 2), {}, {}

    def score(self, model, variables, images):
        return jnp.mean((images - model.apply(variables, images)) ** 2, axis=-1)


if __name__ == "__main__":
    check_recipe(Linear(epochs=1))
    good = jaxad.datasets.textures("brick", "train", size=32, count=32).images
    detector, history = jaxad.fit(jax.random.key(0), Linear(width=4), good)
    print("loss", history.terms["loss"][0], "to", history.terms["loss"][-1])
    detector.save("linear.jaxad")
    print(jaxad.load("linear.jaxad").score(good[:3]))
