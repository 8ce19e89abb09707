"""Models in closed form: principal components and nearest neighbours of rows of numbers; no gradient descent.

Rows are float32 `[n, d]`, finite and within 1e9 of zero, for they are squared. A score is one number a row, `[n]`, and
higher is further from the normal rows.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad._check import InputError, need_at_least, need_floats
from jaxad._types import AnyArray

Rows = Float[Array | np.ndarray, "n d"]
Bank = Float[Array | np.ndarray, "m d"]
CHUNK = 2**24
"""Numbers of one block of distances."""
TINY = 1e-12
"""Least variance that divides."""


class Components(NamedTuple):
    """A normal distribution with few free directions; a pytree."""

    mean: Float[Array | np.ndarray, " d"]
    directions: Float[Array | np.ndarray, "d k"]
    """Orthonormal columns, those of most variance first."""
    variances: Float[Array | np.ndarray, " k"]
    """Variance along each direction."""
    noise: Float[Array | np.ndarray, ""]
    """Mean variance along all other directions."""


def fit_components(rows: Rows, *, count: int) -> Components:
    """Principal components with their variances, as probabilistic PCA sees them.

    Tipping & Bishop, "Probabilistic principal component analysis", J. R. Statist. Soc. B 61(3), 1999, eq. 8.

    Args:
        rows: `[n, d]`, n at least 2.
        count: directions to keep, fewer than `min(n, d)`: with n rows only n - 1 directions have any variance.

    Raises:
        InputError: no float rows, fewer than two, or `count` out of range, with the count that would do.
    """
    need_floats(rows, "n d", what="rows")
    n, d = rows.shape
    if n < 2:
        raise InputError(f"principal components need at least 2 rows, got {n}; use more normal images")
    most = min(n, d) - 1
    if not 1 <= count <= most:
        raise InputError(
            f"{n} rows of {d} numbers have 1 to {most} principal components to keep, asked for {count}; "
            "use more normal images, or fewer components"
        )
    return _fit_components(rows, count)


@partial(jax.jit, static_argnums=1)
def _fit_components(rows: Rows, count: int) -> Components:
    n, d = rows.shape
    # Half floats have no eigenvectors.
    rows = jnp.asarray(rows)
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
    mean = jnp.mean(rows, axis=0)
    centred = rows - mean[None]
    # The smaller of the two Gram matrices has the same spectrum.
    wide = n < d
    gram = jnp.matmul(*((centred, centred.T) if wide else (centred.T, centred)), precision=jax.lax.Precision.HIGHEST)
    values, vectors = (part[..., ::-1] for part in jnp.linalg.eigh(gram / (n - 1)))
    values = jnp.maximum(values, 0.0)
    directions = vectors[:, :count]
    if wide:
        directions = centred.T @ directions
        directions = directions / jnp.maximum(
            jnp.linalg.norm(directions, axis=0, keepdims=True), jnp.finfo(jnp.float32).tiny
        )
    noise = jnp.sum(values[count:]) / (d - count)
    return Components(mean, directions, values[:count], noise)


def project(components: Components, rows: Rows) -> Float[Array, "n d"]:
    """The nearest point to each row `[n, d]` on the plane of the components, `[n, d]`: what they make of it.

    Raises:
        InputError: rows that are no floats, or of another length than those it was fitted on.
    """
    outside, _ = _outside(components, rows)
    return jnp.asarray(rows) - outside


def residual(components: Components, rows: Rows) -> Float[Array, " n"]:
    """Squared distance of each row `[n, d]` from the plane of the components, `[n]`, in squared units of the rows.

    Errors as for `project`.
    """
    return jnp.sum(_outside(components, rows)[0] ** 2, axis=-1)


def mahalanobis(components: Components, rows: Rows) -> Float[Array, " n"]:
    """Squared distance of each row `[n, d]` in units of the variance along its way, `[n]`, without unit.

    Twice the negative log-likelihood of probabilistic PCA, without its constant. Directions without variance count
    with a thousandth of the mean variance, so that a constant training set gives finite scores.
    Errors as for `project`.
    """
    outside, codes = _outside(components, rows)
    d, k = components.directions.shape
    total = jnp.sum(components.variances) + components.noise * (d - k)
    least = jnp.maximum(1e-3 * total / d, TINY)
    inside = jnp.sum(codes**2 / jnp.maximum(components.variances, least)[None], axis=-1)
    return inside + jnp.sum(outside**2, axis=-1) / jnp.maximum(components.noise, least)


def _outside(components: Components, rows: Rows) -> tuple[Array, Array]:
    """What the components leave of each row, and its code."""
    _need_rows(rows, components.mean.shape[0])
    centred = jnp.asarray(rows) - components.mean[None]
    codes = centred @ components.directions
    return centred - codes @ components.directions.T, codes


def whitening(covariance: Float[AnyArray, "d d"], *, count: int, floor: float = 0.01) -> Float[Array, "d count"]:
    """The matrix `[d, count]` by which rows of this covariance vary alike along their first principal components.

    The variances sum to 1. `count` is at most d; where it is more, all d components are taken.

    Args:
        covariance: `[d, d]`.
        count: components.
        floor: this share of the mean variance is added to every variance, so that components of noise stay small.

    Raises:
        InputError: no square float matrix, or `count` below 1.
    """
    need_floats(covariance, "d d", what="covariance")
    need_at_least(count, 1, what="count of components")
    if covariance.shape[0] != covariance.shape[1]:
        raise InputError(f"a covariance must be square, got {covariance.shape[0]} x {covariance.shape[1]}")
    covariance = jnp.asarray(covariance)
    values, vectors = jnp.linalg.eigh(covariance)
    # Rounding leaves small negative ones.
    values = jnp.maximum(values, 0.0)
    least = floor * jnp.mean(values) + TINY
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    scales = 1 / jnp.sqrt(values + least)
    variance = jnp.sum(values * scales**2)
    return vectors * (scales / jnp.sqrt(jnp.where(variance > TINY, variance, 1.0)))[None]


def nearest(bank: Bank, rows: Rows, *, count: int) -> tuple[Float[Array, "n k"], Array]:
    """Distances `[n, count]` from each row `[n, d]` to its nearest rows of the bank `[m, d]`, and their places there.

    Exact: every distance is computed, in blocks that fit in memory.

    Raises:
        InputError: `count` below 1, more neighbours than the bank has rows, or rows that are no floats, or of another
            length than those of the bank.
    """
    need_floats(bank, "m d", what="bank")
    _need_rows(rows, bank.shape[1])
    need_at_least(count, 1, what="neighbours")
    if count > bank.shape[0]:
        raise InputError(
            f"{count} neighbours asked for, but there are {bank.shape[0]} normal rows; use more, or fewer neighbours"
        )
    return _nearest(bank, rows, count)


def _need_rows(rows: Rows, length: int) -> None:
    need_floats(rows, "n d", what="rows")
    if rows.shape[1] != length:
        raise InputError(f"rows must hold {length} numbers each, as the normal ones, got {rows.shape[1]}")


@partial(jax.jit, static_argnums=2)
def _nearest(bank: Bank, rows: Rows, count: int) -> tuple[Float[Array, "n k"], Array]:
    bank = jnp.asarray(bank)
    lengths = jnp.sum(bank**2, axis=-1)

    def block(some: Array) -> tuple[Array, Array]:
        products = jnp.matmul(some, bank.T, precision=jax.lax.Precision.HIGHEST)
        squares = jnp.sum(some**2, axis=-1, keepdims=True) + lengths[None] - 2 * products
        if count == 1:
            # The first that is as near as the nearest: half the time of top_k, a third less than argmin on CPU.
            places = jnp.argmax(squares <= jnp.min(squares, axis=1, keepdims=True), axis=1)[:, None]
        else:
            # Without the barrier XLA turns a slice of the result into a sort of everything, 14 times slower on CPU.
            places = jax.lax.optimization_barrier(jax.lax.top_k(-squares, count)[1])
        # The squares choose; of near rows they are small differences of large numbers, so distances come from the rows.
        return jnp.linalg.norm(some[:, None] - bank[places], axis=-1), places

    rows = jnp.asarray(rows)
    size = max(1, CHUNK // bank.shape[0])
    if rows.shape[0] <= size:
        return block(rows)
    spare = -rows.shape[0] % size
    blocks = jnp.pad(rows, [(0, spare), (0, 0)]).reshape(-1, size, rows.shape[1])
    return jax.tree.map(lambda x: x.reshape(-1, count)[: rows.shape[0]], jax.lax.map(block, blocks))
