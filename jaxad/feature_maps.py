"""What is made of a network's maps of features before they are compared: neighbours averaged, an image's light removed.

Maps are float32 `[n, rows, columns, c]`, finite and within 1e9 of zero, for they are squared.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad._check import InputError, need_floats
from jaxad._floats import at_least_single, root
from jaxad._types import AnyArray

FeatureMaps = Float[AnyArray, "n rows columns c"]
SOFTENING = 0.1
"""Share of the mean deviation that is added to that of every channel, so that a silent one does not become noise."""
TINY = 1e-6


def average_neighbours(maps: FeatureMaps, *, size: int = 3) -> Float[Array, "n rows columns c"]:
    """The mean over the `size` x `size` places around each place of maps `[n, rows, columns, c]`, of the same shape.

    Roth et al., "Towards total recall in industrial anomaly detection", arXiv:2106.08265, eq. 2. At the border it is
    the mean over the places that there are.

    Raises:
        InputError: no float maps, or a size that is no odd number.

    >>> average_neighbours(jnp.arange(3.0).reshape(1, 1, 3, 1))[0, 0, :, 0].tolist()
    [0.5, 1.0, 1.5]
    """
    need_floats(maps, "n rows columns c", what="maps")
    if size < 1 or size % 2 == 0:
        raise InputError(f"size must be an odd number of places, so that one is in the middle, got {size}")
    x = jnp.asarray(maps)
    return _sums(x, size) / _sums(jnp.ones((1, *x.shape[1:3], 1), x.dtype), size)


def _sums(x: Array, size: int) -> Array:
    # No array of jax: as one that is traced it would not be known for the zero of a sum, which has gradients.
    for axis in (1, 2):
        window = tuple(size if i == axis else 1 for i in range(4))
        x = jax.lax.reduce_window(x, np.zeros((), x.dtype), jax.lax.add, window, (1, 1, 1, 1), "SAME")
    return x


def take_out_light(maps: FeatureMaps) -> Float[Array, "n rows columns c"]:
    """Maps `[n, rows, columns, c]` in deviations from each image's own mean, channel by channel; of the same shape.

    What lies over the whole of an image, such as its light, is no longer in them. A tenth of the mean deviation of
    the image's channels is added to each deviation.

    Raises:
        InputError: no float maps.
    """
    need_floats(maps, "n rows columns c", what="maps")
    # Half precision holds no softening as small as a silent image needs.
    given = jnp.asarray(maps)
    x = at_least_single(given)
    mean = jnp.mean(x, axis=(1, 2), keepdims=True)
    deviation = root(jnp.mean((x - mean) ** 2, axis=(1, 2), keepdims=True))
    softening = SOFTENING * jnp.mean(deviation, axis=-1, keepdims=True) + TINY
    return ((x - mean) / (deviation + softening)).astype(given.dtype)


def spread_smoothly(
    cells: Float[AnyArray, "n rows columns"], shape: tuple[int, int], *, blur: float
) -> Float[Array, "n h w"]:
    """Numbers of cells blurred and spread over the pixels of images of height and width `shape`: `[n, h, w]`.

    Cells share the image evenly; between their middles numbers run linearly.

    Args:
        cells: `[n, rows, columns]`.
        shape: height and width in pixels.
        blur: deviation of a Gaussian, in cells; beyond the border there is nothing, and weights sum to 1. 0 for none.

    Raises:
        InputError: no float cells, or a blur below 0.
    """
    need_floats(cells, "n rows columns", what="cells")
    if not 0 <= blur < float("inf"):
        raise InputError(f"blur must be a number of cells, 0 or more, got {blur}")
    down, across = (_weights(count, pixels, blur) for count, pixels in zip(cells.shape[1:], shape, strict=True))
    return jnp.einsum("hr,nrc,wc->nhw", down, jnp.asarray(cells), across, precision=jax.lax.Precision.HIGHEST)


def _weights(count: int, pixels: int, blur: float) -> Float[Array, "pixels count"]:
    """How much each cell along an axis counts at each pixel."""
    places = jnp.arange(count)
    middles = jnp.clip((jnp.arange(pixels) + 0.5) * (count / pixels) - 0.5, 0, count - 1)
    between = jnp.maximum(0.0, 1 - jnp.abs(middles[:, None] - places[None]))
    if not blur:
        return between
    bells = jnp.exp(-0.5 * ((places[:, None] - places[None]) / blur) ** 2)
    return between @ (bells / jnp.sum(bells, axis=1, keepdims=True))


def turn(images: Float[AnyArray, "n h w c"], angles: Float[AnyArray, " n"]) -> Float[Array, "n h w c"]:
    """Images `[n, h, w, c]` turned about their middles by angles `[n]` in radians, of the same shape.

    What turns into the picture from outside is its mirror image.

    Raises:
        InputError: no float images or angles, or not as many.
    """
    need_floats(images, "n h w c", what="images")
    need_floats(angles, "n", what="angles")
    if images.shape[0] != angles.shape[0]:
        raise InputError(f"there must be one angle an image, got {angles.shape[0]} for {images.shape[0]}")
    _, height, width, _ = images.shape
    down, across = jnp.meshgrid(
        jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing="ij"
    )

    def one(given: tuple[Array, Array]) -> Array:
        image, angle = given
        rows = jnp.cos(angle) * down - jnp.sin(angle) * across + (height - 1) / 2
        columns = jnp.sin(angle) * down + jnp.cos(angle) * across + (width - 1) / 2
        sample = partial(jax.scipy.ndimage.map_coordinates, coordinates=[rows, columns], order=1, mode="mirror")
        return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)

    return jax.lax.map(one, (jnp.asarray(images), jnp.asarray(angles)))
