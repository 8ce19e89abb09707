"""Sets of images to learn from and to test on: published ones, drawn ones, and folders of photographs surveyed."""

from jaxad.datasets._tfds import tfds
from jaxad.datasets.copies import (
    Copies,
    Once,
    RepeatedError,
    Sums,
    doubt_near_copies,
    file_sum,
    find_copies,
    pixel_sum,
)
from jaxad.datasets.folder import Item, Survey, survey
from jaxad.datasets.image_set import ImageSet
from jaxad.datasets.mixtures import contaminate, noise
from jaxad.datasets.textures import textures

__all__ = [
    "Copies",
    "ImageSet",
    "Item",
    "Once",
    "RepeatedError",
    "Sums",
    "Survey",
    "contaminate",
    "doubt_near_copies",
    "file_sum",
    "find_copies",
    "noise",
    "pixel_sum",
    "survey",
    "textures",
    "tfds",
]
