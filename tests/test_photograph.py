"""Every kind of good, odd and bad image file, made in a temporary folder."""

import gc
import os
import pickle
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from jaxad._check import InputError
from jaxad.images import (
    Photograph,
    UnreadableError,
    from_pillow,
    kinds,
    photograph,
    read_header,
    read_mask,
    read_photograph,
    read_photographs,
)
from jaxad.images import samples as samples_room
from tests.bad_photographs import BAD, COLOUR, DEEP, GREY, NOISE, OPACITY, SHARES, encoded, random, tiff


def unit(samples: np.ndarray, white: int = 255) -> np.ndarray:
    """Samples as float32 [h, w, c] in [0, 1]."""
    return (np.atleast_3d(samples) / np.float32(white)).astype(np.float32)


def save(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def twelve_bits(values: np.ndarray) -> bytes:
    rows = ("".join(f"{value:012b}" for value in row) for row in values)
    padded = (row + "0" * (-len(row) % 8) for row in rows)
    return b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in padded)


# What can be read


@pytest.mark.parametrize(
    ("name", "image", "expected", "mode", "bits"),
    [
        ("a.png", GREY, unit(GREY), "L", 8),
        ("a.bmp", GREY, unit(GREY), "L", 8),
        ("a.pgm", GREY, unit(GREY), "L", 8),
        ("a.tif", GREY, unit(GREY), "L", 8),
        ("a.PNG", COLOUR, unit(COLOUR), "RGB", 8),
        ("a.webp", COLOUR, unit(COLOUR), "RGB", 8),
        ("a.jp2", COLOUR, unit(COLOUR), "RGB", 8),
        ("a.ppm", COLOUR, unit(COLOUR), "RGB", 8),
        ("deep.png", DEEP, unit(DEEP, 65535), "I;16", 16),
        ("deep.tif", DEEP, unit(DEEP, 65535), "I;16", 16),
        ("big-endian.tif", DEEP.astype(">u2"), unit(DEEP, 65535), "I;16B", 16),
        ("deep.pgm", DEEP, unit(DEEP, 65535), "I", 16),
        ("bits.png", GREY > 99, unit(GREY > 99, 1), "1", 1),
        ("bits.tif", GREY > 99, unit(GREY > 99, 1), "1", 1),
        ("float.tif", SHARES, SHARES[..., None], "F", 32),
    ],
)
def test_samples_are_kept_exactly(
    tmp_path: Path, name: str, image: np.ndarray, expected: np.ndarray, mode: str, bits: int
) -> None:
    options = {".webp": {"lossless": True}}.get(Path(name).suffix, {})
    found = read_photograph(save(tmp_path / name, image, **options))
    assert found.pixels.dtype == np.float32
    np.testing.assert_array_equal(found.pixels, expected)
    assert (found.mode, found.bits) == (mode, bits)


def test_whole_16_bit_range_stays_apart(tmp_path: Path) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels = read_photograph(save(tmp_path / "a.png", every)).pixels
    assert len(np.unique(pixels)) == 65536
    assert (pixels.min(), pixels.max()) == (0, 1)


def test_mode_i_of_a_png_is_16_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import PngImagePlugin

    # Pillow before 12 opens 16-bit grey PNGs so.
    monkeypatch.setitem(PngImagePlugin._MODES, (16, 0), ("I", "I;16B"))
    found = read_photograph(save(tmp_path / "a.png", DEEP))
    assert (found.mode, found.bits) == ("I", 16)
    np.testing.assert_array_equal(found.pixels, unit(DEEP, 65535))


def test_twelve_bits_are_divided_by_their_own_white(tmp_path: Path) -> None:
    values = random.integers(0, 4096, (3, 5))
    (tmp_path / "a.tif").write_bytes(tiff(twelve_bits(values), (3, 5), bits=(12,)))
    found = read_photograph(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, unit(values, 4095))
    assert found.bits == 12


def test_deep_colour_says_so(tmp_path: Path) -> None:
    samples = random.integers(0, 65536, (3, 5, 3), np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(samples.astype("<u2").tobytes(), (3, 5), bits=(16, 16, 16)))
    found = read_photograph(tmp_path / "a.tif")
    assert (found.mode, found.bits) == ("RGB", 16)
    np.testing.assert_array_equal(found.samples, samples)
    np.testing.assert_array_equal(found.pixels, unit(samples, 65535))


