"""What arrays of tests/test_hostile.py score: right, or refused with a sentence; never NaN from finite input."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import InputError, fit, metrics, ssim, thresholds
from jaxad.datasets import ImageSet, contaminate, noise
from jaxad.estimator import AnomalyDetector
from jaxad.methods import RECIPES
from tests.drawn import examples
from tests.hostile_arrays import WIDE, WITHIN, answer, cases, need_same
from tests.references.threshold_slow import best_f1_slow, smallest_score_within_rate

pytestmark = pytest.mark.usefixtures("all_unchecked", "compile_fast")

COMPONENTS = replace(RECIPES["pixel-components"], count=2)
SYSTEMS = {
    "components": COMPONENTS,
    "mahalanobis": replace(COMPONENTS, score_name="mahalanobis"),
    "neighbours": replace(RECIPES["pixel-neighbours"], count=2),
    "gradients": replace(RECIPES["gradient-neighbours"], count=2),
    "windows": replace(RECIPES["patch-components"], scales=((4, 2, 4),), crops=50),
    "calibrated": replace(COMPONENTS, holdout=0.5),
}
IMAGES = np.random.default_rng(0).random((8, 9, 7, 1), np.float32)


FITTED = {}


def fit_one(name, images):
    return fit(jax.random.key(0), SYSTEMS[name], images)[0]


def need_finite_answer(call, case):
    found = answer(call, case.array)
    need_same(found, answer(call, case.plain))
    assert found is not None or not case.ordinary
    assert all(np.isfinite(part).all() for part in found or ())


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request):
    if request.param not in FITTED:
        FITTED[request.param] = fit_one(request.param, IMAGES)
    return request.param


@pytest.mark.slow
@settings(max_examples=examples(20), deadline=None)
@given(cases(IMAGES.shape, WITHIN))
def test_fit_takes_or_refuses_any_array(system, case):
    need_finite_answer(lambda x: fit_one(system, x).score(IMAGES), case)


@settings(max_examples=examples(60), deadline=None)
@given(cases(IMAGES.shape, WITHIN))
def test_score_takes_or_refuses_any_array(system, case):
    need_finite_answer(FITTED[system].score_all, case)


@settings(max_examples=examples(60), deadline=None)
@given(cases(IMAGES.shape, {}))
def test_score_of_any_range_is_finite_or_refused(system, case):
    need_finite_answer(lambda x: FITTED[system].score(x, any_range=True), case)


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(cases(IMAGES.shape[1:], WITHIN))
def test_score_of_single_photographs(system, case):
    need_finite_answer(lambda x: FITTED[system].score([x, x]), case)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_numbers_score_as_their_share_of_white(dtype, system):
    pixels = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, IMAGES.shape, dtype, endpoint=True)
    shares = pixels.astype(np.float32) / np.float32(np.iinfo(dtype).max)
    for one, other in zip(
        FITTED[system].score(pixels[:, ::-1]), FITTED[system].score(shares[:, ::-1].copy()), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_weights_that_are_not_finite_are_said(system):
    variables = jax.tree.map(lambda leaf: leaf * np.float32(np.nan), FITTED[system].variables)
    broken = replace(FITTED[system], variables=variables)
    with pytest.raises(InputError, match=r"must be finite, got NaN or infinity for 8 of 8 images, first for image 0"):
        broken.score(IMAGES)


def test_a_row_far_away_is_far_away():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    scores = AnomalyDetector().fit(rows).score_samples([[0, 0, 0], [9, 9, 9], [1e300, -1e300, 1e30]])
    assert np.isfinite(scores).all()
    assert scores[0] > scores[1] > scores[2]


# Metrics and thresholds of the widest floats

scores_of_any_size = st.tuples(st.integers(0, 2**16), st.sampled_from(sorted(WIDE)), st.integers(2, 12)).map(
    lambda drawn: np.random.default_rng(drawn[0]).choice(WIDE[drawn[1]], drawn[2])
)
dtypes = st.sampled_from([np.float16, np.float32, np.float64])


def drawn(numbers, dtype):
    """The numbers as floats of this kind, the largest finite ones where they are larger."""
    most = np.finfo(dtype).max
    return np.clip(numbers, -float(most), float(most)).astype(dtype)


@pytest.mark.slow
@settings(max_examples=examples(300), deadline=None)
@given(scores_of_any_size, dtypes, st.integers(1, 2**12))
def test_ranks_and_thresholds_of_the_widest_floats(numbers, dtype, bits):
    scores = drawn(numbers, dtype)
    labels = np.array([bits >> i & 1 for i in range(len(scores))])
    if 0 < labels.sum() < len(labels):
        pairs = [(bad > good) + 0.5 * (bad == good) for bad in scores[labels == 1] for good in scores[labels == 0]]
        assert metrics.auroc(labels, scores) == pytest.approx(np.mean(pairs), abs=1e-12)
        ranks = np.unique(scores, return_inverse=True)[1]
        for metric in (
            metrics.average_precision,
            lambda *x: metrics.roc(*x)[1],
            lambda *x: metrics.precision_recall(*x)[0],
        ):
            np.testing.assert_array_equal(metric(labels, scores), metric(labels, ranks))
    if labels.any():
        best = thresholds.best_f1(labels, scores)
        assert best.f1 == pytest.approx(best_f1_slow(labels, scores), abs=1e-12)
        counts = metrics.confusion(labels, scores > best.value)
        assert counts.f1 == pytest.approx(best.f1, abs=1e-12)


@settings(max_examples=examples(300), deadline=None)
@given(scores_of_any_size, dtypes, st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_limits_of_the_widest_floats(numbers, dtype, share):
    scores = drawn(numbers, dtype)
    limit = thresholds.for_false_positive_rate(scores, rate=share)
    assert limit.value == smallest_score_within_rate(scores, share)
    between = thresholds.quantile(scores, q=share)
    ranked = np.sort(scores)
    place = share * (len(scores) - 1)
    assert float(ranked[int(place)]) <= between.value <= float(ranked[min(int(place) + 1, len(scores) - 1)])
    assert between.rate == np.mean([float(score) > between.value for score in scores])
    if np.abs(scores.astype(np.float64)).max() <= 1e9:
        rounding = 4 * float(np.finfo(dtype).eps) * float(np.abs(scores).max())
        rounding += float(np.finfo(dtype).smallest_subnormal)
        assert between.value == pytest.approx(float(np.quantile(scores.astype(np.float64), share)), abs=rounding)


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None)
@given(st.integers(-96, 96), st.sampled_from(sorted(WITHIN)), st.integers(0, 2**16))
def test_ssim_does_not_change_with_the_unit(power, kind, seed):
    generator = np.random.default_rng(seed)
    x, y = generator.choice(np.float32(WITHIN[kind]), (2, 1, 12, 11, 1))
    x, y = np.where(x < 1e-6, np.float32(0), x), np.where(y < 1e-6, np.float32(0), y)
    unit = np.float32(2.0**power)
    scaled = ssim.ssim(x * unit, y * unit, data_range=float(unit))
    np.testing.assert_array_equal(scaled, ssim.ssim(x, y))
    assert np.isfinite(scaled).all()


# Image sets


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32", "complex64", "object"])
def test_masks_are_bool_and_labels_whole_numbers(dtype):
    for kinds, arrays in (("b", {"masks": np.zeros(IMAGES.shape[:3], dtype)}), ("bu", {"labels": np.zeros(8, dtype)})):
        arrays = {"labels": np.zeros(8, int), **arrays}
        if np.dtype(dtype).kind in kinds:
            ImageSet(IMAGES, **arrays)
        else:
            with pytest.raises(InputError, match=f"must be .*, got {dtype}"):
                ImageSet(IMAGES, **arrays)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 0.99), st.integers(0, 2**32))
def test_a_mixture_holds_all_normals_and_the_share_of_anomalies(normals, anomalies, share, seed):
    good = ImageSet(np.full((normals, 2, 3, 1), 0.25, np.float32)[::-1], np.zeros(normals, np.int8))
    bad = ImageSet(np.full((anomalies, 2, 3, 1), 0.75), np.ones(anomalies, bool))
    wanted = int(normals * share)
    if wanted > anomalies:
        with pytest.raises(InputError, match="lower it"):
            contaminate(good, bad, share=share, seed=seed)
        return
    mixture = contaminate(good, bad, share=share, seed=seed)
    assert (np.count_nonzero(mixture.labels == 0), np.count_nonzero(mixture.labels == 1)) == (normals, wanted)
    np.testing.assert_array_equal(mixture.images.max(axis=(1, 2, 3)), np.where(mixture.labels, 0.75, 0.25))
    assert [name == "anomaly" for name in mixture.names] == (mixture.labels == 1).tolist()


@given(st.integers(-1, 3), st.tuples(*[st.integers(-1, 4)] * 3), st.integers(-1, 2**32))
def test_noise_is_finite_or_refused(count, shape, seed):
    try:
        made = noise(count, shape, seed=seed)
    except InputError:
        assert min(count, *shape) < 1 or seed < 0
        return
    assert made.images.shape == (count, *shape)
    assert np.isfinite(made.images).all()
