"""From windows to heatmaps: every window of a whole batch of images scored by one compiled computation.

Where the literature calls the model once a window and adds its score to each covered pixel in a loop,
here the windows run through in chunks and the addition is one overlap-add. Memory holds one chunk of
windows and one number per window, whatever the size of the image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxad._check import InputError, need_at_least, need_floats, need_images, need_one_of
from jaxad._options import Cover, Reduce
from jaxad._types import AnyArray, Images, Maps
from jaxad.extents import Extent
from jaxad.patches import cover_count, fold_axis, grid, take_windows

ScoreWindows = Callable[[Float[Array, "k p q c"]], PyTree[Float[Array, " k"]]]
"""Scores of windows `[k, p, q, c]`: `[k]`, or a dictionary or tuple of such."""

REDUCES = ("mean", "sum")
CPU_CHUNK = 1024
ACCELERATOR_CHUNK = 2**16


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
    _check(images, size, stride, cover, chunk)
    if extent is not None:
        return _heatmap_on_canvases(_as_pytree(score_windows), images, extent, size, stride, cover, reduce, chunk)
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
    _check(images, size, stride, cover, chunk)
    return _window_scores(_as_pytree(score_windows), images, size, stride, cover, chunk)


def fold_scores(
    scores: Float[Array, "n rows columns"],
    *,
    shape: tuple[int, int],
    size: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover = "full",
    reduce: Reduce = "mean",
) -> Float[Array, "n h w"]:
    """Spread one score a window, `[n, rows, columns]`, over the pixels it covers: `[n, h, w]`.

    Args:
        scores: as `window_scores` returns them.
        shape: height and width of the images.
        size: as in `heatmap`; so are `stride`, `cover` and `reduce`.
        stride: as in `heatmap`.
        cover: as in `heatmap`.
        reduce: as in `heatmap`.

    Raises:
        InputError: no float scores, the grid of `shape` does not have `rows` x `columns` windows, or an unknown
            `reduce`.
    """
    need_floats(scores, "n rows columns", what="scores")
    need_one_of(reduce, REDUCES, what="reduce")
    rows, columns = grid(shape, size, stride, cover=cover)
    if scores.shape[1:] != (len(rows), len(columns)):
        raise InputError(f"scores must be [n, {len(rows)}, {len(columns)}] on this grid, got {scores.shape}")
    strips = fold_axis(_repeat(scores, 2, size[0]), 1, rows, shape[0])
    maps = fold_axis(_repeat(strips, 3, size[1]), 2, columns, shape[1])
    if reduce == "sum":
        return maps
    count = cover_count(shape, size=size, stride=stride, cover=cover)
    return maps / jnp.maximum(count, 1.0)[None]


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
    shape = (n, len(rows), len(columns))
    total = shape[0] * shape[1] * shape[2]
    chunk = min(chunk or _usual_chunk(), total)
    # The last chunk starts early enough to be whole; windows scored twice get the same score twice.
    begins = jnp.minimum(jnp.arange(0, total, chunk), total - chunk)

    def score_chunk(begin: Array) -> PyTree[Array]:
        index, row, column = jnp.unravel_index(begin + jnp.arange(chunk), shape)
        places = index, jnp.asarray(rows)[row], jnp.asarray(columns)[column]
        return _score_places(score_windows, images, places, size)

    chunks = jax.lax.map(score_chunk, begins)

    def join(scores: Array) -> Array:
        whole, last = scores[:-1].reshape(-1), scores[-1]
        return jnp.concatenate([whole, last[whole.size + chunk - total :]]).reshape(shape)

    return jax.tree.map(join, chunks)


@partial(jax.jit, static_argnums=(3, 4, 5, 6, 7))
def _heatmap_on_canvases(
    score_windows: ScoreWindows,
    images: Array,
    extent: Extent,
    size: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover,
    reduce: Reduce,
    chunk: int | None,
) -> PyTree[Array]:
    """`_heatmap` of the photographs on canvases: their windows alone are scored, as many as there are."""
    n, h, w, _ = images.shape
    down = _windows_along(h, extent.top, extent.height, size[0], stride[0], cover)
    across = _windows_along(w, extent.left, extent.width, size[1], stride[1], cover)
    ends = jnp.cumsum(down.count * across.count)
    most = n * down.most * across.most
    chunk = min(chunk or _usual_chunk(), most)

    def score_chunk(number: Array) -> PyTree[Array]:
        # Windows one after the other, those of the first photograph first; beyond the last one it is repeated.
        order = jnp.clip(number * chunk + jnp.arange(chunk), 0, ends[-1] - 1)
        index = jnp.searchsorted(ends, order, side="right", method="compare_all")
        row, column = jnp.divmod(order - (ends - down.count * across.count)[index], across.count[index])
        return _score_places(score_windows, images, (index, down.begin(index, row), across.begin(index, column)), size)

    def step(number: Array, scores: PyTree[Array]) -> PyTree[Array]:
        begin = (number * chunk,)
        return jax.tree.map(lambda x, part: jax.lax.dynamic_update_slice(x, part, begin), scores, score_chunk(number))

    chunks = -(-most // chunk)
    kinds = jax.eval_shape(score_chunk, jnp.int32(0))
    empty = jax.tree.map(lambda x: jnp.zeros(chunks * chunk, x.dtype), kinds)
    scores = jax.lax.fori_loop(0, (ends[-1] + chunk - 1) // chunk, step, empty)
    ones = [_fold_along(jnp.ones((n, axis.most)), axis, 1) for axis in (down, across)]
    count = jnp.maximum(ones[0][:, :, None] * ones[1][:, None, :], 1.0)
    # The last place of an axis is that of the window flush with the border.
    row = jnp.where(jnp.arange(down.most)[None] < down.most - 1, jnp.arange(down.most)[None], down.even[:, None])
    column = jnp.where(
        jnp.arange(across.most)[None] < across.most - 1, jnp.arange(across.most)[None], across.even[:, None]
    )
    places = (ends - down.count * across.count)[:, None, None] + row[:, :, None] * across.count[:, None, None]
    places = jnp.clip(places + column[:, None, :], 0, chunks * chunk - 1)

    def fold(x: Array) -> Array:
        maps = _fold_along(_fold_along(x[places], down, 1), across, 2)
        return maps if reduce == "sum" else maps / count

    return jax.tree.map(fold, scores)


@dataclass(frozen=True)
class _Windows:
    """The windows along one axis of n canvases: places at even steps, and then that of the one flush with the border.

    Of these a canvas has the first `even`, and the last one where it is `flush`.
    """

    canvas: int
    size: int
    stride: int
    even: Int[Array, " n"]
    flush: Bool[AnyArray, " n"]
    last: Int[Array, " n"]
    """First pixel of the window flush with the border."""

    @property
    def most(self) -> int:
        return (self.canvas - self.size) // self.stride + 2

    @property
    def count(self) -> Int[Array, " n"]:
        return self.even + self.flush

    def begin(self, index: Array, number: Array) -> Array:
        """First pixel of the window of that number on the canvas of that index."""
        return jnp.where(number < self.even[index], number * self.stride, self.last[index])


def _windows_along(canvas: int, first: AnyArray, length: AnyArray, size: int, stride: int, cover: Cover) -> _Windows:
    rest = length - first
    fitting = (jnp.minimum(rest, canvas) - size) // stride + 1
    if cover == "seed":
        fitting = jnp.minimum(fitting, (length - size) // stride - first // stride)
    flush = (rest <= canvas) & (rest >= size) & ((rest - size) % stride != 0) & (cover == "full")
    return _Windows(canvas, size, stride, jnp.maximum(fitting, 0), flush, jnp.clip(rest - size, 0, canvas - size))


def _fold_along(x: Float[Array, "n ..."], windows: _Windows, axis: int) -> Float[Array, "n ..."]:
    """Overlap-add of one number a window along an axis: `[n, ..., most, ...]` to `[n, ..., canvas, ...]`."""

    def along(numbers: Array) -> Array:
        return numbers.reshape(numbers.shape[0], *(-1 if i == axis else 1 for i in range(1, x.ndim)))

    numbers = jnp.arange(windows.most - 1)[None] < windows.even[:, None]
    even = jnp.where(along(numbers), jax.lax.slice_in_dim(x, 0, windows.most - 1, axis=axis), 0.0)
    begins = tuple(range(0, (windows.most - 1) * windows.stride, windows.stride))
    folded = fold_axis(_repeat(even, axis + 1, windows.size), axis, begins, windows.canvas)
    pixels = jnp.arange(windows.canvas)[None] - windows.last[:, None]
    covered = along((pixels >= 0) & (pixels < windows.size) & windows.flush[:, None])
    return folded + jnp.where(covered, jax.lax.slice_in_dim(x, windows.most - 1, None, axis=axis), 0.0)


def _score_places(
    score_windows: ScoreWindows, images: Array, places: tuple[Array, Array, Array], size: tuple[int, int]
) -> PyTree[Array]:
    """Scores `[k]` of the windows at so many images, first rows and first columns."""
    windows = take_windows(images, *places, size=size)
    scores = score_windows(windows)
    for score in jax.tree.leaves(scores):
        if score.shape != windows.shape[:1]:
            raise InputError(
                f"score_windows must give one score a window, [k], for windows [k, p, q, c]; "
                f"got {score.shape} for {windows.shape}"
            )
    return scores


def _usual_chunk() -> int:
    return CPU_CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK


def _repeat(x: Array, axis: int, times: int) -> Array:
    x = jnp.expand_dims(x, axis)
    return jnp.broadcast_to(x, (*x.shape[:axis], times, *x.shape[axis + 1 :]))


def _as_pytree(score_windows: ScoreWindows) -> ScoreWindows:
    """A callable pytree as it is, so that its arrays are arguments of the compiled program; else a function as one."""
    is_leaf = jax.tree_util.all_leaves([score_windows])
    return jax.tree_util.Partial(score_windows) if is_leaf else score_windows


def _check(images: Images, size: tuple[int, int], stride: tuple[int, int], cover: Cover, chunk: int | None) -> None:
    need_images(images)
    _, h, w, _ = images.shape
    grid((h, w), size, stride, cover=cover)
    if chunk is not None:
        need_at_least(chunk, 1, what="chunk")
