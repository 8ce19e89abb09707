import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.decomposition
import sklearn.neighbors
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import calibration, feature_maps, gaussians, linear, styles
from jaxad._check import InputError
from jaxad._floats import root
from jaxad.linear import fit_components, mahalanobis, nearest, project, residual
from jaxad.methods import RECIPES
from tests.drawn import examples

MIXED = np.random.default_rng(0).normal(size=(12, 12)) * np.geomspace(3, 0.1, 12)


def rows_of(count, seed):
    return (np.random.default_rng(seed).normal(size=(count, 12)) @ MIXED + 5).astype(np.float32)


TRAIN, TEST = rows_of(200, 1), rows_of(50, 2)


@pytest.mark.parametrize("count", [200, 9], ids=["more rows than numbers", "fewer"])
def test_components_are_those_of_scikit_learn(count):
    ours = fit_components(TRAIN[:count], count=4)
    theirs = sklearn.decomposition.PCA(4, svd_solver="full").fit(TRAIN[:count].astype(np.float64))
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-5)
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(np.abs(np.sum(ours.directions * theirs.components_.T, axis=0)), 1, rtol=1e-4)
    back = theirs.inverse_transform(theirs.transform(TEST))
    np.testing.assert_allclose(project(ours, TEST), back, atol=2e-3)
    np.testing.assert_allclose(residual(ours, TEST), ((TEST - back) ** 2).sum(1), rtol=2e-3)


def test_mahalanobis_is_the_likelihood_of_probabilistic_pca():
    """scikit-learn's log-likelihood is -1/2 (Mahalanobis + log determinant + d log 2 pi)."""
    ours = fit_components(TRAIN, count=4)
    theirs = sklearn.decomposition.PCA(4, svd_solver="full").fit(TRAIN.astype(np.float64))
    expected = -2 * theirs.score_samples(TEST) + np.linalg.slogdet(theirs.get_precision())[1] - 12 * np.log(2 * np.pi)
    np.testing.assert_allclose(mahalanobis(ours, TEST), expected, rtol=2e-3)


def test_rows_on_the_plane_leave_nothing():
    flat = TRAIN[:, :2] @ np.random.default_rng(3).normal(size=(2, 12)).astype(np.float32)
    components = fit_components(flat, count=2)
    np.testing.assert_allclose(residual(components, flat), 0, atol=1e-6 * (flat**2).sum(1).max())


@pytest.mark.parametrize("noise", [0, 1e-6, 1e-4, 1e-2])
def test_rows_that_occur_twice_leave_directions_at_right_angles(noise):
    rng = np.random.default_rng(0)
    rows = np.tile(rng.normal(size=(12, 200)) * np.geomspace(30, 1, 12)[:, None], (2, 1))
    rows = (rows + noise * rng.normal(size=rows.shape)).astype(np.float32)
    components = fit_components(rows, count=23)
    gram = components.directions.T @ components.directions
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-3)
    assert set(np.round(np.diag(gram), 4).tolist()) <= {0.0, 1.0}
    assert np.sum(np.diag(gram) > 0.5) >= 11
    np.testing.assert_allclose(residual(components, rows), 0, atol=1e-5 * (rows**2).sum(1).max())


def test_constant_rows_give_finite_scores():
    components = fit_components(np.ones((5, 4), np.float32), count=2)
    scores = mahalanobis(components, np.asarray([[1, 1, 1, 1], [2, 1, 1, 1]], np.float32))
    assert np.isfinite(scores).all()
    assert scores[1] > scores[0]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [3, 64, 130], ids="bank of {}".format)
@pytest.mark.parametrize("rows", [10**6, 7], ids=["one block", "blocks of 7"])
def test_neighbours_are_those_of_scikit_learn(count, size, rows, monkeypatch):
    monkeypatch.setattr(linear, "CPU_BLOCK", rows * size)
    jax.clear_caches()
    bank = TRAIN[:size]
    distances, places = nearest(bank, TEST, count=count)
    searched = sklearn.neighbors.NearestNeighbors(n_neighbors=count, algorithm="brute").fit(bank)
    expected, where = searched.kneighbors(TEST)
    np.testing.assert_array_equal(places, where)
    np.testing.assert_allclose(distances, expected, rtol=1e-6)
    jax.clear_caches()


