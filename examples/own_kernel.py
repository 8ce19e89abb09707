"""Your own kernel: any function of windows becomes an anomaly map of images of any size: `python own_kernel.py`."""

import jax
import jax.numpy as jnp

import jaxad

good = jaxad.datasets.textures("brick", "train", size=64, count=32).images
test = jaxad.datasets.textures("brick", "test", size=64, count=16)
layout = {"size": (8, 8), "stride": (2, 2)}


def statistics(windows):
    """Mean and log variance of windows [k, 8, 8, c]: [k, 2]."""
    return jnp.stack([windows.mean((1, 2, 3)), jnp.log(windows.var((1, 2, 3)) + 1e-4)], axis=-1)


windows = jaxad.patches.random_crops(jax.random.key(0), good, count=4096, size=layout["size"])
usual = statistics(windows)
mean, inverse = usual.mean(0), jnp.linalg.inv(jnp.cov(usual.T))


def distance(mean, inverse, windows):
    """Squared Mahalanobis distance of windows from the good ones: [k]."""
    off = statistics(windows) - mean
    return jnp.einsum("ki,ij,kj->k", off, inverse, off)


score_windows = jax.tree_util.Partial(distance, mean, inverse)  # arrays as arguments: compiled once for all of them
maps = jaxad.heatmaps.heatmap(score_windows, test.images, **layout)
print("maps", maps.shape, "AUROC", jaxad.metrics.auroc(test.labels, maps.max((1, 2))))

# It is a plain JAX function: differentiate it, to see what to change in an image to make it usual.
slope = jax.grad(lambda images: jaxad.heatmaps.heatmap(score_windows, images, **layout).sum())(test.images[:2])
print("gradient", slope.shape)