def png(samples: np.ndarray, kind: int, *, interlaced: bool = False, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits, as Pillow itself cannot write it."""
    height, width = samples.shape[:2]
    sevenths = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    parts = [samples[a::b, c::d] for a, b, c, d in sevenths] if interlaced else [samples]
    rows = [b"\0" + row.astype(">u2").tobytes() for part in parts if part.size for row in part]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    chunks = [(b"IHDR", head), *([(b"tRNS", transparent)] if transparent else [])]
    chunks += [(b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


@pytest.mark.parametrize("interlaced", [False, True])
def test_deep_colour_of_a_png_is_kept_exactly(tmp_path: Path, interlaced: bool) -> None:
    samples = random.integers(0, 65536, (11, 13, 3), np.uint16)
    (tmp_path / "a.png").write_bytes(png(samples, 2, interlaced=interlaced))
    found, header = read_photograph(tmp_path / "a.png"), read_header(tmp_path / "a.png")
    np.testing.assert_array_equal(found.samples, samples)
    assert (found.bits, found.mode, header.bits) == (16, "RGB", 16)


def test_deep_transparency_of_a_png_is_applied(tmp_path: Path) -> None:
    for kind, channels in ((6, 3), (4, 1)):
        samples = random.integers(0, 65536, (3, 5, channels + 1), np.uint16)
        (tmp_path / "a.png").write_bytes(png(samples, kind))
        share = samples[..., channels:] / 65535
        expected = samples[..., :channels] / 65535 * share + 1 - share
        np.testing.assert_allclose(read_photograph(tmp_path / "a.png").pixels, expected, atol=1e-6)
        assert read_header(tmp_path / "a.png").channels == channels


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3)])
def test_one_deep_colour_may_stand_for_transparent(tmp_path: Path, kind: int, channels: int) -> None:
    samples = random.integers(0, 65536, (3, 5, channels), np.uint16)
    (tmp_path / "a.png").write_bytes(png(samples, kind, transparent=samples[1, 2].astype(">u2").tobytes()))
    samples[1, 2] = 65535
    np.testing.assert_array_equal(read_photograph(tmp_path / "a.png").samples, samples)


def test_numbers_stay_whole_where_they_can(tmp_path: Path) -> None:
    whole = np.concatenate([COLOUR, np.where(OPACITY > 99, np.uint8(255), np.uint8(0))], axis=-1)
    half = np.concatenate([COLOUR, OPACITY], axis=-1)
    found = [read_photograph(save(tmp_path / "a.png", image)).samples for image in (GREY > 99, GREY, DEEP, whole)]
    assert [one.dtype.name for one in found] == ["uint8", "uint8", "uint16", "uint8"]
    np.testing.assert_array_equal(found[-1], np.where(OPACITY > 99, COLOUR, np.uint8(255)))
    assert read_photograph(save(tmp_path / "a.png", half)).samples.dtype == np.float32
    assert read_photograph(save(tmp_path / "a.tif", SHARES)).samples.dtype == np.float32


def test_large_images_are_copied_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples_room, "BAND", 15)
    for image in (GREY, DEEP, COLOUR, SHARES, GREY > 99):
        expected = unit(image, 1 if image.dtype in (bool, np.float32) else np.iinfo(image.dtype).max)
        np.testing.assert_array_equal(read_photograph(save(tmp_path / "a.tif", image)).pixels, expected)


def test_an_image_of_pillows_is_taken_as_its_file(tmp_path: Path) -> None:
    for name, image in (("a.png", GREY), ("b.png", DEEP), ("c.tif", SHARES), ("d.png", COLOUR)):
        path = save(tmp_path / name, image)
        with Image.open(path) as opened:
            np.testing.assert_array_equal(from_pillow(opened).samples, read_photograph(path).samples)
    with pytest.raises(InputError, match="5 x 7 pixels are more than the 34"):
        from_pillow(Image.fromarray(GREY), max_pixels=34)


def test_an_image_of_pillows_that_gives_no_pixels_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLOUR)
    closed = Image.open(path)
    closed.close()
    with pytest.raises(InputError, match="the Pillow image cannot be taken: it gives no pixels .*closed image"):
        from_pillow(closed)
    path.write_bytes(path.read_bytes()[:-30])
    with Image.open(path) as cut, pytest.raises(InputError, match="it gives no pixels .*truncated"):
        from_pillow(cut)


@pytest.mark.skipif(not kinds.AVIF, reason="this Pillow reads no AVIF")
def test_avif_is_close(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(0, 128, 2), np.arange(0, 128, 2)).astype(np.uint8)
    found = read_photograph(save(tmp_path / "a.avif", np.dstack([smooth] * 3), quality=100))
    assert np.abs(found.pixels - unit(smooth)).max() < 4 / 255


def test_jpeg_is_close(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(0, 128, 2), np.arange(0, 128, 2)).astype(np.uint8)
    found = read_photograph(save(tmp_path / "a.jpg", smooth, quality=100))
    assert np.abs(found.pixels - unit(smooth)).max() < 3 / 255


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif"])
def test_palette_becomes_colour(tmp_path: Path, suffix: str) -> None:
    palette = Image.fromarray(GREY % 2, "L").convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 0])
    expected = unit(np.array([[10, 20, 30], [200, 100, 0]], np.uint8)[GREY % 2])
    np.testing.assert_array_equal(read_photograph(save(tmp_path / f"a{suffix}", palette)).pixels, expected)


def test_cmyk_becomes_colour(tmp_path: Path) -> None:
    inks = np.broadcast_to(np.array([255, 0, 0, 0], np.uint8), (5, 7, 4))
    found = read_photograph(save(tmp_path / "a.tif", Image.fromarray(inks, "CMYK")))
    np.testing.assert_array_equal(found.pixels[0, 0], [0, 1, 1])
    assert found.mode == "CMYK"


@pytest.mark.parametrize("opaque", [COLOUR, GREY[..., None]])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_white_lies_behind_what_is_transparent(tmp_path: Path, opaque: np.ndarray, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", np.concatenate([opaque, OPACITY], axis=-1))
    share = OPACITY.astype(np.float64) / 255
    expected = opaque / 255 * share + 1 - share
    found = read_photograph(path)
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)
    assert found.pixels.shape == opaque.shape


@pytest.mark.parametrize(
    ("image", "transparent", "expected"),
    [
        (np.array([[0, 9]], np.uint8), 9, [[[0], [1]]]),
        (np.array([[[0, 0, 0], [9, 8, 7]]], np.uint8), (9, 8, 7), [[[0, 0, 0], [1, 1, 1]]]),
        (Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P"), 1, [[[0, 0, 0], [1, 1, 1]]]),
        (Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P"), b"\xff\0", [[[0, 0, 0], [1, 1, 1]]]),
    ],
)
def test_one_colour_may_stand_for_transparent(
    tmp_path: Path, image: Image.Image | np.ndarray, transparent: object, expected: list
) -> None:
    found = read_photograph(save(tmp_path / "a.png", image, transparency=transparent))
    np.testing.assert_array_equal(found.pixels, expected)


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: np.swapaxes(stored, 0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(np.swapaxes(stored, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("name", "stored", "options"),
    [
        ("a.png", COLOUR, {}),
        ("a.webp", COLOUR, {"lossless": True}),
        ("a.tif", COLOUR, {}),
        ("lzw.tif", COLOUR, {"compression": "tiff_lzw"}),
        ("deep.tif", DEEP, {}),
        ("big-endian.tif", DEEP.astype(">u2"), {}),
        ("deep.png", DEEP, {}),
    ],
)
def test_orientation_is_applied_once(
    tmp_path: Path, orientation: int, name: str, stored: np.ndarray, options: dict
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = save(tmp_path / name, stored, exif=exif, **options)
    found, header = read_photograph(path), read_header(path)
    np.testing.assert_array_equal(found.pixels, TURNS[orientation](unit(stored, np.iinfo(stored.dtype).max)))
    assert (header.height, header.width, header.channels) == found.pixels.shape
    assert (header.mode, header.bits) == (found.mode, found.bits)


def test_preview_behind_a_jpeg_is_no_second_frame(tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR)
    found = read_photograph(save(tmp_path / "a.jpg", image, format="MPO", save_all=True, append_images=[image]))
    assert found.pixels.shape == COLOUR.shape


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    save(tmp_path / "a.png", COLOUR, format="BMP")
    np.testing.assert_array_equal(read_photograph(str(tmp_path / "a.png")).pixels, unit(COLOUR))


def test_header_decodes_no_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    paths = [
        save(tmp_path / f"{plain}.{kind}", COLOUR, **options)
        for kind in ("png", "jpg", "tif", "bmp", "webp")
        for plain, options in (("plain", {}), ("turned", {"exif": exif}))
        if kind != "bmp" or not options
    ]

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    for owner in (Image.Image, ImageFile.ImageFile):
        monkeypatch.setattr(owner, "load", refuse)
    for path in paths:
        header = read_header(path)
        assert (header.height, header.width) == ((7, 5) if path.stem == "turned" else (5, 7))
        assert header.channels == 3


# What is refused


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_by_name_and_reason(tmp_path: Path, kind: str) -> None:
    content, reason = BAD[kind]
    (tmp_path / "bad.png").write_bytes(content)
    for read in (read_photograph, read_mask):
        with pytest.raises(UnreadableError, match=reason) as caught:
            read(tmp_path / "bad.png")
        assert isinstance(caught.value, InputError)
        assert str(caught.value).startswith(repr(str(tmp_path / "bad.png")))
        assert caught.value.path == tmp_path / "bad.png"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(50), "HEIC is not read; convert it to PNG or JPEG"),
        ("a.jpg", b"\0\0\0\x18ftypheic" + bytes(50), "HEIC is not read; convert it to PNG or JPEG"),
        ("a.PSD", b"8BPS" + bytes(50), "a document is not read"),
        ("a.jxl", b"\xff\x0a" + bytes(50), "JPEG XL is not read"),
        ("a.dng", encoded(NOISE, "TIFF"), "a raw photograph is not read"),
    ],
)
def test_known_kinds_that_are_not_read_are_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError, match=reason):
        read_photograph(tmp_path / name)


def test_no_extension_is_read_and_not_read() -> None:
    assert not kinds.EXTENSIONS & set(kinds.UNREAD_EXTENSIONS)
    assert (".avif" in kinds.EXTENSIONS) != (".avif" in kinds.UNREAD_EXTENSIONS)
    assert all(name == name.lower() and name.startswith(".") for name in (*kinds.EXTENSIONS, *kinds.UNREAD_EXTENSIONS))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("nowhere")
    for name, reason in {"a.png": "no such file", "link.png": "no such file", ".": "not a file"}.items():
        with pytest.raises(UnreadableError, match=reason):
            read_photograph(tmp_path / name)
    with pytest.raises(UnreadableError, match="not a file"):
        read_photograph(tmp_path / "pipe.png")


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises more than it holds."""
    whole = encoded(np.zeros((1, 1), np.uint8), "PNG")
    head = b"IHDR" + struct.pack(">II", width, height) + whole[24:29]
    return whole[:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:]


def test_bombs_are_refused_from_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    for size in ((100_000, 10_738), (2**31 - 1, 2**31 - 1)):
        (tmp_path / "a.png").write_bytes(bomb(*size))
        for read in (read_photograph, read_header):
            with pytest.raises(UnreadableError, match="more than the 1073741824 that max_pixels allows; raise max_p"):
                read(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("theirs", [1, 30, None])
def test_the_limit_is_ours_and_not_pillows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, theirs: int | None
) -> None:
    (tmp_path / "a").write_bytes(encoded(COLOUR, kind))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", theirs)
    assert read_photograph(tmp_path / "a", max_pixels=35).pixels.shape == (5, 7, 3)
    for read in (read_photograph, read_header, read_mask):
        with pytest.raises(UnreadableError, match="5 x 7 pixels are more than the 34"):
            read(tmp_path / "a", max_pixels=34)
    assert theirs == Image.MAX_IMAGE_PIXELS


def test_truncated_files_are_refused_whatever_pillow_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(BAD["cut jpeg"][0])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UnreadableError, match="truncated"):
        read_photograph(tmp_path / "a.jpg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_reason_is_one_short_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("\x1b[2J\n\udcff" + "x" * 5000)

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(UnreadableError) as caught:
        read_photograph(save(tmp_path / "a.png", GREY))
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) < 300


def test_running_out_of_memory_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(UnreadableError, match="MemoryError"):
        read_photograph(save(tmp_path / "a.png", GREY))


def test_the_error_travels_between_processes() -> None:
    error = UnreadableError(Path("a\n\udcff.png"), "why")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason) == (error.path, error.reason)
    assert str(copy) == r"'a\n\udcff.png' cannot be read: why"


