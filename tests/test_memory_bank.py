import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.covariance

from jaxad import linear
from jaxad._check import InputError
from jaxad.feature_maps import SOFTENING, TINY, average_neighbours, spread_smoothly, take_out_light, turn
from jaxad.gaussians import fit_gaussians, mahalanobis
from jaxad.linear import whitening
from jaxad.memory_bank import choose_spread, reweigh
from tests.conftest import no_shape_checks
from tests.references import frozen as slow

pytestmark = pytest.mark.usefixtures("compile_fast")

RNG = np.random.default_rng(0)
MAPS = RNG.normal(2, 1, (2, 5, 7, 3)).astype(np.float32)
ROWS = RNG.normal(3, 1, (60, 6)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_neighbours_are_averaged_over_the_places_there_are(size):
    np.testing.assert_allclose(average_neighbours(MAPS, size=size), slow.average_neighbours(MAPS, size), atol=1e-5)


def test_light_that_lies_over_the_whole_image_is_taken_out():
    found = take_out_light(MAPS)
    np.testing.assert_allclose(found, slow.take_out_light(MAPS, SOFTENING, TINY), atol=1e-5)
    np.testing.assert_allclose(take_out_light(3 * MAPS + 5), found, atol=1e-4)
    for dtype in (np.float32, np.float16):
        assert np.isfinite(take_out_light(np.zeros((1, 2, 2, 3), dtype))).all(), dtype


@pytest.mark.parametrize("blur", [0.7, 2.0])
def test_maps_are_blurred_over_the_cells_there_are(blur):
    cells = MAPS[..., 0]
    found = spread_smoothly(cells, (5, 7), blur=blur)
    np.testing.assert_allclose(found, [slow.bell_means(one, blur) for one in cells], atol=1e-5)


@pytest.mark.slow
def test_maps_are_spread_evenly_over_the_pixels():
    cells = MAPS[..., 0]
    wanted = jax.image.resize(cells, (2, 20, 21), "linear")
    np.testing.assert_allclose(spread_smoothly(cells, (20, 21), blur=0.0), wanted, atol=1e-5)
    flat = spread_smoothly(np.full((1, 4, 4), 3, np.float32), (9, 10), blur=1.0)
    np.testing.assert_allclose(flat, 3, rtol=1e-6)


def test_a_quarter_turn_is_that_of_numpy():
    images = RNG.random((2, 6, 6, 3), np.float32)
    found = turn(images, np.asarray([np.pi / 2, 0], np.float32))
    np.testing.assert_allclose(found[0], np.rot90(images[0], -1), atol=1e-5)
    np.testing.assert_allclose(found[1], images[1], atol=1e-6)


@pytest.mark.parametrize("first", [0, 17])
def test_chosen_rows_are_those_of_the_greedy_algorithm(first):
    assert choose_spread(ROWS, count=25, first=first).tolist() == slow.choose_spread(ROWS, 25, first)


def test_all_rows_are_chosen_once_though_some_are_equal():
    rows = np.repeat(ROWS[:5], 4, axis=0)
    assert sorted(choose_spread(rows, count=20).tolist()) == list(range(20))


def test_chosen_rows_do_not_depend_on_where_zero_is():
    assert choose_spread(ROWS + 300, count=25).tolist() == choose_spread(ROWS, count=25).tolist()


def test_lonely_neighbours_make_a_distance_larger():
    memory, rows = ROWS[:40], ROWS[40:]
    distances, places = linear.nearest(memory, rows, count=1)
    around = linear.nearest(memory, memory, count=4)[1][places[:, 0]]
    others = jnp.linalg.norm(rows[:, None] - memory[around], axis=-1)
    found = reweigh(distances[:, 0], others, dimensions=rows.shape[1])
    np.testing.assert_allclose(found, [slow.reweigh(row, memory, 4) for row in rows], rtol=1e-4)


def test_far_rows_are_weighed_without_overflow():
    assert np.isfinite(reweigh(np.asarray([1e6], np.float32), np.asarray([[1e6, 2e6]], np.float32), dimensions=4)).all()


@pytest.mark.parametrize("count", [8, 60])
def test_covariances_are_shrunk_as_by_ledoit_and_wolf(count):
    rows = RNG.normal(size=(count, 3, 12)) @ RNG.normal(size=(12, 12)) + 2
    fitted = fit_gaussians(rows.astype(np.float32))
    for position in range(3):
        mean, covariance = slow.ledoit_wolf(rows[:, position])
        theirs = sklearn.covariance.ledoit_wolf(rows[:, position])[0]
        np.testing.assert_allclose(covariance, theirs, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(fitted.mean[position], mean, rtol=1e-4)
        white = fitted.whitening[position]
        np.testing.assert_allclose(white @ covariance @ white.T, np.eye(12), atol=2e-3)
    one = rows[:1] + 1
    wanted = [
        np.sqrt((x - mean) @ np.linalg.inv(covariance) @ (x - mean))
        for x, (mean, covariance) in zip(one[0], (slow.ledoit_wolf(rows[:, p]) for p in range(3)), strict=True)
    ]
    np.testing.assert_allclose(mahalanobis(fitted, one.astype(np.float32))[0], wanted, rtol=2e-3)


def test_rows_that_are_all_the_same_give_finite_distances():
    fitted = fit_gaussians(np.ones((4, 2, 3), np.float32))
    np.testing.assert_allclose(mahalanobis(fitted, np.full((1, 2, 3), 2, np.float32)), np.sqrt(3), rtol=1e-5)


def test_what_is_remembered_begins_with_the_most_usual_row_whatever_the_order():
    chosen = choose_spread(ROWS, count=25)
    assert chosen[0] == np.argmin(np.linalg.norm(ROWS - ROWS.mean(0), axis=1))
    order = RNG.permutation(len(ROWS))
    assert order[np.asarray(choose_spread(ROWS[order], count=25))].tolist() == chosen.tolist()


@pytest.mark.parametrize("unit", [2.0**-28, 2.0**-20, 2.0**28])
def test_a_distance_to_what_is_usual_has_no_unit(unit):
    rows = RNG.normal(size=(9, 2, 4)).astype(np.float32)
    wanted = mahalanobis(fit_gaussians(rows), rows)
    np.testing.assert_allclose(mahalanobis(fit_gaussians(unit * rows), unit * rows), wanted, rtol=1e-5)


def test_whitened_rows_vary_alike_along_their_components():
    rows = (RNG.normal(size=(400, 6)) @ RNG.normal(size=(6, 6))).astype(np.float32)
    white = rows @ whitening(np.cov(rows.T), count=4, floor=0.0)
    np.testing.assert_allclose(np.cov(white.T), np.eye(4) / 4, atol=1e-3)
    assert whitening(np.zeros((3, 3), np.float32), count=5).shape == (3, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: average_neighbours(MAPS, size=2), "size must be an odd number of places"),
        (lambda: choose_spread(ROWS, count=61), "61 rows are to be chosen, and there are 60"),
        (lambda: choose_spread(ROWS, count=0), "count of rows"),
        (lambda: choose_spread(ROWS, count=2, first=60), "0 to 59, got 60"),
        (lambda: reweigh(ROWS[:3, 0], ROWS[:2], dimensions=3), "of the same rows, got 3 and 2"),
        (lambda: fit_gaussians(ROWS[None]), "at least 2 normal rows, got 1"),
        (lambda: mahalanobis(fit_gaussians(MAPS[:, 0]), MAPS[:, 0, :2]), "7 x 3 (positions x numbers)"),
        (lambda: spread_smoothly(MAPS[..., 0], (5, 7), blur=-1.0), "blur must be a number of cells"),
        (lambda: turn(MAPS, np.zeros(3, np.float32)), "one angle an image, got 3 for 2"),
    ],
)
def test_wrong_input_is_named(call, words):
    with no_shape_checks(), pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)


def test_rows_in_half_precision_are_taken_for_what_they_are():
    halves = ROWS.astype(np.float16)
    covariance = np.cov(halves.T).astype(np.float16)
    for half, whole in (
        (whitening(covariance, count=3), whitening(covariance.astype(np.float32), count=3)),
        (fit_gaussians(halves[:, None]).whitening, fit_gaussians(halves[:, None].astype(np.float32)).whitening),
    ):
        np.testing.assert_array_equal(half, whole)
