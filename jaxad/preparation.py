"""How a photograph becomes a model's input, and how a map of scores comes back to the photograph's own pixels.

Photographs and inputs are float32 `[h, w, c]` in [0, 1], maps float32 `[h, w]`. Resizing is Pillow's bilinear filter,
which averages over all pixels when it makes an image smaller.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from PIL import Image

from jaxad._check import InputError, need_floats, raise_problems
from jaxad._options import GREY_WEIGHTS

Mode = Literal["native", "scale", "resize", "letterbox", "stretch"]
MODES = ("native", "scale", "resize", "letterbox", "stretch")

MOST_STRETCH = 1.05
"""How many times as high, in widths, a region of interest may be as a photograph, or the other way round."""


class Geometry(NamedTuple):
    """Where a photograph lies inside the model's input; sizes are (height, width) in pixels."""

    source: tuple[int, int]
    """The photograph's own size."""
    inside: tuple[int, int]
    """Its size in the input, without what pads it."""
    corner: tuple[int, int]
    """Its first row and column in the input."""
    size: tuple[int, int]
    """The input's size."""

    @property
    def enlarged(self) -> float:
        """How many times as high or as wide the photograph becomes, whichever is more."""
        return max(self.inside[0] / self.source[0], self.inside[1] / self.source[1])


