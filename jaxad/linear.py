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
from jaxad._floats import at_least_single, root
from jaxad._types import AnyArray

Rows = Float[Array | np.ndarray, "n d"]
Bank = Float[Array | np.ndarray, "m d"]
CPU_BLOCK, BLOCK = 2**20, 2**24
"""Numbers of one block of distances: on CPU they stay in its cache."""
GROUP = 64
"""Rows of a bank of which the least distance is found first."""
TINY = 1e-12
"""Least variance that divides."""


class Components(NamedTuple):
    """A normal distribution with few free directions; a pytree."""

    mean: Float[Array | np.ndarray, " d"]
    directions: Float[Array | np.ndarray, "d k"]
    """Orthonormal columns, those of most variance first; zeros for those along which no row lies."""
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
            f"{n} rows of {d} numbers have at most {most} principal components to keep, asked for {count}; "
            "use more normal images, or fewer components (count)"
        )
    return _fit_components(rows, count)


@partial(jax.jit, static_argnums=1)
def _fit_components(rows: Rows, count: int) -> Components:
    n, d = rows.shape
    rows = at_least_single(rows)
    mean = jnp.mean(rows, axis=0)
    centred = rows - mean[None]
    # The smaller of the two Gram matrices has the same spectrum.
    wide = n < d
    gram = jnp.matmul(*((centred, centred.T) if wide else (centred.T, centred)), precision=jax.lax.Precision.HIGHEST)
    values, vectors = (part[..., ::-1] for part in jnp.linalg.eigh(gram / (n - 1)))
    values = jnp.maximum(values, 0.0)
    directions = vectors[:, :count]
    if wide:
        directions = jnp.matmul(centred.T, directions, precision=jax.lax.Precision.HIGHEST)
        lengths = jnp.linalg.norm(directions, axis=0, keepdims=True)
        # Where rows do not vary, as where some occur twice, this is rounding and at right angles to nothing.
        varied = values[None, :count] > n * jnp.finfo(rows.dtype).eps * values[:1, None]
        directions = jnp.where(varied, directions / jnp.where(varied, lengths, 1.0), 0.0)
    noise = jnp.sum(values[count:]) / (d - count)
    return Components(mean, directions, values[:count], noise)


def project(components: Components, rows: Rows) -> Float[Array, "n d"]:
    """The nearest point to each row `[n, d]` on the plane of the components, `[n, d]`: what they make of it.

    Raises:
        InputError: rows that are no floats, or of another length than those it was fitted on.
    """
    outside, _ = parts(components, rows)
    return jnp.asarray(rows) - outside


def residual(components: Components, rows: Rows) -> Float[Array, " n"]:
    """Squared distance of each row `[n, d]` from the plane of the components, `[n]`, in squared units of the rows.

    Errors as for `project`.
    """
    return residual_of(components, *parts(components, rows))


def mahalanobis(components: Components, rows: Rows) -> Float[Array, " n"]:
    """Squared distance of each row `[n, d]` in units of the variance along its way, `[n]`, without unit.

    Twice the negative log-likelihood of probabilistic PCA, without its constant. Directions without variance count
    with a thousandth of the mean variance, so that a constant training set gives finite scores.
    Errors as for `project`.
    """
    return mahalanobis_of(components, *parts(components, rows))


def residual_of(components: Components, outside: Float[Array, "... d"], codes: Float[Array, "... k"]) -> Array:
    """The residual `[...]` of rows of which the components leave `[..., d]`; their codes do not count."""
    return jnp.sum(outside**2, axis=-1)


def mahalanobis_of(components: Components, outside: Float[Array, "... d"], codes: Float[Array, "... k"]) -> Array:
    """The Mahalanobis distance `[...]` of rows with codes `[..., k]`, of which the components leave `[..., d]`."""
    d, k = components.directions.shape
    total = jnp.sum(components.variances) + components.noise * (d - k)
    least = jnp.maximum(1e-3 * total / d, TINY)
    inside = jnp.sum(codes**2 / jnp.broadcast_to(jnp.maximum(components.variances, least), codes.shape), axis=-1)
    return inside + jnp.sum(outside**2, axis=-1) / jnp.maximum(components.noise, least)


def parts(components: Components, rows: Rows) -> tuple[Float[Array, "n d"], Float[Array, "n k"]]:
    """What the components leave of each row `[n, d]`, and its code `[n, k]`: the row without its mean, in two parts.

    Errors as for `project`.
    """
    _need_rows(rows, components.mean.shape[0])
    centred = jnp.asarray(rows) - components.mean[None]
    codes = centred @ components.directions
    return centred - codes @ components.directions.T, codes


