"""Images to learn from and to test on."""

from jaxad.datasets._tfds import tfds
from jaxad.datasets.image_set import ImageSet
from jaxad.datasets.mixtures import contaminate, noise
from jaxad.datasets.textures import textures

__all__ = ["ImageSet", "contaminate", "noise", "textures", "tfds"]
