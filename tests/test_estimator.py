import pickle
from dataclasses import replace

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxad import estimator, fit
from jaxad._check import InputError
from jaxad.estimator import AnomalyDetector
from jaxad.methods import RECIPES

pytestmark = pytest.mark.usefixtures("compile_fast")

DRAWS = np.random.default_rng(0)
ROWS = DRAWS.normal(size=(60, 4))
IMAGES = DRAWS.random((24, 5, 6), np.float32)
WIDE = ROWS.copy()
WIDE[:2, 2] = 1e308, -1e308
# The key draws which images are held out, so random_state matters and yet nothing is trained.
CALIBRATED = replace(RECIPES["pixel-components"], count=2, holdout=0.3)


@pytest.mark.slow
@parametrize_with_checks([AnomalyDetector()])
def test_scikit_learn_accepts_it(estimator, check, unchecked):
    check(estimator)


@pytest.fixture(scope="module")
def fitted():
    return AnomalyDetector(recipe=CALIBRATED, contamination=0.25, random_state=3).fit(IMAGES)


@pytest.mark.slow
def test_scores_are_those_of_the_detector_of_that_key(fitted):
    detector, _ = fit(jax.random.key(3), CALIBRATED, IMAGES[..., None])
    jax.tree.map(np.testing.assert_array_equal, fitted.detector_, detector)
    np.testing.assert_allclose(fitted.score_samples(IMAGES), -detector.score(IMAGES[..., None]).score, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("state", [4, np.random.RandomState(3), None])
def test_another_random_state_is_another_detector(state, fitted):
    other = clone(fitted).set_params(random_state=state).fit(IMAGES)
    assert (other.score_samples(IMAGES) != fitted.score_samples(IMAGES)).any()


@pytest.mark.slow
def test_the_share_of_outliers_is_the_contamination(fitted):
    decisions = fitted.decision_function(IMAGES)
    assert np.sum(decisions < 0) == 6
    np.testing.assert_array_equal(fitted.predict(IMAGES), np.where(decisions < 0, -1, 1))
    np.testing.assert_array_equal(decisions, fitted.score_samples(IMAGES) - fitted.offset_)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "samples"),
    [((5, 6), IMAGES.reshape(24, 30)), (None, IMAGES[..., None]), ([5, 6, 1], IMAGES), (None, IMAGES.tolist())],
)
def test_flat_rows_and_images_are_the_same(shape, samples, fitted):
    same = clone(fitted).set_params(image_shape=shape).fit(samples)
    np.testing.assert_allclose(same.score_samples(samples), fitted.score_samples(IMAGES), rtol=1e-5)
    assert same.image_shape_ == (5, 6, 1)
    assert same.n_features_in_ == 30


@pytest.mark.slow
def test_units_of_features_do_not_matter():
    units, zeros = np.array([1e-3, 1.0, 1e4, -5.0]), np.array([0.0, 7.0, -2e4, 1.0])
    expected = AnomalyDetector().fit(ROWS).score_samples(2 * ROWS)
    changed = AnomalyDetector().fit(ROWS * units + zeros).score_samples(2 * ROWS * units + zeros)
    np.testing.assert_allclose(changed, expected, rtol=1e-3)


@pytest.mark.slow
def test_rows_far_outside_and_constant_features_are_scored():
    rows = np.column_stack([ROWS, np.full(len(ROWS), 5.0)])
    detector = AnomalyDetector().fit(rows)
    away = rows[:3] + np.outer([0, 10, 100], [1, 0, 0, 0, 0])
    changed = np.where(np.arange(5) == 4, 6.0, rows[:1])
    scores = detector.score_samples(np.concatenate([away, changed]))
    assert scores[0] > scores[1] > scores[2]
    assert scores[0] > scores[3] > -np.inf


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "count"), [(ROWS, 3), (ROWS[:3], 2), (DRAWS.normal(size=(40, 30)), 16)])
def test_default_for_rows_keeps_what_they_allow(samples, count):
    recipe = AnomalyDetector().fit(samples).detector_.recipe
    assert (recipe.score_name, recipe.count) == ("mahalanobis", count)


@pytest.mark.slow
def test_default_for_images_is_auto(monkeypatch):
    asked = []
    monkeypatch.setattr(
        estimator, "fit", lambda key, recipe, images: (asked.append(recipe), fit(key, CALIBRATED, images))[1]
    )
    AnomalyDetector().fit(IMAGES)
    assert asked == [RECIPES["auto"]]


@pytest.mark.slow
def test_pickled_as_a_bundle_it_scores_the_same_bits(fitted):
    data = pickle.dumps(fitted)
    assert b"jaxad-bundle" in data
    assert b"jax._src" not in data
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.predict(IMAGES), fitted.predict(IMAGES))
    np.testing.assert_array_equal(again.score_samples(IMAGES), fitted.score_samples(IMAGES))
    with pytest.raises(NotFittedError):
        pickle.loads(pickle.dumps(AnomalyDetector())).predict(IMAGES)


