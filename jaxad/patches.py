"""Windows of images: where they start, cutting them out, adding them back.

Lengths are in pixels. A pair `(height, width)` comes before a single number everywhere,
and a grid has one window start per entry of `starts`.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxad._check import InputError, need_at_least, need_floats, need_images, need_one_of, need_window
from jaxad._options import Cover
from jaxad._types import AnyArray, Images, PRNGKey

COVERS = ("full", "seed")

MakeTile = Callable[[Array, Array, int, int], PyTree[Array]]
"""First row, first column, height and width of a tile to the tile itself."""


def starts(length: int, size: int, stride: int, *, cover: Cover = "full") -> tuple[int, ...]:
    """First pixels of the windows along one axis.

    Args:
        length: pixels along the axis.
        size: pixels of a window along the axis.
        stride: pixels from one window to the next.
        cover: `"full"` ends with a window flush with the border, so that every pixel is covered;
            `"seed"` is the published grid `range((length - size) // stride)`, which leaves out the last
            window and so the border behind it (Matsubara et al., arXiv:1807.05800, public code).

    Raises:
        InputError: the window is longer than the axis, the stride longer than the window,
            or the published grid holds no window at all.

    >>> starts(28, 8, 2)
    (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20)
    >>> starts(28, 8, 2, cover="seed")
    (0, 2, 4, 6, 8, 10, 12, 14, 16, 18)
    >>> starts(10, 4, 4)
    (0, 4, 6)
    """
    need_one_of(cover, COVERS, what="cover")
    need_window((length, length), (size, size), (stride, stride))
    regular = [i * stride for i in range((length - size) // stride)]
    if cover == "seed":
        if not regular:
            raise InputError(
                f'cover="seed" leaves no window of {size} pixels at stride {stride} on {length} pixels; '
                'use cover="full"'
            )
        return tuple(regular)
    regular.append(len(regular) * stride)
    return tuple(regular) if regular[-1] + size == length else (*regular, length - size)


def grid(
    shape: tuple[int, int], size: tuple[int, int], stride: tuple[int, int], *, cover: Cover = "full"
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First rows and first columns of the windows on an image of height and width `shape`; see `starts`."""
    need_window(shape, size, stride)
    rows, columns = (starts(n, p, s, cover=cover) for n, p, s in zip(shape, size, stride, strict=True))
    return rows, columns


def extract(
    images: Images, *, size: tuple[int, int], stride: tuple[int, int], cover: Cover = "full"
) -> Float[Array, "n rows columns p q c"]:
    """Cut every window out of every image.

    Args:
        images: `[n, h, w, c]`.
        size: height and width of a window, `(p, q)`.
        stride: steps down and across.
        cover: see `starts`.

    Returns:
        `[n, rows, columns, p, q, c]`, all windows at once: memory grows by about `p q / (stride area)`.
        `jaxad.heatmaps` works in chunks instead.

    Raises:
        InputError: `images` are not `[n, h, w, c]` floats, or the window or stride does not fit them.
    """
    need_images(images)
    _, h, w, _ = images.shape
    rows, columns = grid((h, w), size, stride, cover=cover)
    windows = _extract_axis(jnp.asarray(images), 1, rows, size[0])
    return jnp.moveaxis(_extract_axis(windows, 3, columns, size[1]), 2, 3)


def fold(
    windows: Float[Array | np.ndarray, "n rows columns p q c"],
    *,
    shape: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover = "full",
) -> Float[Array, "n h w c"]:
    """Add windows back to the places they were cut from: the transpose of `extract`.

    Overlapping windows are summed, so `fold(extract(x)) / cover_count == x` wherever a window reaches.

    Args:
        windows: `[n, rows, columns, p, q, c]`, as `extract` returns them.
        shape: height and width of the images.
        stride: as given to `extract`.
        cover: as given to `extract`.

    Returns:
        `[n, h, w, c]`, zero where no window reaches.

    Raises:
        InputError: no float windows, or the grid of `shape` does not have `rows` x `columns` of them.
    """
    need_floats(windows, "n rows columns p q c", what="windows")
    _, down, across, p, q, _ = windows.shape
    rows, columns = grid(shape, (p, q), stride, cover=cover)
    if (down, across) != (len(rows), len(columns)):
        raise InputError(
            f"windows must lie on a grid of {len(rows)} x {len(columns)} for shape {shape}, size {(p, q)}, "
            f"stride {stride} and cover={cover!r}, got {down} x {across}"
        )
    strips = fold_axis(jnp.moveaxis(jnp.asarray(windows), 3, 2), 3, columns, shape[1])
    return fold_axis(strips, 1, rows, shape[0])


