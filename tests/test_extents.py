"""Canvases and the photographs on them: whatever lies off a photograph, what is said of it is what is said of it alone.

Where a canvas shows a part, that holds from the model's reach inside on.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad.extents import Extent
from jaxad.features import ENERGIES_REACH, gradient_energies, spread_cells
from jaxad.heatmaps import heatmap
from jaxad.methods import RECIPES
from jaxad.models import Segmenter
from jaxad.pooling import pool
from tests.drawn import examples
from tests.drawn_grids import whole_numbers
from tests.photograph_folder import untrained
from tests.references.heatmap import heatmap as slow_heatmap

pytestmark = pytest.mark.usefixtures("compile_fast")

ROUNDING = 2e-4
"""In shares of the largest number."""


def laid(photographs, places, canvas, *, garbage=1.0):
    """Canvases `[n, h, w, c]` that show photographs from their first row and column on, and where they lie."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, garbage, (len(photographs), *canvas, photographs[0].shape[-1])).astype(np.float32)
    for image, pixels, (top, left) in zip(images, photographs, places, strict=True):
        part = pixels[top : top + canvas[0], left : left + canvas[1]]
        image[: part.shape[0], : part.shape[1]] = part
    sizes = [pixels.shape[:2] for pixels in photographs]
    return images, Extent(*np.array([(*place, *size) for place, size in zip(places, sizes, strict=True)], np.int32).T)


def right(place, canvas, size, reach):
    """Rows and columns of a canvas in which it says what the whole photograph says, and those of the photograph."""
    on_canvas, on_photograph = [], []
    for begin, shown, length in zip(place, canvas, size, strict=True):
        first = reach if begin else 0
        end = shown - reach if begin + shown < length else length - begin
        on_canvas.append(slice(first, end))
        on_photograph.append(slice(begin + first, begin + end))
    return tuple(on_canvas), tuple(on_photograph)


def assert_close(found, expected):
    assert np.abs(np.asarray(found) - expected).max() <= ROUNDING * max(1, np.abs(expected).max())


# Windows

WINDOWS = (
    {"size": (4, 3), "stride": (3, 2), "cover": "full", "reduce": "mean"},
    {"size": (4, 3), "stride": (3, 2), "cover": "seed", "reduce": "sum"},
    {"size": (3, 5), "stride": (1, 4), "cover": "full", "reduce": "sum"},
    {"size": (3, 3), "stride": (3, 2), "cover": "seed", "reduce": "mean"},
)
CANVAS = (15, 17)


def ends(windows):
    """The first pixel of each window and twice its last: whole numbers, added without rounding."""
    return windows[:, 0, 0, 0] + 2 * windows[:, -1, -1, -1]


def slow_ends(window):
    return window[0, 0, 0] + 2 * window[-1, -1, -1]


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None)
@given(st.sampled_from(WINDOWS), st.data())
def test_heatmaps(options, data):
    """Of a photograph in the corner, of a part of a larger one, and beside a canvas that shows none."""
    (p, q), stride = options["size"], options["stride"]
    small = data.draw(st.integers(p, CANVAS[0])), data.draw(st.integers(q, CANVAS[1]))
    large = data.draw(st.integers(CANVAS[0], 30)), data.draw(st.integers(CANVAS[1], 30))
    # A part shows a window at least.
    steps = [(length - side) // step for length, side, step in zip(large, (p, q), stride, strict=True)]
    place = tuple(step * data.draw(st.integers(0, most)) for step, most in zip(stride, steps, strict=True))
    photographs = [whole_numbers((*size, 2), seed) for seed, size in enumerate((small, large))]
    images, extent = laid([photographs[0], np.zeros((0, 0, 2)), photographs[1]], [(0, 0), (0, 0), place], CANVAS)
    maps = np.asarray(heatmap(ends, images, **options, extent=extent, chunk=data.draw(st.sampled_from([5, 64]))))
    one, whole = (slow_heatmap(slow_ends, pixels[None], **options)[0] for pixels in photographs)
    np.testing.assert_allclose(maps[0, : small[0], : small[1]], one, rtol=2**-22)
    on_canvas, on_photograph = right(place, CANVAS, large, max(p, q) - 1)
    np.testing.assert_allclose(maps[2][on_canvas], whole[on_photograph], rtol=2**-22)
    for one_map, size in ((maps[0], small), (maps[1], (0, 0)), (maps[2], np.subtract(large, place))):
        assert not one_map[size[0] :].any()
        assert not one_map[:, size[1] :].any()


def test_windows_of_canvases_without_a_photograph_are_not_scored():
    images, extent = laid([np.zeros((0, 0, 1))] * 3, [(0, 0)] * 3, CANVAS, garbage=np.nan)
    assert not np.asarray(heatmap(ends, images, **WINDOWS[0], extent=extent)).any()


# Grids of cells


@partial(jax.jit, static_argnames="step")
def energies_and_map(images, extent, step):
    cells = gradient_energies(images, blurs=(0.5, 3.0), orientations=2, step=step, extent=extent)
    return spread_cells(cells.mean(-1), images.shape[1:3], step=step, extent=extent)


@pytest.mark.slow
@pytest.mark.parametrize("step", [4, 7])
@pytest.mark.parametrize("size", [(1, 1), (7, 30), (43, 47), (112, 120)])
def test_gradient_energies_of_whole_photographs(size, step):
    pixels = np.random.default_rng(1).random((*size, 1), np.float32)
    images, extent = laid([pixels], [(0, 0)], (112, 120))
    found = energies_and_map(images, jax.tree.map(lambda x: x[0], extent), step)
    assert_close(found[:, : size[0], : size[1]], energies_and_map(pixels[None], None, step))


@pytest.mark.slow
@settings(max_examples=examples(6), deadline=None)
@given(st.integers(0, 60), st.integers(0, 40), st.sampled_from([4, 7]))
def test_gradient_energies_of_parts(top, left, step):
    """Canvases may begin at any pixel."""
    canvas, size = (112, 120), (172, 131)
    pixels = np.random.default_rng(1).random((*size, 1), np.float32)
    left = min(left, size[1] - 60)
    images, extent = laid([pixels], [(top, left)], canvas)
    found = energies_and_map(images, jax.tree.map(lambda x: x[0], extent), step)
    on_canvas, on_photograph = right((top, left), canvas, size, ENERGIES_REACH)
    assert_close(found[0][on_canvas], energies_and_map(pixels[None], None, step)[0][on_photograph])


# The network


@pytest.fixture(scope="module")
def network(compile_fast):
    """On images, with what they show of photographs; jit-compiled."""
    model = Segmenter((2, 3, 4))
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 2)))
    # Biases are no zeros, so that what is said beyond a border would be seen.
    variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
    return jax.jit(partial(model.apply, variables))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(24, 28), (23, 27), (22, 25), (13, 18), (1, 6), (3, 1)])