def mutations(count: int) -> Iterator[bytes]:
    """Files with bytes changed, dropped, added or cut off, mostly near the head, where the structure is."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    colour, generator = Image.fromarray(COLOUR), np.random.default_rng(1)
    seeds = [
        *(encoded(colour, "PNG", exif=exif), encoded(DEEP, "PNG"), encoded(colour.quantize(9), "PNG", transparency=1)),
        *(encoded(colour, "JPEG", exif=exif), encoded(colour.convert("CMYK"), "JPEG")),
        *(encoded(colour, "TIFF", exif=exif), encoded(DEEP, "TIFF"), encoded(SHARES, "TIFF")),
        *(encoded(colour, "TIFF", compression="tiff_lzw"), encoded(colour, "TIFF", compression="tiff_adobe_deflate")),
        *(encoded(colour, "BMP"), encoded(GREY, "GIF"), encoded(colour, "WEBP"), encoded(GREY, "PPM")),
    ]
    for index in range(count):
        content = bytearray(seeds[index % len(seeds)])
        for _ in range(generator.integers(1, 4)):
            at = int(generator.integers(min(len(content), generator.choice([60, 10_000]))))
            kind = generator.choice(["change", "drop", "add", "cut"], p=[0.6, 0.15, 0.15, 0.1])
            if kind == "change":
                content[at] = generator.integers(256)
            else:
                end = {"drop": at + int(generator.integers(1, 9)), "add": at, "cut": len(content)}[kind]
                content[at:end] = generator.bytes(4) if kind == "add" else b""
            if not content:
                break
        yield bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_any_bytes_give_a_photograph_or_a_reason(tmp_path: Path, action: str) -> None:
    for index, content in enumerate(mutations(700)):
        (tmp_path / f"{index}.png").write_bytes(content)
    outcomes = {Photograph: 0, UnreadableError: 0}
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        for path, found in read_photographs(sorted(tmp_path.iterdir()), max_pixels=10_000):
            outcomes[type(found)] += 1
            if isinstance(found, Photograph):
                assert 0 <= found.pixels.min() <= found.pixels.max() <= 1
                header = read_header(path, max_pixels=10_000)
                assert (header.height, header.width, header.channels) == found.pixels.shape
            else:
                assert found.reason.isprintable()
    assert min(outcomes.values()) > 50


# Streams


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Forty images whose pixels are their index over 255; every seventh is empty."""
    made = [save(tmp_path / f"{i:02}.png", np.full((2, 2), i, np.uint8)) for i in range(40)]
    for path in made[::7]:
        path.write_bytes(b"")
    return made


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("jaxad_")]


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_stream_keeps_the_order(paths: list[Path], workers: int) -> None:
    found = list(read_photographs(map(str, paths), workers=workers))
    assert [path for path, _ in found] == paths
    for index, (path, result) in enumerate(found):
        if index % 7:
            np.testing.assert_array_equal(result.pixels, np.full((2, 2, 1), np.float32(index) / np.float32(255)))
        else:
            assert isinstance(result, UnreadableError)
            assert result.path == path
    assert readers() == []


