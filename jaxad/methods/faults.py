"""What can be wrong with a trained network although its loss looks well, as sentences."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad.losses import divergence

DEAD = 1e-6
"""A code unit that varies less than this over the training images says nothing of them."""
COLLAPSED = 0.01
"""Nats: a latent dimension below this carries no information."""


def dead_code(codes: Float[np.ndarray, "n z"]) -> Sequence[str]:
    """Whether half of the units of the codes `[n, z]` or more say nothing of the images."""
    dead = int(np.count_nonzero(codes.std(axis=0) < DEAD))
    if len(codes) < 2 or 2 * dead < codes.shape[1]:
        return ()
    return (
        f"dead code: {dead} of {codes.shape[1]} code units give the same number for every image; "
        "train with another seed or a linear code",
    )


def collapsed_posterior(z_mean: Float[Array, "n z"], z_log_variance: Float[Array, "n z"]) -> Sequence[str]:
    """Whether every latent dimension of the codes `[n, z]` is as the prior has it."""
    # `divergence` sums the last axis, so each latent dimension goes in as codes of one entry.
    columns = (code.T[..., None] for code in (z_mean, z_log_variance))
    each = [float(value) for value in jnp.mean(jax.vmap(divergence)(*columns), axis=1)]
    if max(each) >= COLLAPSED:
        return ()
    shown = ", ".join(f"{value:.4f}" for value in each)
    return (
        f"collapsed posterior: the divergence is {shown} nats in the latent dimensions, so the code says "
        "nothing of the image; train longer, or with another seed",
    )


def blind_reconstruction(seen: Float[np.ndarray, "n h w c"], made: Float[np.ndarray, "n h w c"]) -> Sequence[str]:
    """Whether what is made of images `[n, h, w, c]` is further from them than their mean is."""
    error, spread = float(np.mean((seen - made) ** 2)), float(np.mean(seen.var(axis=0)))
    if not error > spread > 0:
        return ()
    return (
        f"blind reconstruction: its squared error is {error:.4g} a pixel, but {spread:.4g} for the mean of the "
        "training images, so it says less than one fixed picture; lower the learning rate, or train with another seed",
    )
