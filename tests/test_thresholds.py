import dataclasses

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxad import thresholds
from jaxad._check import InputError
from tests.references.threshold_slow import best_f1_slow, binomial_tail, smallest_score_within_rate

# A small pool of values, so that ties occur; wide ones too.
values = st.one_of(st.integers(0, 5).map(float), st.floats(-1e6, 1e6, width=32))
score_lists = hnp.arrays(np.float32, st.integers(1, 40), elements=values)
shares = st.floats(0.001, 0.999)


@given(score_lists, shares)
def test_rate_threshold_is_the_smallest_score_within_the_rate(scores, rate):
    found = thresholds.for_false_positive_rate(scores, rate=rate)
    assert found.value == smallest_score_within_rate(scores, rate)
    assert found.rate == sum(1 for s in scores if s > found.value) / len(scores) <= rate + 1e-9
    assert found.count == len(scores)


@given(score_lists, shares)
def test_interval_solves_the_two_binomial_tails(scores, rate):
    found = thresholds.for_false_positive_rate(scores, rate=rate, confidence=0.9)
    n, above = found.count, round(found.rate * found.count)
    low, high = found.interval
    assert low <= found.rate <= high
    if above:
        np.testing.assert_allclose(binomial_tail(above, n, low), 0.05, rtol=1e-6)
    else:
        assert low == 0
    if above < n:
        np.testing.assert_allclose(1 - binomial_tail(above + 1, n, high), 0.05, rtol=1e-6)


def test_interval_closed_form_without_any_exceedance():
    found = thresholds.for_false_positive_rate(np.arange(50.0), rate=0.001)
    assert found.value == 49
    np.testing.assert_allclose(found.interval, (0, 1 - 0.025 ** (1 / 50)), rtol=1e-9)


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_interval_covers_the_true_rate_though_the_threshold_was_chosen_from_the_scores(rate):
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        found = thresholds.for_false_positive_rate(generator.random(200), rate=rate)
        truth = 1 - found.value
        covered += found.interval[0] <= truth <= found.interval[1]
    assert covered >= 940


@pytest.mark.parametrize(
    ("count", "rate", "enough"), [(100, 0.01, True), (99, 0.01, False), (15, 0.07, True), (14, 0.07, False)]
)
def test_enough_says_whether_one_false_alarm_fits_the_rate(count, rate, enough):
    assert thresholds.for_false_positive_rate(np.arange(float(count)), rate=rate).enough is enough


def test_good_scores_above_the_interval_are_said_to_be_so():
    normal = np.arange(100, dtype=np.float32)
    found = thresholds.for_false_positive_rate(normal, rate=0.05)
    assert found.doubts_of(normal) == found.doubts_of(normal[-40:]) == found.doubts_of(normal[:0]) == []
    (sentence,) = found.doubts_of(normal + 50)
    assert sentence.startswith("55 of 100 good images are above the threshold, which promised at most 11.3%")


def test_a_product_just_below_a_whole_number_counts_as_that_number():
    assert thresholds.for_false_positive_rate(np.arange(100.0), rate=0.29).value == 70


@given(score_lists, shares)
def test_neither_order_nor_a_shift_changes_what_is_flagged(scores, rate):
    first = thresholds.for_false_positive_rate(scores, rate=rate)
    assert thresholds.for_false_positive_rate(scores[::-1], rate=rate) == first
    doubled = thresholds.for_false_positive_rate(2 * scores, rate=rate)
    assert doubled == dataclasses.replace(first, value=2 * first.value)


@pytest.mark.parametrize(("q", "value"), [(0.5, 5.0), (0.25, 2.5), (0.95, 9.5)])
def test_quantile_interpolates_linearly(q, value):
    found = thresholds.quantile(np.arange(11.0), q=q)
    np.testing.assert_allclose(found.value, value)
    assert found.rate == sum(s > value for s in range(11)) / 11


def test_quantile_wants_enough_scores_for_its_rate():
    assert thresholds.quantile(np.arange(200.0)).enough
    assert not thresholds.quantile(np.arange(199.0)).enough
    assert thresholds.quantile(np.arange(10.0), q=0.9).enough


labelled = score_lists.flatmap(lambda s: st.tuples(st.just(s), hnp.arrays(np.bool_, s.shape)))


@given(labelled)
def test_best_f1_is_the_best_of_all_cuts_and_is_reached_at_its_value(pair):
    scores, labels = pair
    labels[0] = True
    found = thresholds.best_f1(labels, scores)
    np.testing.assert_allclose(found.f1, best_f1_slow(labels, scores), rtol=1e-12)
    flagged = scores > found.value
    hits = (flagged & labels).sum()
    np.testing.assert_allclose(2 * hits / (flagged.sum() + labels.sum()), found.f1, rtol=1e-12)


def test_best_f1_separates_what_can_be_separated():
    found = thresholds.best_f1(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert (found.value, found.f1) == (0.2, 1.0)
    everything = thresholds.best_f1(np.array([1, 1]), np.array([3.0, 3.0], np.float32))
    assert np.float32(3) > np.float32(everything.value)
    assert everything.f1 == 1


FINDERS = [
    thresholds.quantile,
    thresholds.for_false_positive_rate,
    lambda scores: thresholds.best_f1(np.ones(len(scores), np.int64), scores),
]


@pytest.mark.parametrize("find", FINDERS)
@pytest.mark.parametrize("scores", [np.zeros(0), np.array([0, np.nan]), np.array([np.inf, 1])])
def test_unusable_scores_are_refused(find, scores):
    with pytest.raises(InputError, match="scores"):
        find(scores)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
@pytest.mark.parametrize(
    ("find", "option"),
    [
        (thresholds.quantile, "q"),
        (thresholds.quantile, "confidence"),
        (thresholds.for_false_positive_rate, "rate"),
        (thresholds.for_false_positive_rate, "confidence"),
    ],
)
def test_shares_outside_the_open_unit_interval_are_refused(find, option, share):
    with pytest.raises(InputError, match=option):
        find(np.arange(5.0), **{option: share})


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_unusable_labels_are_refused(labels):
    with pytest.raises(InputError, match="labels"):
        thresholds.best_f1(np.array(labels), np.arange(3.0))


def test_a_threshold_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        thresholds.quantile(np.arange(5.0)).value = 1.0


@pytest.mark.skipif(np.longdouble(1).itemsize == 8, reason="a long double has 64 bits here, as other floats")
def test_longer_scores_are_judged_as_they_are_compared(unchecked: None) -> None:
    scores = np.random.default_rng(1).normal(size=30).astype(np.longdouble) + np.longdouble(1) / 3
    labels = np.ones(30, int)
    labels[0], labels[scores.argmin()] = 0, 1
    found = thresholds.best_f1(labels, scores)
    above = scores.astype(np.float64) > found.value
    assert found.f1 == 2 * np.sum(above & (labels == 1)) / (above.sum() + labels.sum())
