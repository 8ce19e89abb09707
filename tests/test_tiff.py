"""TIFFs as microscopes and line scanners write them: read right or refused by name, never noise in silence."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from jaxad._check import InputError
from jaxad.images import UnreadableError, from_pillow, read_header, read_mask, read_photograph
from tests.tiff_files import tiff

random = np.random.default_rng(0)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, LIGHT = 0, 1, 2, 3, 5, 6


def numbers(dtype: type, channels: int) -> np.ndarray:
    return random.integers(0, np.iinfo(dtype).max + 1, (20, 50, channels), dtype)


WAYS = {
    "strips": {},
    "high byte first": {"order": ">"},
    "one strip": {"rows": 20},
    "deflated": {"deflated": True},
    "deflated, high byte first": {"deflated": True, "order": ">"},
    "tiles": {"tile": (16, 32)},
    "deflated tiles": {"tile": (16, 32), "deflated": True},
    "64 bits": {"big": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("photometric", "channels", "apart"),
    [(RGB, 3, False), (RGB, 3, True), (BLACK_IS_ZERO, 1, False), (WHITE_IS_ZERO, 1, False)],
)
def test_whole_numbers_are_kept_exactly(
    tmp_path: Path, photometric: int, channels: int, apart: bool, dtype: type, way: str
) -> None:
    values = numbers(dtype, channels)
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=photometric, apart=apart, **WAYS[way]))
    found, header = read_photograph(tmp_path / "a.tif"), read_header(tmp_path / "a.tif")
    seen = np.iinfo(dtype).max - values if photometric == WHITE_IS_ZERO else values
    assert found.samples.dtype == dtype
    np.testing.assert_array_equal(found.samples, seen)
    np.testing.assert_array_equal(found.pixels, (seen / np.float32(np.iinfo(dtype).max)).astype(np.float32))
    assert found.bits == header.bits == 8 * values.dtype.itemsize
    assert (header.height, header.width, header.channels, header.mode) == (*values.shape, found.mode)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_transparency_is_applied_and_what_is_unknown_left_out(
    tmp_path: Path, dtype: type, apart: bool, order: str
) -> None:
    values, white = numbers(dtype, 4), np.iinfo(dtype).max
    for extra in (0, 2):
        path = tmp_path / f"{extra}.tif"
        path.write_bytes(tiff(values, photometric=RGB, apart=apart, order=order, extra=(extra,)))
        share = values[..., 3:] / white if extra else 1
        np.testing.assert_allclose(read_photograph(path).pixels, values[..., :3] / white * share + 1 - share, atol=1e-6)


@pytest.mark.parametrize("turned", [1, 3, 6])
@pytest.mark.parametrize(("photometric", "channels"), [(RGB, 3), (WHITE_IS_ZERO, 1)])
def test_planes_lie_as_their_file(tmp_path: Path, photometric: int, channels: int, turned: int) -> None:
    values = numbers(np.uint16, channels)
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=photometric, apart=channels > 1, turned=turned))
    found, header = read_photograph(tmp_path / "a.tif").samples, read_header(tmp_path / "a.tif")
    expected = np.rot90(values, {1: 0, 3: 2, 6: -1}[turned])
    np.testing.assert_array_equal(found, expected if photometric == RGB else 65535 - expected)
    assert (header.height, header.width) == found.shape[:2]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_mask_whose_white_is_zero_keeps_its_area(tmp_path: Path, dtype: type, order: str) -> None:
    mask = np.zeros((20, 50, 1), bool)
    mask[5:9, 10:20] = True
    white = 1 if dtype is np.float32 else np.iinfo(dtype).max
    values = np.where(mask, 0, white).astype(dtype)
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=WHITE_IS_ZERO, order=order))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), mask[..., 0])


def test_one_bit_whose_white_is_zero_is_turned(tmp_path: Path) -> None:
    bits = random.random((9, 30)) > 0.5
    for compression in ("raw", "group4", "packbits"):
        path = tmp_path / f"{compression}.tif"
        exif = {ExifTags.Base.PhotometricInterpretation: WHITE_IS_ZERO}
        Image.fromarray(bits).save(path, compression=compression, tiffinfo=exif)
        with Image.open(path) as image:
            kind = image.tag_v2[ExifTags.Base.PhotometricInterpretation]
        found = read_photograph(path)
        assert (found.bits, found.samples.dtype, kind) == (1, np.uint8, WHITE_IS_ZERO)
        np.testing.assert_array_equal(found.samples[..., 0] > 0, bits)


def test_floats_may_be_rounded(tmp_path: Path) -> None:
    values = np.array([[[-1e-8], [0.5], [1.0000001]]], np.float32)
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=BLACK_IS_ZERO))
    np.testing.assert_array_equal(read_photograph(tmp_path / "a.tif").samples[0, :, 0], np.float32([0, 0.5, 1]))
    (tmp_path / "b.tif").write_bytes(tiff(values + np.float32(1e-5), photometric=BLACK_IS_ZERO))
    with pytest.raises(UnreadableError, match=r"to 1\.00001"):
        read_photograph(tmp_path / "b.tif")


@pytest.mark.parametrize(("odd", "words"), [(np.nan, "1 of its 3 values is NaN"), (np.inf, "go from 0 to inf")])
def test_floats_that_are_no_numbers_are_said(tmp_path: Path, odd: float, words: str) -> None:
    values = np.array([[[0], [0.5], [odd]]], np.float32)
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=BLACK_IS_ZERO))
    with pytest.raises(UnreadableError, match=words):
        read_photograph(tmp_path / "a.tif")


SHORT, BYTE = numbers(np.uint16, 3), numbers(np.uint8, 3)

REFUSED = {
    "signed 8 bits": (tiff(numbers(np.int8, 1), photometric=BLACK_IS_ZERO), "signed, so white is unknown"),
    "signed 16 bits": (tiff(numbers(np.int16, 1), photometric=WHITE_IS_ZERO), "signed, so white is unknown"),
    "signed colour": (tiff(numbers(np.int16, 3), photometric=RGB, apart=True), "signed, so white is unknown"),
    "two pages of planes": (tiff(SHORT, photometric=RGB, apart=True, pages=2), "several pages"),
    "two pages": (tiff(SHORT[..., :1], photometric=BLACK_IS_ZERO, pages=2), "2 frames"),
    "inks": (tiff(numbers(np.uint16, 4), photometric=INKS, apart=True), "neither grey nor RGB"),
    "light and colour": (tiff(BYTE, photometric=LIGHT, apart=True), "neither grey nor RGB"),
    "multiplied": (tiff(numbers(np.uint16, 4), photometric=RGB, apart=True, extra=(1,)), "multiplied"),
    "32 bits": (tiff(numbers(np.uint32, 1), photometric=WHITE_IS_ZERO), "white is unknown"),
    "64 bits, high byte first": (tiff(SHORT, photometric=RGB, order=">", big=True), "64 bits with the high byte first"),
    "half floats": (tiff(BYTE[..., :1].astype(np.float16), photometric=BLACK_IS_ZERO), "TIFF of a kind.*bits 16"),
    "double floats": (tiff(BYTE[..., :1] / 255, photometric=BLACK_IS_ZERO), "TIFF of a kind.*bits 64"),
    "grey and transparency": (tiff(SHORT[..., :2], photometric=BLACK_IS_ZERO, extra=(2,)), "TIFF of a kind"),
    "cut planes": (tiff(SHORT, photometric=RGB, apart=True)[:-1], "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    content, reason = REFUSED[kind]
    (tmp_path / "a.tif").write_bytes(content)
    for read in (read_photograph, read_header, read_mask):
        with pytest.raises(UnreadableError, match=reason):
            read(tmp_path / "a.tif")


def test_lost_pixels_of_a_plane_are_damage(tmp_path: Path) -> None:
    whole = tiff(SHORT, photometric=RGB, apart=True, deflated=True, rows=20)
    at = whole.rindex(zlib.compress(SHORT[..., 2].tobytes())[:50])
    (tmp_path / "a.tif").write_bytes(whole[: at + 30] + bytes(200) + whole[at + 230 :])
    with pytest.raises(UnreadableError, match="damaged"):
        read_photograph(tmp_path / "a.tif")


@pytest.mark.parametrize("photometric", [RGB, WHITE_IS_ZERO])
def test_what_pillow_opened_wrong_is_not_taken(tmp_path: Path, photometric: int) -> None:
    values = SHORT if photometric == RGB else SHORT[..., :1]
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=photometric, apart=photometric == RGB))
    with Image.open(tmp_path / "a.tif") as image, pytest.raises(InputError, match="give its path instead"):
        from_pillow(image)
