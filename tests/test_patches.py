import math
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxad import patches
from jaxad._check import InputError
from tests.drawn import examples
from tests.drawn_grids import axes, grids, whole_numbers
from tests.references.heatmap import heatmap, positions

pytestmark = pytest.mark.usefixtures("compile_fast")

# Pixels are small whole numbers, so that float32 adds them without rounding and every comparison is exact.


def sliced(images, *, size, stride, cover):
    """`[n, rows, columns, p, q, c]`, window after window."""
    rows, columns = (positions(*axis, cover) for axis in zip(images.shape[1:3], size, stride, strict=True))
    return np.stack([np.stack([images[:, y : y + size[0], x : x + size[1]] for x in columns], 1) for y in rows], 1)


def extract(images, **options):
    return np.asarray(jax.jit(partial(patches.extract, **options))(images))


def fold(windows, images, options):
    options = {"shape": images.shape[1:3], "stride": options["stride"], "cover": options["cover"]}
    return np.asarray(jax.jit(partial(patches.fold, **options))(windows))


@pytest.mark.parametrize(
    ("axis", "cover", "expected"),
    [
        ((28, 8, 2), "full", tuple(range(0, 21, 2))),
        ((28, 8, 2), "seed", tuple(range(0, 19, 2))),
        ((8, 8, 2), "full", (0,)),
        ((10, 4, 4), "full", (0, 4, 6)),
        ((10, 4, 4), "seed", (0,)),
        ((9, 8, 8), "full", (0, 1)),
        ((3, 1, 1), "full", (0, 1, 2)),
        ((3, 1, 1), "seed", (0, 1)),
    ],
)
def test_starts(axis, cover, expected):
    assert patches.starts(*axis, cover=cover) == expected


@given(st.sampled_from(patches.COVERS).flatmap(lambda cover: st.tuples(axes(cover), st.just(cover))))
def test_starts_are_the_slow_ones(case):
    axis, cover = case
    assert patches.starts(*axis, cover=cover) == tuple(positions(*axis, cover))


@settings(max_examples=examples(10), deadline=None)
@given(grids())
def test_extract_is_slicing(case):
    shape, options = case
    images = whole_numbers(shape)
    np.testing.assert_array_equal(extract(images, **options), sliced(images, **options))


@settings(max_examples=examples(10), deadline=None)
@given(grids())
def test_fold_is_adjoint_of_extract(case):
    shape, options = case
    images = whole_numbers(shape)
    windows = extract(images, **options)
    others = whole_numbers(windows.shape, seed=1)
    assert np.vdot(windows, others) == np.vdot(images, fold(others, images, options))


@settings(max_examples=examples(10), deadline=None)
@given(grids())
def test_fold_undoes_extract_where_a_window_reaches(case):
    shape, options = case
    images = whole_numbers(shape)
    folded = fold(extract(images, **options), images, options)
    count = np.asarray(patches.cover_count(shape[1:3], **options))[..., None]
    np.testing.assert_array_equal(folded, images * count)
    if options["cover"] == "full":
        np.testing.assert_array_equal(folded / count, images)


@given(grids())
def test_cover_count_counts(case):
    (_, h, w, _), options = case
    expected = heatmap(np.size, np.ones((1, h, w, 1)), **options, reduce="sum")[0] / math.prod(options["size"])
    np.testing.assert_array_equal(patches.cover_count((h, w), **options), expected)


def test_cover_count_by_hand():
    count = patches.cover_count((3, 4), size=(2, 2), stride=(1, 2))
    np.testing.assert_array_equal(count, [[1, 1, 1, 1], [2, 2, 2, 2], [1, 1, 1, 1]])
    count = patches.cover_count((3, 4), size=(2, 2), stride=(1, 2), cover="seed")
    np.testing.assert_array_equal(count, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])


OPTIONS = {"size": (3, 2), "stride": (2, 2), "cover": "full"}
IMAGES = whole_numbers((4, 6, 7, 2))


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f(x),
        lambda f, x: jax.jit(f)(x),
        lambda f, x: jax.vmap(f)(x.reshape(2, 2, *x.shape[1:])).reshape(4, *f(x).shape[1:]),
    ],
    ids=["eager", "jit", "vmap"],
)
@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        (partial(patches.extract, **OPTIONS), IMAGES, sliced(IMAGES, **OPTIONS)),
        (
            partial(patches.fold, shape=(6, 7), stride=(2, 2)),
            sliced(IMAGES, **OPTIONS),
            IMAGES * np.outer([1, 1, 2, 2, 2, 1], [1, 1, 1, 1, 1, 2, 1])[..., None],
        ),
    ],
    ids=["extract", "fold"],
)
def test_every_way_of_calling(function, argument, expected, call):
    np.testing.assert_array_equal(call(function, jnp.asarray(argument)), expected)


def crops_of(h, w, size, *, images=3, count=20_000, seed=0, skip_last=False):
    """Crops of images whose every pixel is unique, and the (image, row, column) that their first pixels tell."""
    pixels = np.arange(images * h * w, dtype=np.float32).reshape(images, h, w, 1)
    crop = jax.jit(partial(patches.random_crops, count=count, size=size, skip_last=skip_last))
    crops = np.asarray(crop(jax.random.key(seed), pixels))
    return pixels, crops, np.unravel_index(crops[:, 0, 0, 0].astype(int), (images, h, w))


