import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxad import metrics
from jaxad._check import InputError
from tests.drawn import examples
from tests.mixed_images import EXACT, mask_of, mixed_images
from tests.references import aupro as reference


@st.composite
def masks_and_maps(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)).filter(lambda s: math.prod(s) > 1))
    masks = draw(hnp.arrays(bool, shape).filter(lambda m: m.any() and not m.all()))
    # Few distinct values make ties, many make none.
    values = draw(st.sampled_from([st.integers(0, 3), st.integers(-1000, 1000)]))
    return masks, draw(hnp.arrays(np.float32, shape, elements=values.map(lambda v: v / 8)))


@settings(max_examples=examples(200), deadline=None)
@given(mixed_images())
def test_pro_curve_is_the_slow_one(case):
    masks, maps, inside = case
    rate, overlap, thresholds = metrics.pro_curve(masks, maps, inside=inside)
    expected = np.array(reference.pro_curve(masks, maps, inside))
    np.testing.assert_allclose(np.stack([rate, overlap], 1), expected[:, :2], rtol=0, atol=EXACT)
    np.testing.assert_array_equal(thresholds, expected[:, 2])


@settings(max_examples=examples(100), deadline=None)
@given(mixed_images(), st.floats(0.01, 1.0))
def test_aupro_is_the_slow_one(case, limit):
    masks, maps, inside = case
    # The area is divided by the limit, and so is its rounding.
    assert metrics.aupro(masks, maps, inside=inside, limit=limit) == pytest.approx(
        reference.aupro(masks, maps, inside, limit), abs=EXACT / limit
    )


@settings(max_examples=examples(50), deadline=None)
@given(masks_and_maps())
def test_a_stack_and_its_images_give_the_same(case):
    masks, maps = case
    assert metrics.aupro(masks, maps) == metrics.aupro(list(masks), list(maps), inside=np.ones_like(masks))
    assert metrics.pixel_auroc(masks, maps) == metrics.pixel_auroc(list(masks), list(maps))


@settings(max_examples=examples(50), deadline=None)
@given(mixed_images())
def test_scores_outside_do_not_count(case):
    masks, maps, inside = case
    other = [np.where(where, one, 1e6) for one, where in zip(maps, inside, strict=True)]
    for metric in (metrics.aupro, metrics.pixel_auroc):
        assert metric(masks, maps, inside=inside) == metric(masks, other, inside=inside)


def test_a_region_counts_by_its_pixels_inside():
    """One region is cut in two by what does not count and stays one, one lies wholly outside, one inside."""
    masks = mask_of("##..#", "....#", "#..##")
    inside = ~mask_of("##...", "....#", ".....")
    found = np.zeros(masks.shape)
    found[0, 0, 4] = 1
    assert metrics.pro_curve(masks, found, inside=inside)[1][1] == pytest.approx(1 / 6, abs=EXACT)


def test_aupro_on_a_larger_random_case():
    rng = np.random.default_rng(0)
    masks = rng.random((4, 12, 12)) < 0.2
    masks[2] = False
    maps = np.round(rng.normal(size=masks.shape) + masks, 1)
    expected = reference.aupro(masks, maps, np.ones_like(masks), 0.3)
    assert metrics.aupro(masks, maps) == pytest.approx(expected, abs=EXACT)


@settings(max_examples=examples(50), deadline=None)
@given(masks_and_maps())
def test_aupro_depends_on_the_order_of_scores_alone(case):
    masks, maps = case
    assert metrics.aupro(masks, maps) == metrics.aupro(masks, np.arctan(maps.astype(np.float64)) * 3 - 7)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_in_closed_form(limit):
    masks = mask_of("##......", "##....#.", "........")
    assert metrics.aupro(masks, masks.astype(np.float32), limit=limit) == 1.0
    assert metrics.aupro(masks, -masks.astype(np.float32), limit=limit) == 0.0
    assert metrics.aupro(masks, np.full(masks.shape, 0.7), limit=limit) == pytest.approx(limit / 2, abs=EXACT)


