"""Which styles of images are usual, against a plain reference with every image left out in turn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import styles
from jaxad._check import InputError
from tests.drawn import examples

pytestmark = pytest.mark.usefixtures("compile_fast")


def covariance_drawn_in(numbers: np.ndarray) -> tuple[np.ndarray, float]:
    """Ledoit & Wolf's covariance by loops over rows, and the share of it that is the mean variance."""
    n, d = numbers.shape
    covariance = numbers.T @ numbers / n
    level = np.trace(covariance) / d
    apart = np.sum((covariance - level * np.eye(d)) ** 2)
    error = sum(np.sum((np.outer(row, row) - covariance) ** 2) for row in numbers) / n**2
    share = max(min(error / apart, 1.0), styles.LEAST)
    return (1 - share) * covariance + share * level * np.eye(d), share


@settings(max_examples=examples(20), deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([4, 11, 30]),
    st.sampled_from([2, 13, 40]),
    st.sampled_from([0, 1, 5]),
)
def test_distances_are_those_of_the_shrunk_covariance_with_and_without_the_image(
    seed: int, n: int, d: int, twice: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)
    rows = np.concatenate([rows, rows[:twice]])
    n = len(rows)
    asked = rng.normal(size=(3, d)) * 2
    usual = styles.fit_usual(rows.astype(np.float32))
    deviation = rows.std(axis=0)
    softened = deviation + styles.SOFTENING * deviation.mean()
    numbers = (rows - rows.mean(axis=0)) / softened
    shrunk, share = covariance_drawn_in(numbers)
    level = np.trace(numbers.T @ numbers / n) / d
    left_out = []
    for i in range(n):
        others = np.delete(numbers, i, axis=0)
        scatter = (others - others.mean(axis=0)).T @ (others - others.mean(axis=0)) / n
        apart = numbers[i] - others.mean(axis=0)
        mixed = (1 - share) * scatter + share * level * np.eye(d)
        left_out.append(np.sqrt(apart @ np.linalg.solve(mixed, apart)))
    fresh = (asked - rows.mean(axis=0)) / softened
    distances = np.sqrt(np.einsum("ij,ij->i", fresh @ np.linalg.inv(shrunk), fresh))
    mean, spread = np.mean(left_out), np.std(left_out)
    for found, wanted in (
        (styles.unusualness(rows.astype(np.float32), usual, left_out=True), left_out),
        (styles.unusualness(asked.astype(np.float32), usual), distances),
    ):
        # A thousandth of the distances, in their spread, which may be far smaller.
        np.testing.assert_allclose(found * spread, np.array(wanted) - mean, atol=1e-3 * np.max(wanted))


def test_styles_are_means_and_deviations_of_channels() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    rows = maps.reshape(2, 35, 3)
    np.testing.assert_allclose(
        styles.styles(maps), np.concatenate([rows.mean(axis=1), rows.std(axis=1)], axis=1), atol=1e-6
    )


def test_left_out_images_are_usual_on_average() -> None:
    rows = np.random.default_rng(1).normal(size=(40, 12)).astype(np.float32)
    found = styles.unusualness(rows, styles.fit_usual(rows), left_out=True)
    assert float(jnp.mean(found)) == pytest.approx(0, abs=1e-4)
    assert float(jnp.std(found)) == pytest.approx(1, abs=1e-4)


def test_images_that_are_all_alike_say_nothing() -> None:
    usual = styles.fit_usual(np.ones((5, 4), np.float32))
    assert jax.device_get(styles.unusualness(np.full((2, 4), 7, np.float32), usual)).tolist() == [0, 0]


def test_what_cannot_be_told_is_refused() -> None:
    rows = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    with pytest.raises(InputError, match="at least 3 styles"):
        styles.fit_usual(rows[:2])
    with pytest.raises(InputError, match="4 numbers, as those that were fitted, got 3"):
        styles.unusualness(rows[:, :3], styles.fit_usual(rows))
