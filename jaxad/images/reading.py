"""Photographs from whatever holds them: arrays, files, Pillow images, or many of these.

One photograph comes as `[h, w, c]`, c = 1 or 3: whole numbers as they are, or float32 in [0, 1].
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Shaped
from PIL import Image

from jaxad._check import InputError, mend_axes, need_channels_last, need_images, need_numbers, need_unit_range
from jaxad.images.photograph import from_pillow, read_photograph

BATCH_PIXELS = 2**20
"""Pixels of the photographs that are handled at once; one photograph where it alone has more."""
BATCH_IMAGES = 64
WHOLE = (np.uint8, np.uint16)
"""Kinds of whole numbers whose largest is white."""

Tag = TypeVar("Tag")
Pixels = Shaped[np.ndarray, "h w c"]
"""uint8, uint16, or float32 in [0, 1]."""


def photographs(source: Any, *, any_range: bool = False) -> Iterator[Pixels]:
    """Photographs `[h, w, c]` one by one, read when their turn comes.

    Args:
        source: an array `[h, w]`, `[h, w, c]` or `[n, h, w, c]`, a path, a Pillow image, or an iterable of these.
            uint8 and uint16 come as they are, float must lie in [0, 1].
        any_range: as in `unit_pixels`.

    Raises:
        InputError: another dtype or shape, values outside [0, 1], or a file that cannot be read.
    """
    yield from _each(source, itertools.count(), any_range)


def _each(source: Any, places: Iterator[int], any_range: bool) -> Iterator[Pixels]:
    """Photographs one by one; errors name an array by its place."""
    if isinstance(source, str | os.PathLike):
        next(places)
        yield read_photograph(source).samples
    elif isinstance(source, Image.Image):
        next(places)
        yield from_pillow(source).samples
    elif hasattr(source, "dtype") and np.ndim(source) != 4:
        yield _from_array(np.asarray(source), next(places), any_range)
    elif isinstance(source, Iterable):
        shape: tuple[int, ...] | None = getattr(source, "shape", None)
        if shape is not None:
            _need_axes(shape, "")
        for one in source:
            yield from _each(one, places, any_range)
    else:
        raise InputError(
            f"a photograph must be an array, a path or a Pillow image, got {type(source).__name__}"
            f"{_at(next(places))}; several go into a list or any other iterable"
        )


def batches(items: Iterable[tuple[Tag, Pixels]], *, shares: int = 1) -> Iterator[list[tuple[Tag, Pixels]]]:
    """Neighbours together, in order; few at a time, so that memory stays flat.

    `items` are photographs `[h, w, c]`, each with a tag that stays beside it; `shares` devices take so many times more.
    """
    batch: list[tuple[Tag, Pixels]] = []
    pixels = 0
    for tag, photograph in items:
        size = photograph.shape[0] * photograph.shape[1]
        if batch and (pixels + size > shares * BATCH_PIXELS or len(batch) == shares * BATCH_IMAGES):
            yield batch
            batch, pixels = [], 0
        batch.append((tag, photograph))
        pixels += size
    if batch:
        yield batch


def unit_pixels(
    images: Any, *, any_range: bool = False, what: str = "images", place: int = 0
) -> Float32[np.ndarray, "n h w c"]:
    """Images `[n, h, w, c]` as float32 in [0, 1]: uint8 is divided by 255, uint16 by 65535, float must lie there.

    What rounding left outside, up to 1e-6, is brought to 0 or 1.

    Args:
        images: the images; float32 on the host comes back as it is, without a copy.
        any_range: take float outside [0, 1] too; NaN is refused all the same.
        what: to call them in an error.
        place: of the first one among others, for an error.

    Raises:
        InputError: another dtype or shape, channels in front, no image at all, or float values outside [0, 1].
    """
    pixels = need_numbers(images, what=what)
    need_images(pixels, what=what, any_dtype=True)
    need_channels_last(pixels.shape, what=what)
    if pixels.dtype in WHOLE:
        return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise InputError(
            f"{what} must be uint8, uint16 or float in [0, 1], got {pixels.dtype}; "
            "convert them yourself: x.astype('float32') / white"
        )
    # What float32 cannot hold becomes infinite, and is refused as such.
    with np.errstate(over="ignore"):
        pixels = np.asarray(pixels, np.float32)
    return need_unit_range(pixels, any_range=any_range, what=what, place=place)


def _from_array(array: np.ndarray, place: int, any_range: bool) -> Pixels:
    if array.ndim == 2:
        array = array[..., None]
    _need_axes(array.shape, _at(place))
    if array.dtype in WHOLE:
        return array
    return unit_pixels(array[None], any_range=any_range, what="photographs", place=place)[0]


def _need_axes(shape: tuple[int, ...], where: str) -> None:
    if len(shape) not in (3, 4) or shape[-1] not in (1, 3) or 0 in shape[-3:]:
        raise InputError(
            f"a photograph must be [h, w], [h, w, 1] or [h, w, 3], or many of them [n, h, w, c], got shape "
            f"{shape}{where}; {mend_axes(shape)}"
        )


def _at(place: int) -> str:
    """Where an array stands among others; the first one may be the only one."""
    return f" for image {place}" if place else ""
