"""Image files, decoded by Pillow whatever their bytes, into the file's own numbers."""

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from jaxad._addresses import at, is_address
from jaxad._check import InputError, need_at_least
from jaxad._threads import in_order
from jaxad.images.kinds import EXTENSIONS, FORMATS, UNREAD_EXTENSIONS
from jaxad.images.opening import UnreadableError, count_bits, opened, why_out_of_range, why_refused
from jaxad.images.samples import Numbers, take_samples, unit
from jaxad.images.tiff import Tiff

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "MAX_PIXELS",
    "UNREAD_EXTENSIONS",
    "Header",
    "Photograph",
    "UnreadableError",
    "from_pillow",
    "read_header",
    "read_headers",
    "read_photograph",
    "read_photographs",
]

MAX_PIXELS = 2**30
"""Height times width beyond which a file is refused: 3 GB in colour of 8 bits, ten line scans of 8,200 x 12,288."""

WORKERS = 4
HEADERS_AT_ONCE = 32
"""Of files at addresses, each of which is a request or more."""
AHEAD_SAMPLES = 2**26
"""Samples that are decoded ahead at most."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """One decoded image.

    Attributes:
      samples: the file's own numbers [h, w, c]; c is 1 for grey and 3 for colour. uint8 with white at 255 where the
        file has 8 bits or fewer, uint16 with white at 65535 where it has 16, else float32 in [0, 1]: of float files,
        of 12 bits, and where something half transparent shows what lies behind it.
      mode: Pillow's name for what the file holds: "L", "RGB", "I;16" and so on.
      bits: bits a sample has in the file, as far as Pillow tells: 1, 8 (or fewer), 12, 16, or 32 for float.
      sha256: of the file's bytes, where `read_photographs` was asked for it; else empty.
    """

    samples: Numbers
    mode: str
    bits: int
    sha256: str = ""

    @property
    def pixels(self) -> Float32[np.ndarray, "h w c"]:
        """The samples as float32 [h, w, c] in [0, 1], made anew each time."""
        return unit(self.samples)


@dataclass(frozen=True)
class Header:
    """What a file says of its image before any pixel is decoded: the shape that `read_photograph` will give."""

    height: int
    width: int
    channels: int
    mode: str
    bits: int


def read_photograph(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Photograph:
    """Decode one image file to its own numbers [h, w, c], c = 1 (grey) or 3 (colour), and to float32 in [0, 1].

    Whole numbers are divided by their white: 255, 4095 (12-bit TIFF) or 65535 (16 bits, grey and colour at full
    precision; the upper 8 bits alone of CMYK, of multiplied transparency, and of JPEG 2000 and PPM in colour). Float
    files must hold [0, 1] already. Palettes and CMYK become RGB, what is transparent shows white behind it, grey whose
    white is zero is turned, and the EXIF orientation is applied. Read are the kinds in `FORMATS`, recognised by content
    and not by name. A JPEG with a preview behind it (MPO) is its first picture.

    Args:
      path: the file.
      max_pixels: the largest height times width, looked at before anything is decoded. Pillow's own limit does not
        matter, nor does its switch for truncated files: both are set aside in the whole process while a file is read.

    Raises:
      UnreadableError: no such file, empty, truncated, damaged, not an image, too large, several frames, whole numbers
        of unknown white, or float values that are not finite or outside [0, 1].
    """
    return _decode(Path(path), max_pixels, with_sum=False)


def from_pillow(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> Photograph:
    """An image that Pillow holds already, as `read_photograph` would read its file; of deep colour the upper 8 bits.

    Raises InputError where `read_photograph` would refuse a file of this mode, size or range, for the TIFFs that
    Pillow itself reads wrong, and for an image that is closed or whose file is damaged.
    """
    problem = why_refused(image, max_pixels)
    if isinstance(image, TiffImageFile):
        tiff = Tiff.of_pillow(image.tag_v2)
        wrong = "Pillow itself reads such a TIFF wrong; give its path instead" if tiff.planes else None
        problem = problem or tiff.problem() or wrong
    if problem is None:
        mode, bits = image.mode, count_bits(image)
        try:
            image.load()
        except Exception as error:  # as in `opened`: garbage makes Pillow's plugins raise nearly everything
            raise InputError(
                f"the Pillow image cannot be taken: it gives no pixels ({type(error).__name__}: {error})"
            ) from None
        samples = take_samples(image, bits)
        problem = why_out_of_range(samples)
        if problem is None:
            return Photograph(samples.over(1.0), mode, bits)
    raise InputError(f"the Pillow image cannot be taken: {problem}")


def read_header(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read what a file says of its image and decode no pixel.

    Raises UnreadableError where `read_photograph` would, except for damage that shows only among the pixels.
    """
    with opened(Path(path), max_pixels) as image:
        return Header(*image.size, image.channels, image.mode, image.bits)


