"""How maps of pixels become scores of images: by their mean, their maximum, or the mean of their highest share.

Maps are float32 `[n, h, w]`; pixels count `where` that is True, `[n, h, w]`, by default everywhere.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxad._check import InputError, need_floats
from jaxad._types import AnyArray, Maps

SHARES = {"top": 0.1, "high": 0.05, "peak": 0.01}
"""Share of the highest pixels that a pool averages."""


def pool(maps: Maps, *, share: float, where: Bool[AnyArray, "n h w"] | None = None) -> Float[Array, " n"]:
    """Mean of the highest `share` of the pixels of each map `[n, h, w]`, at least one: `[n]`.

    A share of 1 is the mean, and a share near 0 the maximum. Pixels count `where` that is True, by default everywhere.

    Raises:
        InputError: a share outside (0, 1], no float maps, or no pixel that counts, where that can be seen.

    >>> pool(jnp.arange(8.0).reshape(1, 2, 4), share=0.25).tolist()
    [6.5]
    """
    if not 0 < share <= 1:
        raise InputError(f"share must lie in (0, 1], got {share}")
    need_floats(maps, "n h w", what="maps")
    flat = jnp.asarray(maps).reshape(maps.shape[0], -1)
    if isinstance(where, np.ndarray) and not where.any(axis=(1, 2)).all():
        raise InputError("where must be True somewhere in each map; leave out maps without a pixel that counts")
    if isinstance(where, np.ndarray) and where.shape[0] == 1:
        flat, where = flat[:, np.flatnonzero(where)], None
    if where is not None:
        return _pool_where(flat, jnp.asarray(where).reshape(flat.shape), share)
    count = max(1, round(share * flat.shape[1]))
    if count == flat.shape[1]:
        return jnp.mean(flat, axis=1)
    # Pixels that are no numbers come first or last, as their sign has it.
    return jnp.where(jnp.any(jnp.isnan(flat), axis=1), jnp.nan, jnp.mean(jax.lax.top_k(flat, count)[0], axis=1))


def _pool_where(flat: Float[Array, "n k"], where: Bool[Array, "n k"], share: float) -> Float[Array, " n"]:
    """The same where the count of pixels is known on the device alone: the least that counts is found bit by bit."""
    bits = jax.lax.bitcast_convert_type(flat.astype(jnp.float32), jnp.uint32)
    # Whole numbers in the order of the floats: those of negative floats fall where the others rise.
    order = jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(2**31))
    count = jnp.maximum(1, jnp.round(share * jnp.sum(where, axis=1)).astype(jnp.int32))

    def add_bit(i: Array, least: Array) -> Array:
        tried = least | (jnp.uint32(2**31) >> i.astype(jnp.uint32))
        reached = jnp.sum(where & (order >= tried[:, None]), axis=1)
        return jnp.where(reached >= count, tried, least)

    least = jax.lax.fori_loop(0, 32, add_bit, jnp.zeros(len(flat), jnp.uint32))
    above = where & (order > least[:, None])
    # Pixels that are equal to the least one share what is left of the count.
    lowest = jnp.min(flat, axis=1, where=where & (order >= least[:, None]), initial=jnp.inf)
    some = count - jnp.sum(above, axis=1)
    pooled = (jnp.sum(flat, axis=1, where=above) + some * lowest) / count
    return jnp.where(jnp.any(jnp.isnan(flat) & where, axis=1), jnp.nan, pooled)


def highest(maps: Maps, *, where: Bool[AnyArray, "n h w"] | None = None) -> Float[Array, " n"]:
    """The largest score of each map `[n, h, w]`: `[n]`; not a number where one pixel is none, which XLA may hide."""
    largest = jnp.max(maps, axis=(1, 2), initial=-jnp.inf, where=where)
    none = jnp.isnan(maps) if where is None else jnp.isnan(maps) & where
    return jnp.where(jnp.any(none, axis=(1, 2)), jnp.nan, largest)


POOLS: dict[str, Callable[..., Array]] = {
    "mean": partial(jnp.mean, axis=(1, 2)),
    "max": highest,
    **{name: partial(pool, share=share) for name, share in SHARES.items()},
}
"""How maps `[n, h, w]` become scores `[n]`, with `where` of the pixels that count, `[n, h, w]`."""


def whole_score(
    name: str,
    values: Sequence[float],
    counts: Sequence[int],
    score_map: Float[np.ndarray, "h w"],
    counted: Bool[np.ndarray, "h w"] | None,
) -> float:
    """The pooled score of a map `[h, w]` of which parts were pooled; on the host.

    Args:
        name: of the pool, one of `POOLS`.
        values: what it made of each part.
        counts: how many pixels those were.
        score_map: the map, put together.
        counted: where its pixels count; by default everywhere.
    """
    if name in SHARES:
        pixels = score_map.ravel() if counted is None else score_map[counted]
        most = max(1, round(SHARES[name] * pixels.size))
        return float(np.mean(np.partition(pixels, -most)[-most:]))
    seen, weights = np.array([(value, count) for value, count in zip(values, counts, strict=True) if count]).T
    return float(seen.max() if name == "max" else np.average(seen, weights=weights))
