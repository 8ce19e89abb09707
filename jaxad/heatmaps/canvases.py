"""Heatmaps of the photographs on canvases: their windows alone are scored, as many as there are."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxad._options import Cover, Reduce
from jaxad._types import AnyArray
from jaxad.extents import Extent
from jaxad.heatmaps.chunks import (
    Chunk,
    ScoreWindows,
    Sharing,
    in_chunks,
    joined,
    score_places,
    share_at_strides,
)
from jaxad.heatmaps.folds import fold_at_strides


@partial(jax.jit, static_argnums=(3, 4, 5, 6, 7))
def heatmap_on_canvases(
    score_windows: ScoreWindows,
    images: Array,
    extent: Extent,
    size: tuple[int, int],
    stride: tuple[int, int],
    cover: Cover,
    reduce: Reduce,
    chunk: int | None,
) -> PyTree[Array]:
    """Maps `[n, h, w]` of canvases, on which the windows of the photographs alone are scored, as many as there are."""
    n, h, w, _ = images.shape
    down = _windows_along(h, extent.top, extent.height, size[0], stride[0], cover)
    across = _windows_along(w, extent.left, extent.width, size[1], stride[1], cover)
    most = n * down.most * across.most

    def maps(chunk: Chunk, score_windows: ScoreWindows, images: Array, extent: Extent) -> PyTree[Array]:
        down = _windows_along(h, extent.top, extent.height, size[0], stride[0], cover)
        across = _windows_along(w, extent.left, extent.width, size[1], stride[1], cover)
        return _maps_in_chunks(score_windows, images, down, across, size, reduce, chunk)

    return in_chunks(maps, chunk, most, score_windows, images, extent)


def _maps_in_chunks(
    score_windows: ScoreWindows,
    images: Array,
    down: "_Windows",
    across: "_Windows",
    size: tuple[int, int],
    reduce: Reduce,
    chunk: Chunk,
) -> PyTree[Array]:
    n = images.shape[0]
    ends = jnp.cumsum(down.count * across.count)
    most = n * down.most * across.most
    shared = _share(score_windows, images, down, across)

    def score_chunk(number: Array) -> PyTree[Array]:
        # Windows one after the other, those of the first photograph first; beyond the last one it is repeated.
        order = jnp.clip(number * chunk.size + jnp.arange(chunk.size), 0, ends[-1] - 1)
        index = jnp.searchsorted(ends, order, side="right", method="compare_all")
        row, column = jnp.divmod(order - (ends - down.count * across.count)[index], across.count[index])
        places = (index, down.begin(index, row), across.begin(index, column))
        some = jax.tree.map(lambda x: x[index, down.place(index, row), across.place(index, column)], shared)
        return score_places(score_windows, images, places, some, size=size, block=chunk.block)

    def step(number: Array, scores: PyTree[Array]) -> PyTree[Array]:
        begin = (number * chunk.size,)
        return jax.tree.map(lambda x, part: jax.lax.dynamic_update_slice(x, part, begin), scores, score_chunk(number))

    chunks = -(-most // chunk.size)
    kinds = jax.eval_shape(score_chunk, jnp.int32(0))
    empty = jax.tree.map(lambda x: jnp.zeros(chunks * chunk.size, x.dtype), kinds)
    scores = jax.lax.fori_loop(0, (ends[-1] + chunk.size - 1) // chunk.size, step, empty)
    ones = [_fold_along(jnp.ones((n, axis.most)), axis, 1) for axis in (down, across)]
    count = jnp.maximum(ones[0][:, :, None] * ones[1][:, None, :], 1.0)
    # The last place of an axis is that of the window flush with the border.
    row = jnp.where(jnp.arange(down.most)[None] < down.most - 1, jnp.arange(down.most)[None], down.even[:, None])
    column = jnp.where(
        jnp.arange(across.most)[None] < across.most - 1, jnp.arange(across.most)[None], across.even[:, None]
    )
    places = (ends - down.count * across.count)[:, None, None] + row[:, :, None] * across.count[:, None, None]
    places = jnp.clip(places + column[:, None, :], 0, chunks * chunk.size - 1)

    def fold(x: Array) -> Array:
        maps = _fold_along(_fold_along(x[places], down, 1), across, 2)
        return maps if reduce == "sum" else maps / count

    return jax.tree.map(fold, scores)


def _share(score_windows: ScoreWindows, images: Array, down: "_Windows", across: "_Windows") -> PyTree[Array]:
    """What windows share, `[n, most, most, ...]`, those flush with the border last; None where that is nothing."""
    if not isinstance(score_windows, Sharing):
        return None
    size, stride = (down.size, across.size), (down.stride, across.stride)
    at_strides = partial(share_at_strides, score_windows, size=size, stride=stride)

    def along_columns(images: Array) -> PyTree[Array]:
        return joined(at_strides(images), at_strides(across.strips(images, 2)), 2)

    return joined(along_columns(images), along_columns(down.strips(images, 1)), 1)


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

    def place(self, index: Array, number: Array) -> Array:
        """Where it is among the windows of a canvas: the one flush with the border comes last."""
        return jnp.where(number < self.even[index], number, self.most - 1)

    def strips(self, images: Array, axis: int) -> Array:
        """The rows or columns of each image that its window flush with the border takes."""
        return jax.vmap(lambda x, i: jax.lax.dynamic_slice_in_dim(x, i, self.size, axis - 1))(images, self.last)


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
    folded = fold_at_strides(even, axis, size=windows.size, stride=windows.stride, length=windows.canvas)
    pixels = jnp.arange(windows.canvas)[None] - windows.last[:, None]
    covered = along((pixels >= 0) & (pixels < windows.size) & windows.flush[:, None])
    return folded + jnp.where(covered, jax.lax.slice_in_dim(x, windows.most - 1, None, axis=axis), 0.0)