class Area(NamedTuple):
    """A rectangle of an image, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an image or a map by."""
        return np.s_[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Preparation:
    """How a photograph becomes a model's input.

    Attributes:
        channels: 1 (colour becomes grey) or 3 (grey is repeated).
        mode: "native" leaves the size as it is; "scale" multiplies both sides by `scale`; "resize" makes the shorter
            side `side` pixels and keeps the aspect ratio; "letterbox" fits the photograph into `box`, keeps the aspect
            ratio and repeats its border to fill the rest; "stretch" makes `box` of it, whatever its aspect ratio.
        scale: factor of mode "scale".
        side: pixels, for mode "resize".
        box: height and width, for modes "letterbox" and "stretch".

    Raises:
        InputError: an unknown mode, channels other than 1 and 3, or a size that is not positive.
    """

    channels: int
    mode: Mode = "native"
    scale: float = 1.0
    side: int = 1
    box: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        problems = []
        if self.channels not in (1, 3):
            problems.append(f"channels must be 1 (grey) or 3 (colour), got {self.channels}")
        if self.mode not in MODES:
            problems.append(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if not 0 < self.scale < float("inf"):
            problems.append(f"scale must be a positive number, got {self.scale}")
        if self.side < 1 or min(self.box) < 1:
            problems.append(f"sizes to resize to must be at least 1 pixel, got {self.side} and {self.box}")
        raise_problems(problems)

    def geometry(self, height: int, width: int) -> Geometry:
        """Where a photograph of this height and width comes to lie; no pixel is needed."""
        inside = size = _times((height, width), self._factor(height, width))
        if self.mode == "letterbox":
            size = self.box
        if self.mode == "stretch":
            inside = size = self.box
        corner = ((size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2)
        return Geometry((height, width), inside, corner, size)

    def _factor(self, height: int, width: int) -> float:
        if self.mode == "resize":
            return self.side / min(height, width)
        if self.mode == "letterbox":
            return min(self.box[0] / height, self.box[1] / width)
        return self.scale if self.mode == "scale" else 1.0

    def prepare(
        self, photograph: Shaped[np.ndarray, "h w c"]
    ) -> tuple[Float[np.ndarray, "height width channels"], Geometry]:
        """The model's input for a photograph `[h, w, c]`, c = 1 or 3, and where the photograph lies in it.

        Whole numbers of 8 or 16 bits are divided by their largest.

        Raises:
            InputError: no such array `[h, w, c]`, or another number of channels.
        """
        if getattr(photograph, "dtype", None) in (np.uint8, np.uint16):
            white = np.float32(np.iinfo(photograph.dtype).max)
            photograph = np.divide(photograph, white, dtype=np.float32)
        need_floats(photograph, "h w c", what="photograph")
        geometry = self.geometry(photograph.shape[0], photograph.shape[1])
        image = _resized(_with_channels(photograph, self.channels), geometry.inside)
        (top, left), (height, width) = geometry.corner, geometry.inside
        below, right = geometry.size[0] - top - height, geometry.size[1] - left - width
        if (top, left, below, right) != (0, 0, 0, 0):
            image = np.pad(image, ((top, below), (left, right), (0, 0)), mode="edge")
        return image, geometry


def need_same_aspect(region: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse a region of interest of another shape than a photograph's; sizes are (height, width) in pixels.

    Shapes may differ by a rounded pixel, and by `MOST_STRETCH` as photographs of one view do that were cut by hand:
    the region is stretched over each.

    Raises:
        InputError: stretched over the photograph the region would mark other places than those that were drawn.
    """
    tall, wide = region[0] * size[1], region[1] * size[0]
    if abs(tall - wide) > max(*region, *size, (MOST_STRETCH - 1) * min(tall, wide)):
        raise InputError(
            f"the region of interest is {region[0]} x {region[1]} pixels (height x width) and does not fit {size[0]} x "
            f"{size[1]}; draw it on a photograph of that shape"
        )


def rectangle_around(inside: Bool[np.ndarray, "h w"], *, least: tuple[int, int] = (1, 1)) -> Area:
    """The rectangle around a region `[h, w]`: at least as high and wide as `least`, where the image is.

    Raises:
        InputError: nothing is inside.
    """
    _need_some(inside)
    spans = []
    for axis in (0, 1):
        found, whole = np.flatnonzero(inside.any(axis=1 - axis)), inside.shape[axis]
        length = min(whole, max(int(found[-1] - found[0]) + 1, least[axis]))
        spans.append((min(int(found[0]), whole - length), length))
    (top, height), (left, width) = spans
    return Area(top, left, height, width)


def mirror(inside: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, " hw"]:
    """For each pixel of a photograph the one that stands for it where only a region `[h, w]` is seen: places `[h w]`.

    Places count row by row. Inside it is the pixel itself; outside, its mirror image beyond the region's border, or the
    nearest pixel of the region where the mirror shows none of it. So no edge runs where the region ends.

    Raises:
        InputError: nothing is inside.
    """
    _need_some(inside)
    return _mirror(np.packbits(inside).tobytes(), inside.shape)


def _need_some(inside: Bool[np.ndarray, "h w"]) -> None:
    if not inside.any():
        raise InputError("a region of interest must be True somewhere, got one without a pixel")


@lru_cache(maxsize=4)
def _mirror(bits: bytes, shape: tuple[int, int]) -> Int[np.ndarray, " hw"]:
    from scipy.ndimage import distance_transform_edt

    inside = np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1]).reshape(shape) > 0
    border = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    rows, columns = (2 * near - place for near, place in zip(border, np.ogrid[: shape[0], : shape[1]], strict=True))
    found = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    found[found] = inside[rows[found], columns[found]]
    return (np.where(found, rows, border[0]) * shape[1] + np.where(found, columns, border[1])).ravel()


def fill(photograph: Shaped[np.ndarray, "h w c"], inside: Bool[np.ndarray, "h w"] | None) -> np.ndarray:
    """The photograph `[h, w, c]` with what lies outside a region of interest `[h, w]` filled from it; see `mirror`."""
    if inside is None:
        return photograph
    return photograph.reshape(-1, photograph.shape[-1])[mirror(inside)].reshape(photograph.shape)


def restore(score_map: Float[np.ndarray, "height width"], geometry: Geometry) -> Float[np.ndarray, "h w"]:
    """A map `[height, width]` of a prepared image in the photograph's own pixels, `[h, w]`; padding is cut off.

    Raises:
        InputError: no float map, or one of another size than the prepared image.
    """
    need_floats(score_map, "h w", what="map")
    if score_map.shape != geometry.size:
        raise InputError(f"map must be {geometry.size} pixels, as the prepared image, got {score_map.shape}")
    (top, left), (height, width) = geometry.corner, geometry.inside
    return _resized(score_map[top : top + height, left : left + width, None], geometry.source)[..., 0]


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _with_channels(photograph: np.ndarray, channels: int) -> np.ndarray:
    given = photograph.shape[-1]
    if given == channels:
        return photograph
    if (given, channels) == (1, 3):
        return np.repeat(photograph, 3, axis=-1)
    if (given, channels) == (3, 1):
        return (photograph @ np.array(GREY_WEIGHTS, np.float32))[..., None]
    raise InputError(f"a photograph must have 1 channel (grey) or 3 (colour), got {given}")


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image `[h, w, c]` at a height and width; the very array where it has them already."""
    if image.shape[:2] == size:
        return image
    image = np.asarray(image, np.float32)
    channels = [
        # Pillow names the width first.
        np.asarray(Image.fromarray(np.ascontiguousarray(image[..., i])).resize(size[::-1], Image.Resampling.BILINEAR))
        for i in range(image.shape[-1])
    ]
    # A weighted mean in float32 may pass the largest value by its last digit.
    return np.clip(np.stack(channels, axis=-1), image.min(), image.max())
