"""A memory of normal rows, as in PatchCore: few that lie close to all, and how much a near one means.

Roth et al., "Towards total recall in industrial anomaly detection", arXiv:2106.08265. Rows are float32 `[n, d]`, finite
and within 1e9 of zero, for they are squared. The nearest rows of a memory are found by `jaxad.linear.nearest`.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxad._check import InputError, need_at_least, need_floats
from jaxad._types import AnyArray

Rows = Float[AnyArray, "n d"]


def choose_spread(rows: Rows, *, count: int, first: int | None = None) -> Int[Array, " count"]:
    """Places `[count]` of rows `[n, d]` that cover the others: each time the one furthest from all chosen before.

    The greedy k-centre coreset (algorithm 1 of the paper above): no row is further from a chosen one than twice what
    the best choice of so many rows allows. Of rows that are equally far the first is taken.

    Args:
        rows: `[n, d]`; distances of rows projected to fewer numbers are nearly the same, and faster.
        count: how many to choose, at most n.
        first: place of the row to begin with, by default the one nearest to the mean: the others lie at the rim, so
            that of chance in the place of this one much would depend.

    Raises:
        InputError: no float rows, fewer than `count`, or no row at `first`.

    >>> choose_spread(jnp.array([[0.0], [1.0], [9.0]]), count=2).tolist()
    [1, 2]
    """
    need_floats(rows, "n d", what="rows")
    n = rows.shape[0]
    need_at_least(count, 1, what="count of rows")
    if count > n:
        raise InputError(f"{count} rows are to be chosen, and there are {n}; choose fewer, or use more normal images")
    if first is not None and not 0 <= first < n:
        raise InputError(f"the first row must be one of the {n} rows, 0 to {n - 1}, got {first}")
    return _choose_spread(rows, count, first)


@partial(jax.jit, static_argnums=1)
def _choose_spread(rows: Rows, count: int, first: Int[Array, ""] | int | None) -> Int[Array, " count"]:
    rows = jnp.asarray(rows)
    # Away from zero the squares below would be small differences of large numbers.
    rows = rows - jnp.mean(rows, axis=0)[None]
    squares = jnp.sum(rows**2, axis=1)
    begin = jnp.argmin(squares) if first is None else jnp.asarray(first)

    def nearer(distances: Array, place: Array) -> Array:
        products = jnp.matmul(rows, rows[place], precision=jax.lax.Precision.HIGHEST)
        # A row that was chosen is never the furthest, whatever its distance to itself is rounded to.
        found = jnp.maximum(squares + squares[place] - 2 * products, 0.0)
        return jnp.minimum(distances, found).at[place].set(-1.0)

    def step(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        distances, chosen = state
        place = jnp.argmax(distances)
        return nearer(distances, place), chosen.at[i].set(place)

    distances = nearer(jnp.full(rows.shape[0], jnp.inf, rows.dtype), begin)
    chosen = jnp.zeros(count, begin.dtype).at[0].set(begin)
    return jax.lax.fori_loop(1, count, step, (distances, chosen))[1]


def reweigh(nearest: Float[AnyArray, " n"], around: Float[AnyArray, "n k"], *, dimensions: int) -> Float[Array, " n"]:
    """Distances `[n]` to the nearest row of a memory, made larger where that row is itself a lonely one: `[n]`.

    Equation 7 of the paper above, with distances over the square root of the numbers in a row, as in its authors' code:
    without that the exponentials of long rows all vanish against the largest.

    Args:
        nearest: distance of each row to the memory's nearest row.
        around: distances of the same row to the k rows of the memory that are nearest to that one, itself among them.
        dimensions: numbers in a row.

    Raises:
        InputError: no float distances, or of other rows.
    """
    need_floats(nearest, "n", what="distances")
    need_floats(around, "n k", what="distances around")
    need_at_least(dimensions, 1, what="dimensions")
    if nearest.shape[0] != around.shape[0]:
        raise InputError(f"distances must be of the same rows, got {nearest.shape[0]} and {around.shape[0]}")
    scale = jnp.sqrt(jnp.asarray(dimensions, jnp.float32))
    # In logarithms, so that no exponential is too large.
    share = jnp.exp(jnp.asarray(nearest) / scale - jax.nn.logsumexp(jnp.asarray(around) / scale, axis=1))
    return (1 - share) * jnp.asarray(nearest)
