"""Image files, decoded by Pillow whatever their bytes. Pixels are float32 [h, w, c] in [0, 1]."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from jaxad._check import ROUNDING, InputError, need_at_least
from jaxad._threads import in_order

MAX_PIXELS = 100_000_000
"""Height times width beyond which a file is refused: 1.2 GB as float32 in colour."""

WORKERS = 4

# Named one by one: Pillow knows further kinds, some of which start other programs.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF", "JPEG2000")
EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif"}
    | {".pgm", ".ppm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k"}
)

_DEEP = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_GREY = _DEEP | {"1", "L", "LA", "La", "F"}
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})


class UnreadableError(InputError):
    """A file that cannot be read as one image; `path` is the file and `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        """One sentence, printable whatever bytes the name holds."""
        return f"{str(self.path)!r} cannot be read: {self.reason}"


@dataclass(frozen=True, eq=False)
class Photograph:
    """One decoded image.

    Attributes:
      pixels: float32 [h, w, c] in [0, 1]; c is 1 for grey and 3 for colour.
      mode: Pillow's name for what the file holds: "L", "RGB", "I;16" and so on.
      bits: bits a sample has in the file, as far as Pillow tells: 1, 8 (or fewer), 12, 16, or 32 for float.
    """

    pixels: Float32[np.ndarray, "h w c"]
    mode: str
    bits: int


@dataclass(frozen=True)
class Header:
    """What a file says of its image before any pixel is decoded: the shape that `read_photograph` will give."""

    height: int
    width: int
    channels: int
    mode: str
    bits: int


def read_photograph(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Photograph:
    """Decode one image file to float32 [h, w, c] in [0, 1], c = 1 (grey) or 3 (colour).

    Whole numbers are divided by their white: 255, 4095 (12-bit TIFF) or 65535 (16-bit grey, at full precision; of
    16-bit colour Pillow keeps the upper 8 bits). Float files must hold [0, 1] already. Palettes and CMYK become RGB,
    what is transparent shows white behind it, and the EXIF orientation is applied. Read are the kinds in `FORMATS`,
    recognised by content, never by name. A JPEG with a preview behind it (MPO) is its first picture.

    Args:
      path: the file.
      max_pixels: the largest height times width, looked at before anything is decoded. Pillow's own limit does not
        matter, nor does its switch for truncated files: both are set aside in the whole process while a file is read.

    Raises:
      UnreadableError: no such file, empty, truncated, damaged, not an image, too large, several frames, whole numbers
        of unknown white, or float values that are not finite or outside [0, 1].
    """
    return _decode(Path(path), max_pixels, behind=1.0)


def from_pillow(image: Image.Image) -> Photograph:
    """An image that Pillow holds already, as `read_photograph` would read its file.

    Raises InputError where `read_photograph` would refuse a file of this mode, size or range.
    """
    problem = _problem(image, MAX_PIXELS)
    if problem is None:
        photograph = _developed(image, behind=1.0)
        problem = _range_problem(photograph)
        if problem is None:
            return photograph
    raise InputError(f"the Pillow image cannot be taken: {problem}")


def read_mask(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Bool[np.ndarray, "h w"]:
    """Decode a mask to bool [h, w]: True where any channel is above zero. What is transparent is False.

    Read and refused is what `read_photograph` reads and refuses. Masks kept as JPEG come out ragged: use PNG.
    """
    return _decode(Path(path), max_pixels, behind=0.0).pixels.max(axis=-1) > 0


def read_header(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read what a file says of its image and decode no pixel.

    Raises UnreadableError where `read_photograph` would, except for damage that shows only among the pixels.
    """
    with _opened(Path(path), max_pixels) as image:
        height, width = _upright_size(image)
        return Header(height, width, 1 if image.mode in _GREY else 3, image.mode, _bits(image))


def read_photographs(
    paths: Iterable[str | os.PathLike[str]], *, workers: int = WORKERS, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[Path, Photograph | UnreadableError]]:
    """Decode files in the background, in the order of `paths`; a file that cannot be read yields its error.

    At most `2 * workers` files are decoded ahead, so memory stays flat. Decoding starts with the first `next`; the
    threads end with the iterator, also when it is dropped half way. For `max_pixels` see `read_photograph`.
    Raises InputError where `workers` is below 1.
    """
    need_at_least(workers, 1, what="workers")
    return in_order(partial(_attempt, max_pixels=max_pixels), map(Path, paths), workers=workers, ahead=2 * workers)


def _attempt(path: Path, max_pixels: int) -> Photograph | UnreadableError:
    try:
        return read_photograph(path, max_pixels=max_pixels)
    except UnreadableError as error:
        # A new one: the traceback of the old one would keep the half-decoded image in memory.
        return UnreadableError(error.path, error.reason)


class _PillowAside:
    """Sets aside Pillow's own limit and its leniency towards truncated files while any thread reads one.

    Both are variables of Pillow that hold for the whole process, so the first thread to come saves them and the last
    one to go puts them back.
    """

    def __init__(self) -> None:
        self.lock, self.readers = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if self.readers == 0:
                self.theirs = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
            self.readers += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.readers -= 1
            if self.readers == 0:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = self.theirs


_PILLOW_ASIDE = _PillowAside()


@contextlib.contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """The file as Pillow opens it, pixels not yet decoded; whatever goes wrong in the block is an UnreadableError."""
    try:
        if not path.exists():
            raise UnreadableError(path, "there is no such file")
        if not path.is_file():
            raise UnreadableError(path, "it is not a file")
        if path.stat().st_size == 0:
            raise UnreadableError(path, "the file is empty")
        # An open file, not its path: Pillow maps a path into memory and so garbles plain TIFFs that lie on their side.
        with path.open("rb") as file, _PILLOW_ASIDE, Image.open(file, formats=FORMATS) as image:
            problem = _problem(image, max_pixels)
            if problem:
                raise UnreadableError(path, problem)
            yield image
    except UnreadableError:
        raise
    except Exception as error:  # garbage makes Pillow's plugins raise nearly everything
        raise UnreadableError(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is no image, or its first bytes are damaged; read are {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = repr(str(error))[1:-1]  # may quote the file's own bytes
    return f"it is damaged ({type(error).__name__}: {words[:200]})"


def _problem(image: Image.Image, max_pixels: int) -> str | None:
    """Why the image is refused, as its header tells, or None."""
    width, height = image.size
    if width * height > max_pixels:
        return f"its {height} x {width} pixels are more than the {max_pixels} that max_pixels allows"
    if image.mode not in _GREY | _COLOUR:
        return f"its colours are of the kind {image.mode}; save it as grey or RGB"
    if image.mode == "I" and image.format not in {"PNG", "PPM"}:
        return "its numbers are 32-bit or signed, so white is unknown; save it as 16-bit grey, or as float in [0, 1]"
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames != 1:
        return f"it holds {frames} frames; save each as a file of its own"
    return None


def _upright_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    width, height = image.size
    if isinstance(image, TiffImageFile):
        # Newer versions of Pillow have turned the size already, older ones have not; the tags say how it lies.
        width, height = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
    # PNG's own getexif would decode the pixels first.
    turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
    return (width, height) if turned else (height, width)


def _bits(image: Image.Image) -> int:
    if image.mode in {"1", "F"}:
        return 1 if image.mode == "1" else 32
    if image.mode in _DEEP:
        twelve = isinstance(image, TiffImageFile) and image.tag_v2.get(ExifTags.Base.BitsPerSample) == (12,)
        return 12 if twelve else 16
    # Pillow has no mode for deep colour; only the way it will unpack the samples names their depth.
    return 16 if ";16" in str(getattr(image, "tile", "")) else 8


def _decode(path: Path, max_pixels: int, *, behind: float) -> Photograph:
    with _opened(path, max_pixels) as image:
        photograph = _developed(image, behind=behind)
        problem = _range_problem(photograph)
        if problem:
            raise UnreadableError(path, problem)
        return photograph


def _developed(image: Image.Image, *, behind: float) -> Photograph:
    """The pixels the right way up, with one value behind what is transparent."""
    mode, bits = image.mode, _bits(image)
    upright = ImageOps.exif_transpose(image)
    pixels = _samples(upright, bits)
    if pixels.shape[-1] in {2, 4}:
        pixels, opacity = pixels[..., :-1], pixels[..., -1:]
        pixels = pixels * opacity + np.float32(behind) * (1 - opacity)
    return Photograph(pixels, mode, bits)


def _range_problem(photograph: Photograph) -> str | None:
    if photograph.mode != "F":
        return None
    low, high = float(photograph.pixels.min()), float(photograph.pixels.max())
    if low >= 0 and high <= 1:
        return None
    return f"its values go from {low:.8g} to {high:.8g}; float values must be finite and lie in [0, 1]"


def _samples(image: Image.Image, bits: int) -> Float32[np.ndarray, "h w c"]:
    """Grey or colour, with the opacity as a last channel where there is one: 1, 2, 3 or 4 channels."""
    if image.mode == "F":
        pixels = np.array(image, np.float32)[..., None]
        return np.clip(pixels, 0, 1) if pixels.min() >= -ROUNDING and pixels.max() <= 1 + ROUNDING else pixels
    if image.mode in _DEEP:
        return np.divide(np.asarray(image), np.float32(2**bits - 1), dtype=np.float32)[..., None]
    kind = ("L" if image.mode in _GREY else "RGB") + ("A" if image.has_transparency_data else "")
    return np.atleast_3d(np.divide(np.asarray(image.convert(kind)), np.float32(255), dtype=np.float32))
