"""Scores in units of what is usual among normal images; fitted on normal images that the model was not trained on.

Maps are float32 `[n, h, w]`. A calibrated score has no unit and is not clamped: 0 is usual, 3 is three deviations up.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._check import InputError
from jaxad._types import AnyArray, Maps

TINY = 1e-12


class Usual(NamedTuple):
    """What is usual at every position; a pytree."""

    mean: Float[Array, "h w"]
    deviation: Float[Array, "h w"]
    """Standard deviation, plus a share of its mean over the positions."""


def fit_usual(maps: Maps, *, softening: float = 0.1) -> Usual:
    """Mean and deviation at every position of the maps `[n, h, w]` of held-out normal images.

    Args:
        maps: at least two, all of one size.
        softening: this share of the mean deviation is added everywhere, so that a position where normal images hardly
            differ (an empty corner) does not turn a speck into an alarm.

    Raises:
        InputError: fewer than two maps, or a softening that is not positive.
    """
    if maps.shape[0] < 2:
        raise InputError(f"calibration needs at least 2 held-out normal images, got {maps.shape[0]}; hold out more")
    if not softening > 0:
        raise InputError(f"softening must be positive, got {softening}")
    deviation = jnp.std(jnp.asarray(maps), axis=0, ddof=1)
    softened = deviation + softening * jnp.mean(deviation)
    # Normal images that all score the same leave no unit: then the score keeps its own.
    return Usual(jnp.mean(maps, axis=0), jnp.where(jnp.mean(deviation) > TINY, softened, 1.0))


def unusualness(maps: Maps, usual: Usual) -> Float[Array, "n h w"]:
    """Deviations above the usual at every position of maps `[n, h, w]` of the size that `usual` was fitted on.

    Raises:
        InputError: maps of another size, whose positions are not those that were seen.
    """
    if tuple(maps.shape[1:]) != tuple(usual.mean.shape):
        raise InputError(
            f"calibrated maps must be {' x '.join(map(str, usual.mean.shape))} pixels, as those it was fitted on; "
            f"got {' x '.join(map(str, maps.shape[1:]))}: resize the images, or use a recipe without calibration"
        )
    return (jnp.asarray(maps) - usual.mean[None]) / usual.deviation[None]


def pool(maps: Maps, *, share: float) -> Float[Array, " n"]:
    """Mean of the highest `share` of the pixels of each map `[n, h, w]`, at least one: `[n]`.

    A share of 1 is the mean, and a share near 0 the maximum.

    Raises:
        InputError: a share outside (0, 1].

    >>> pool(jnp.arange(8.0).reshape(1, 2, 4), share=0.25).tolist()
    [6.5]
    """
    if not 0 < share <= 1:
        raise InputError(f"share must lie in (0, 1], got {share}")
    flat = jnp.asarray(maps).reshape(maps.shape[0], -1)
    count = max(1, round(share * flat.shape[1]))
    return jnp.mean(flat if count == flat.shape[1] else jax.lax.top_k(flat, count)[0], axis=1)


class Unit(NamedTuple):
    """What is usual of one kind of score, wherever it stands; a pytree of two numbers."""

    mean: Float[Array, ""]
    deviation: Float[Array, ""]


def fit_unit(normal: Float[AnyArray, "..."]) -> Unit:
    """Mean and standard deviation over all of the scores `[...]` of held-out normal images; at least two.

    Where all are the same there is no unit, and the deviation is 1: then scores keep their own.

    Raises:
        InputError: fewer than two scores.
    """
    if normal.size < 2:
        raise InputError(f"a unit needs at least 2 held-out normal scores, got {normal.size}; hold out more")
    deviation = jnp.std(jnp.asarray(normal), ddof=1)
    return Unit(jnp.mean(normal), jnp.where(deviation > TINY, deviation, 1.0))


def in_unit(scores: Float[AnyArray, "*any"], unit: Unit) -> Float[Array, "*any"]:
    """Deviations above the usual of scores `[...]`, so that those of different detectors may be added: `[...]`.

    >>> in_unit(jnp.array([1.0, 7.0]), fit_unit(jnp.array([0.0, 2.0, 1.0]))).tolist()
    [0.0, 6.0]
    """
    return (jnp.asarray(scores) - unit.mean) / unit.deviation
