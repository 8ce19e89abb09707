"""From windows to heatmaps: every window of a whole batch of images scored by one compiled computation.

Where the literature calls the model once a window and adds its score to each covered pixel in a loop,
here the windows run through in chunks and the addition is one overlap-add. Memory holds one chunk of
windows and one number per window, whatever the size of the image.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxad._check import InputError, need_at_least, need_images, need_one_of, need_pair, need_whole
from jaxad._options import Cover, Reduce
from jaxad._types import Images, Maps
from jaxad.extents import Extent
from jaxad.heatmaps.canvases import heatmap_on_canvases
from jaxad.heatmaps.chunks import (
    Chunk,
    ScoreWindows,
    Sharing,
    in_chunks,
    on_grid,
    score_places,
    share_at_strides,
)
from jaxad.heatmaps.folds import REDUCES, fold_scores
from jaxad.heatmaps.tiles import scores_in_tiles
from jaxad.patches import grid


def heatmap(
    score_windows: ScoreWindows,
    images: Images,
    *,
    size: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover = "full",
    reduce: Reduce = "mean",
    chunk: int | None = None,
    extent: Extent | None = None,
) -> PyTree[Maps]:
    """Anomaly of every pixel: the scores of all windows that cover it, averaged or added up.

    Args:
        score_windows: scores `[k, p, q, c]` to `[k]`, or to a dictionary or tuple of `[k]`; any function that
            `jax.jit` can trace. It is compiled once per function object: make it once and keep it, or give
            a callable pytree such as `jax.tree_util.Partial(function, arrays)`, which compiles once for all arrays.
            As for `jax.jit`, whatever else it reads, such as attributes of the object whose method it is, must not
            change afterwards.
        images: `[n, h, w, c]`, float32.
        size: height and width of a window, `(p, q)`.
        stride: pixels from one window to the next, down and across; larger is faster and coarser.
        cover: `"full"` reaches every pixel; `"seed"` is the published grid, which leaves the bottom and right
            border unscored (zero). See `jaxad.patches.starts`.
        reduce: `"mean"` of the covering windows, so that the border is on one scale with the middle, or their
            `"sum"`, as published.
        chunk: windows scored at once; default by backend. It changes speed and memory, not the result.
        extent: where the images lie in photographs of other sizes, see `jaxad.extents`; windows are those of the
            photographs, so a canvas begins at a multiple of the stride in its photograph and shows a window at least.

    Returns:
        `[n, h, w]` for each score that `score_windows` gives, in its units; zero off the photographs.

    Raises:
        InputError: images of the wrong rank or dtype, a window or stride that does not fit them, an unknown
            `cover` or `reduce`, or scores that are not `[k]`.

    >>> import jax.numpy as jnp
    >>> brightness = lambda windows: windows.mean((1, 2, 3))
    >>> heatmap(brightness, jnp.ones((1, 4, 4, 1)), size=(2, 2), stride=(2, 2)).shape
    (1, 4, 4)
    """
    need_one_of(reduce, REDUCES, what="reduce")
    size, stride = _checked(score_windows, images, size, stride, cover, chunk)
    if extent is not None:
        return heatmap_on_canvases(_as_pytree(score_windows), images, extent, size, stride, cover, reduce, chunk)
    return _heatmap(_as_pytree(score_windows), images, size, stride, cover, reduce, chunk)


def window_scores(
    score_windows: ScoreWindows,
    images: Images,
    *,
    size: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover = "full",
    chunk: int | None = None,
) -> PyTree[Float[Array, "n rows columns"]]:
    """The score of every window, `[n, rows, columns]`; arguments and errors as in `heatmap`."""
    size, stride = _checked(score_windows, images, size, stride, cover, chunk)
    return _window_scores(_as_pytree(score_windows), images, size, stride, cover, chunk)


@partial(jax.jit, static_argnums=(2, 3, 4, 5, 6))
def _heatmap(
    score_windows: ScoreWindows,
    images: Array,
    size: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover,
    reduce: Reduce,
    chunk: int | None,
) -> PyTree[Array]:
    scores = _window_scores(score_windows, images, size, stride, cover, chunk)
    _, h, w, _ = images.shape
    fold = partial(fold_scores, shape=(h, w), size=size, stride=stride, cover=cover, reduce=reduce)
    return jax.tree.map(fold, scores)


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _window_scores(
    score_windows: ScoreWindows,
    images: Array,
    size: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover,
    chunk: int | None,
) -> PyTree[Array]:
    n, h, w, _ = images.shape
    rows, columns = grid((h, w), size, stride, cover=cover)
    total = n * len(rows) * len(columns)

    def scores(chunk: Chunk, score_windows: ScoreWindows, images: Array) -> PyTree[Array]:
        return _scores_in_chunks(score_windows, images, rows, columns, size, stride, chunk)

    def tiles(chunk: Chunk, score_windows: ScoreWindows, images: Array) -> PyTree[Array]:
        return scores_in_tiles(
            score_windows, images, rows=rows, columns=columns, size=size, stride=stride, most=chunk.size
        )

    return in_chunks(scores, chunk, total, score_windows, images, on_tpu=tiles)


def _scores_in_chunks(
    score_windows: ScoreWindows,
    images: Array,
    rows: Sequence[int],
    columns: Sequence[int],
    size: tuple[int, int],
    stride: tuple[int, int],
    chunk: Chunk,
) -> PyTree[Array]:
    shape = (images.shape[0], len(rows), len(columns))
    total = shape[0] * shape[1] * shape[2]
    shared = None
    if isinstance(score_windows, Sharing):
        at_strides = partial(share_at_strides, score_windows, size=size, stride=stride)
        on_places = on_grid(at_strides, images, rows=rows, columns=columns, size=size, stride=stride)
        shared = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), on_places)
    # The last chunk starts early enough to be whole; windows scored twice get the same score twice.
    begins = jnp.minimum(jnp.arange(0, total, chunk.size), total - chunk.size)

    def score_chunk(begin: Array) -> PyTree[Array]:
        index, row, column = jnp.unravel_index(begin + jnp.arange(chunk.size), shape)
        places = index, jnp.asarray(rows)[row], jnp.asarray(columns)[column]
        some = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, begin, chunk.size), shared)
        return score_places(score_windows, images, places, some, size=size, block=chunk.block)

    chunks = jax.lax.map(score_chunk, begins)

    def join(scores: Array) -> Array:
        whole, last = scores[:-1].reshape(-1), scores[-1]
        return jnp.concatenate([whole, last[whole.size + chunk.size - total :]]).reshape(shape)

    return jax.tree.map(join, chunks)


def _as_pytree(score_windows: ScoreWindows) -> ScoreWindows:
    """A callable pytree as it is, so that its arrays are arguments of the compiled program; else a function as one."""
    is_leaf = jax.tree_util.all_leaves([score_windows])
    return jax.tree_util.Partial(score_windows) if is_leaf else score_windows


def _checked(
    score_windows: object, images: Images, size: Any, stride: Any, cover: Cover, chunk: int | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size and stride as they hash; all else is only looked at."""
    if not callable(score_windows):
        raise InputError(
            f"score_windows must be a function of windows [k, p, q, c], got {type(score_windows).__name__}"
        )
    need_images(images)
    size, stride = need_pair(size, what="size"), need_pair(stride, what="stride")
    _, h, w, _ = images.shape
    grid((h, w), size, stride, cover=cover)
    if chunk is not None:
        need_at_least(need_whole(chunk, what="chunk"), 1, what="chunk")
    return size, stride
