"""The SVM head against scikit-learn itself, in float64."""

import jax
import numpy as np
import pytest
import sklearn.svm

from jaxad import one_class_svm
from jaxad._check import InputError

# Sums of about a hundred products near one, of both signs after the intercept.
ROUNDING = 2e-5


def codes_of(count, dimensions, *, seed, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=(count, dimensions))).astype(np.float32)


def expected(train, test):
    return -sklearn.svm.OneClassSVM().fit(train.astype(np.float64)).decision_function(test.astype(np.float64))


@pytest.mark.parametrize("call", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(("dimensions", "scale"), [(1, 1.0), (2, 1.0), (2, 30.0), (16, 0.01), (4, 1e-18), (4, 1e8)])
def test_score_is_minus_the_decision_function(dimensions, scale, call):
    train, test = (codes_of(count, dimensions, seed=count, scale=scale) for count in (200, 50))
    fitted = one_class_svm.fit(train)
    scores = call(lambda svm, codes: svm.score(codes))(fitted, test)
    assert scores.dtype == np.float32
    wanted = expected(train, test)
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=ROUNDING * float(np.abs(fitted.weights).sum()))
    np.testing.assert_array_equal(one_class_svm.reference_scores(train.astype(np.float64), test), wanted)


def test_fitted_arrays_are_those_of_scikit_learn():
    train = codes_of(40, 3, seed=0)
    fitted, theirs = one_class_svm.fit(train), sklearn.svm.OneClassSVM().fit(train.astype(np.float64))
    assert {part.dtype for part in fitted} == {np.dtype(np.float32)}
    np.testing.assert_allclose(fitted.support_vectors, theirs.support_vectors_, rtol=1e-6)
    np.testing.assert_allclose(fitted.weights, theirs.dual_coef_[0], rtol=1e-6)
    np.testing.assert_allclose(fitted.intercept, theirs.intercept_[0], rtol=1e-6)
    # "scale" is 1 / (dimensions x variance of all entries).
    np.testing.assert_allclose(fitted.gamma, 1 / (3 * train.astype(np.float64).var()), rtol=1e-6)


def test_far_away_is_as_anomalous_as_can_be():
    fitted = one_class_svm.fit(codes_of(100, 2, seed=0))
    near, far = np.asarray(fitted.score(np.array([[0.0, 0.0], [1e3, 1e3]], np.float32)))
    assert near < far
    assert far == -fitted.intercept


def test_constant_codes_score_alike():
    """A dead code: every distance is zero, so nothing can be told apart, and nothing is NaN."""
    constant = np.full((20, 2), 3.0, np.float32)
    fitted = one_class_svm.fit(constant)
    assert fitted.gamma == 1
    scores = np.asarray(fitted.score(constant))
    assert np.ptp(scores) == 0
    np.testing.assert_allclose(scores, expected(constant, constant), atol=1e-5)


@pytest.mark.parametrize("large", [1e10, 1e30])
def test_codes_too_large_for_single_precision_are_refused(large):
    train = codes_of(20, 3, seed=0)
    train[3, 1] = large
    with pytest.raises(InputError, match=r"must be within 1e\+09 of zero, got 1e\+[13]0; scale them down"):
        one_class_svm.fit(train)
