"""Normal images made wrong, to choose and to train detectors without having seen an anomaly: in a spot or as a whole.

Everything is drawn on the device from a key. The kinds differ on purpose from those of `jaxad.datasets.textures`, by
which detectors are judged.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxad._check import need_images
from jaxad._types import Images, PRNGKey

BLUR = 8
"""Pixels that the faint version of an image averages."""
HALVINGS = 12
"""Steps that find a median in [0, 1] to its last 2^-12; sorting every pixel takes most of the time on CPU."""
FAINT = 0.05
"""Opacity below which nothing is drawn, so that most of an image stays as it is."""


def draw_defects(
    key: PRNGKey, images: Images
) -> tuple[Float[Array, "n h w c"], Bool[Array, "n h w"], Int[Array, " n"]]:
    """Draw one defect on every image.

    A defect is an oval with a ragged soft rim, an eighth to a half of the image long, whose middle is likely where the
    image differs from its median; inside, one of `KINDS` at random. The mask is True where its opacity is above a half.

    Args:
        key: draws kinds, places, sizes and contrasts.
        images: `[n, h, w, c]` in [0, 1]; "mixed" takes its pieces from the image before, so one mixes with itself.

    Returns:
        Images `[n, h, w, c]` in [0, 1], masks `[n, h, w]`, and the place of each kind in `KINDS`, `[n]`.

    Raises:
        InputError: wrong images.
    """
    need_images(images)
    pixels = jnp.asarray(images)
    keys = jax.random.split(key, pixels.shape[0])
    return jax.vmap(_draw)(keys, pixels, jnp.roll(pixels, 1, axis=0))


def draw_on_each(key: PRNGKey, images: Images) -> Float[np.ndarray, "n h w c"]:
    """The images of `draw_defects`, drawn one after the other: `[n, h, w, c]`, by one program however many there are.

    Raises:
        InputError: wrong images.
    """
    need_images(images)
    keys = jax.random.split(key, images.shape[0])
    return np.stack([np.asarray(_draw_one(keys[i], images[i], images[i - 1])) for i in range(images.shape[0])])


def turn_upside_down(images: Images) -> Float[Array, "n h w c"]:
    """Images `[n, h, w, c]` with their rows in reverse: nothing is wrong but the whole."""
    need_images(images)
    return jnp.asarray(images)[:, ::-1]


def turn_by_half(images: Images) -> Float[Array, "n h w c"]:
    """Images `[n, h, w, c]` turned by 180 degrees."""
    need_images(images)
    return jnp.asarray(images)[:, ::-1, ::-1]


def mix(images: Images) -> Float[Array, "n h w c"]:
    """The mean of each image `[n, h, w, c]` and the one before; the first one goes with the last."""
    need_images(images)
    return (jnp.asarray(images) + jnp.roll(images, 1, axis=0)) / 2


@jax.jit
def _draw_one(key: PRNGKey, image: Array, other: Array) -> Array:
    return _draw(key, jnp.asarray(image), jnp.asarray(other))[0]


def _draw(key: PRNGKey, image: Array, other: Array) -> tuple[Array, Array, Array]:
    kind_key, place_key, paint_key = jax.random.split(key, 3)
    kind = jax.random.randint(kind_key, (), 0, len(KINDS))
    opacity = _oval(place_key, image)
    # Under vmap a switch would paint in every way too, and use one key for all of them.
    paint_keys = jax.random.split(paint_key, len(KINDS))
    painted = jnp.stack([paint(k, image, other) for k, paint in zip(paint_keys, PAINTS.values(), strict=True)])[kind]
    blend = opacity[..., None]
    return jnp.clip(blend * painted + (1 - blend) * image, 0.0, 1.0), opacity > 0.5, kind


def _oval(key: PRNGKey, image: Array) -> Array:
    """Opacity `[h, w]` of a ragged oval."""
    h, w, _ = image.shape
    middle_key, length_key, width_key, turn_key, noise_key = jax.random.split(key, 5)
    brightness = jnp.mean(image, axis=-1)
    content = jnp.abs(brightness - _median(brightness)) + 0.05
    middle = jax.random.categorical(middle_key, jnp.log(content).ravel())
    down = jnp.arange(h)[:, None] - middle // w
    across = jnp.arange(w)[None, :] - middle % w
    size = math.sqrt(h * w)
    length = size * jnp.exp(jax.random.uniform(length_key, (), minval=math.log(0.06), maxval=math.log(0.25)))
    width = length * jnp.exp(jax.random.uniform(width_key, (), minval=math.log(0.2), maxval=0.0))
    turn = jax.random.uniform(turn_key, (), maxval=math.pi)
    along = (down * jnp.sin(turn) + across * jnp.cos(turn)) / length
    beside = (across * jnp.sin(turn) - down * jnp.cos(turn)) / width
    ragged = 0.25 * _smooth_noise(noise_key, (h, w), cells=9)
    opacity = jax.nn.sigmoid((1 - jnp.sqrt(along**2 + beside**2) + ragged) * 4 * width)
    return jnp.where(opacity < FAINT, 0.0, opacity)


def _median(values: Array) -> Array:
    def halve(step: Array, least: Array) -> Array:
        middle = least + 0.5 ** (step + 1.0)
        return jnp.where(2 * jnp.sum(values >= middle) > values.size, middle, least)

    return jax.lax.fori_loop(0, HALVINGS, halve, jnp.zeros(()))


def _smooth_noise(key: PRNGKey, shape: tuple[int, int], *, cells: int) -> Array:
    return jax.image.resize(jax.random.normal(key, (cells, cells)), shape, "cubic")


def _displaced(key: PRNGKey, image: Array, other: Array) -> Array:
    h, w, _ = image.shape
    down_key, across_key = jax.random.split(key)
    down = jax.random.randint(down_key, (), h // 5, h - h // 5)
    across = jax.random.randint(across_key, (), w // 5, w - w // 5)
    return jnp.roll(jnp.roll(image, down, axis=0), across, axis=1)


def _mixed(key: PRNGKey, image: Array, other: Array) -> Array:
    return _displaced(key, other[::-1], image)


def _shaded(key: PRNGKey, image: Array, other: Array) -> Array:
    sign_key, size_key = jax.random.split(key)
    return image + jax.random.rademacher(sign_key, ()) * jax.random.uniform(size_key, (), minval=0.15, maxval=0.5)


def _faded(key: PRNGKey, image: Array, other: Array) -> Array:
    h, w, c = image.shape
    small = jax.image.resize(image, (-(-h // BLUR), -(-w // BLUR), c), "linear")
    return jax.image.resize(small, image.shape, "linear")


def _noisy(key: PRNGKey, image: Array, other: Array) -> Array:
    size_key, noise_key = jax.random.split(key)
    return image + jax.random.uniform(size_key, (), minval=0.1, maxval=0.3) * jax.random.normal(noise_key, image.shape)


def _warped(key: PRNGKey, image: Array, other: Array) -> Array:
    h, w, _ = image.shape
    down, across = (
        jnp.arange(length).reshape(shape) + 0.08 * length * _smooth_noise(k, (h, w), cells=5)
        for k, length, shape in zip(jax.random.split(key), (h, w), ((h, 1), (1, w)), strict=True)
    )
    sample = partial(jax.scipy.ndimage.map_coordinates, coordinates=[down, across], order=1, mode="nearest")
    return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)


PAINTS = {
    "displaced": _displaced,
    "mixed": _mixed,
    "shaded": _shaded,
    "faded": _faded,
    "noisy": _noisy,
    "warped": _warped,
}
KINDS = tuple(PAINTS)
"""What a defect can be: a piece from elsewhere in the image, a piece of another image, a change of brightness, less
contrast, noise, or the image pulled out of shape."""
