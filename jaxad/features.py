"""Fixed transforms of images, to put in front of a model; nothing here is fitted.

Images are float32 `[n, h, w, c]` in [0, 1]; lengths are in pixels. Every function is differentiable and takes any size.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad._check import InputError, need_at_least, need_images, raise_problems
from jaxad._types import Images

TINY = 1e-8
"""Keeps roots differentiable where an image is flat."""


def oriented_gradients(
    images: Images,
    *,
    blur: float = 0.5,
    orientations: int = 12,
    spread: float = 2.0,
    step: int = 4,
    power: float = 1 / 3,
) -> Float[Array, "n rows columns o"]:
    """How strong the edges of each direction are around each point of a coarse grid.

    After Dalal & Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, with signed directions,
    Gaussian cells in place of square ones, and one norm for the whole image: blur, central differences, magnitude
    shared between the two nearest directions, Gaussian mean around the grid's points, a power below 1 so that faint
    edges count, and length 1.

    Args:
        images: `[n, h, w, c]`.
        blur: deviation of the Gaussian before the differences.
        orientations: directions in a full turn.
        spread: deviation of the Gaussian around each point.
        step: pixels between the points; the grid is centred.
        power: exponent of the strengths.

    Returns:
        `[n, rows, columns, c orientations]`, with `rows = ceil(h / step)`; a flat image has equal entries.

    Raises:
        InputError: wrong images, or an option that is not positive.

    >>> oriented_gradients(jnp.zeros((1, 28, 28, 1))).shape
    (1, 7, 7, 12)
    """
    need_images(images)
    options = {"blur": blur, "spread": spread, "power": power}
    raise_problems(f"{name} must be positive, got {value}" for name, value in options.items() if not value > 0)
    need_at_least(orientations, 2, what="orientations")
    need_at_least(step, 1, what="step")
    strengths = _strengths(jnp.asarray(images), blur=blur, orientations=orientations, period=2 * math.pi)
    means = _cells(strengths, spread=spread, step=step)
    raised = (means + TINY) ** power
    return raised / jnp.sqrt(jnp.sum(raised**2, axis=(1, 2, 3), keepdims=True))


def gradient_energies(
    images: Images,
    *,
    blurs: tuple[float, ...] = (0.5, 1.5, 3.0),
    orientations: int = 6,
    spread: float = 4.0,
    step: int = 4,
    floor: float = 0.003,
) -> Float[Array, "n rows columns o"]:
    """What a surface is like around each point of a coarse grid: its brightness, and how rough it is at several scales.

    The logarithm of the mean strength of the edges of each direction, without regard to their sign; a spot that is
    smoother than usual differs from it as much as one that is rougher.

    Args:
        images: `[n, h, w, c]`.
        blurs: deviations of the Gaussian before the differences, one a scale.
        orientations: directions in half a turn.
        spread: deviation of the Gaussian around each point.
        step: pixels between the points; the grid is centred.
        floor: added to the strengths, in units of the pixel, so that noise below it does not count.

    Returns:
        `[n, rows, columns, c (1 + scales x orientations)]`, brightness first, with `rows = ceil(h / step)`.

    Raises:
        InputError: wrong images, no scale, or an option that is not positive.

    >>> gradient_energies(jnp.zeros((1, 28, 28, 1))).shape
    (1, 7, 7, 19)
    """
    need_images(images)
    need_at_least(len(blurs), 1, what="number of blurs")
    options = [*(("blur", blur) for blur in blurs), ("spread", spread), ("floor", floor)]
    raise_problems(f"{name} must be positive, got {value}" for name, value in options if not value > 0)
    need_at_least(orientations, 2, what="orientations")
    need_at_least(step, 1, what="step")
    x = jnp.asarray(images)
    scales = [_strengths(x, blur=blur, orientations=orientations, period=math.pi) for blur in blurs]
    energies = jnp.log(_cells(jnp.concatenate(scales, axis=-1), spread=spread, step=step) + floor)
    return jnp.concatenate([_cells(x, spread=spread, step=step), energies], axis=-1)


def logarithm(images: Images, *, offset: float = 0.03) -> Float[Array, "n h w c"]:
    """`log(x + offset)`, shifted and scaled back to [0, 1]: light that falls unevenly becomes a sum, not a product.

    `images` and the result are `[n, h, w, c]`; `offset`, above zero, is in units of the pixel.

    Raises:
        InputError: wrong images, or an offset that is not positive.
    """
    need_images(images)
    if not offset > 0:
        raise InputError(f"offset must be positive, got {offset}")
    low, high = math.log(offset), math.log(1 + offset)
    return (jnp.log(jnp.asarray(images) + offset) - low) / (high - low)


def remove_median(images: Images, *, size: int | None = None) -> Float[Array, "n h w c"]:
    """Take the median off every pixel, channel by channel: the image's own, or that of the pixels around.

    Args:
        images: `[n, h, w, c]`.
        size: height and width of the square around a pixel, odd, with the border repeated outwards; None takes the
            median of the whole image.

    Returns:
        `[n, h, w, c]` in [-1, 1], zero where a pixel is its own median.

    Raises:
        InputError: wrong images, or a size that is even or below 1.
    """
    need_images(images)
    x = jnp.asarray(images)
    if size is None:
        return x - jnp.median(x, axis=(1, 2), keepdims=True)
    if size < 1 or size % 2 == 0:
        raise InputError(f"size must be odd and at least 1, so that a pixel is in the middle; got {size}")
    reach = size // 2
    padded = jnp.pad(x, [(0, 0), (reach, reach), (reach, reach), (0, 0)], mode="edge")
    _, h, w, _ = x.shape
    around = [padded[:, a : a + h, b : b + w] for a in range(size) for b in range(size)]
    return x - jnp.median(jnp.stack(around), axis=0)


def _strengths(x: Array, *, blur: float, orientations: int, period: float) -> Float[Array, "n h w o"]:
    """Magnitudes of the gradients, each shared between the two nearest of the directions that divide `period`."""
    n, h, w, _ = x.shape
    (soft_down, slope_down), (soft_across, slope_across) = (_smooth_and_differ(length, blur) for length in (h, w))
    across = jnp.einsum("ih,nhwc,jw->nijc", soft_down, x, slope_across)
    down = jnp.einsum("ih,nhwc,jw->nijc", slope_down, x, soft_across)
    # The small number moves the angle of a flat spot off the point where arctan2 has no gradient.
    magnitude = jnp.sqrt(across**2 + down**2 + TINY**2)
    turn = jnp.arctan2(down, across + TINY) / period * orientations
    half = orientations / 2
    directions = jnp.arange(orientations).reshape(1, 1, 1, 1, -1)
    apart = jnp.abs(jnp.mod(turn[..., None] - directions + half, orientations) - half)
    return (magnitude[..., None] * jnp.maximum(0.0, 1.0 - apart)).reshape(n, h, w, -1)


def _cells(x: Array, *, spread: float, step: int) -> Float[Array, "n rows columns o"]:
    """Gaussian means of `[n, h, w, o]` around each point of the grid."""
    down, across = (_bells(length, _centres(length, step), spread) for length in x.shape[1:3])
    return jnp.einsum("ih,nhwk,jw->nijk", down, x, across)


def _smooth_and_differ(length: int, blur: float) -> tuple[Array, Array]:
    """Matrices `[length, length]` that blur a line, and that blur it and take central differences."""
    places = np.arange(length)
    soft = _bells(length, places, blur)
    after, before = np.minimum(places + 1, length - 1), np.maximum(places - 1, 0)
    return soft, (soft[after] - soft[before]) / 2


def _centres(length: int, step: int) -> np.ndarray:
    count = -(-length // step)
    return (length - 1) / 2 + step * (np.arange(count) - (count - 1) / 2)


def _bells(length: int, centres: np.ndarray, deviation: float) -> Array:
    """Rows that weigh the pixels of a line by a Gaussian around each centre; each sums to 1."""
    offsets = jnp.arange(length)[None, :] - jnp.asarray(centres, jnp.float32)[:, None]
    bells = jnp.exp(-0.5 * (offsets / deviation) ** 2)
    return bells / bells.sum(axis=1, keepdims=True)
