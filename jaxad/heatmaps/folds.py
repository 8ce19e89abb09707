"""Scores of windows spread over the pixels that they cover."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._check import InputError, need_floats, need_one_of
from jaxad._floats import at_least_single
from jaxad._options import Cover, Reduce
from jaxad.patches import cover_count, grid

REDUCES = ("mean", "sum")
Starts = tuple[int, ...]


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
    scores = at_least_single(scores)
    need_one_of(reduce, REDUCES, what="reduce")
    rows, columns = grid(shape, size, stride, cover=cover)
    if scores.shape[1:] != (len(rows), len(columns)):
        raise InputError(f"scores must be [n, {len(rows)}, {len(columns)}] on this grid, got {scores.shape}")
    fold = partial(_fold_sums, rows=rows, columns=columns, shape=shape, size=size, stride=stride)
    products = partial(_fold_products, rows=rows, columns=columns, shape=shape, size=size)
    maps = jax.lax.platform_dependent(scores, tpu=products, default=fold)
    if reduce == "sum":
        return maps
    count = cover_count(shape, size=size, stride=stride, cover=cover)
    return maps / jnp.maximum(count, 1.0)[None]


def fold_at_strides(
    scores: Float[Array, "..."], axis: int, *, size: int, stride: int, length: int
) -> Float[Array, "..."]:
    """Sums of the scores of windows at multiples of the stride over the pixels that each covers, along one axis.

    As many windows cover all pixels between two strides, but for one more that covers the first of them where `size`
    is no multiple of `stride`. So few sums are taken, one a stride, and repeated.

    Args:
        scores: `[..., windows, ...]`.
        axis: of the windows, which becomes that of the pixels.
        size: pixels that a window covers.
        stride: pixels from one window to the next.
        length: pixels.
    """
    strides = -(-length // stride)
    whole, more = divmod(size, stride)
    edges = [(0, 0)] * scores.ndim
    edges[axis] = (whole, max(0, strides - scores.shape[axis]))
    padded = jnp.pad(scores, edges)
    shifted = [jax.lax.slice_in_dim(padded, i, i + strides, axis=axis) for i in range(whole + 1)]
    sums = jnp.expand_dims(sum(shifted[1:], start=jnp.zeros_like(shifted[0])), axis + 1)
    repeats = (*sums.shape[: axis + 1], stride, *sums.shape[axis + 2 :])
    first = jnp.arange(stride).reshape(-1, *(1 for _ in sums.shape[axis + 2 :])) < more
    pixels = jnp.where(first, sums + jnp.expand_dims(shifted[0], axis + 1), jnp.broadcast_to(sums, repeats))
    pixels = pixels.reshape(*scores.shape[:axis], strides * stride, *scores.shape[axis + 1 :])
    return jax.lax.slice_in_dim(pixels, 0, length, axis=axis)


def _fold_sums(
    scores: Array,
    *,
    rows: Starts,
    columns: Starts,
    shape: tuple[int, int],
    size: tuple[int, int],
    stride: tuple[int, int],
) -> Array:
    """Maps `[n, h, w]` of scores `[n, rows, columns]`, as sums of shifted copies, an axis at a time."""
    for axis, begins in ((1, rows), (2, columns)):
        span, step, length = size[axis - 1], stride[axis - 1], shape[axis - 1]
        even = len(begins) - (begins[-1] % step != 0)
        at_strides = jax.lax.slice_in_dim(scores, 0, even, axis=axis)
        folded = fold_at_strides(at_strides, axis, size=span, stride=step, length=length)
        if even < len(begins):
            edges = [(0, 0)] * 3
            edges[axis] = (begins[-1], length - begins[-1] - span)
            flush = jax.lax.slice_in_dim(scores, even, None, axis=axis)
            folded = folded + jnp.pad(jnp.repeat(flush, span, axis=axis), edges)
        scores = folded
    return scores


def _fold_products(
    scores: Array, *, rows: Starts, columns: Starts, shape: tuple[int, int], size: tuple[int, int]
) -> Array:
    """The same as a product with ones and zeros an axis, for devices that multiply faster than they move numbers."""
    down, across = (
        [[begin <= pixel < begin + span for begin in begins] for pixel in range(length)]
        for begins, span, length in zip((rows, columns), size, shape, strict=True)
    )
    kinds = (jnp.asarray(down, scores.dtype), scores, jnp.asarray(across, scores.dtype))
    return jnp.einsum("yr,nrc,xc->nyx", *kinds, precision=jax.lax.Precision.HIGHEST)
