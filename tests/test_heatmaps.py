import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad._check import InputError
from jaxad.heatmaps import fold_scores, heatmap, window_scores
from jaxad.heatmaps.folds import _fold_products
from jaxad.models import PatchVAE
from jaxad.patches import grid
from tests.drawn import examples
from tests.drawn_grids import grids, whole_numbers
from tests.references.heatmap import heatmap as slow_heatmap
from tests.references.heatmap import positions

pytestmark = pytest.mark.usefixtures("compile_fast")

# Pixels and scores are whole numbers, so that a sum is exact in float32; a mean is rounded once, or twice where
# the compiler multiplies by a reciprocal.
ONE_DIVISION = 2**-22


def weighted(windows):
    weights = np.arange(math.prod(windows.shape[1:]), dtype=np.float32)
    return windows.reshape(len(windows), -1) @ weights


SCORES = {
    "weighted": weighted,
    "spread": lambda windows: windows.max((1, 2, 3)) - windows.min((1, 2, 3)),
    "corner": lambda windows: windows[:, 0, -1, 0] ** 2 - windows[:, -1, 0, -1],
}
SLOW_SCORES = {
    "weighted": lambda window: sum(i * pixel for i, pixel in enumerate(window.ravel())),
    "spread": lambda window: max(window.ravel()) - min(window.ravel()),
    "corner": lambda window: window[0, -1, 0] ** 2 - window[-1, 0, -1],
}


def all_scores(windows):
    return {name: score(windows) for name, score in SCORES.items()}


def weigh(weights, windows):
    return (weights * windows).sum((1, 2, 3))


def assert_same(maps, expected, reduce):
    np.testing.assert_allclose(maps, expected, rtol=0 if reduce == "sum" else ONE_DIVISION, atol=0)


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None)
@given(grids(), st.sampled_from(["mean", "sum"]), st.integers(1, 40))
def test_heatmap_is_the_slow_one(case, reduce, chunk):
    shape, options = case
    images = whole_numbers(shape)
    maps = heatmap(all_scores, images, **options, reduce=reduce, chunk=chunk)
    for name, score in SLOW_SCORES.items():
        assert_same(maps[name], slow_heatmap(score, images, **options, reduce=reduce), reduce)


IMAGES = whole_numbers((4, 9, 11, 2))
OPTIONS = {"size": (4, 3), "stride": (3, 2)}


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f(x),
        lambda f, x: jax.jit(f)(x),
        lambda f, x: jax.vmap(f)(x.reshape(2, 2, *x.shape[1:])).reshape(x.shape[:3]),
        lambda f, x: jnp.concatenate([f(image[None]) for image in x]),
    ],
    ids=["eager", "jit", "vmap", "one by one"],
)
@pytest.mark.parametrize("score", SCORES)
def test_every_way_of_calling(score, call):
    maps = call(partial(heatmap, SCORES[score], **OPTIONS), jnp.asarray(IMAGES))
    assert maps.dtype == jnp.float32
    assert_same(maps, slow_heatmap(SLOW_SCORES[score], IMAGES, **OPTIONS, cover="full", reduce="mean"), "mean")


def test_constant_score_fills_the_map():
    ones = partial(heatmap, lambda windows: jnp.full(windows.shape[0], 2.5), IMAGES, **OPTIONS)
    np.testing.assert_array_equal(ones(), np.full((4, 9, 11), 2.5))
    seed = np.asarray(ones(cover="seed"))
    np.testing.assert_array_equal(seed[:, :4, :9], np.full((4, 4, 9), 2.5))
    assert not seed[:, 4:].any()
    assert not seed[:, :, 9:].any()


def test_one_window():
    image = IMAGES[:1]
    maps = heatmap(SCORES["spread"], image, size=(9, 11), stride=(1, 1))
    np.testing.assert_array_equal(maps, np.full((1, 9, 11), image.max() - image.min()))


