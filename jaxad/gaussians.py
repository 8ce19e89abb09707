"""A normal distribution at every position, as in PaDiM: what rows of numbers usually are there, and how far one is off.

Defard et al., "PaDiM: a patch distribution modeling framework", arXiv:2011.08785. Rows are float32 `[n, positions, d]`,
finite and within 1e9 of zero, for they are squared.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad import linear
from jaxad._check import InputError, need_floats
from jaxad._floats import at_least_single, is_rounding, root
from jaxad._types import AnyArray


class Gaussians(NamedTuple):
    """A normal distribution at every position; a pytree."""

    mean: Float[AnyArray, "positions d"]
    whitening: Float[AnyArray, "positions d d"]
    """What turns deviations from the mean, as columns, into uncorrelated ones of variance 1: the inverse of the
    covariance's Cholesky factor."""


def fit_gaussians(rows: Float[AnyArray, "n positions d"]) -> Gaussians:
    """Mean and covariance at every position of normal rows `[n, positions, d]`, each covariance shrunk.

    Shrunk towards the multiple of the unit matrix of the same trace, by as much as its own error asks for: Ledoit &
    Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis 88, 2004.
    So it can be inverted whatever the count of rows. Where all rows of a position are the same, variances are 1.

    Raises:
        InputError: no float rows, or fewer than two at each position.
    """
    need_floats(rows, "n positions d", what="rows")
    if rows.shape[0] < 2:
        raise InputError(f"a covariance needs at least 2 normal rows, got {rows.shape[0]}; use more normal images")
    return _fit_gaussians(rows)


@jax.jit
def _fit_gaussians(rows: Float[AnyArray, "n positions d"]) -> Gaussians:
    def fit(some: Float[Array, "n d"]) -> tuple[Array, Array]:
        n, d = some.shape
        mean = jnp.mean(some, axis=0)
        centred = some - mean[None]
        covariance = jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST) / n
        level = jnp.trace(covariance) / d
        share = linear.shrinkage(jnp.sum(centred**2, axis=1), squares=jnp.sum(covariance**2), level=level, length=d)
        share = jnp.maximum(share, LEAST)
        shrunk = (1 - share) * covariance + share * level * jnp.eye(d, dtype=some.dtype)
        shrunk = jnp.where(is_rounding(jnp.sqrt(level), some), jnp.eye(d, dtype=some.dtype), shrunk)
        factor = jnp.linalg.cholesky(shrunk)
        whitening = jax.scipy.linalg.solve_triangular(factor, jnp.eye(d, dtype=some.dtype), lower=True)
        return mean, whitening

    return Gaussians(*jax.lax.map(fit, at_least_single(rows).transpose(1, 0, 2)))


LEAST = 1e-4
"""Least share of the unit matrix: below it the smallest variance would be rounding."""


def mahalanobis(gaussians: Gaussians, rows: Float[AnyArray, "n positions d"]) -> Float[Array, "n positions"]:
    """The Mahalanobis distance of each row `[n, positions, d]` to what is normal at its position: `[n, positions]`.

    Raises:
        InputError: no float rows, or rows of other positions or lengths than those that were fitted.
    """
    need_floats(rows, "n positions d", what="rows")
    if tuple(rows.shape[1:]) != tuple(gaussians.mean.shape):
        wanted, got = (" x ".join(map(str, shape)) for shape in (gaussians.mean.shape, rows.shape[1:]))
        raise InputError(f"rows must be of {wanted} (positions x numbers), as those that were fitted, got {got}")
    centred = jnp.asarray(rows) - gaussians.mean[None]
    white = jnp.einsum("pij,npj->npi", gaussians.whitening, centred, precision=jax.lax.Precision.HIGHEST)
    return root(jnp.sum(white**2, axis=-1))
