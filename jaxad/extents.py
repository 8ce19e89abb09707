"""Canvases: images of one size that show photographs of any sizes, so that one compiled program scores them all.

A photograph lies on its canvas with its first pixel in the corner, or a canvas shows a part of a larger photograph.
`Extent` says which, as numbers on the device. Pixels of a canvas beyond the photograph's last row and column count
nowhere: each method leaves them out of its windows, borders and pools, so that what it says of the others is what it
says of the photograph alone, to rounding. Lengths are in pixels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from jaxad._options import GREY_WEIGHTS
from jaxad._types import AnyArray


class Extent(NamedTuple):
    """Where each of n canvases lies in its photograph; a pytree."""

    top: Int[AnyArray, " n"] | Int[AnyArray, ""]
    """The photograph's row that is the canvas's first."""
    left: Int[AnyArray, " n"] | Int[AnyArray, ""]
    height: Int[AnyArray, " n"] | Int[AnyArray, ""]
    """Of the whole photograph; 0 for a canvas that shows none, whose scores mean nothing."""
    width: Int[AnyArray, " n"] | Int[AnyArray, ""]


class Batch(NamedTuple):
    """What goes up to the device at once; a pytree. Without an extent, images are whole photographs of their size."""

    images: Shaped[AnyArray, "n h w c"]
    """uint8, uint16 or float32 in [0, 1]; off the photographs whatever there is."""
    extent: Extent | None = None
    counted: Bool[AnyArray, "n h w"] | None = None
    """Which pixels count in pools; by default all of the photograph."""


class Axis(NamedTuple):
    """One axis of a canvas; numbers known when a program is compiled, or scalars on the device."""

    canvas: int
    """Pixels of the canvas."""
    first: int | Int[AnyArray, ""]
    """The photograph's pixel that is the canvas's first."""
    length: int | Int[AnyArray, ""]
    """Pixels of the photograph."""

    @property
    def rest(self) -> int | Int[AnyArray, ""]:
        """The photograph's pixels from the canvas's first on; those beyond it lie off the photograph."""
        return self.length - self.first


def axes_of(shape: tuple[int, ...], *, extent: Extent | None = None) -> tuple[Axis, Axis]:
    """Both axes of canvases of height and width `shape`; without an extent (of scalars) they are whole photographs."""
    if extent is None:
        return Axis(shape[0], 0, shape[0]), Axis(shape[1], 0, shape[1])
    return Axis(shape[0], extent.top, extent.height), Axis(shape[1], extent.left, extent.width)


def model_input(batch: Batch, channels: int) -> Float[Array, "n h w channels"]:
    """What a model sees of a batch: float32 `[n, h, w, channels]` in [0, 1].

    Whole numbers are divided by their largest; colour becomes grey, or grey is repeated, where `channels` says so.
    """
    images = jnp.asarray(batch.images)
    if jnp.issubdtype(images.dtype, jnp.integer):
        images = jax.lax.platform_dependent(images, cpu=_looked_up, default=_divided)
    if images.shape[-1] == channels:
        return images
    if channels == 1:
        weights = jnp.array(GREY_WEIGHTS, jnp.float32)[:, None]
        return jnp.matmul(images, weights, precision=jax.lax.Precision.HIGHEST)
    return jnp.repeat(images, channels, axis=-1)


def _looked_up(images: Array) -> Array:
    """Shares of white to the bits of the host's division, which XLA would turn into a product with a reciprocal."""
    white = int(jnp.iinfo(images.dtype).max)
    shares = np.arange(white + 1, dtype=np.float32) / np.float32(white)
    return jnp.take(jnp.asarray(shares), images.astype(jnp.int32), mode="clip")


def _divided(images: Array) -> Array:
    return images.astype(jnp.float32) / np.float32(jnp.iinfo(images.dtype).max)


def on_photograph(shape: tuple[int, int], extent: Extent) -> Bool[Array, "n h w"]:
    """Where canvases of height and width `shape` show their photographs: `[n, h, w]`."""
    rows = jnp.arange(shape[0])[None] < (extent.height - extent.top)[:, None]
    columns = jnp.arange(shape[1])[None] < (extent.width - extent.left)[:, None]
    return rows[:, :, None] & columns[:, None, :]


def map_canvases(function: Callable[[Array, Any], PyTree[Array]], images: Array, extent: Extent) -> PyTree[Array]:
    """What `function` makes of canvases `[n, h, w, c]`, each alone: a pytree of `[n, ...]`.

    Args:
        function: one canvas `[1, h, w, c]` and its extent, of scalars, to a pytree of `[1, ...]`.
        images: the canvases. On CPU they go one after the other, and those without a photograph take no time.
        extent: where they lie.
    """

    def one(image: Array, place: Extent) -> PyTree[Array]:
        return jax.tree.map(lambda x: x[0], function(image[None], place))

    def one_by_one(images: Array, extent: Extent) -> PyTree[Array]:
        empty = jax.eval_shape(one, images[0], jax.tree.map(lambda x: x[0], extent))

        def step(given: tuple[Array, Extent]) -> PyTree[Array]:
            nothing = partial(jax.tree.map, lambda x: jnp.zeros(x.shape, x.dtype), empty)
            return jax.lax.cond(given[1].height > 0, lambda: one(*given), nothing)

        return jax.lax.map(step, (images, extent))

    return jax.lax.platform_dependent(images, extent, cpu=one_by_one, default=jax.vmap(one))