@settings(max_examples=examples(6), deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_every_crop_occurs_in_its_image(h, w, data):
    size = (data.draw(st.integers(1, h)), data.draw(st.integers(1, w)))
    pixels, crops, places = crops_of(h, w, size, count=20, skip_last=data.draw(st.booleans()))
    assert crops.shape == (20, *size, 1)
    for crop, i, y, x in zip(crops, *places, strict=True):
        np.testing.assert_array_equal(crop, pixels[i, y : y + size[0], x : x + size[1]])


CHANCE = 1e-4
"""A fair draw looks less fair than this once in ten thousand keys."""


@pytest.mark.parametrize(("skip_last", "last"), [(False, 4), (True, 3)])
def test_crops_start_everywhere_alike(skip_last, last):
    _, _, (image, row, column) = crops_of(7, 8, (3, 4), skip_last=skip_last)
    for places, choices in ((image, 3), (row, last + 1), (column, last + 1)):
        assert set(places.tolist()) == set(range(choices))
        assert stats.chisquare(np.bincount(places)).pvalue > CHANCE
    both = np.bincount(row * (last + 1) + column, minlength=(last + 1) ** 2)
    assert stats.chisquare(both).pvalue > CHANCE


def test_skip_last_keeps_the_only_place():
    _, _, (_, row, column) = crops_of(3, 4, (3, 3), skip_last=True)
    assert not row.any()
    assert not column.any()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9))
@settings(deadline=None, max_examples=examples(5))
def test_tiles_make_the_whole(h, w, most):
    images = whole_numbers((2, h, w, 3))
    sizes = set()

    def make_tile(row, column, p, q):
        sizes.add((p, q))
        tile = jax.lax.dynamic_slice(images, (0, row, column, 0), (2, p, q, 3))
        return {"tile": tile, "rows": jnp.broadcast_to((row + jnp.arange(1.0 * p))[None, :, None], (2, p, q))}

    found = patches.map_tiles(make_tile, shape=(h, w), most=most)
    np.testing.assert_array_equal(found["tile"], images)
    np.testing.assert_array_equal(found["rows"], np.broadcast_to(np.arange(h)[None, :, None], (2, h, w)))
    assert len(sizes) == 1
    assert max(max(sizes)) <= most


def test_same_key_same_crops():
    first, again, other = (crops_of(7, 8, (3, 4), seed=seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_crops_under_jit_are_the_same():
    crop = partial(patches.random_crops, count=50, size=(3, 2))
    np.testing.assert_array_equal(jax.jit(crop)(jax.random.key(0), IMAGES), crop(jax.random.key(0), IMAGES))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: patches.starts(3, 8, 2), "at least the window's 8 x 8 pixels, got 3 x 3"),
        (lambda: patches.starts(9, 4, 5), "stride must not exceed the window.*got stride 5 for a window of 4"),
        (lambda: patches.starts(9, 4, 0), "at least 1 pixel, got 4 and 0"),
        (lambda: patches.starts(9, 8, 2, cover="seed"), "no window of 8 pixels at stride 2 on 9 pixels; use cover="),
        (lambda: patches.starts(9, 4, 2, cover="sead"), "unknown cover 'sead'.*full, seed; did you mean 'seed'"),
        (lambda: patches.extract(IMAGES[0], size=(2, 2), stride=(1, 1)), r"four axes.*got shape \(6, 7, 2\)"),
        (lambda: patches.extract(IMAGES.astype(int), size=(2, 2), stride=(1, 1)), "must be float32.*got int64"),
        (lambda: patches.extract(IMAGES, size=4, stride=(1, 1)), r"size must be two whole numbers.*got 4"),
        (lambda: patches.extract(IMAGES, size=(4, 4), stride=(2, 1.5)), r"stride must be two.*got \(2, 1.5\)"),
        (lambda: patches.extract(IMAGES, size=(2, 9), stride=(1, 1)), "width must be at least the window's 9.*got 7"),
        (
            lambda: patches.fold(np.ones((1, 2, 3, 2, 2, 1), np.float32), shape=(6, 6), stride=(2, 2)),
            "grid of 3 x 3.*got 2 x 3",
        ),
        (lambda: patches.random_crops(jax.random.key(0), IMAGES, count=0, size=(2, 2)), "count.*at least 1, got 0"),
        (lambda: patches.random_crops(jax.random.key(0), IMAGES, count=1, size=(7, 2)), "window's 7 pixels, got 6"),
    ],
)
def test_bad_input(call, message, unchecked):
    with pytest.raises(InputError, match=message):
        call()


@settings(max_examples=examples(20), deadline=None)
@given(grids(), st.integers(1, 20), st.sampled_from([patches.CHANNELS, 1]))
def test_products_of_windows_are_those_of_each(case, count, channels):
    """Of several windows at once, as on CPU, and one by one, as elsewhere."""
    shape, options = case
    size, stride = options["size"], options["stride"]
    images, matrix = whole_numbers(shape), whole_numbers((math.prod(size) * shape[-1], count), seed=1)
    down, across = (range(0, n - p + 1, s) for n, p, s in zip(shape[1:3], size, stride, strict=True))
    expected = [
        [images[:, y : y + size[0], x : x + size[1]].reshape(shape[0], -1) @ matrix for x in across] for y in down
    ]
    with mock.patch.object(patches, "CHANNELS", channels):
        products = jax.jit(partial(patches.window_products, size=size, stride=stride))(images, matrix)
    np.testing.assert_array_equal(products, np.transpose(expected, (2, 0, 1, 3)))