@pytest.mark.parametrize("shift", [(2, 0), (0, 3), (4, 6)])
def test_heatmap_is_shift_equivariant(shift):
    """Two views of one scene, apart by whole strides, agree wherever both see all windows of a pixel."""
    scene, (p, q), (h, w), (down, across) = whole_numbers((1, 30, 30, 1)), (4, 5), (22, 22), shift
    options = {"size": (p, q), "stride": (2, 3), "reduce": "sum"}
    first, second = (
        np.asarray(heatmap(SCORES["weighted"], scene[:, y : y + h, x : x + w], **options))
        for y, x in ((0, 0), (down, across))
    )
    # A last window flush with the border belongs to one view alone: it reaches p or q pixels in.
    inside = np.s_[:, p : h - p - down, q : w - q - across]
    np.testing.assert_array_equal(first[:, down:, across:][inside], second[:, : h - down, : w - across][inside])


@pytest.mark.parametrize("chunk", [1, 7, 40, 10_000])
def test_whole_numbers_do_not_depend_on_the_chunk(chunk):
    np.testing.assert_array_equal(
        heatmap(SCORES["weighted"], IMAGES, **OPTIONS, chunk=chunk), heatmap(SCORES["weighted"], IMAGES, **OPTIONS)
    )


@pytest.mark.slow
def test_model_scores_depend_on_the_chunk_by_rounding_alone():
    model, images = PatchVAE((4, 4), (8,)), np.random.default_rng(0).random((2, 12, 14, 1), np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images[:, :4, :4])

    def score(windows):
        return model.apply(variables, windows).variance.sum((1, 2, 3))

    maps = [heatmap(score, images, size=(4, 4), stride=(2, 2), chunk=chunk) for chunk in (5, None)]
    # Matrix products of another number of rows may add in another order.
    np.testing.assert_allclose(*maps, rtol=1e-6)


def test_score_does_not_depend_on_the_batch():
    order = np.array([2, 0, 3, 1])
    maps = np.asarray(heatmap(SCORES["weighted"], IMAGES, **OPTIONS))
    np.testing.assert_array_equal(heatmap(SCORES["weighted"], IMAGES[order], **OPTIONS), maps[order])
    np.testing.assert_array_equal(heatmap(SCORES["weighted"], IMAGES[1:2], **OPTIONS), maps[1:2])


@pytest.mark.slow
@pytest.mark.parametrize("cover", ["full", "seed"])
def test_window_scores_and_their_fold(cover):
    options = OPTIONS | {"cover": cover}
    scores = window_scores(SCORES["corner"], IMAGES, **options, chunk=7)
    rows, columns = (positions(*axis, cover) for axis in zip((9, 11), *OPTIONS.values(), strict=True))
    expected = [
        [[SLOW_SCORES["corner"](image[y : y + 4, x : x + 3]) for x in columns] for y in rows] for image in IMAGES
    ]
    np.testing.assert_array_equal(scores, expected)
    maps = fold_scores(scores, shape=(9, 11), **options, reduce="sum")
    np.testing.assert_array_equal(maps, slow_heatmap(SLOW_SCORES["corner"], IMAGES, **options, reduce="sum"))


@pytest.mark.slow
def test_scores_may_be_any_pytree():
    maps = heatmap(lambda windows: (windows[:, 0, 0, 0], {"b": windows[:, 0, 0, 1]}), IMAGES, **OPTIONS)
    assert jax.tree.map(jnp.shape, maps) == ((4, 9, 11), {"b": (4, 9, 11)})
    np.testing.assert_array_equal(maps[1]["b"], heatmap(lambda windows: windows[:, 0, 0, 1], IMAGES, **OPTIONS))


