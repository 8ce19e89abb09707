"""Photographs from whatever holds them: arrays, files, Pillow images, or many of these.

They come as float32 `[h, w, c]` in [0, 1], c = 1 or 3.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32
from PIL import Image

from jaxad._check import InputError, need_unit_range
from jaxad.datasets import from_pillow, read_photograph

BATCH_PIXELS = 2**18
"""Pixels of the photographs that are scored at once; one photograph where it alone has more."""
BATCH_IMAGES = 64

Tag = TypeVar("Tag")
Pixels = Float32[np.ndarray, "h w c"]


def photographs(source: Any) -> Iterator[Pixels]:
    """Photographs `[h, w, c]` one by one, read when their turn comes.

    Args:
        source: an array `[h, w]`, `[h, w, c]` or `[n, h, w, c]`, a path, a Pillow image, or an iterable of these.
            uint8 is divided by 255, uint16 by 65535, and float must lie in [0, 1].

    Raises:
        InputError: another dtype or shape, values outside [0, 1], or a file that cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        yield read_photograph(source).pixels
    elif isinstance(source, Image.Image):
        yield from_pillow(source).pixels
    elif hasattr(source, "dtype") and np.ndim(source) != 4:
        yield _from_array(np.asarray(source))
    elif isinstance(source, Iterable):
        for one in source:
            yield from photographs(one)
    else:
        raise InputError(
            f"a photograph must be an array, a path or a Pillow image, got {type(source).__name__}; "
            "several go into a list or any other iterable"
        )


def same_size_batches(items: Iterable[tuple[Tag, Pixels]]) -> Iterator[list[tuple[Tag, Pixels]]]:
    """Neighbours of one shape together, in order; few at a time, so that memory stays flat.

    `items` are photographs `[h, w, c]`, each with a tag that stays beside it.
    """
    for shape, run in itertools.groupby(items, key=lambda item: item[1].shape):
        most = max(1, min(BATCH_IMAGES, BATCH_PIXELS // (shape[0] * shape[1])))
        while batch := list(itertools.islice(run, most)):
            yield batch


def _from_array(array: np.ndarray) -> Pixels:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise InputError(
            f"a photograph must be [h, w], [h, w, 1] or [h, w, 3], or many of them [n, h, w, c], got shape "
            f"{array.shape}; put the channels last"
        )
    if array.dtype in (np.uint8, np.uint16):
        return np.divide(array, np.float32(np.iinfo(array.dtype).max), dtype=np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"a photograph must be uint8, uint16 or float in [0, 1], got {array.dtype}; "
            "scale it yourself: x.astype('float32') / white"
        )
    need_unit_range(array[None], what="photographs")
    return array.astype(np.float32)