def test_a_row_of_the_bank_is_its_own_neighbour():
    distances, places = nearest(TRAIN, TRAIN, count=1)
    np.testing.assert_array_equal(places[:, 0], np.arange(len(TRAIN)))
    np.testing.assert_array_equal(distances, 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_components(TRAIN[:1], count=1), "at least 2 rows, got 1"),
        (lambda: fit_components(TRAIN[:5], count=5), "5 rows of 12 numbers have at most 4 principal components"),
        (lambda: fit_components(TRAIN, count=0), "asked for 0"),
        (lambda: nearest(TRAIN[:3], TEST, count=4), "4 neighbours asked for, but there are 3 normal rows"),
        (lambda: nearest(TRAIN, TEST, count=0), "neighbours must be at least 1, got 0"),
    ],
)
def test_bad_counts_are_refused_with_what_would_do(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_gradient_of_a_score_is_that_of_the_formula():
    components = fit_components(TRAIN, count=4)
    gradient = jax.grad(lambda rows: jnp.sum(residual(components, rows)))(jnp.asarray(TEST))
    np.testing.assert_allclose(gradient, 2 * (TEST - project(components, TEST)), atol=1e-3)


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 300), st.integers(1, 5), st.integers(1, 30))
def test_of_equally_near_rows_the_first_ones_are_found(seed, size, count, kinds):
    rng = np.random.default_rng(seed)
    bank, rows = (rng.integers(0, kinds, (n, 1)).astype(np.float32) for n in (max(size, count), 7))
    _, places = nearest(bank, rows, count=count)
    expected = np.argsort(np.abs(rows - bank.T), axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(places, expected)


@pytest.mark.parametrize("scenes", [1, 2])
def test_rows_of_one_scene_are_nearest_to_themselves(scenes: int) -> None:
    """Photographs of a scene that stands still differ by little of what they are."""
    random = np.random.default_rng(0)
    scene = random.integers(225 - 100 * np.arange(scenes)[:, None], 256, (scenes, 40_000)).repeat(24 // scenes, axis=0)
    bank = np.float32((scene - (random.random(scene.shape) < 0.02)) / 255)
    distances, places = nearest(bank, bank, count=3)
    exact = np.linalg.norm(np.float64(bank)[:, None] - bank[None], axis=2)
    np.testing.assert_array_equal(places[:, 0], np.arange(24))
    np.testing.assert_array_equal(distances[:, 0], 0)
    width = np.square(exact).max()
    np.testing.assert_allclose(distances**2, np.sort(exact**2, axis=1)[:, :3], rtol=1e-5, atol=1e-6 * width)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, np.asarray(places), axis=1), rtol=1e-5)


@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_rows_far_from_zero_find_their_nearest(offset: float) -> None:
    random = np.random.default_rng(0)
    bank = np.float32(random.normal(size=(100, 64)) + offset)
    rows = np.float32(bank[:10] + 0.1 * random.normal(size=(10, 64)))
    distances, places = nearest(bank, rows, count=1)
    exact = np.linalg.norm(np.float64(rows)[:, None] - bank[None], axis=2)
    np.testing.assert_array_equal(places[:, 0], exact.argmin(axis=1))
    np.testing.assert_allclose(distances[:, 0], exact.min(axis=1), rtol=1e-5)


GAUSSIANS = gaussians.Gaussians(*(np.zeros((5, *shape), np.float32) for shape in ((2,), (2, 2))))
MEMORY = {"memory": jnp.asarray(TRAIN[:5]), "around": (jnp.arange(5)[:, None] + jnp.arange(2)[None]) % 5, "unit": 1.0}
USUAL = styles.fit_usual(TRAIN)
SAME = np.ones((3, 4, 5, 2), np.float32)


def test_roots_are_those_of_numpy_and_what_is_no_number_stays_none() -> None:
    squares = np.float32([0, 1e-30, 2, 1e38, np.inf, np.nan])
    np.testing.assert_allclose(root(jnp.asarray(squares)), np.sqrt(squares), rtol=1e-6)


ROOTS = {
    "a row of the bank": (lambda z: nearest(TRAIN, z, count=2)[0], TRAIN[:2]),
    "a channel that is constant": (styles.styles, SAME),
    "the light of one": (feature_maps.take_out_light, SAME),
    "the mean of a Gaussian": (lambda z: gaussians.mahalanobis(GAUSSIANS, z), np.zeros((3, 5, 2), np.float32)),
    "maps that are equal": (lambda z: calibration.fit_usual(z).deviation, SAME[..., 0]),
    "neighbours": (feature_maps.average_neighbours, SAME),
    "a cell that is remembered": (
        lambda z: RECIPES["patchcore"].judge({"one": MEMORY}, "one", z),
        TRAIN[:4].reshape(1, 2, 2, -1),
    ),
    "the usual style": (lambda z: styles.unusualness(z, USUAL), USUAL.mean[None]),
}


@pytest.mark.parametrize("name", ROOTS)
def test_gradients_are_finite_where_roots_are_of_nothing(name: str) -> None:
    function, where = ROOTS[name]
    for gradient in (jax.grad(lambda z: jnp.sum(function(z))), jax.jit(jax.grad(lambda z: jnp.sum(function(z))))):
        assert np.isfinite(gradient(jnp.asarray(where))).all()