def test_every_region_weighs_the_same():
    masks = mask_of("###...#", "###....", "###....")
    found_small = np.zeros(masks.shape)
    found_small[0, 0, 6] = 1
    rate, overlap, _ = metrics.pro_curve(masks, found_small)
    assert (rate[1], overlap[1]) == (0.0, pytest.approx(0.5, abs=EXACT))


def test_regions_that_touch_at_a_corner_are_one():
    masks = mask_of("##...", "..#..", ".....", "....#")
    found = np.zeros(masks.shape)
    found[0, 1, 2] = 1
    _, overlap, _ = metrics.pro_curve(masks, found)
    assert overlap[1] == pytest.approx(1 / 6, abs=EXACT)


def test_regions_of_two_images_are_two():
    masks = np.concatenate([mask_of("#."), mask_of("##"), mask_of("..")])
    found = np.zeros(masks.shape)
    found[1] = 1
    assert metrics.pro_curve(masks, found)[1][1] == 0.5


def test_aupro_cuts_the_last_trapezoid_at_the_limit():
    # The curve goes straight from (0, 0) to (1/2, 1) to (1, 1).
    masks, maps = mask_of("#.."), np.array([[[2, 2, 1]]])
    assert metrics.aupro(masks, maps, limit=0.25) == pytest.approx(0.25, abs=EXACT)
    assert metrics.aupro(masks, maps, limit=0.5) == pytest.approx(0.5, abs=EXACT)
    assert metrics.aupro(masks, maps, limit=1.0) == pytest.approx(0.75, abs=EXACT)


def test_integer_maps_do_not_wrap_around():
    masks = mask_of("##..", "....")
    assert metrics.aupro(masks, masks.astype(np.uint8)) == 1.0
    assert metrics.aupro(masks, masks) == 1.0


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2).filter(lambda p: len({t for t, _ in p}) == 2))
def test_auroc_is_the_share_of_pairs_in_order(pairs):
    good = [score for anomalous, score in pairs if not anomalous]
    bad = [score for anomalous, score in pairs if anomalous]
    wins = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    labels, scores = [int(t) for t, _ in pairs], [float(s) for _, s in pairs]
    assert metrics.auroc(labels, scores) == pytest.approx(wins / (len(good) * len(bad)), abs=EXACT)


def test_average_precision_by_hand():
    # Falling: 1 0 1 0. Recall 1/2 at precision 1, recall 1 at precision 2/3.
    assert metrics.average_precision([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]) == pytest.approx(5 / 6, abs=EXACT)


def test_precision_recall_by_hand():
    precision, recall, thresholds = metrics.precision_recall([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0])
    np.testing.assert_array_equal(recall, [0, 0.5, 0.5, 1, 1])
    np.testing.assert_allclose(precision, [1, 1, 1 / 2, 2 / 3, 1 / 2], atol=EXACT)
    np.testing.assert_array_equal(thresholds, [np.inf, 4, 3, 2, 1])


