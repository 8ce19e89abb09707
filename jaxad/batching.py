"""Any number of images through one compiled program, in batches of few sizes, while the host handles others."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree, Shaped

from jaxad._types import AnyArray
from jaxad.extents import Batch

BATCH_PIXELS = 2**18
"""Pixels given to one call of the compiled program; small images are batched up to it."""
AHEAD = 2
"""Batches that are on the device while the host handles their neighbours."""

Item = TypeVar("Item")


def run_in_batches(
    run: Callable[[Batch], PyTree], images: Shaped[np.ndarray, "n h w c"], *, shares: int = 1
) -> PyTree[np.ndarray]:
    """What `run` makes of images `[n, h, w, c]`: a pytree of arrays `[n, ...]`, on the host.

    Args:
        run: a batch to a pytree of arrays `[b, ...]`; compiled for one of few batch sizes. The last batch is filled up
            with copies of its last image.
        images: of one size.
        shares: devices that share a batch.
    """
    size = batch_size(len(images), max(1, BATCH_PIXELS // (images.shape[1] * images.shape[2])), shares=shares)
    begins = range(0, len(images), size)
    batches = ((begin, Batch(filled(images[begin : begin + size], size))) for begin in begins)
    wholes: Any = None
    for (begin, _), part in run_ahead(lambda item: run(item[1]), batches):
        if wholes is None:
            wholes = jax.tree.map(lambda x: np.empty((len(images), *x.shape[1:]), x.dtype), part)
        for whole, x in zip(jax.tree.leaves(wholes), jax.tree.leaves(part), strict=True):
            whole[begin : begin + len(x)] = x[: len(images) - begin]
    return wholes


def run_ahead(run: Callable[[Item], PyTree], items: Iterable[Item]) -> Iterator[tuple[Item, Any]]:
    """Each item with what `run` makes of it, on the host, in order, while the device works on the next one."""
    pending: deque[tuple[Item, PyTree]] = deque()
    for item in items:
        # The call returns at once.
        pending.append((item, run(item)))
        if len(pending) == AHEAD:
            first, running = pending.popleft()
            yield first, jax.device_get(running)
    for first, running in pending:
        yield first, jax.device_get(running)


def filled(rows: Shaped[AnyArray, "n ..."], size: int) -> Shaped[AnyArray, "size ..."]:
    """So many rows: those given `[n, ...]`, then copies of the last one."""
    return rows if len(rows) == size else rows[np.minimum(np.arange(size), len(rows) - 1)]


def batch_size(count: int, most: int, *, shares: int) -> int:
    """How many images each batch of `count` has, `most` at most for each device: about the same for all batches.

    A device's share is one of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... or `most`: few programs to compile, and at most a third
    too many images.
    """
    batches = -(-count // (most * shares))
    share = -(-count // (batches * shares))
    power = 1 << (share - 1).bit_length()
    usual = power * 3 // 4 if share <= power * 3 // 4 else power
    return min(most, usual) * shares