def test_fields_of_the_recipe_are_parameters():
    search = GridSearchCV(AnomalyDetector(recipe="pixel-components"), {"recipe__count": [1, 3]}, cv=2, scoring=spread)
    search.fit(ROWS)
    assert search.best_params_ == {"recipe__count": 3}
    assert search.best_estimator_.recipe == replace(RECIPES["pixel-components"], count=3)
    assert clone(search.best_estimator_).get_params()["recipe__count"] == 3
    with pytest.raises(InputError, match="unknown parameter 'recipe__cuont'.*did you mean 'recipe__count'"):
        AnomalyDetector(recipe="pixel-components").set_params(recipe__cuont=3)
    with pytest.raises(InputError, match="recipe__count is a field of a recipe; name that too"):
        AnomalyDetector().set_params(recipe__count=3)


def spread(found, rows, _=None):
    """A score that more components make larger: how little is left of rows."""
    return float(np.mean(found.score_samples(rows)))


@pytest.mark.slow
def test_search_over_recipes_in_a_pipeline():
    samples = np.concatenate([ROWS, ROWS[:20] * 4 + 3])
    labels = np.repeat([1, -1], [60, 20])
    search = GridSearchCV(
        make_pipeline(StandardScaler(), AnomalyDetector()),
        {"anomalydetector__recipe": ["pixel-neighbours", None], "anomalydetector__contamination": [0.25]},
        scoring="roc_auc",
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
    ).fit(samples, labels)
    assert search.best_score_ > 0.8
    assert np.mean(search.predict(samples) == labels) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "samples", "words"),
    [
        ({"contamination": 0.6, "image_shape": (3,)}, ROWS, "(?s)several.*contamination.*0.6.*image_shape.*(3,)"),
        ({"recipe": 7}, ROWS, "recipe must be a name, a recipe or None, got 7"),
        ({"recipe": "pixel-neighbour"}, ROWS, "unknown recipe.*did you mean 'pixel-neighbours'"),
        (
            {"recipe": "pixel-components"},
            ROWS,
            "60 rows of 4 numbers have at most 3 principal components.*asked for 16",
        ),
        ({"recipe": "patch-vae"}, ROWS, "images must be at least 8 x 8 pixels .*, got 1 x 4"),
        ({}, ROWS[:, :1], r"got X with 1 feature\(s\); take recipe='pixel-neighbours'"),
        ({"image_shape": (5, 5)}, ROWS, r"image_shape \(5, 5, 1\) takes rows of 25 numbers, got X with 4"),
        ({"image_shape": (6, 5)}, IMAGES, r"image_shape is \(6, 5, 1\), but X holds images of \(5, 6, 1\)"),
        ({"image_shape": (2, 2)}, ROWS, r"must lie in \[0, 1\]"),
        ({"recipe": CALIBRATED}, 255 * IMAGES, "divide by 255"),
        ({}, WIDE, "feature 2 of X spans more than float64 holds; scale it down"),
        ({}, IMAGES[:, None, None], r"rows \[n, features\] or images"),
        ({}, IMAGES[:0], "0 sample"),
        ({}, [IMAGES[0], IMAGES[1][:4]], r"one shape, got \(5, 6\) and \(4, 6\); bring images to one size"),
    ],
)
def test_bad_input_is_refused(settings, samples, words, unchecked):
    with pytest.raises(ValueError, match=words):
        AnomalyDetector(**settings).fit(samples)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (IMAGES.transpose(0, 2, 1), r"channels \(5, 6, 1\), as those it was fitted on; got X of shape \(24, 6, 5\)"),
        (IMAGES[:, :4], "X has 24 features, but AnomalyDetector is expecting 30"),
        (IMAGES + 1, r"must lie in \[0, 1\]"),
        (np.full_like(IMAGES, np.nan), "NaN"),
    ],
)
def test_other_images_are_refused(samples, words, fitted):
    with pytest.raises(ValueError, match=words):
        fitted.score_samples(samples)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("as_rows", [False, True])
def test_whole_numbers_of_images_are_scaled_by_their_range(kind, as_rows):
    """As by the detector; rows of whole numbers that are no images stay rows."""
    whole = np.rint(IMAGES * np.iinfo(kind).max).astype(kind)
    given, shape = (whole.reshape(24, 30), (5, 6)) if as_rows else (whole, None)
    fitted = AnomalyDetector(recipe="pixel-neighbours", image_shape=shape).fit(given)
    detector, _ = fit(jax.random.key(0), "pixel-neighbours", whole[..., None])
    scores = fitted.score_samples(given)
    np.testing.assert_allclose(scores, -detector.score(whole[..., None]).score, rtol=1e-6)
    floats = whole.astype(np.float32) / np.iinfo(kind).max
    np.testing.assert_allclose(fitted.score_samples(floats.reshape(given.shape)), scores, rtol=1e-4, atol=1e-6)
    rows = np.arange(120, dtype=kind).reshape(30, 4) % 7
    np.testing.assert_array_equal(
        AnomalyDetector().fit(rows).score_samples(rows),
        AnomalyDetector().fit(rows.astype(np.float64)).score_samples(rows.astype(np.float64)),
    )


@pytest.mark.slow
def test_channels_in_front_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"X must have their channels last.*x.transpose\(0, 2, 3, 1\)"):
        AnomalyDetector().fit(np.zeros((5, 3, 12, 10), np.float32))
