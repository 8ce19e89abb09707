"""Preparation: sizes come back exactly, and what is bright in a photograph is bright there in its map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxad._check import InputError
from jaxad.preparation import MODES, Preparation, fill, mirror, need_same_aspect, rectangle_around, restore
from tests.drawn import examples

sides = st.integers(1, 90)
targets = st.integers(4, 100)
# Built in the tests: the suite's type checks draw random numbers, which strategies must not.
options = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(MODES),
        "scale": st.floats(0.2, 3.0),
        "side": targets,
        "box": st.tuples(targets, targets),
    }
)


@settings(deadline=None, max_examples=examples(200))
@given(options, sides, sides)
def test_sizes_come_back_exactly(chosen: dict, height: int, width: int) -> None:
    preparation = Preparation(1, **chosen)
    image, geometry = preparation.prepare(np.full((height, width, 1), 0.25, np.float32))
    assert image.shape == (*geometry.size, 1)
    assert image.dtype == np.float32
    assert geometry == preparation.geometry(height, width)
    restored = restore(image[..., 0], geometry)
    assert restored.shape == (height, width)
    np.testing.assert_allclose(restored, 0.25, rtol=1e-6)


@settings(deadline=None, max_examples=examples(200))
@given(options, st.integers(40, 120), st.integers(40, 120), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_a_bright_spot_comes_back_to_its_place(
    chosen: dict, height: int, width: int, down: float, across: float
) -> None:
    rows, columns = np.mgrid[:height, :width]
    row, column = round(down * (height - 1)), round(across * (width - 1))
    photograph = np.zeros((height, width, 1), np.float32)
    photograph[row, column] = 1.0
    image, geometry = Preparation(1, **chosen).prepare(photograph)
    restored = restore(image[..., 0], geometry)
    centre = np.array([(restored * rows).sum(), (restored * columns).sum()]) / restored.sum()
    # One pixel of the coarser of both images.
    scale = np.maximum(1.0, np.array(geometry.source) / np.array(geometry.inside))
    assert (np.abs(centre - [row, column]) <= scale).all()


def test_aspect_ratio_is_kept_and_the_border_repeated() -> None:
    photograph = np.random.default_rng(0).random((20, 40, 3), dtype=np.float32)
    image, geometry = Preparation(3, "letterbox", box=(40, 40)).prepare(photograph)
    assert (geometry.inside, geometry.corner) == ((20, 40), (10, 0))
    np.testing.assert_array_equal(image[10:30], photograph)
    np.testing.assert_array_equal(image[:10], np.repeat(photograph[:1], 10, axis=0))
    assert Preparation(3, "resize", side=10).geometry(20, 40).size == (10, 20)
    assert Preparation(3, "scale", scale=0.25).geometry(20, 40).size == (5, 10)


def test_channels_are_pillows() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    grey, _ = Preparation(1).prepare(colour.astype(np.float32) / 255)
    expected = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.abs(grey[..., 0] * 255 - expected).max() <= 0.51
    back, _ = Preparation(3).prepare(grey)
    np.testing.assert_array_equal(back, np.repeat(grey, 3, axis=-1))


def test_range_is_never_left() -> None:
    photograph = np.random.default_rng(0).integers(0, 2, (64, 64, 1)).astype(np.float32)
    for side in range(5, 130):
        image, _ = Preparation(1, "resize", side=side).prepare(photograph)
        assert image.min() >= 0
        assert image.max() <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 2}, "channels must be 1"),
        ({"channels": 1, "mode": "crop"}, "mode must be one of"),
        ({"channels": 1, "scale": 0.0}, "scale must be"),
        ({"channels": 1, "scale": float("nan")}, "scale must be"),
        ({"channels": 1, "side": 0}, "at least 1 pixel"),
        ({"channels": 1, "box": (0, 3)}, "at least 1 pixel"),
    ],
)
def test_refusals(options: dict, words: str, unchecked: None) -> None:
    with pytest.raises(InputError, match=words):
        Preparation(**options)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(InputError, match=r"1 channel \(grey\) or 3"):
        Preparation(1).prepare(np.zeros((3, 4, 2), np.float32))
    with pytest.raises(InputError, match="map must be"):
        restore(np.zeros((3, 4), np.float32), Preparation(1).geometry(4, 3))


@pytest.mark.parametrize(
    ("region", "size", "fits"),
    [
        ((72, 120), (144, 240), True),
        ((36, 60), (72, 120), True),
        ((50, 75), (101, 150), True),
        ((72, 120), (72, 119), True),
        ((120, 72), (72, 120), False),
        ((72, 72), (72, 120), False),
        ((1260, 500), (1235, 500), True),
        ((1260, 500), (500, 200), True),
        ((100, 100), (105, 100), True),
        ((100, 100), (106, 100), False),
        ((100, 100), (100, 106), False),
        ((72, 120), (72, 110), False),
    ],
)
def test_a_region_of_another_aspect_is_refused_with_both_sizes(region, size, fits):
    if fits:
        need_same_aspect(region, size)
        return
    words = f"{region[0]} x {region[1]} pixels.*does not fit {size[0]} x {size[1]}"
    with pytest.raises(InputError, match=words):
        need_same_aspect(region, size)


@settings(deadline=None, max_examples=examples(100))
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_outside_a_region_is_filled_from_inside(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random((height, width)) < rng.uniform(0.05, 1)
    inside[rng.integers(height), rng.integers(width)] = True
    places = mirror(inside).reshape(height, width)
    assert inside.ravel()[places].all()
    np.testing.assert_array_equal(places[inside], np.flatnonzero(inside))
    rows, columns = np.nonzero(inside)
    for row, column in zip(*np.nonzero(~inside), strict=True):
        distances = np.hypot(rows - row, columns - column)
        nearest = np.argwhere(inside)[distances == distances.min()].tolist()
        # The mirror image beyond one of the nearest pixels, or that pixel where it shows none inside.
        mirrored = [[2 * r - row, 2 * c - column] for r, c in nearest]
        assert list(divmod(int(places[row, column]), width)) in mirrored + nearest
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(fill(pixels, inside), pixels.reshape(-1, 3)[places.ravel()].reshape(pixels.shape))


def test_a_region_with_a_straight_border_is_reflected() -> None:
    pixels = np.random.default_rng(0).random((6, 10, 1), np.float32)
    inside = np.zeros((6, 10), bool)
    inside[:, :6] = True
    expected = np.pad(pixels[:, :6], ((0, 0), (0, 4), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(fill(pixels, inside), expected)
    assert fill(pixels, None) is pixels


@settings(deadline=None, max_examples=examples(100))
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**32 - 1))
def test_the_rectangle_around_a_region_is_the_smallest(
    height: int, width: int, tall: int, wide: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random((height, width)) < rng.uniform(0.02, 0.3)
    inside[rng.integers(height), rng.integers(width)] = True
    area, (rows, columns) = rectangle_around(inside, least=(tall, wide)), np.nonzero(inside)
    assert inside[area.window].sum() == inside.sum()
    assert inside[area.window].shape == (area.height, area.width)
    assert area.height == min(height, max(tall, np.ptp(rows) + 1))
    assert area.width == min(width, max(wide, np.ptp(columns) + 1))
    smallest = rectangle_around(inside)
    assert (smallest.top, smallest.left) == (rows.min(), columns.min())


def test_nothing_lies_around_no_region() -> None:
    with pytest.raises(InputError, match="region of interest must be True somewhere"):
        rectangle_around(np.zeros((3, 4), bool))