def shrinkage(
    sizes: Float[AnyArray, " n"], *, squares: Float[AnyArray, ""], level: Float[AnyArray, ""], length: int
) -> Float[Array, ""]:
    """By how much a covariance of rows is drawn towards the mean variance, as its own error asks for: in [0, 1].

    Ledoit & Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis
    88, 2004, sect. 3.3; 1 where all directions have the same variance.

    Args:
        sizes: squared lengths of the n rows, without their mean.
        squares: sum of the squares of the covariance's entries, or of its variances along principal components.
        level: the mean variance.
        length: of a row.

    Raises:
        InputError: no float lengths.
    """
    need_floats(sizes, "n", what="squared lengths")
    apart = squares - length * level**2
    # The mean squared distance of each row's own product to the covariance, over the count of rows.
    error = (jnp.mean(sizes**2) - squares) / len(sizes)
    return jnp.where(apart > 0, jnp.clip(error / jnp.where(apart > 0, apart, 1.0), 0.0, 1.0), 1.0)


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
    values, vectors = jnp.linalg.eigh(at_least_single(covariance))
    # Rounding leaves small negative ones.
    values = jnp.maximum(values, 0.0)
    least = floor * jnp.mean(values) + TINY
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    scales = 1 / jnp.sqrt(values + least)
    variance = jnp.sum(values * scales**2)
    return vectors * (scales / jnp.sqrt(jnp.where(variance > TINY, variance, 1.0)))[None]


def nearest(bank: Bank, rows: Rows, *, count: int) -> tuple[Float[Array, "n k"], Array]:
    """Distances `[n, count]` from each row `[n, d]` to its nearest rows of the bank `[m, d]`, and their places there.

    Every distance is computed, in blocks that fit in memory, and those that are returned are exact. Of rows that are as
    near to within a millionth of the bank's own squared width, rounding may choose.

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
    search = partial(_search, count=count)
    cpu, default = (partial(search, size=numbers) for numbers in (CPU_BLOCK, BLOCK))
    return jax.lax.platform_dependent(jnp.asarray(bank), jnp.asarray(rows), cpu=cpu, default=default)


def _search(bank: Array, rows: Array, *, count: int, size: int) -> tuple[Array, Array]:
    """What `nearest` returns, from blocks of so many distances."""
    m, d = bank.shape
    # Away from zero, as images of one scene are, the squares below would be small differences of large numbers. Less
    # one of the rows, and not less their mean, whole numbers stay whole, and rows that are equally near remain so; a
    # middle one among the first is found at once.
    first = bank[:GROUP]
    middle = first[jnp.argmin(jnp.sum((first - jnp.mean(first, axis=0)[None]) ** 2, axis=1))][None]
    centred = bank - middle
    # Squared distances less the length of the row asked for, which orders them as well, are one product.
    table = jnp.concatenate([-2 * centred, jnp.sum(centred**2, axis=-1, keepdims=True)], axis=1)
    spare, far = -m % GROUP, float(jnp.finfo(bank.dtype).max) / 4
    rest = jnp.concatenate([jnp.zeros((spare, d), bank.dtype), jnp.full((spare, 1), far, bank.dtype)], axis=1)
    table = jnp.concatenate([table, rest])

    def block(some: Array) -> tuple[Array, Array]:
        with_one = jnp.concatenate([some - middle, jnp.ones((len(some), 1), some.dtype)], axis=1)
        squares = jnp.matmul(with_one, table.T, precision=jax.lax.Precision.HIGHEST)
        places = _smallest(squares, count)
        # The squares choose; of near rows they are rounded all the same, so distances come from the rows.
        return root(jnp.sum((some[:, None] - bank[places]) ** 2, axis=-1)), places

    size = max(1, size // m)
    if rows.shape[0] <= size:
        return block(rows)
    spare = -rows.shape[0] % size
    blocks = jnp.pad(rows, [(0, spare), (0, 0)]).reshape(-1, size, d)
    return jax.tree.map(lambda x: x.reshape(-1, count)[: rows.shape[0]], jax.lax.map(block, blocks))


def _smallest(numbers: Float[Array, "n m"], count: int) -> Array:
    """Places `[n, count]` of the smallest numbers of each row, the first of equal ones; m is a multiple of `GROUP`.

    They lie in the `count` groups whose smallest are the smallest: only there every number is looked at again.
    """
    groups = numbers.reshape(len(numbers), -1, GROUP)
    chosen = jnp.sort(_first(jnp.min(groups, axis=2), min(count, groups.shape[1])), axis=1)
    found = jnp.take_along_axis(groups, chosen[:, :, None], axis=1).reshape(len(numbers), -1)
    places = _first(found, count)
    return jnp.take_along_axis(chosen, places // GROUP, axis=1) * GROUP + places % GROUP


def _first(numbers: Float[Array, "n m"], count: int) -> Array:
    # Without the barrier XLA turns a slice of the result into a sort of everything, 14 times slower on CPU.
    return jax.lax.optimization_barrier(jax.lax.top_k(-numbers, count)[1])
