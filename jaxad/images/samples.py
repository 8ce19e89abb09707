"""The numbers that a decoded file holds, as Pillow has them: whole where whole numbers hold them exactly."""

import sys
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import ExifTags, Image, ImageFile, ImageOps

Numbers = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"]
"""uint8 with white at 255, uint16 with white at 65535, or float32 with white at 1."""
Opacity = UInt8[np.ndarray, "h w 1"] | UInt16[np.ndarray, "h w 1"] | Float32[np.ndarray, "h w 1"]
"""The same, with 0 for clear and white for opaque."""

DEEP = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
GREY = DEEP | {"1", "L", "LA", "La", "F"}
COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
ROUNDING = 1e-6
"""How far beyond [0, 1] a float may lie."""
BAND = 2**22
"""Pixels that are copied out of Pillow at once: it makes two copies on the way."""


class Samples(NamedTuple):
    """One image the right way up: grey or colour, and the opacity where there is one."""

    values: Numbers
    opacity: Opacity | None = None

    def over(self, behind: float) -> Numbers:
        """The values with `behind`, 0 for black and 1 for white, where they are transparent."""
        if self.opacity is None:
            return self.values
        white = white_of(self.opacity)
        clear = self.opacity == 0
        if not clear.any() and (self.opacity == white).all():
            return self.values
        if (clear | (self.opacity == white)).all():
            return np.where(clear, self.values.dtype.type(behind * white_of(self.values)), self.values)
        opacity = unit(self.opacity)
        return unit(self.values) * opacity + np.float32(behind) * (1 - opacity)


def white_of(numbers: Numbers) -> float:
    """The number that is white."""
    return 1.0 if numbers.dtype == np.float32 else float(np.iinfo(numbers.dtype).max)


def unit(numbers: Numbers) -> Float32[np.ndarray, "h w c"]:
    """The numbers as float32 in [0, 1]."""
    if numbers.dtype == np.float32:
        return numbers
    return np.divide(numbers, np.float32(white_of(numbers)), dtype=np.float32)


def take_samples(image: Image.Image, bits: int) -> Samples:
    """What Pillow's image holds, the right way up; of deep colour Pillow keeps the upper 8 bits."""
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        values = _array(image, "F")
        near = (values < 0) & (values >= -ROUNDING) | (values > 1) & (values <= 1 + ROUNDING)
        return Samples(np.where(near, np.clip(values, 0, 1), values))
    if image.mode in DEEP:
        values = _array(image, image.mode)
        if bits != 16:
            return Samples(np.divide(values, np.float32(2**bits - 1), dtype=np.float32))
        values = values.astype(np.uint16)
        return Samples(values, _all_but(values, image.info.get("transparency")))
    kind = ("L" if image.mode in GREY else "RGB") + ("A" if image.has_transparency_data else "")
    values = _array(image, kind)
    return Samples(values[..., :-1], values[..., -1:]) if kind.endswith("A") else Samples(values)


def has_lower_bytes(image: Image.Image) -> bool:
    """Whether the file holds 16-bit colour, of which Pillow can be made to give the lower bytes too."""
    return bool(_tiles(image)) and all(_order(raw) for raw, _ in _tiles(image))


def take_both_bytes(upper: ImageFile.ImageFile, lower: ImageFile.ImageFile) -> Samples:
    """16-bit colour in full, from one file opened twice and not yet decoded.

    Pillow has no such mode: it drops the lower byte of each sample. Told that the bytes come in the other order, it
    drops the upper one.
    """
    for image, turned in ((upper, False), (lower, True)):
        image.tile = [
            tile._replace(args=_with_raw(tile.args, raw[:-1] + _order(raw)[turned]))
            for tile, (raw, _) in zip(image.tile, _tiles(image), strict=True)
        ]
    transparent = upper.info.pop("transparency", None)
    lower.info.pop("transparency", None)
    (high, high_opacity), (low, low_opacity) = take_samples(upper, 8), take_samples(lower, 8)
    values = _joined(high, low)
    if high_opacity is not None and low_opacity is not None:
        return Samples(values, _joined(high_opacity, low_opacity))
    return Samples(values, _all_but(values, transparent))


def is_deep_grey(image: Image.Image) -> bool:
    """Whether the file holds 16-bit grey with transparency, which Pillow would take for colour of 8 bits."""
    return [raw for raw, _ in _tiles(image)] == ["LA;16B"]


def take_deep_grey(image: ImageFile.ImageFile) -> Samples:
    """16-bit grey and transparency in full: told that they are colour, Pillow gives each byte as a channel."""
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    bytes_of, last = take_samples(image, 8)
    assert last is not None
    return Samples(_joined(bytes_of[..., :1], bytes_of[..., 1:2]), _joined(bytes_of[..., 2:], last))


def _tiles(image: Image.Image) -> list[tuple[str, object]]:
    """How Pillow will unpack each piece of the file, and the piece."""
    pieces = getattr(image, "tile", None) or []
    return [(str(piece.args if isinstance(piece.args, str) else (piece.args or [""])[0]), piece) for piece in pieces]


def _order(raw: str) -> str:
    """How bytes are ordered in samples of this kind, and the other way round; empty where it is not deep colour."""
    kind, _, order = raw.partition(";16")
    if kind not in {"RGB", "RGBX", "RGBA"} or order not in {"L", "B", "N"}:
        return ""
    little = sys.byteorder == "little" if order == "N" else order == "L"
    return "LB" if little else "BL"


def _with_raw(args: Any, raw: str) -> Any:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


def _joined(upper: Numbers, lower: Numbers) -> UInt16[np.ndarray, "h w c"]:
    made = upper.astype(np.uint16)
    made <<= 8
    made |= lower
    return made


def _all_but(values: Numbers, transparent: object) -> Opacity | None:
    """The opacity where one value stands for transparent."""
    if transparent is None or isinstance(transparent, bytes):
        return None
    seen = (values != np.asarray(transparent, np.int64)).any(axis=-1, keepdims=True)
    return np.where(seen, np.uint8(255), np.uint8(0))


def _array(image: Image.Image, kind: str) -> np.ndarray:
    """The pixels in a mode of Pillow's, `[h, w, c]`, copied in bands."""
    width, height = image.size
    rows = max(1, BAND // width)

    def band(top: int) -> np.ndarray:
        part = image if rows >= height else image.crop((0, top, width, min(height, top + rows)))
        return np.atleast_3d(np.asarray(part if part.mode == kind else part.convert(kind)))

    if rows >= height:
        return band(0)
    first = band(0)
    made = np.empty((height, *first.shape[1:]), first.dtype)
    made[:rows] = first
    for top in range(rows, height, rows):
        made[top : top + rows] = band(top)
    return made
