"""Of several trainings from different random choices, the one with the lowest last loss is the detector."""

from dataclasses import replace
from unittest import mock

import jax
import numpy as np
import pytest

from jaxad import InputError, fit, training
from jaxad.fitting import FitDivergedError, fit_members
from jaxad.methods import LATENT_OCSVM, PATCH_VAE
from jaxad.training import DivergedError, History

pytestmark = pytest.mark.usefixtures("compile_fast")

IMAGES = np.random.default_rng(0).random((12, 8, 8, 1), np.float32)
WINDOWS = replace(PATCH_VAE, window=(4, 4), filters=(4,), crops=48, epochs=3, batch_size=16)
CODES = replace(LATENT_OCSVM, encoder=(4, 2), decoder=(4,), code_activation="linear", epochs=3, batch_size=4)


def last_losses(history):
    return history.terms["loss"][-1].tolist()


@pytest.mark.slow
def test_the_lowest_last_loss_is_kept():
    """It is the very member that the same key gives; which one that is differs from key to key."""
    places = set()
    for seed in range(4):
        members, history = fit_members(jax.random.key(seed), CODES, IMAGES, count=3)
        best = int(np.argmin(last_losses(history)))
        detector, its_history = fit(jax.random.key(seed), replace(CODES, restarts=3), IMAGES)
        jax.tree.map(np.testing.assert_array_equal, detector.variables, members[best].variables)
        np.testing.assert_array_equal(detector.score(IMAGES).score, members[best].score(IMAGES).score)
        for name, values in its_history.terms.items():
            np.testing.assert_array_equal(values, history.terms[name][:, best])
        places.add(best)
    assert len(places) > 1


@pytest.mark.slow
def test_every_member_keeps_the_best_of_its_own():
    """Two members of two trainings each are the best of their own keys, as if each were fitted alone."""
    recipe = replace(CODES, restarts=2)
    members, history = fit_members(jax.random.key(3), recipe, IMAGES, count=2)
    assert {values.shape for values in history.terms.values()} == {(3, 2)}
    for i, key in enumerate(jax.random.split(jax.random.key(3), 2)):
        alone, its_history = fit(key, recipe, IMAGES)
        np.testing.assert_allclose(history.terms["loss"][:, i], its_history.terms["loss"], rtol=1e-5)
        np.testing.assert_allclose(members[i].score(IMAGES).score, alone.score(IMAGES).score, rtol=1e-4)


@pytest.mark.slow
def test_a_watcher_sees_the_best_so_far():
    seen = []
    recipe = replace(WINDOWS, restarts=3)
    detector, _ = fit(jax.random.key(0), recipe, IMAGES, on_detector=lambda *of_epoch: seen.append(of_epoch))
    assert [done for done, _ in seen] == [1, 2, 3]
    jax.tree.map(np.testing.assert_array_equal, seen[-1][1].variables, detector.variables)
    for epochs, early in seen[:-1]:
        members, history = fit_members(jax.random.key(0), replace(WINDOWS, epochs=epochs), IMAGES, count=3)
        best = members[int(np.argmin(last_losses(history)))]
        jax.tree.map(np.testing.assert_array_equal, early.variables, best.variables)


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_bits(tmp_path):
    recipe = replace(WINDOWS, restarts=2)
    whole, whole_history = fit(jax.random.key(0), recipe, IMAGES)

    def stop(done, _):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(jax.random.key(0), recipe, IMAGES, checkpoints=tmp_path, on_epoch=stop)
    resumed, history = fit(jax.random.key(0), recipe, IMAGES, checkpoints=tmp_path, resume=True)
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)
    np.testing.assert_array_equal(history.terms["loss"], whole_history.terms["loss"])


@pytest.mark.slow
def test_diverged_before_the_first_epoch_is_done():
    with pytest.raises(FitDivergedError) as raised:
        fit(jax.random.key(0), replace(WINDOWS, restarts=2, learning_rate=1e30), IMAGES)
    assert len(raised.value.detectors) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("restarts", "loss"), [(1, [2.0]), (2, [[3.0, 2.0]])])
def test_diverged_later_the_history_is_that_of_the_best(restarts, loss):
    def diverged(_, state, *arguments, **options):
        raise DivergedError("far off", state, History({"loss": np.float32(loss)}, 0.0, 0.0))

    recipe = replace(WINDOWS, restarts=restarts)
    with mock.patch.object(training, "fit", diverged):
        with pytest.raises(FitDivergedError) as members:
            fit_members(jax.random.key(0), recipe, IMAGES, count=1)
        with pytest.raises(FitDivergedError) as one:
            fit(jax.random.key(0), recipe, IMAGES)
    assert members.value.history.terms["loss"].tolist() == [[2.0]]
    assert one.value.history.terms["loss"].tolist() == [2.0]


@pytest.mark.slow
def test_refused():
    with pytest.raises(InputError, match="restarts must be at least 1, got 0"):
        fit(jax.random.key(0), replace(WINDOWS, restarts=0), IMAGES)