CHANNELS = 64
"""Channels that `window_products` fills on CPU."""


def window_products(
    images: Images, matrix: Float[AnyArray, "d k"], *, size: tuple[int, int], stride: tuple[int, int]
) -> Float[Array, "n rows columns k"]:
    """Products with a matrix of the windows at multiples of the stride, each as one row of its numbers.

    One convolution of the images: no window is cut out.

    Args:
        images: `[n, h, w, c]`.
        matrix: `[d, k]`, where d is all numbers of a window.
        size: height and width of a window, `(p, q)`.
        stride: steps down and across.

    Returns:
        `[n, rows, columns, k]`.

    Raises:
        InputError: `images` are not `[n, h, w, c]` floats, the window or stride does not fit them, or the matrix has
            other rows than a window has numbers.
    """
    need_images(images)
    need_floats(matrix, "d k", what="matrix")
    images, matrix = (jnp.asarray(each, jnp.result_type(images, matrix)) for each in (images, matrix))
    _, h, w, c = images.shape
    need_window((h, w), size, stride)
    d, k = matrix.shape
    if d != math.prod(size) * c:
        raise InputError(
            f"the matrix must have {math.prod(size) * c} rows, as many as a window of {size} has numbers, got {d}"
        )
    # XLA's convolutions on CPU are fast with many channels out: so few channels are those of several windows at once.
    beside = max(1, math.isqrt(CHANNELS // k))
    several, one = (partial(_products_beside, size=size, stride=stride, beside=count) for count in (beside, 1))
    products: Array = jax.lax.platform_dependent(images, matrix, cpu=several, default=one)
    return products


def _products_beside(
    images: Array, matrix: Array, *, size: tuple[int, int], stride: tuple[int, int], beside: int
) -> Array:
    """Products of as many windows down and across at once."""
    n, h, w, c = images.shape
    k = matrix.shape[1]
    down, across = ((length - p) // s + 1 for length, p, s in zip((h, w), size, stride, strict=True))
    spans = tuple(p + (beside - 1) * s for p, s in zip(size, stride, strict=True))
    filters = matrix.reshape(*size, c, k)
    shifted = []
    for place in np.ndindex(beside, beside):
        befores = [i * s for i, s in zip(place, stride, strict=True)]
        edges = [(before, span - p - before) for before, span, p in zip(befores, spans, size, strict=True)]
        shifted.append(jnp.pad(filters, [*edges, (0, 0), (0, 0)]))
    kernel = jnp.stack(shifted, axis=3)
    steps = tuple(beside * s for s in stride)
    pads = [
        (0, max(0, -(-count // beside) * step - step + span - length))
        for count, step, span, length in zip((down, across), steps, spans, (h, w), strict=True)
    ]
    products = jax.lax.conv_general_dilated(
        images, kernel.reshape(*spans, c, -1), steps, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    rows, columns = products.shape[1:3]
    products = products.reshape(n, rows, columns, beside, beside, k).transpose(0, 1, 3, 2, 4, 5)
    return products.reshape(n, rows * beside, columns * beside, k)[:, :down, :across]


def cover_count(
    shape: tuple[int, int], *, size: tuple[int, int], stride: tuple[int, int], cover: Cover = "full"
) -> Float[Array, "h w"]:
    """How many windows cover each pixel of an image of height and width `shape`, `[h, w]`; see `starts`."""
    counts = [
        np.bincount(np.add.outer(begins, np.arange(p)).ravel(), minlength=n).astype(np.float32)
        for begins, p, n in zip(grid(shape, size, stride, cover=cover), size, shape, strict=True)
    ]
    return jnp.asarray(np.outer(*counts))


def random_crops(
    key: PRNGKey, images: Images, *, count: int, size: tuple[int, int], skip_last: bool = False
) -> Float[Array, "k p q c"]:
    """Cut windows at random places of random images, on the device.

    Args:
        key: draws the image, the row and the column, each uniformly.
        images: `[n, h, w, c]`.
        count: number of crops `k`.
        size: height and width of a crop, `(p, q)`.
        skip_last: never start at the last possible row or column, as the published crop of the patch VAE does.

    Returns:
        `[k, p, q, c]`.

    Raises:
        InputError: `images` are not `[n, h, w, c]` floats or smaller than a crop, or `count` is below 1.
    """
    need_images(images)
    need_window(images.shape[1:3], size, (1, 1))
    need_at_least(count, 1, what="count")
    n, h, w, _ = images.shape
    limits = [max(1, length - p + (not skip_last)) for length, p in zip((h, w), size, strict=True)]
    index, row, column = (
        jax.random.randint(k, (count,), 0, limit)
        for k, limit in zip(jax.random.split(key, 3), (n, *limits), strict=True)
    )
    return take_windows(jnp.asarray(images), index, row, column, size=size)


def take_windows(
    images: Float[Array, "n h w c"], index: Array, row: Array, column: Array, *, size: tuple[int, int]
) -> Float[Array, "k p q c"]:
    """Cut one window a triple `(index, row, column)`, each `[k]`, out of `[n, h, w, c]`: `[k, p, q, c]`."""

    @partial(jax.vmap, in_axes=(0, 0, 0))
    def cut(i: Array, y: Array, x: Array) -> Array:
        return jax.lax.dynamic_slice(images, (i, y, x, 0), (1, *size, images.shape[-1]))[0]

    return cut(index, row, column)


def map_tiles(make_tile: MakeTile, *, shape: tuple[int, int], most: int) -> PyTree[Array]:
    """Make something large tile by tile, one after the other, so that only one at a time takes memory to work in.

    Args:
        make_tile: is traced once, with its first row and column as numbers on the device, and with the height `p` and
            the width `q` that all tiles have; gives `[n, p, q, ...]`, or a dictionary or tuple of such.
        shape: height and width of the whole, `(h, w)`.
        most: height and width of a tile at most.

    Returns:
        `[n, h, w, ...]`. The last tiles end flush with the border; what they repeat is dropped.

    Raises:
        InputError: `most` is below 1.
    """
    need_at_least(most, 1, what="most")
    p, q = (-(-length // -(-length // most)) for length in shape)
    rows, columns = grid(shape, (p, q), (p, q))
    corners = jnp.asarray([(row, column) for row in rows for column in columns])
    tiles = jax.lax.map(lambda corner: make_tile(corner[0], corner[1], p, q), corners)

    def sew(x: Array) -> Array:
        strips = jax.vmap(partial(_join, axis=2, length=shape[1]))(x.reshape(len(rows), len(columns), *x.shape[1:]))
        return _join(strips, axis=1, length=shape[0])

    return jax.tree.map(sew, tiles)


def fold_axis(windows: Array, axis: int, begins: tuple[int, ...], length: int) -> Array:
    """Overlap-add along one axis: `[..., windows, p, ...]` at `axis` becomes `[..., length, ...]`."""
    shape = (*windows.shape[:axis], length, *windows.shape[axis + 2 :])
    image = jax.ShapeDtypeStruct(shape, windows.dtype)
    size = windows.shape[axis + 1]
    return jax.linear_transpose(lambda x: _extract_axis(x, axis, begins, size), image)(windows)[0]


def _join(tiles: Array, *, axis: int, length: int) -> Array:
    """Tiles `[t, ...]` end to end along an axis of theirs; the last gives only what is missing."""
    repeated = tiles.shape[0] * tiles.shape[axis + 1] - length
    *others, last = tiles
    return jnp.concatenate([*others, jax.lax.slice_in_dim(last, repeated, None, axis=axis)], axis)


def _extract_axis(x: Array, axis: int, begins: tuple[int, ...], size: int) -> Array:
    """Windows along one axis: `[..., length, ...]` becomes `[..., windows, p, ...]`, from static strided slices."""
    even = len(begins) - (len(begins) > 2 and begins[-1] - begins[-2] != begins[1] - begins[0])
    step = begins[1] - begins[0] if even > 1 else 1
    span = (even - 1) * step + 1
    pixels = [jax.lax.slice_in_dim(x, begins[0] + i, begins[0] + i + span, step, axis) for i in range(size)]
    windows = jnp.stack(pixels, axis + 1)
    if even == len(begins):
        return windows
    last = jax.lax.slice_in_dim(x, begins[-1], begins[-1] + size, 1, axis)
    return jnp.concatenate([windows, jnp.expand_dims(last, axis)], axis)
