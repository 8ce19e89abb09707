"""Scores of windows, chunk by chunk, so that memory holds one chunk of them."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxad._check import InputError
from jaxad._types import Images
from jaxad.patches import map_tiles, take_windows

ScoreWindows = Callable[[Float[Array, "k p q c"]], PyTree[Float[Array, " k"]]]
"""Scores of windows `[k, p, q, c]`: `[k]`, or a dictionary or tuple of such."""

TILE = 2**18
"""Windows whose shared numbers are computed at once."""


@runtime_checkable
class Sharing(Protocol):
    """Scores of windows that begin with what neighbouring windows share, such as the first layers of an encoder.

    That is computed once an image, not once a window. The score of windows alone must be the same, to rounding.
    """

    def share(self, images: Images, stride: tuple[int, int]) -> PyTree[Float[Array, "n rows columns ..."]]:
        """Numbers for each window of images `[n, h, w, c]` at multiples of the stride, `[n, rows, columns, ...]`."""

    def __call__(
        self, windows: Float[Array, "k p q c"], shared: PyTree[Float[Array, "k ..."]] | None = None
    ) -> PyTree[Float[Array, " k"]]:
        """Scores `[k]` of windows `[k, p, q, c]`, given the numbers of each, `[k, ...]`."""


class Chunk(NamedTuple):
    """How many windows are cut out at once, and how many of these scored at once."""

    size: int
    block: int

    def of(self, most: int) -> "Chunk":
        """The same for no more windows than there are, in whole blocks."""
        block = min(self.block, most)
        return Chunk(min(self.size, most) // block * block, block)


# XLA on CPU would cut windows out again in the loops that score them, which then are not vectorised: so it scores them
# in loops of their own.
CPU_CHUNK = Chunk(4096, 1024)
GPU_CHUNK = Chunk(2**17, 2**17)
# What its products make of as many windows stays in the memory beside the matrix units.
TPU_CHUNK = Chunk(2**14, 2**14)


def share_at_strides(
    score_windows: Sharing, images: Float[Array, "n h w c"], *, size: tuple[int, int], stride: tuple[int, int]
) -> PyTree[Float[Array, "n rows columns ..."]]:
    """What windows at multiples of the stride share, `[n, rows, columns, ...]`; tile by tile where they are many.

    Args:
        score_windows: see `Sharing`.
        images: `[n, h, w, c]`.
        size: height and width of a window.
        stride: pixels from one window to the next.
    """
    n, *lengths, c = images.shape
    down, across = ((length - p) // s + 1 for length, p, s in zip(lengths, size, stride, strict=True))
    most = max(1, math.isqrt(TILE // n))
    if max(down, across) <= most:
        return score_windows.share(images, stride)

    def tile(row: Array, column: Array, rows: int, columns: int) -> PyTree[Array]:
        begin = (jnp.zeros_like(row), row * stride[0], column * stride[1], jnp.zeros_like(row))
        pixels = ((rows - 1) * stride[0] + size[0], (columns - 1) * stride[1] + size[1])
        return score_windows.share(jax.lax.dynamic_slice(images, begin, (n, *pixels, c)), stride)

    return map_tiles(tile, shape=(down, across), most=most)


def score_places(
    score_windows: ScoreWindows,
    images: Array,
    places: tuple[Array, Array, Array],
    shared: PyTree[Array],
    *,
    size: tuple[int, int],
    block: int,
) -> PyTree[Array]:
    """Scores `[k]` of the windows at so many images, first rows and first columns, with what they share, `[k, ...]`."""
    windows = take_windows(images, *places, size=size)
    parts = (windows,) if shared is None else (windows, shared)
    if len(windows) > block:
        parts = jax.tree.map(lambda x: x.reshape(-1, block, *x.shape[1:]), parts)
        blocks = jax.lax.map(lambda part: score_windows(*part), parts)
        scores = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), blocks)
    else:
        scores = score_windows(*parts)
    need_one_a_window(scores, windows)
    return scores


def need_one_a_window(scores: PyTree[Array], windows: Float[Array, "k p q c"]) -> None:
    """Refuse scores that are not one number a window.

    Raises:
        InputError: they are not `[k]`, or no floating-point numbers.
    """
    leaves = jax.tree.leaves(scores)
    if not leaves:
        raise InputError(f"score_windows must give one score a window, [k], or several of these; got {scores!r}")
    for score in leaves:
        if score.shape != windows.shape[:1]:
            raise InputError(
                f"score_windows must give one score a window, [k], for windows [k, p, q, c]; "
                f"got {score.shape} for {windows.shape}"
            )
        if not jnp.issubdtype(score.dtype, jnp.floating):
            raise InputError(f"score_windows must give floating-point scores, got {score.dtype}")


def on_grid(
    at_strides: Callable[[Array], PyTree[Array]],
    images: Float[Array, "n h w c"],
    *,
    rows: Sequence[int],
    columns: Sequence[int],
    size: tuple[int, int],
    stride: tuple[int, int],
) -> PyTree[Array]:
    """What `at_strides` gives for the windows of images at multiples of the stride, for those of a whole grid.

    Windows flush with the border come after the others: they are those of strips as high or wide as one.

    Args:
        at_strides: images `[n, h, w, c]` to `[n, rows, columns, ...]`.
        images: the images.
        rows: first rows of the windows, as `jaxad.patches.grid` gives them.
        columns: first columns.
        size: height and width of a window.
        stride: pixels from one window to the next.
    """
    # The published grid leaves out windows that the images have.
    images = images[:, : rows[-1] + size[0], : columns[-1] + size[1]]

    def along_columns(images: Array) -> PyTree[Array]:
        found = at_strides(images)
        return found if columns[-1] % stride[1] == 0 else joined(found, at_strides(images[:, :, columns[-1] :]), 2)

    found = along_columns(images)
    return found if rows[-1] % stride[0] == 0 else joined(found, along_columns(images[:, rows[-1] :]), 1)


def joined(some: PyTree[Array], others: PyTree[Array], axis: int) -> PyTree[Array]:
    """Arrays `[...]` one behind the other along an axis."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis), some, others)


def in_chunks(
    function: Callable[..., PyTree[Array]],
    chunk: int | None,
    most: int,
    *arrays: Any,
    on_tpu: Callable[..., PyTree[Array]] | None = None,
) -> PyTree[Array]:
    """What `function` makes of arrays `[...]` in chunks of windows, by default as the backend likes them."""
    kinds = (CPU_CHUNK, TPU_CHUNK, GPU_CHUNK)
    cpu, tpu, usual = ((Chunk(chunk, chunk) if chunk else kind).of(most) for kind in kinds)
    if on_tpu is None and cpu == tpu == usual:
        return function(usual, *arrays)
    return jax.lax.platform_dependent(
        *arrays, cpu=partial(function, cpu), tpu=partial(on_tpu or function, tpu), default=partial(function, usual)
    )