def test_roc_runs_from_corner_to_corner():
    rate, found, thresholds = metrics.roc([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(rate, [0, 0, 0.5, 0.5, 1])
    np.testing.assert_array_equal(found, [0, 0.5, 0.5, 1, 1])
    np.testing.assert_array_equal(thresholds, [np.inf, 4, 3, 2, 1])


def test_pixel_auroc_counts_pixels():
    masks, maps = mask_of("##.", "..."), np.array([[[3.0, 1.0, 2.0], [0.0, 0.0, 0.0]]])
    assert metrics.pixel_auroc(masks, maps) == pytest.approx(7 / 8, abs=EXACT)


def test_confusion_counts_and_shares():
    counts = metrics.confusion([1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0])
    assert counts == metrics.Confusion(tp=2, fp=1, tn=3, fn=1)
    assert (counts.precision, counts.recall, counts.f1) == (2 / 3, 2 / 3, 2 / 3)


def test_confusion_counts_pixels_too():
    masks = mask_of("##", "..")
    assert metrics.confusion(masks, ~masks) == metrics.Confusion(tp=0, fp=2, tn=0, fn=2)


def test_a_share_of_nothing_is_not_known():
    nothing = metrics.confusion([0, 0], [0, 0])
    assert all(math.isnan(share) for share in (nothing.precision, nothing.recall, nothing.f1))


@pytest.mark.parametrize("metric", [metrics.auroc, metrics.average_precision, metrics.roc])
@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 1], [1.0, 2.0, 3.0], r"same shape, got \(2,\) and \(3,\)"),
        ([[0, 1]], [[1.0, 2.0]], "one axis"),
        ([0, 0], [1.0, 2.0], "both 0 .good. and 1 .anomalous., got only 0"),
        ([1, 1], [1.0, 2.0], "got only 1"),
        ([], [], "got empty"),
        ([0, 2], [1.0, 2.0], "0 or 1 .*, got 2"),
        ([0, 1], [1.0, np.nan], "finite, got NaN or infinity in 1 of 2"),
    ],
)
def test_image_metrics_refuse(metric, labels, scores, words):
    with pytest.raises(InputError, match=words):
        metric(labels, scores)


@pytest.mark.parametrize("metric", [metrics.pixel_auroc, metrics.pro_curve, metrics.aupro])
@pytest.mark.parametrize(
    ("masks", "maps", "words"),
    [
        (mask_of("#."), np.zeros((1, 2, 1)), "same shape"),
        (mask_of("#.")[0], np.zeros((1, 2)), "three axes"),
        (mask_of(".."), np.zeros((1, 1, 2)), "at least one defect pixel"),
        (np.zeros((0, 1, 2)), np.zeros((0, 1, 2)), "at least one defect pixel"),
        (mask_of("##"), np.zeros((1, 1, 2)), "at least one defect-free pixel"),
        (mask_of("#.") * 255, np.zeros((1, 1, 2)), "masks must be 0 or 1 .*, got 255"),
        (mask_of("#."), np.array([[[0.0, np.nan]]]), "maps must be finite"),
    ],
)
def test_pixel_metrics_refuse(metric, masks, maps, words):
    with pytest.raises(InputError, match=words):
        metric(masks, maps)


@pytest.mark.parametrize(
    ("masks", "maps", "inside", "words"),
    [
        ([[[1, 0]]], [[[1, 0]], [[1, 0]]], None, "as many images, got 1, 2, 1"),
        ([[[1, 0]]], [[[1, 0]]], [[[1]]], "masks and inside must have the same shape"),
        ([[[1, 0]]], [[[1, 0]]], [[[1, 2]]], "inside must be 0 or 1"),
        ([[[1, 0]]], [[[1, 0]]], [[[0, 1]]], "at least one defect pixel"),
        ([[[1, 0]]], [[[1, 0]]], [[[1, 0]]], "at least one defect-free pixel"),
        ([[[1, 0]], [[1], [0]]], [[[1, 0]], [[1, 0]]], None, "masks and maps must have the same shape"),
    ],
)
def test_images_that_do_not_go_together_are_refused(masks, maps, inside, words):
    with pytest.raises(InputError, match=words):
        metrics.aupro([np.array(x) for x in masks], [np.array(x) for x in maps], inside=inside)


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1, float("nan")])
def test_aupro_refuses_a_limit(limit):
    with pytest.raises(InputError, match="limit of the false-positive rate"):
        metrics.aupro(mask_of("#."), np.zeros((1, 1, 2)), limit=limit)


def test_confusion_refuses_scores():
    with pytest.raises(InputError, match="decisions must be 0 or 1"):
        metrics.confusion([0, 1], [0.2, 0.9])
