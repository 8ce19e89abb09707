"""Photographs of any sizes and kinds in one call: each scores what it scores alone, by few compiled programs."""

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxad import canvases, fit
from jaxad._check import InputError
from jaxad.calibration import Usual
from jaxad.detector import Found
from jaxad.extents import Batch
from jaxad.methods import RECIPES as NAMED
from jaxad.methods import SURFACE
from jaxad.pipeline import Pipeline, region_at, scoring
from jaxad.preparation import Preparation
from jaxad.recipes import Recipe
from jaxad.thresholds import Threshold
from tests.photograph_folder import AT_ONCE, photograph

pytestmark = pytest.mark.usefixtures("compile_fast")

TRAIN = np.stack([photograph(i)[..., None] / np.float32(255) for i in range(8)])
OTHER = replace(AT_ONCE, name="other", scales=((3, 1, 2),))
RECIPES: dict[str, Recipe] = {
    **{pool: replace(AT_ONCE, pool=pool) for pool in ("max", "mean", "top")},
    "fusion": replace(SURFACE, parts=(AT_ONCE, replace(OTHER, pool="mean")), holdout=0.3),
}
EVERYWHERE = Usual(*(jax.numpy.full((1, 1), number) for number in (0.5, 0.25)))
REGION = np.zeros((32, 40), bool)
REGION[3:30, 5:25] = True
REGION[10:14, 10:14] = False

Make = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def make(compile_fast: None) -> Make:
    """Parts with canvases of their own, whose variables are fitted once."""
    fitted = {name: fit(jax.random.key(0), recipe, TRAIN)[0] for name, recipe in RECIPES.items()}
    nothing = np.zeros(0, np.float32)
    limit = Threshold(0.0, 0.1, (0.0, 1.0), 10, True)

    def part(name: str, **fields: object) -> Pipeline:
        judged = {"normal_scores": nothing, "colour_limits": (0.0, 1.0), "pixel_limit": 1.0, "golden": ()}
        rest = {"golden_scores": nothing, "provenance": {}, "threshold": limit, "rate": 0.1}
        return Pipeline(
            **{"detector": replace(fitted[name]), "preparation": Preparation(1), **judged, **rest, **fields}
        )

    return part


def assert_same(found: Found | InputError, expected: Found | InputError) -> None:
    assert isinstance(found, Found)
    assert isinstance(expected, Found)
    np.testing.assert_allclose(found.map, expected.map, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.score, expected.score, rtol=1e-4, atol=1e-4)


def mixed(roi: np.ndarray | None) -> list[np.ndarray]:
    """Sizes, kinds of numbers, grey and colour, none like its neighbour; with a region, of its shape."""
    sizes = [(32, 40), (21, 57), (8, 8), (33, 40), (32, 40), (4, 90)]
    if roi is not None:
        sizes = [(32, 40), (24, 30), (16, 20), (40, 50), (32, 40), (36, 45)]
    kinds = [np.uint8, np.uint16, np.float32, np.uint8, np.float32, np.uint16]
    pictures = []
    for index, (size, kind) in enumerate(zip(sizes, kinds, strict=True)):
        whole = photograph(index, size, dtype=np.uint16 if kind is np.float32 else kind)
        pixels = whole / np.float32(65535) if kind is np.float32 else whole
        pictures.append(np.repeat(pixels[..., None], 1 + 2 * (index % 3 == 0), axis=-1))
    return pictures


@pytest.mark.slow
@pytest.mark.parametrize("roi", [None, REGION], ids=["whole", "region"])
def test_mixed_photographs_come_back_in_order_each_as_alone(make: Make, roi: np.ndarray | None) -> None:
    found = make("top", roi=roi).score_batch(mixed(roi))
    assert len(found) == 6
    for one, pixels in zip(found, mixed(roi), strict=True):
        (alone,) = make("top", roi=roi).score_batch([pixels])
        assert isinstance(alone, Found)
        assert alone.map.shape == pixels.shape[:2]
        assert_same(one, alone)


def programs() -> int:
    return scoring._judge_batch._cache_size()


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_two_hundred_sizes_are_few_programs(make: Make, together: bool) -> None:
    drawn = np.random.default_rng(0).integers(4, 70, (200, 2))
    pictures = [photograph(0, (int(height), int(width)))[..., None] for height, width in drawn]
    pictures = pictures if together else pictures[:60]
    part, before = make("max"), programs()
    for batch in [pictures] if together else [[one] for one in pictures]:
        part.score_batch(batch)
    made = part.detector.canvases
    assert made is not None
    assert programs() - before <= len(made.exact) + len(made.shapes) <= (1 if together else 4 + 10 + 7)


@pytest.mark.slow
def test_sizes_known_before_are_one_program_however_they_come(make: Make) -> None:
    sizes = [(20 + index % 9, 60 - index % 13) for index in range(40)]
    part, before = make("mean", usual=EVERYWHERE), programs()
    part.admit(sizes)
    for size in sizes:
        part.score_batch([photograph(0, size)[..., None]])
    assert programs() - before <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["top", "max", "mean"])
def test_what_cannot_be_scored_is_told_alone(make: Make, name: str) -> None:
    """One that is smaller than the window, and one whose score is no number; neighbours lie on the same canvas."""
    good = [photograph(index, (20 + index, 30))[..., None] / np.float32(255) for index in range(4)]
    broken = good[0].copy()
    broken[9, 9] = np.nan
    found = make(name).score_batch([good[0], broken, good[1], np.zeros((3, 30, 1), np.float32), good[2], good[3]])
    assert isinstance(found[1], InputError)
    assert "score must be finite, got nan" in str(found[1])
    assert isinstance(found[3], InputError)
    assert "images must be at least 4 x 4 pixels" in str(found[3])
    expected = make(name).score_batch(good)
    for one, alone in zip([found[0], found[2], found[4], found[5]], expected, strict=True):
        assert_same(one, alone)


