"""The one form in which every data set of this room arrives. Images are float32 in [0, 1]."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxad._check import need_images, raise_problems


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with what is known about them, as NumPy arrays.

    Attributes:
      images: float32 [n, h, w, c] in [0, 1].
      labels: int [n]; the class of each image, or 0 for good and 1 for anomalous, as the loader says.
      masks: bool [n, h, w], True on the pixels of a defect; None where the set has no masks.
      names: the name of each image's class or defect, n of them, or none at all.

    Raises:
      InputError: the parts do not describe the same number of images, or are of other kinds.
    """

    images: Float[np.ndarray, "n h w c"]
    labels: Int[np.ndarray, " n"]
    masks: Bool[np.ndarray, "n h w"] | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_images(self.images)
        count = len(self.images)
        problems = _misfits(self.labels, (count,), "biu", what="labels", wanted="whole numbers")
        if self.masks is not None:
            problems += _misfits(self.masks, self.images.shape[:3], "b", what="masks", wanted="False or True")
        if self.names and len(self.names) != count:
            problems.append(f"names must hold {count}, one an image, or none, got {len(self.names)}")
        raise_problems(problems)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)


def _misfits(values: Any, shape: tuple[int, ...], kinds: str, *, what: str, wanted: str) -> list[str]:
    found = getattr(values, "shape", type(values).__name__)
    if found != shape:
        return [f"{what} must be an array of shape {shape}, got {found}"]
    return [] if values.dtype.kind in kinds else [f"{what} must be {wanted}, got {values.dtype}"]