def test_stream_of_nothing_ends() -> None:
    assert list(read_photographs([])) == []


def test_stream_is_bounded_ahead(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    stream = read_photographs((asked.append(path) or path for path in paths), workers=2)
    assert asked == []
    for taken in range(1, 20):
        next(stream)
        assert len(asked) <= taken + 2 * 2


def test_large_files_are_decoded_one_at_a_time(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    begun, real = [], photograph.read_photograph
    monkeypatch.setattr(photograph, "read_photograph", lambda path, **options: begun.append(path) or real(path))
    for most, ahead in ((3, 1), (9, 2), (99, 4)):
        begun.clear()
        monkeypatch.setattr(photograph, "AHEAD_SAMPLES", most)
        readable = [path for path in paths if path.stat().st_size]
        for taken, _ in enumerate(read_photographs(readable, workers=2), start=1):
            assert len(begun) <= taken - 1 + ahead


@pytest.mark.parametrize("drop", ["close", "forget"])
def test_dropped_stream_ends_its_threads(paths: list[Path], drop: str) -> None:
    stream = read_photographs(paths, workers=2)
    next(stream)
    assert readers()
    if drop == "close":
        stream.close()
    else:
        del stream
        gc.collect()
    assert readers() == []


def test_stream_puts_pillows_settings_back(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    for _ in range(5):
        results = [result for _, result in read_photographs(paths, workers=8)]
        assert sum(isinstance(result, Photograph) for result in results) == 34
        assert Image.MAX_IMAGE_PIXELS == 3


def test_stream_passes_on_what_is_no_fault_of_the_file(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a fault of the program")

    monkeypatch.setattr(photograph, "_decode", fail)
    with pytest.raises(KeyError, match="a fault of the program"):
        list(read_photographs(paths))
    assert readers() == []


def test_stream_keeps_no_traceback(paths: list[Path]) -> None:
    _, error = next(read_photographs(paths))
    assert isinstance(error, UnreadableError)
    assert error.__traceback__ is None
    assert error.__context__ is None


def test_stream_refuses_no_workers(paths: list[Path]) -> None:
    with pytest.raises(InputError, match="workers must be at least 1, got 0"):
        read_photographs(paths, workers=0)
