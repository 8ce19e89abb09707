"""A closed form: how far each pixel is from what normal images show there, in their deviations.

jaxad fit DIR -o template.jaxad --recipe template:Template --set softening=0.1
jaxad score template.jaxad DIR -o scored --import template
"""

import jax.numpy as jnp

import jaxad


class Template(jaxad.SolvedRecipe):
    softening: float = 0.05
    pool: str = "top"

    def solve(self, images):
        deviation = jnp.std(images, axis=0)
        return {"mean": jnp.mean(images, axis=0), "deviation": deviation + self.softening * jnp.mean(deviation)}

    def score(self, variables, images):
        deviations = (images - variables["mean"][None]) / variables["deviation"][None]
        return jnp.mean(jnp.abs(deviations), axis=-1)