def test_the_network(network, size):
    """Of every remainder that halving an axis leaves."""
    pixels = np.random.default_rng(1).random((*size, 2), np.float32)
    images, _ = laid([pixels], [(0, 0)], (24, 28), garbage=100)
    found = network(images, tuple(jnp.asarray(size)))
    assert_close(found[:, : size[0], : size[1]], network(pixels[None]))


# Whole recipes


def tiny(recipe):
    """The same recipe with as few numbers as it may have."""
    match recipe.kind:
        case "patch_vae":
            return replace(recipe, filters=(2, 2), holdout=0.0, name="tiny")
        case "patch_components":
            return replace(recipe, scales=tuple((side, stride, 2) for side, stride, _ in recipe.scales), crops=40)
        case "drawn_defects":
            return replace(recipe, filters=(2, 2, 3))
        case "fusion":
            return replace(recipe, parts=tuple(map(tiny, recipe.parts)))
        case _:
            return replace(recipe, count=2)


ANY_SIZE = {
    name: tiny(recipe)
    for name, recipe in RECIPES.items()
    if recipe.kind in ("patch_vae", "patch_components", "drawn_defects")
    or getattr(recipe, "local", False)
    or name == "surface"
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ANY_SIZE)
def test_recipes(name):
    """Score and map of one photograph, the map of a part of another, and a canvas that shows none beside them."""
    detector = untrained(ANY_SIZE[name], (24, 32, 1))
    reach, step = detector.recipe.reach, detector.recipe.step
    place, canvas = (step * (30 // step), 0), (2 * reach + 3 * step + 9, 2 * reach + 4 * step)
    canvas = tuple(max(40, -(-length // 16) * 16) for length in canvas)
    sizes = (canvas[0] - 1, 35), (canvas[0] + 47, canvas[1] - 5)
    photographs = [np.random.default_rng(seed).random((*size, 1), np.float32) for seed, size in enumerate(sizes)]
    images, extent = laid([photographs[0], np.zeros((0, 0, 1)), photographs[1]], [(0, 0), (0, 0), place], canvas)
    apply = jax.jit(lambda detector, images, extent: detector.apply(images, extent=extent))
    found = apply(detector, images, extent)
    one, whole = (apply(detector, pixels[None], None) for pixels in photographs)
    on_canvas, on_photograph = right(place, canvas, sizes[1], reach)
    for score in one:
        assert_close(found[score].score[0], one[score].score[0])
        assert_close(found[score].map[0, : sizes[0][0], : sizes[0][1]], one[score].map[0])
        assert_close(found[score].map[2][on_canvas], whole[score].map[0][on_photograph])


def test_no_recipe_of_any_size_is_left_out():
    reaches = {}
    for name, recipe in RECIPES.items():
        if recipe.kind != "auto":
            reaches[name] = recipe.reach
    assert {name for name, reach in reaches.items() if reach is not None} == set(ANY_SIZE)


# Pools


POOLED = {share: jax.jit(partial(pool, share=share)) for share in (1e-9, 0.1, 0.5, 1.0)}
values = st.one_of(st.sampled_from([-2.0, -0.0, 0.0, 1.0, 1e9]), st.floats(-1e9, 1e9, width=32))


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(
    st.sampled_from(list(POOLED)),
    st.lists(values, min_size=15, max_size=15),
    st.lists(st.booleans(), min_size=15, max_size=15),
    st.integers(0, 14),
)
def test_a_pool_of_what_counts_is_that_of_these_pixels_alone(share, numbers, chosen, one):
    """With ties and negative numbers; a single pixel at least."""
    where = np.array(chosen)
    where[one] = True
    score_map = np.array(numbers, np.float32)
    kept = np.sort(score_map[where].astype(np.float64))[::-1]
    expected = kept[: max(1, round(share * len(kept)))]
    found = POOLED[share](score_map.reshape(1, 3, 5), where=where.reshape(1, 3, 5))[0]
    assert abs(found - expected.mean()) <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("bad", [np.nan, -np.nan])
@pytest.mark.parametrize("share", POOLED)
def test_no_pool_hides_a_pixel_that_is_no_number(share, bad):
    """Whatever its sign, which a division of zeros sets on some machines; one that does not count does no harm."""
    score_map = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    score_map[:, 1, 1] = bad
    where = np.ones((2, 3, 5), bool)
    where[1, 1, 1] = False
    first, second = POOLED[share](score_map, where=where)
    assert np.isnan(first)
    assert np.isfinite(second)
    assert np.isnan(POOLED[share](score_map)).all()
