"""Variables of a network, drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np


def drawn_variables(model, seed):
    """Weights, biases and statistics as training might leave them."""
    draw = np.random.default_rng(seed)
    limits = {"scale": (-1, 2), "var": (0.1, 2)}
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *model.window, model.channels)))

    def drawn(path, leaf):
        return draw.uniform(*limits.get(path[-1].key, (-1, 1)), leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(drawn, shapes)
