"""Photographs from files, arrays and Pillow images: what a header says, why a file is refused, its pixels, masks."""

from jaxad.images.masks import mask_problem, read_mask
from jaxad.images.photograph import (
    Header,
    Photograph,
    UnreadableError,
    from_pillow,
    read_header,
    read_headers,
    read_photograph,
    read_photographs,
)
from jaxad.images.reading import WHOLE, batches, photographs, unit_pixels

__all__ = [
    "WHOLE",
    "Header",
    "Photograph",
    "UnreadableError",
    "batches",
    "from_pillow",
    "mask_problem",
    "photographs",
    "read_header",
    "read_headers",
    "read_mask",
    "read_photograph",
    "read_photographs",
    "unit_pixels",
]
