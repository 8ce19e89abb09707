"""Scores of windows tile by tile, for TPUs, which gather windows from computed places one by one.

A tile is some images whole, or some rows of windows of one image. Its windows are slices that are known when the
program is compiled; small ones come of a convolution, for a TPU multiplies faster than it moves numbers.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxad.heatmaps.chunks import ScoreWindows, Sharing, need_one_a_window, on_grid
from jaxad.patches import extract

MOST_PRODUCTS = 512
"""Numbers of a window that a convolution cuts out, at most: its kernel has the square of that."""


def scores_in_tiles(
    score_windows: ScoreWindows,
    images: Float[Array, "n h w c"],
    *,
    rows: Sequence[int],
    columns: Sequence[int],
    size: tuple[int, int],
    stride: tuple[int, int],
    most: int,
) -> PyTree[Float[Array, "n rows columns"]]:
    """The score of every window of a grid on images `[n, h, w, c]`, `[n, rows, columns]`.

    Args:
        score_windows: see `jaxad.heatmaps.heatmap`.
        images: the images.
        rows: first rows of the windows, as `jaxad.patches.grid` gives them.
        columns: first columns.
        size: height and width of a window.
        stride: pixels from one window to the next.
        most: windows scored at once, or one row of them where that is more.
    """
    at_strides = partial(_scores_at_strides, score_windows, size=size, stride=stride, most=most)
    return on_grid(at_strides, images, rows=rows, columns=columns, size=size, stride=stride)


def _scores_at_strides(
    score_windows: ScoreWindows, images: Array, *, size: tuple[int, int], stride: tuple[int, int], most: int
) -> PyTree[Array]:
    """The scores of the windows at multiples of the stride."""
    n, h, w, c = images.shape
    down, across = ((length - p) // s + 1 for length, p, s in zip((h, w), size, stride, strict=True))
    group = max(1, min(n, most // (down * across)))
    tall = down if group > 1 else max(1, min(down, most // across))
    pixels = (group, (tall - 1) * stride[0] + size[0], (across - 1) * stride[1] + size[1], c)

    def score_tile(image: Array, row: Array) -> PyTree[Array]:
        zero = jnp.zeros_like(row)
        tile = jax.lax.dynamic_slice(images, (image, row * stride[0], zero, zero), pixels)
        windows = _cut(tile, size=size, stride=stride).reshape(-1, *size, c)
        scores = _score(score_windows, tile, windows, stride)
        need_one_a_window(scores, windows)
        return jax.tree.map(lambda x: x.reshape(group, tall, across), scores)

    def step(number: Array, found: PyTree[Array]) -> PyTree[Array]:
        # The last tiles start early enough to be whole; windows scored twice get the same score twice.
        image = jnp.minimum(number // blocks * group, n - group)
        row = jnp.minimum(number % blocks * tall, down - tall)
        begin = (image, row, jnp.zeros_like(row))
        return jax.tree.map(lambda x, y: jax.lax.dynamic_update_slice(x, y, begin), found, score_tile(image, row))

    blocks = -(-down // tall)
    kinds = jax.eval_shape(score_tile, jnp.int32(0), jnp.int32(0))
    empty = jax.tree.map(lambda x: jnp.zeros((n, down, across), x.dtype), kinds)
    return jax.lax.fori_loop(0, -(-n // group) * blocks, step, empty)


def _score(
    score_windows: Callable[..., PyTree[Array]], tile: Array, windows: Array, stride: tuple[int, int]
) -> PyTree[Array]:
    if not isinstance(score_windows, Sharing):
        return score_windows(windows)
    shared = score_windows.share(tile, stride)
    return score_windows(windows, jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), shared))


def _cut(images: Float[Array, "n h w c"], *, size: tuple[int, int], stride: tuple[int, int]) -> Array:
    """The windows of images `[n, h, w, c]`, in the order of `jaxad.patches.extract`.

    Products with ones and zeros of three parts of each number, eight bits each, which is what the highest precision is,
    give the number itself.
    """
    count = size[0] * size[1] * images.shape[-1]
    if count > MOST_PRODUCTS:
        return extract(images, size=size, stride=stride)
    return jax.lax.conv_general_dilated(
        images,
        jnp.eye(count, dtype=images.dtype).reshape(*size, -1, count),
        stride,
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