def read_headers(
    paths: Iterable[str | os.PathLike[str]], *, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[Path, Header | UnreadableError]]:
    """Read headers in the order of `paths`, many at once at addresses; one that cannot be read yields its error."""
    files = [Path(path) for path in paths]
    attempt = partial(_attempt_header, max_pixels=max_pixels)
    if not any(map(is_address, files)):
        yield from ((path, attempt(path)) for path in files)
        return
    yield from in_order(attempt, files, workers=HEADERS_AT_ONCE, ahead=2 * HEADERS_AT_ONCE)


def read_photographs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    workers: int = WORKERS,
    max_pixels: int = MAX_PIXELS,
    with_sums: bool = False,
) -> Generator[tuple[Path, Photograph | UnreadableError], None, None]:
    """Decode files in the background, in the order of `paths`; a file that cannot be read yields its error.

    At most `2 * workers` files are decoded ahead, and of large ones no more than `AHEAD_SAMPLES` samples together
    besides the one in hand, so memory stays flat. Decoding starts with the first `next`; the threads end with the
    iterator, also when it is dropped half way. For `max_pixels` see `read_photograph`.
    `with_sums` gives each photograph the SHA-256 of the very bytes that it was decoded from, read once.
    Raises InputError where `workers` is below 1.
    """
    need_at_least(workers, 1, what="workers")
    return in_order(
        partial(_attempt, max_pixels=max_pixels, with_sum=with_sums),
        map(Path, paths),
        workers=workers,
        ahead=2 * workers,
        weigh=partial(_count_samples, max_pixels=max_pixels),
        most=AHEAD_SAMPLES,
    )


def _attempt(path: Path, max_pixels: int, with_sum: bool) -> Photograph | UnreadableError:
    try:
        return _decode(path, max_pixels, with_sum)
    except UnreadableError as error:
        # A new one: the traceback of the old one would keep the half-decoded image in memory.
        return UnreadableError(error.path, error.reason)


def _attempt_header(path: Path, max_pixels: int) -> Header | UnreadableError:
    try:
        return read_header(path, max_pixels=max_pixels)
    except UnreadableError as error:
        return UnreadableError(error.path, error.reason)


def _count_samples(path: Path, max_pixels: int) -> int:
    try:
        header = read_header(path, max_pixels=max_pixels)
    except UnreadableError:
        return 0
    return header.height * header.width * header.channels


def _decode(path: Path, max_pixels: int, with_sum: bool) -> Photograph:
    data = _bytes_of(path) if with_sum or is_address(path) else None
    with opened(path, max_pixels, data=data) as image:
        digest = "" if data is None or not with_sum else hashlib.sha256(data).hexdigest()
        return Photograph(image.samples().over(1.0), image.mode, image.bits, digest)


def _bytes_of(path: Path) -> bytes | None:
    """The bytes of a file; None where it cannot be read, and opening it will say why."""
    try:
        return at(path).read_bytes() if is_address(path) or path.is_file() else None
    except OSError:
        return None
