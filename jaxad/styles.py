"""How unusual an image is as a whole, by what its features are like anywhere in it: their means and deviations.

Huang & Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", arXiv:1703.06868, call
them an image's style. Where each image's own light is taken out of its features, see `jaxad.feature_maps`, they are
what was taken out. Rows of them are float32 `[n, d]`, finite and within 1e9 of zero, for they are squared.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad import linear
from jaxad._check import InputError, need_at_least, need_floats
from jaxad._floats import at_least_single, root
from jaxad._types import AnyArray

SOFTENING = 0.1
"""Share of the mean deviation that is added to that of every number, so that a silent one does not become noise."""
FEWEST = 3
LEAST = 1e-3
"""Least share of the mean variance: below it the smallest variance would be rounding."""
TINY = 1e-12
ROUNDING = 1e-5
"""Of the numbers: images that differ in less are all the same."""

Styles = Float[AnyArray, "n d"]


class Usual(NamedTuple):
    """Which styles are usual; a pytree. Numbers are deviations from their means, in their own deviation."""

    mean: Float[AnyArray, " d"]
    deviation: Float[AnyArray, " d"]
    directions: Float[AnyArray, "d k"]
    """Principal components of the numbers."""
    variances: Float[AnyArray, " k"]
    """Along each of them, drawn towards the mean variance."""
    noise: Float[AnyArray, ""]
    """Along all others."""
    images: Float[AnyArray, ""]
    """How many images there were."""
    kept: Float[AnyArray, ""]
    """Share of the covariance that is their own; the rest is the mean variance along every direction."""
    distance: Float[AnyArray, ""]
    """Mean over the images, each left out of what it is compared with."""
    spread: Float[AnyArray, ""]
    """Standard deviation of the same."""


def styles(maps: Float[AnyArray, "n rows columns c"]) -> Float[Array, "n d"]:
    """Means and standard deviations of every channel of maps `[n, rows, columns, c]` over the image: `[n, 2 c]`.

    Raises:
        InputError: no float maps.

    >>> styles(jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)).tolist()
    [[2.0, 1.0]]
    """
    need_floats(maps, "n rows columns c", what="maps")
    x = at_least_single(maps)
    mean = jnp.mean(x, axis=(1, 2))
    deviation = root(jnp.mean((x - mean[:, None, None]) ** 2, axis=(1, 2)))
    return jnp.concatenate([mean, deviation], axis=1)


def fit_usual(rows: Styles) -> Usual:
    """What is usual among the styles `[n, d]` of normal images: a normal distribution, its covariance shrunk.

    Shrunk towards the multiple of the unit matrix of the same trace, by as much as its own error asks for: Ledoit &
    Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis 88, 2004.

    Raises:
        InputError: no float rows, or fewer than three.
    """
    need_floats(rows, "n d", what="styles")
    if len(rows) < FEWEST:
        raise InputError(f"at least {FEWEST} styles tell what is usual, got {len(rows)}; use more normal images")
    need_at_least(rows.shape[1], 2, what="numbers of a style")
    return _fit_usual(rows)


@jax.jit
def _fit_usual(rows: Styles) -> Usual:
    x = at_least_single(rows)
    n, d = x.shape
    mean, deviation = jnp.mean(x, axis=0), jnp.std(x, axis=0)
    softened = deviation + SOFTENING * jnp.mean(deviation)
    softened = jnp.where(softened > TINY, softened, 1.0)
    numbers = (x - mean[None]) / softened[None]
    found = linear.fit_components(numbers, count=min(n, d) - 1)
    # Components have variances over n - 1; those of the covariance here are over n.
    variances, noise = (each * ((n - 1) / n) for each in (found.variances, found.noise))
    others = d - len(variances)
    level = (jnp.sum(variances) + others * noise) / d
    squares = jnp.sum(variances**2) + others * noise**2
    share = linear.shrinkage(jnp.sum(numbers**2, axis=1), squares=squares, level=level, length=d)
    kept = 1 - jnp.maximum(share, LEAST)
    variances, noise = (kept * each + (1 - kept) * level for each in (variances, noise))
    counted = jnp.asarray(n, x.dtype)
    usual = Usual(mean, softened, found.directions, variances, noise, counted, kept, jnp.zeros(()), jnp.ones(()))
    distances = _without_own(usual, _squared_distances(usual, x))
    same = jnp.mean(deviation) <= ROUNDING * jnp.sqrt(jnp.mean(mean**2))
    return usual._replace(distance=jnp.mean(distances), spread=jnp.where(same, 0.0, jnp.std(distances)))


def unusualness(rows: Styles, usual: Usual, *, left_out: bool = False) -> Float[Array, " n"]:
    """How far styles `[n, d]` are from usual ones, in deviations above the usual distance: `[n]`, without unit.

    The distance is Mahalanobis's. Where all normal images have the same, it is 0.

    Args:
        rows: see `styles`.
        usual: see `fit_usual`.
        left_out: whether these are among the styles that it was fitted on, and each is to be compared with the mean
            and the covariance of the others; how much that is shrunk stays as it is.

    Raises:
        InputError: rows that are no floats, or of another length than those that were fitted.
    """
    need_floats(rows, "n d", what="styles")
    wanted = len(usual.mean)
    if rows.shape[1] != wanted:
        raise InputError(f"styles must be of {wanted} numbers, as those that were fitted, got {rows.shape[1]}")
    squared = _squared_distances(usual, jnp.asarray(rows))
    distances = _without_own(usual, squared) if left_out else root(squared)
    varied = usual.spread > TINY
    return jnp.where(varied, (distances - usual.distance) / jnp.where(varied, usual.spread, 1.0), 0.0)


def _squared_distances(usual: Usual, rows: Styles) -> Float[Array, " n"]:
    numbers = (rows - usual.mean[None]) / usual.deviation[None]
    components = linear.Components(jnp.zeros_like(usual.mean), usual.directions, usual.variances, usual.noise)
    return linear.mahalanobis(components, numbers)


def _without_own(usual: Usual, squared: Float[AnyArray, " n"]) -> Float[Array, " n"]:
    """The distances of rows that were fitted on from the mean of the others, by the covariance of the others.

    Sherman & Morrison: taking a row out of the n changes the inverse of their covariance in one direction.
    """
    others = usual.images - 1
    # Below rounding only of a row that has a direction to itself.
    rest = jnp.maximum(1 - usual.kept / others * squared, ROUNDING)
    return jnp.asarray(usual.images / others * jnp.sqrt(squared / rest))
