"""Scores in units of what is usual among normal images; fitted on normal images that the model was not trained on.

Maps are float32 `[n, h, w]`, finite and within 1e9 of zero, for they are squared. A calibrated score has no unit and is
not clamped: 0 is usual, 3 is three deviations up.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxad._check import InputError, need_at_least, need_floats
from jaxad._floats import at_least_single, is_rounding, root
from jaxad._types import AnyArray, Maps

ROUNDING = 1e-5
FEWEST = 3
"""Maps that tell what is usual, at least."""
SOFTENING = 0.1
"""Share of the mean deviation that is added to that of every position."""


class Usual(NamedTuple):
    """What is usual at every position; a pytree."""

    mean: Float[Array, "h w"]
    deviation: Float[Array, "h w"]
    """Standard deviation, plus a share of its mean over the positions."""


class Trust(NamedTuple):
    """Shrinkage of per-pixel statistics towards their spatial mean: 1 keeps those of each position, 0 the mean."""

    mean: Float[AnyArray, ""] | float
    variance: Float[AnyArray, ""] | float


FULL_TRUST = Trust(1.0, 1.0)


def fit_trust(maps: Maps, *, inside: Bool[AnyArray, "h w"] | None = None) -> Trust:
    """How much of what positions differ in is no chance, in the maps `[n, h, w]` of held-out normal images.

    Each number is the reliability of a mean over n images: 1 - its variance by chance / its variance over positions,
    not below 0 (Kelley, "Interpretation of educational measurements", 1927), of the scores and of their squared
    deviations. Crops of a surface give about 0, so their maps are left unchanged; aligned images give about 1.

    Args:
        maps: at least three, all of one size.
        inside: where positions count, `[h, w]`; by default everywhere.

    Raises:
        InputError: fewer than three maps, maps that are no floats `[n, h, w]`, or an `inside` of another size.
    """
    _need_maps(maps, inside)
    need_at_least(maps.shape[0], FEWEST, what="count of maps to calibrate by")
    maps = at_least_single(maps)
    squares = (maps - jnp.mean(maps, axis=0)[None]) ** 2
    return Trust(_reliability(maps, inside), _reliability(squares, inside))


def fit_usual(
    maps: Maps,
    *,
    softening: float = SOFTENING,
    trust: Trust = FULL_TRUST,
    inside: Bool[AnyArray, "h w"] | None = None,
) -> Usual:
    """Mean and deviation at every position of the maps `[n, h, w]` of held-out normal images.

    Args:
        maps: at least two, all of one size.
        softening: this share of the mean deviation is added everywhere, so that a position where normal images hardly
            differ (an empty corner) does not turn a speck into an alarm.
        trust: what is kept of means and variances of single positions; the rest is their mean over all positions.
        inside: the positions to take those means over, `[h, w]`, by default all; elsewhere the means are usual.

    Raises:
        InputError: fewer than two maps, or a softening that is not positive; else as for `fit_trust`.
    """
    _need_maps(maps, inside)
    if maps.shape[0] < 2:
        raise InputError(f"calibration needs at least 2 held-out normal images, got {maps.shape[0]}; hold out more")
    if not softening > 0:
        raise InputError(f"softening must be positive, got {softening}")
    maps = at_least_single(maps)
    return _usual(jnp.mean(maps, axis=0), jnp.var(maps, axis=0, ddof=1), softening, trust, inside)


def unusualness_by_others(
    maps: Maps, *, trust: Trust = FULL_TRUST, inside: Bool[AnyArray, "h w"] | None = None
) -> Float[Array, "n h w"]:
    """Every map of `[n, h, w]` in deviations above the usual of all the others, so that none is judged by itself.

    What `unusualness` gives with `fit_usual` on the n - 1 others, in closed form: leaving x out of n values moves their
    mean by (mean - x) / (n - 1) and takes (x - mean)^2 n / (n - 1) from their sum of squares. Arguments as there. Where
    that leaves less than rounding, as of one map some hundred deviations from all others, these count as the same.

    Raises:
        InputError: as for `fit_trust`.
    """
    _need_maps(maps, inside)
    n = maps.shape[0]
    need_at_least(n, FEWEST, what="count of maps to calibrate by")
    maps = at_least_single(maps)
    mean = jnp.mean(maps, axis=0)
    squares = jnp.sum((maps - mean[None]) ** 2, axis=0)

    def by_others(one: Float[Array, "h w"]) -> Float[Array, "h w"]:
        rest = squares - (one - mean) ** 2 * n / (n - 1)
        # What is left of two sums that are nearly the same is rounding.
        rest = jnp.where(rest > ROUNDING * squares, rest, 0.0)
        usual = _usual(mean + (mean - one) / (n - 1), rest / (n - 2), SOFTENING, trust, inside)
        return (one - usual.mean) / usual.deviation

    return jax.lax.map(by_others, maps)


def unusualness(maps: Maps, usual: Usual) -> Float[Array, "n h w"]:
    """Deviations above the usual of maps `[n, h, w]`: at every position of the size that `usual` was fitted on.

    What is usual everywhere, see `everywhere`, judges maps of any size.

    Raises:
        InputError: no float maps, or maps of another size, whose positions are not those that were seen.
    """
    _need_maps(maps)
    if tuple(usual.mean.shape) not in ((1, 1), tuple(maps.shape[1:])):
        raise InputError(
            f"calibrated maps must be {' x '.join(map(str, usual.mean.shape))} pixels, as those it was fitted on; "
            f"got {' x '.join(map(str, maps.shape[1:]))}: resize the images, or use a recipe without calibration"
        )
    return (jnp.asarray(maps) - usual.mean[None]) / usual.deviation[None]


def everywhere(usual: Usual, *, inside: Bool[AnyArray, "h w"] | None = None) -> Usual:
    """What is usual whatever the position: its mean over the positions `inside`, by default all, as `[1, 1]`."""
    return Usual(*(jnp.mean(each, where=inside)[None, None] for each in usual))


class Unit(NamedTuple):
    """What is usual of one kind of score, wherever it stands; a pytree of two numbers."""

    mean: Float[Array, ""]
    deviation: Float[Array, ""]


def fit_unit(normal: Float[AnyArray, "..."]) -> Unit:
    """Mean and standard deviation over all of the scores `[...]` of held-out normal images; at least two.

    Where all are the same there is no unit, and the deviation is 1: then scores keep their own.

    Raises:
        InputError: fewer than two scores, or no floats.
    """
    need_floats(normal, "...", what="normal scores")
    if normal.size < 2:
        raise InputError(f"a unit needs at least 2 held-out normal scores, got {normal.size}; hold out more")
    x = at_least_single(normal)
    deviation = jnp.std(x, ddof=1)
    return Unit(jnp.mean(x), jnp.where(is_rounding(deviation, x), 1.0, deviation))


def in_unit(scores: Float[AnyArray, "*any"], unit: Unit) -> Float[Array, "*any"]:
    """Deviations above the usual of scores `[...]`, so that those of different detectors may be added: `[...]`.

    >>> in_unit(jnp.array([1.0, 7.0]), fit_unit(jnp.array([0.0, 2.0, 1.0]))).tolist()
    [0.0, 6.0]
    """
    return (jnp.asarray(scores) - unit.mean) / unit.deviation


def _need_maps(maps: Maps, inside: Bool[AnyArray, "h w"] | None = None) -> None:
    need_floats(maps, "n h w", what="maps")
    if inside is not None and inside.shape != maps.shape[1:]:
        raise InputError(f"inside must be of the maps' size {maps.shape[1:]}, got {inside.shape}")


def _usual(mean: Array, variance: Array, softening: float, trust: Trust, inside: Bool[AnyArray, "h w"] | None) -> Usual:
    def common(each: Array) -> Array:
        return jnp.mean(each, where=inside)

    mean, variance = (common(x) + kept * (x - common(x)) for x, kept in zip((mean, variance), trust, strict=True))
    deviation = root(jnp.maximum(variance, 0.0))
    softened = deviation + softening * common(deviation)
    # Normal images that all score the same leave no unit: then the score keeps its own.
    softened = jnp.where(is_rounding(common(deviation), mean), 1.0, softened)
    if inside is None:
        return Usual(mean, softened)
    return Usual(*(jnp.where(inside, x, common(x)) for x in (mean, softened)))


def _reliability(maps: AnyArray, inside: Bool[AnyArray, "h w"] | None) -> Float[Array, ""]:
    """Of the mean map; what moves a whole map moves all positions alike, so it is no chance in their differences."""
    whole = jnp.mean(maps, axis=(1, 2), where=None if inside is None else inside[None])
    chance = jnp.mean(jnp.var(maps, axis=0, ddof=1), where=inside) - jnp.var(whole, ddof=1)
    between = jnp.var(jnp.mean(maps, axis=0), where=inside)
    return jnp.where(between > 0, jnp.clip(1 - chance / maps.shape[0] / between, 0, 1), 0.0)