def test_gradient_of_a_linear_score_is_the_fold_of_its_weights():
    weights = jnp.asarray(whole_numbers((1, 4, 3, 2), seed=1))
    gradient = jax.grad(
        lambda weights: heatmap(jax.tree_util.Partial(weigh, weights), IMAGES, **OPTIONS, reduce="sum").sum()
    )(weights)
    # Each window's score lands on 4 x 3 pixels.
    rows, columns = (positions(*axis, "full") for axis in zip((9, 11), *OPTIONS.values(), strict=True))
    expected = 12 * sum(IMAGES[:, y : y + 4, x : x + 3].sum(0) for y in rows for x in columns)
    np.testing.assert_array_equal(gradient[0], expected)


def test_a_function_is_compiled_once():
    traced = []

    def score(windows):
        traced.append(windows.shape)
        return windows.sum((1, 2, 3))

    heatmap(score, IMAGES, **OPTIONS)
    before = len(traced)
    assert before > 0
    heatmap(score, IMAGES + 1, **OPTIONS)
    assert len(traced) == before
    heatmap(score, IMAGES[:2], **OPTIONS)
    assert len(traced) > before


def test_a_callable_pytree_is_compiled_once_for_all_its_arrays():
    traced = []

    def score(weights, windows):
        traced.append(windows.shape)
        return weigh(weights, windows)

    first, second = jnp.asarray(whole_numbers((2, 1, 4, 3, 2), seed=1))
    heatmap(jax.tree_util.Partial(score, first), IMAGES, **OPTIONS, reduce="sum")
    before = len(traced)
    maps = heatmap(jax.tree_util.Partial(score, second), IMAGES, **OPTIONS, reduce="sum")
    assert len(traced) == before > 0
    expected = slow_heatmap(partial(weigh_one, second), IMAGES, **OPTIONS, cover="full", reduce="sum")
    np.testing.assert_array_equal(maps, expected)


def weigh_one(weights, window):
    return (np.asarray(weights[0]) * window).sum()


def temporary_bytes(side):
    run = jax.jit(partial(heatmap, SCORES["spread"], size=(8, 8), stride=(1, 1)))
    compiled = run.lower(jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32)).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_memory_holds_no_windows():
    """Beside one chunk, memory grows with the map; at stride 1 all windows of 8 x 8 would be 64 times the map."""
    small, large = 256, 1024
    growth = temporary_bytes(large) - temporary_bytes(small)
    assert growth < 12 * 4 * (large**2 - small**2)


FLOATS = np.ones((2, 9, 11, 1), np.float32)
SUM = SCORES["spread"]


@pytest.mark.parametrize(
    ("images", "change", "message"),
    [
        (FLOATS[0], {}, r"four axes \[n, h, w, c\], got shape \(9, 11, 1\)"),
        (FLOATS.astype(np.uint8), {}, "must be float32 in .0, 1., got uint8"),
        (FLOATS.tolist(), {}, "must be a float32 array.*got list"),
        (FLOATS[:0], {}, r"at least one image.*got shape \(0, 9, 11, 1\)"),
        (FLOATS, {"size": (10, 3), "stride": (2, 2)}, "height must be at least the window's 10 pixels, got 9"),
        (FLOATS, {"size": (4, 12), "stride": (2, 2)}, "width must be at least the window's 12 pixels, got 11"),
        (FLOATS, {"stride": (3, 4)}, "must not exceed the window.*got stride 4 for a window of 3 along the width"),
        (FLOATS, {"stride": (0, 1)}, "at least 1 pixel, got 4 and 0 along the height"),
        (FLOATS, {"size": (10, 12)}, "window's 10 x 12 pixels, got 9 x 11"),
        (FLOATS, {"cover": "ful"}, "unknown cover 'ful': choose one of full, seed; did you mean 'full'"),
        (FLOATS, {"cover": "seed", "size": (8, 3)}, "no window of 8 pixels at stride 3 on 9 pixels"),
        (FLOATS, {"reduce": "max"}, "unknown reduce 'max': choose one of mean, sum"),
        (FLOATS, {"chunk": 0}, "chunk must be at least 1, got 0"),
        (FLOATS, {"chunk": 2.5}, "chunk must be a whole number, got 2.5"),
        (FLOATS, {"chunk": True}, "chunk must be a whole number, got True"),
        (FLOATS, {"size": (True, 4)}, "size must be two whole numbers"),
        (FLOATS, {"size": 4}, "size must be two whole numbers, down and across, such as .8, 8., got 4"),
        (FLOATS, {"stride": (2, 2, 1)}, r"stride must be two whole numbers.*got \(2, 2, 1\)"),
        (jnp.asarray(FLOATS, "bfloat16"), {}, r"got bfloat16; convert it: x.astype\('float32'\)$"),
    ],
)
def test_bad_input(images, change, message, unchecked):
    with pytest.raises(InputError, match=message):
        heatmap(SUM, images, **(OPTIONS | change))
    if "reduce" not in change:
        with pytest.raises(InputError, match=message):
            window_scores(SUM, images, **(OPTIONS | change))


