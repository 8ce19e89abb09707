"""Images to learn from and to test on."""

from jaxad.datasets._tfds import tfds
from jaxad.datasets.copies import Copies, Once, RepeatedError, Sums, file_sum, find_copies, pixel_sum
from jaxad.datasets.folder import Item, Survey, survey
from jaxad.datasets.holdout import FEWEST, count_held_out
from jaxad.datasets.image_set import ImageSet
from jaxad.datasets.masks import mask_problem, read_mask
from jaxad.datasets.mixtures import contaminate, noise
from jaxad.datasets.photograph import (
    Header,
    Photograph,
    UnreadableError,
    from_pillow,
    read_header,
    read_photograph,
    read_photographs,
)
from jaxad.datasets.reading import WHOLE, batches, photographs, unit_pixels
from jaxad.datasets.textures import textures

__all__ = [
    "FEWEST",
    "WHOLE",
    "Copies",
    "Header",
    "ImageSet",
    "Item",
    "Once",
    "Photograph",
    "RepeatedError",
    "Sums",
    "Survey",
    "UnreadableError",
    "batches",
    "contaminate",
    "count_held_out",
    "file_sum",
    "find_copies",
    "from_pillow",
    "mask_problem",
    "noise",
    "photographs",
    "pixel_sum",
    "read_header",
    "read_mask",
    "read_photograph",
    "read_photographs",
    "survey",
    "textures",
    "tfds",
    "unit_pixels",
]