@pytest.mark.slow
@pytest.mark.parametrize("usual", [None, EVERYWHERE], ids=["raw", "calibrated"])
@pytest.mark.parametrize("roi", [None, REGION], ids=["whole", "region"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_large_photograph_in_parts_is_the_whole(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str, roi: np.ndarray | None, usual: Usual | None
) -> None:
    part = make(name, roi=roi, usual=usual)
    sizes = [(75, 61), (31, 90), (20, 20)] if roi is None else [(72, 90), (48, 60), (16, 20)]
    pixels = [photograph(index, size)[..., None] for index, size in enumerate(sizes)]
    wholes = [make(name, roi=roi, usual=usual).score_batch([one])[0] for one in pixels]
    monkeypatch.setattr(canvases, "SIDE", 32)
    found = part.score_batch(pixels)
    made = part.detector.canvases
    assert made is not None
    areas = [scoring.looked_at(part.detector.recipe, one.shape[:2], region_at(roi, *one.shape[:2])) for one in pixels]
    assert [len(made.views((area.height, area.width))) > 1 for area in areas] == [True, True, False]
    for one, whole in zip(found, wholes, strict=True):
        assert_same(one, whole)


@pytest.mark.slow
def test_a_detector_scores_large_and_mixed_images_by_every_score(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [photograph(index, size)[..., None] for index, size in enumerate([(40, 70), (20, 20), (31, 33)])]
    wholes = [make("fusion").detector.score_all(one[None]) for one in images]
    monkeypatch.setattr(canvases, "SIDE", 32)
    found = make("fusion").detector.score_all(images)
    assert found.keys() == {"fused", AT_ONCE.name, OTHER.name}
    for name, scores in found.items():
        np.testing.assert_allclose(scores.score, [one[name].score[0] for one in wholes], rtol=1e-4, atol=1e-4)
        for score_map, one in zip(scores.map, wholes, strict=True):
            np.testing.assert_allclose(score_map, one[name].map[0], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_sum_with_a_share_of_the_highest_is_refused_in_parts(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be told from the parts; the others in the batch are scored."""
    monkeypatch.setattr(canvases, "SIDE", 32)
    recipe = replace(SURFACE, parts=(replace(AT_ONCE, pool="top"),), holdout=0.3)
    part = make("max", detector=fit(jax.random.key(0), recipe, TRAIN)[0])
    found = part.score_batch([photograph(0, (40, 40))[..., None], photograph(1, (20, 20))[..., None]])
    assert isinstance(found[0], InputError)
    assert "pooled by mean or max" in str(found[0])
    assert isinstance(found[1], Found)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[(32, 40)] * 2, [(32, 40), (20, 50)]], ids=["exact", "canvas"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_whole_numbers_and_their_shares_of_white_give_the_same_bits(
    make: Make, kind: type, sizes: list[tuple[int, int]]
) -> None:
    whole = [photograph(index, size, dtype=kind)[..., None] for index, size in enumerate(sizes)]
    shares = [np.divide(pixels, np.float32(np.iinfo(kind).max), dtype=np.float32) for pixels in whole]
    first, second = (make("max").score_batch(some) for some in (whole, shares))
    for one, other in zip(first, second, strict=True):
        assert isinstance(one, Found)
        assert isinstance(other, Found)
        assert one.score == other.score
        np.testing.assert_array_equal(one.map, other.map)


def test_the_published_grid_wants_a_window_and_a_stride() -> None:
    recipe = replace(AT_ONCE, cover="seed")
    assert max(one + step for one, step, _ in recipe.scales) == recipe.least_size[0]
    assert replace(NAMED["patch-vae"], cover="seed").least_size == (8 + 2, 8 + 2)
    detector, _ = fit(jax.random.key(0), recipe, TRAIN)
    with pytest.raises(InputError, match="images must be at least"):
        detector.score(TRAIN[:1, : recipe.least_size[0] - 1])
    assert detector.score(TRAIN[:1, : recipe.least_size[0]]).score.shape == (1,)


def test_a_photograph_that_cannot_be_scored_does_not_end_the_others(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make("max")
    wholes = [photograph(index, (32, 40))[..., None] for index in range(2)]
    wanted = part.score_batch(wholes)
    sees_far = make("max")
    monkeypatch.setattr(sees_far.detector.canvases, "reach", canvases.SIDE // 2)
    large = photograph(0, (canvases.SIDE + 1, 40))[..., None]
    first, refused, second = sees_far.score_batch([wholes[0], large, wholes[1]])
    assert "scale them down to 2048 pixels" in str(refused)
    assert_same(first, wanted[0])
    assert_same(second, wanted[1])

    judge = scoring._judge_batch

    def fails(fitted: object, names: object, batch: Batch) -> object:
        if batch.images.shape[1] > 100:
            raise InputError("too tall")
        return judge(fitted, names, batch)

    monkeypatch.setattr(scoring, "_judge_batch", fails)
    first, refused, second = part.score_batch([wholes[0], photograph(0, (300, 40))[..., None], wholes[1]])
    assert str(refused) == "too tall"
    assert_same(first, wanted[0])
    assert_same(second, wanted[1])