@pytest.mark.parametrize(
    "score",
    [
        lambda windows: windows.sum((1, 2, 3), keepdims=True),
        lambda windows: windows.sum(),
        lambda windows: {"good": windows[:, 0, 0, 0], "bad": windows[:1, 0, 0, 0]},
    ],
    ids=["kept axes", "one number", "one of two"],
)
def test_scores_that_are_not_one_a_window(score, unchecked):
    with pytest.raises(InputError, match=r"one score a window, \[k\].*; got \(.* for \(30, 4, 3, 1\)"):
        heatmap(score, FLOATS, **OPTIONS)


@pytest.mark.parametrize("kind", ["int32", "bool", "complex64"])
def test_scores_that_are_no_floating_point_numbers(kind, unchecked):
    with pytest.raises(InputError, match=f"score_windows must give floating-point scores, got {kind}"):
        heatmap(lambda windows: windows[:, 0, 0, 0].astype(kind), IMAGES, **OPTIONS)


@pytest.mark.parametrize("score", [lambda windows: None, lambda windows: {}, 3], ids=["none", "empty", "no function"])
def test_functions_that_score_nothing(score, unchecked):
    with pytest.raises(InputError, match="score_windows must"):
        heatmap(score, FLOATS, **OPTIONS)


def test_sizes_may_be_lists_or_arrays(unchecked):
    options = {"size": [4, 3], "stride": np.array([1, 1])}
    np.testing.assert_array_equal(heatmap(SUM, FLOATS, **options), heatmap(SUM, FLOATS, size=(4, 3), stride=(1, 1)))


@pytest.mark.parametrize(("kind", "value"), [("bfloat16", 1.0), ("float16", 6000.0)])
def test_half_precision_scores_are_added_in_full(kind, value):
    for reduce, count in (("mean", 1), ("sum", 64 * 64)):
        maps = heatmap(
            lambda windows: jnp.full(len(windows), value, kind),
            np.ones((1, 130, 130, 1), np.float32), size=(64, 64), stride=(1, 1), reduce=reduce,
        )  # fmt: skip
        assert maps.dtype == jnp.float32
        np.testing.assert_allclose(maps[0, 64:66, 64:66], value * count, rtol=1e-6)


def test_fold_scores_on_another_grid(unchecked):
    with pytest.raises(InputError, match=r"scores must be \[n, 3, 5\].*got \(1, 3, 4\)"):
        fold_scores(jnp.ones((1, 3, 4)), shape=(9, 11), **OPTIONS)


@pytest.mark.slow
@settings(max_examples=examples(10), deadline=None)
@given(grids())
def test_a_fold_by_products_is_the_fold_by_sums(case):
    """What a TPU computes, computed here."""
    (n, h, w, _), options = case
    rows, columns = grid((h, w), options["size"], options["stride"], cover=options["cover"])
    scores = jnp.asarray(whole_numbers((n, len(rows), len(columns))))
    found = _fold_products(scores, rows=rows, columns=columns, shape=(h, w), size=options["size"])
    np.testing.assert_array_equal(found, fold_scores(scores, shape=(h, w), **options, reduce="sum"))
