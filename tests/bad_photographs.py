"""Files that are no photographs, or hold what none can be, and what the refusal of each must say."""

import io
import struct

import numpy as np
from PIL import Image

random = np.random.default_rng(0)
GREY = random.integers(0, 256, (5, 7), np.uint8)
COLOUR = random.integers(0, 256, (5, 7, 3), np.uint8)
OPACITY = random.integers(0, 256, (5, 7, 1), np.uint8)
DEEP = random.integers(0, 65536, (5, 7), np.uint16)
SHARES = random.random((5, 7), np.float32)


def tiff(samples: bytes, shape: tuple[int, int], *, bits: tuple[int, ...], sample_format: int = 1) -> bytes:
    """A plain TIFF, as Pillow itself cannot write it: one strip, little-endian."""
    height, width = shape
    lie = 8 + len(samples) + len(samples) % 2
    extra = struct.pack(f"<{len(bits)}H", *bits)
    many = len(bits) > 1
    tags = [
        *((256, 3, 1, width), (257, 3, 1, height), (258, 3, len(bits), lie if many else bits[0]), (259, 3, 1, 1)),
        *((262, 3, 1, 2 if many else 1), (273, 4, 1, 8), (277, 3, 1, len(bits)), (278, 3, 1, height)),
        *((279, 4, 1, len(samples)), (339, 3, 1, sample_format)),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    start = lie + len(extra) + len(extra) % 2
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + samples.ljust(lie - 8, b"\0")
        + extra.ljust(start - lie, b"\0")
        + directory
    )


def encoded(image: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def frames(kind: str) -> bytes:
    pictures = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (0, 100, 200)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:])


NOISE = random.integers(0, 256, (64, 64, 3), np.uint8)


BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"no image at all", "no image"),
    "zeros": (bytes(5000), "no image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
    "cut png": (encoded(NOISE, "PNG")[:-3000], "truncated"),
    "cut jpeg": (encoded(NOISE, "JPEG")[:-1000], "truncated"),
    "cut bmp": (encoded(NOISE, "BMP")[:-1000], "truncated"),
    "cut pgm": (encoded(NOISE[..., 0], "PPM")[:-1000], "truncated"),
    "cut tiff": (tiff(bytes(4096), (64, 64), bits=(8,))[:8] + bytes(100), "damaged|no image"),
    "cut lzw tiff": (encoded(NOISE, "TIFF", compression="tiff_lzw")[:-100], "damaged|no image"),
    "cut gif": (encoded(NOISE[..., 0], "GIF")[:-1000], "truncated"),
    "cut webp": (encoded(NOISE, "WEBP")[:-1000], "damaged"),
    "cut jpeg 2000": (encoded(NOISE, "JPEG2000")[:200], "damaged"),
    "head of a png": (encoded(NOISE, "PNG")[:20], "no image|damaged"),
    "gif": (frames("GIF"), "holds 3 frames"),
    "animated png": (frames("PNG"), "holds 3 frames"),
    "animated webp": (frames("WEBP"), "holds 3 frames"),
    "tiff of pages": (frames("TIFF"), "holds 3 frames"),
    "nan": (encoded(np.where(SHARES < 0.1, np.nan, SHARES), "TIFF"), "3 of its 35 values are NaN"),
    "infinity": (encoded(np.where(SHARES < 0.1, np.inf, SHARES), "TIFF"), "to inf.*finite"),
    "float to 255": (encoded(SHARES * 255, "TIFF"), r"values go from .* to 2.*lie in \[0, 1\]"),
    "float below 0": (encoded(SHARES - 0.5, "TIFF"), r"values go from -0"),
    "32 bits": (tiff(bytes(60), (3, 5), bits=(32,)), "white is unknown"),
    "signed 16 bits": (tiff(bytes(30), (3, 5), bits=(16,), sample_format=2), "white is unknown"),
    "lab": (encoded(Image.new("LAB", (4, 4)), "TIFF"), "of the kind LAB"),
    "no pixels": (b"P5 0 4 255\n", "damaged|no image"),
}  # fmt: skip
