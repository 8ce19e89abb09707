"""Scores of windows, chunk by chunk, so that memory holds one chunk of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxad._check import InputError
from jaxad.patches import take_windows

ScoreWindows = Callable[[Float[Array, "k p q c"]], PyTree[Float[Array, " k"]]]
"""Scores of windows `[k, p, q, c]`: `[k]`, or a dictionary or tuple of such."""

CPU_CHUNK = 1024
ACCELERATOR_CHUNK = 2**16


def score_places(
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


def in_chunks(function: Callable[..., PyTree[Array]], chunk: int | None, most: int, *arrays: Any) -> PyTree[Array]:
    """What `function` makes of arrays `[...]` in chunks of so many windows, by default as the backend likes it."""
    usual, on_cpu = (min(size, most) for size in (chunk or ACCELERATOR_CHUNK, chunk or CPU_CHUNK))
    if usual == on_cpu:
        return function(usual, *arrays)
    return jax.lax.platform_dependent(*arrays, cpu=partial(function, on_cpu), default=partial(function, usual))


def repeated(x: Array, axis: int, times: int) -> Array:
    """An array `[...]` with a new axis along which it stands so many times."""
    x = jnp.expand_dims(x, axis)
    return jnp.broadcast_to(x, (*x.shape[:axis], times, *x.shape[axis + 1 :]))
