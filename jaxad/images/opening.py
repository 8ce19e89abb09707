"""Opening a file: what its header says, why it is refused, and its numbers when they are asked for."""

import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from jaxad._addresses import at
from jaxad._check import InputError
from jaxad.images.kinds import FORMATS, UNREAD_EXTENSIONS
from jaxad.images.samples import (
    COLOUR,
    DEEP,
    GREY,
    Samples,
    has_lower_bytes,
    is_deep_grey,
    take_both_bytes,
    take_deep_grey,
    take_samples,
    white_of,
)
from jaxad.images.tiff import Stream, Tiff, read_tiff

_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
_MODES = {1: "", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Of files that are read plane by plane; a single one has the mode that Pillow gives it."""


class UnreadableError(InputError):
    """A file that cannot be read as one image; `path` is the file and `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        """One sentence, printable whatever bytes the name holds."""
        return f"{str(self.path)!r} cannot be read: {self.reason}"


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


class OpenedImage(NamedTuple):
    """A file whose header has been read, and no pixel yet.

    Attributes:
      path: where the file lies.
      file: the open file.
      image: as Pillow has it, or the first of its planes.
      tiff: the TIFF whose planes are to be read one by one, if it is one.
      mode: Pillow's name for what the file holds.
      bits: bits a sample has.
    """

    path: Path
    file: Stream
    image: ImageFile.ImageFile
    tiff: Tiff | None
    mode: str
    bits: int

    @property
    def channels(self) -> int:
        """1 for grey and 3 for colour."""
        return 1 if self.mode in GREY else 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, the right way up."""
        width, height = self.image.size
        if isinstance(self.image, TiffImageFile):
            # Newer versions of Pillow have turned the size already, older ones have not; the tags say how it lies.
            tags = self.image.tag_v2
            width, height = tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
        # PNG's own getexif would decode the pixels first.
        turned = Image.Image.getexif(self.image).get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
        return (width, height) if turned else (height, width)

    @property
    def lossless(self) -> bool:
        """Whether the kind of file keeps every number as it was."""
        return self.image.format not in {"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"}

    def samples(self) -> Samples:
        """Decode the file; raises UnreadableError for floats outside [0, 1] and Pillow's errors for damage."""
        if self.tiff:
            found = self._by_planes(self.tiff)
        elif is_deep_grey(self.image):
            found = take_deep_grey(self.image)
        elif has_lower_bytes(self.image):
            with Image.open(self.file, formats=FORMATS) as again:
                found = take_both_bytes(self.image, again)
        else:
            found = take_samples(self.image, self.bits)
        problem = why_out_of_range(found)
        if problem:
            raise UnreadableError(self.path, problem)
        return found

    def _by_planes(self, tiff: Tiff) -> Samples:
        planes = []
        for index in range(tiff.planes):
            with Image.open(tiff.plane(self.file, index), formats=["TIFF"]) as image:
                planes.append(take_samples(image, self.bits).values)
        if tiff.white_is_zero:
            planes[0] = planes[0].dtype.type(white_of(planes[0])) - planes[0]
        return Samples(np.concatenate(planes[: self.channels], axis=-1), *planes[self.channels :])


@contextlib.contextmanager
def opened(path: Path, max_pixels: int, *, data: bytes | None = None) -> Iterator[OpenedImage]:
    """The file, pixels not yet decoded; whatever goes wrong in the block is an UnreadableError.

    `data` are the bytes of the file, where they have been read.
    """
    tiff = None
    try:
        there = at(path)
        if data is None and not there.exists():
            raise UnreadableError(path, "there is no such file")
        if data is None and not there.is_file():
            raise UnreadableError(path, "it is not a file")
        if not (there.stat().st_size if data is None else data):
            raise UnreadableError(path, "the file is empty")
        # An open file, not its path: Pillow maps a path into memory and so garbles plain TIFFs that lie on their side.
        stream: Stream = there.open("rb") if data is None else io.BytesIO(data)
        with stream as file, _PILLOW_ASIDE:
            tiff = read_tiff(file)
            problem = tiff and (UNREAD_EXTENSIONS.get(path.suffix.lower()) or tiff.problem())
            if problem:
                raise UnreadableError(path, problem)
            file.seek(0)
            apart = tiff if tiff and tiff.planes else None
            shown: Stream = apart.plane(file, 0, whole=False) if apart else file
            with Image.open(shown, formats=FORMATS) as image:
                problem = why_refused(image, max_pixels)
                if problem:
                    raise UnreadableError(path, problem)
                mode = _MODES[apart.planes] if apart else "LA" if is_deep_grey(image) else ""
                yield OpenedImage(path, file, image, apart, mode or image.mode, count_bits(image))
    except UnreadableError:
        raise
    except Exception as error:  # garbage makes Pillow's plugins raise nearly everything
        raise UnreadableError(path, _reason(error, path, tiff)) from error


def _reason(error: Exception, path: Path, tiff: Tiff | None) -> str:
    if isinstance(error, UnidentifiedImageError):
        if tiff:
            return (
                f"it is a TIFF of a kind that is not read ({tiff.kind}), or damaged; save it as grey or RGB of 8 bits"
            )
        known = UNREAD_EXTENSIONS.get(_extension_by_content(path) or path.suffix.lower())
        return known or f"it is no image, or its first bytes are damaged; read are {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = repr(str(error))[1:-1]  # may quote the file's own bytes
    if tiff and words.lstrip("-").isdecimal():
        return f"it is damaged, or a TIFF of a kind that this build of Pillow does not read ({tiff.kind})"
    return f"it is damaged ({type(error).__name__}: {words[:200]})"


def _extension_by_content(path: Path) -> str | None:
    """What phones write, whatever it is called."""
    with at(path).open("rb") as file:
        kind = file.read(11)[4:]
    return {b"ftyphei": ".heic", b"ftyphev": ".heic", b"ftypmif": ".heic", b"ftypavi": ".avif"}.get(kind)


def why_refused(image: Image.Image, max_pixels: int) -> str | None:
    """Why the image is refused, as its header tells, or None."""
    width, height = image.size
    if width * height > max_pixels:
        return (
            f"its {height} x {width} pixels are more than the {max_pixels} that max_pixels allows; raise "
            "max_pixels, or --max-pixels on the command line"
        )
    if image.mode not in GREY | COLOUR:
        return f"its colours are of the kind {image.mode}; save it as grey or RGB"
    if image.mode == "I" and image.format not in {"PNG", "PPM"}:
        return "its numbers are 32-bit or signed, so white is unknown; save it as 16-bit grey, or as float in [0, 1]"
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames != 1:
        return f"it holds {frames} frames; save each as a file of its own"
    return None


def count_bits(image: Image.Image) -> int:
    """Bits a sample has in the file of an image that is not decoded yet."""
    if image.mode in {"1", "F"}:
        return 1 if image.mode == "1" else 32
    if image.mode in DEEP:
        twelve = isinstance(image, TiffImageFile) and image.tag_v2.get(ExifTags.Base.BitsPerSample) == (12,)
        return 12 if twelve else 16
    # Pillow has no mode for deep colour; only the way it will unpack the samples names their depth.
    return 16 if ";16" in str(getattr(image, "tile", "")) else 8


def why_out_of_range(samples: Samples) -> str | None:
    """Why floats are refused, or None."""
    if samples.values.dtype != np.float32:
        return None
    low, high = float(samples.values.min()), float(samples.values.max())
    if low >= 0 and high <= 1:
        return None
    if np.isnan(low):
        count, total = np.count_nonzero(np.isnan(samples.values)), samples.values.size
        return f"{count} of its {total} values {'is' if count == 1 else 'are'} NaN; float values must lie in [0, 1]"
    return f"its values go from {low:.9g} to {high:.9g}; float values must be finite and lie in [0, 1]"
