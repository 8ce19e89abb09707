"""The region of interest of a folder's photographs: the part of each that is looked at."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from jaxad._check import InputError
from jaxad.images import Header, read_mask
from jaxad.preparation import need_same_aspect

Roi = Bool[np.ndarray, "h w"] | None


def read_roi(path: str | os.PathLike[str] | None, headers: Mapping[Path, Header], *, max_pixels: int) -> Roi:
    """The region of interest from a mask file, True inside; None without a file.

    Raises:
        InputError: it is black everywhere, or would be stretched over the photographs with these headers.
        UnreadableError: it cannot be read.
    """
    if path is None:
        return None
    inside = read_mask(path, max_pixels=max_pixels)
    if not inside.any():
        raise InputError(f"region of interest {str(path)!r} must be white somewhere, and is black everywhere")
    for photograph, header in headers.items():
        try:
            need_same_aspect((inside.shape[0], inside.shape[1]), (header.height, header.width))
        except InputError as error:
            raise InputError(f"{error}, such as {photograph.name!r}") from None
    return inside
