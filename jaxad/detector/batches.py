"""Images of whatever holds them through a compiled program, in batches of few sizes."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxad._check import InputError, need_channels_last, need_images
from jaxad._types import Images, Pixels
from jaxad.datasets import photographs, same_size_batches, unit_pixels
from jaxad.detector.system import times

BATCH_PIXELS = 2**18
"""Pixels given to one call of the compiled program; small images are batched up to it."""

Run = Callable[[Images], PyTree]


def in_batches(
    run: Run, source: Any, *, need_shape: Callable[[tuple[int, ...]], None], any_range: bool = False, shares: int = 1
) -> PyTree[np.ndarray]:
    """What `run` makes of images: a pytree of arrays `[n, ...]`.

    Args:
        run: float32 images `[b, h, w, c]` to a pytree of `[b, ...]`, compiled for each `b`.
        source: see `Detector.score`.
        need_shape: refuses a height, width and channels that the model cannot read.
        any_range: see `Detector.score`.
        shares: devices that share a batch, which are then so many times as large.

    Raises:
        InputError: see `Detector.score`.
    """
    if len(getattr(source, "shape", ())) == 4:
        return _array(run, source, need_shape, any_range, shares)
    shape: tuple[int, ...] = ()
    parts: list[Any] = []
    items = ((None, pixels) for pixels in photographs(source, any_range=any_range))
    for batch in same_size_batches(items, shares=shares):
        images = np.stack([pixels for _, pixels in batch])
        if shape and images.shape[1:] != shape:
            raise InputError(
                "images must have one size and be all grey or all in colour, got one that is "
                f"{times(images.shape[1:])} (height x width x channels) after {times(shape)}; score each "
                "alone, or fit a part with `jaxad fit`: Part.score takes mixed ones"
            )
        shape = images.shape[1:]
        parts.append(_array(run, images, need_shape, any_range, shares))
    if not parts:
        raise InputError("images must be at least one, got none")
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _array(
    run: Run, images: Pixels, need_shape: Callable[[tuple[int, ...]], None], any_range: bool, shares: int
) -> Any:
    """The device works on one batch while the host handles its neighbours."""
    need_images(images, any_dtype=True)
    need_channels_last(images.shape)
    need_shape(images.shape[1:])
    pixels = np.asarray(images)
    if not np.issubdtype(pixels.dtype, np.integer):
        pixels = unit_pixels(pixels, any_range=any_range)
    wholes: Any = None

    def keep(part: Any, begin: int) -> None:
        nonlocal wholes
        part = jax.device_get(part)
        if wholes is None:
            wholes = jax.tree.map(lambda x: np.empty((len(pixels), *x.shape[1:]), x.dtype), part)
        for whole, x in zip(jax.tree.leaves(wholes), jax.tree.leaves(part), strict=True):
            whole[begin : begin + len(x)] = x[: len(pixels) - begin]

    pending: tuple[Any, int] | None = None
    for batch, begin in _padded_batches(pixels, shares):
        # The call returns at once.
        running = run(batch), begin
        if pending is not None:
            keep(*pending)
        pending = running
    assert pending is not None
    keep(*pending)
    return wholes


def _padded_batches(images: np.ndarray, shares: int) -> Iterator[tuple[np.ndarray, int]]:
    """Batches with the places where they begin; the last is filled up to a usual size with copies of the last image."""
    share = max(1, BATCH_PIXELS // (images.shape[1] * images.shape[2]))
    most = share * shares
    for begin in range(0, len(images), most):
        batch = images[begin : begin + most]
        if batch.dtype != np.float32:
            # Whole numbers become float32 here, a batch at a time: all at once they would take four times the memory.
            batch = unit_pixels(batch)
        missing = shares * min(share, _usual_size(-(-len(batch) // shares))) - len(batch)
        yield np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch, begin


def _usual_size(count: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: few programs to compile, and at most a third too many images."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if count <= power * 3 // 4 else power
