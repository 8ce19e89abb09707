"""Which pixels a mask file marks, whatever kind of file it is, and what is said of masks that cannot be right."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxad.images import mask_problem, read_mask

INSIDE = np.zeros((64, 80), bool)
INSIDE[10:30, 20:50] = True
TWO = INSIDE.astype(np.uint8)
TWO[20:25, 30:40] = 2
"""Two labels."""


def drawn(value: object, *, dtype: type = np.uint8, behind: object = 0) -> np.ndarray:
    return np.where(INSIDE[..., None] if np.ndim(value) else INSIDE, np.array(value, dtype), np.array(behind, dtype))


def with_palette(indices: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette([value for colour in colours for value in colour])
    return image


LIKE_INSIDE = {
    "white": drawn(255),
    "of 16 bits": drawn(65535, dtype=np.uint16),
    "of one bit": INSIDE,
    "just above half": drawn(128),
    "just above half of 16 bits": drawn(32768, dtype=np.uint16),
    "a value for each kind of defect, as MVTec LOCO": drawn(240),
    "label 1": drawn(1),
    "labels 1 and 2": TWO,
    "labels of 16 bits": TWO.astype(np.uint16),
    "255 in 16 bits": drawn(255, dtype=np.uint16),
    "one dark grey": drawn(127),
    "red": drawn((255, 0, 0)),
    "two colours, one of them dark": np.where(TWO[..., None] == 2, np.uint8([64, 0, 0]), drawn((128, 0, 0))),
    "a palette": with_palette(INSIDE, (0, 0, 0), (255, 255, 255)),
    "a palette the other way round": with_palette(~INSIDE, (255, 255, 255), (0, 0, 0)),
    "a palette of dark colours": with_palette(TWO, (0, 0, 0), (0, 64, 0), (64, 0, 0)),
    "white that is opaque": drawn((255, 255)),
    "white all over, opaque inside": drawn((255, 255), behind=(255, 0)),
    "black all over, opaque inside": drawn((0, 0, 0, 255), behind=(0, 0, 0, 0)),
    "a brush that is half transparent": drawn((255, 0, 0, 100), behind=(0, 0, 0, 0)),
}


@pytest.mark.parametrize("kind", LIKE_INSIDE)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_mask_is_what_is_not_black(tmp_path: Path, kind: str, suffix: str) -> None:
    image = LIKE_INSIDE[kind]
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(tmp_path / f"a{suffix}")
    mask = read_mask(tmp_path / f"a{suffix}")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, INSIDE)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_a_jpeg_keeps_its_area(tmp_path: Path, quality: int) -> None:
    Image.fromarray(drawn(255)).save(tmp_path / "a.jpg", quality=quality)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    for name in ("a.jpg", "a.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), INSIDE)


def test_a_smooth_edge_is_cut_at_half(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (4, 256))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), ramp >= 128)


def test_noise_of_a_black_jpeg_and_many_dark_greys_are_no_labels(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 3, INSIDE.shape, np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=100)
    Image.fromarray(np.broadcast_to(np.arange(100, dtype=np.uint8), (4, 100))).save(tmp_path / "b.png")
    for name in ("a.jpg", "b.png"):
        assert not read_mask(tmp_path / name).any()


def test_what_cannot_be_right_is_told() -> None:
    assert mask_problem(INSIDE) is None
    assert "black everywhere" in str(mask_problem(np.zeros((5, 7), bool)))
    assert "probably inverted: 88% of it and 100% of its border" in str(mask_problem(~INSIDE))
    assert "probably inverted" in str(mask_problem(np.ones((1, 7), bool)))
    large = np.zeros((64, 80), bool)
    large[:, 10:] = True
    large[40:, :] = False
    assert large.mean() > 0.5
    assert mask_problem(large) is None
    touching = ~INSIDE
    touching[:20, 30:50] = False
    assert "probably inverted" in str(mask_problem(touching))
