"""What docs/reliability.md promises about bits: the same key, images, versions and machine."""

import contextlib
import functools
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxad import bundle, fit
from jaxad.estimator import AnomalyDetector
from jaxad.methods import PATCH_VAE, RECIPES, FusionRecipe
from tests import fast_compilation

ROOT = Path(__file__).resolve().parent.parent
COMPONENTS = replace(RECIPES["pixel-components"], count=5)
WINDOWS = replace(RECIPES["patch-components"], scales=((4, 2, 4),), crops=200)
SYSTEMS = {
    "trained": replace(PATCH_VAE, window=(4, 4), filters=(4,), crops=64, epochs=2, batch_size=16),
    "closed form": COMPONENTS,
    "neighbours": RECIPES["pixel-neighbours"],
    "calibrated": replace(COMPONENTS, holdout=0.3),
    "fusion": FusionRecipe(name="two", summary="", source="", parts=(COMPONENTS, WINDOWS), holdout=0.3),
}
DRAWS = np.random.default_rng(0)
GOOD, TEST = DRAWS.random((30, 9, 11, 1), np.float32), DRAWS.random((64, 9, 11, 1), np.float32)
# Neighbours of a training image include itself, the hardest case for their distances.
TEST[:8] = GOOD[:8]
ROUNDING = 1e-5


def fit_system(name):
    # Most of the time goes into compiling the training; scoring is compiled as everywhere.
    with fast_compilation.used() if name == "trained" else contextlib.nullcontext():
        return fit(jax.random.key(7), SYSTEMS[name], GOOD)[0]


def fingerprint(detector):
    scores = detector.score(TEST)
    data = bundle.pack(*detector.contents()) + scores.score.tobytes() + scores.map.tobytes()
    return hashlib.sha256(data).hexdigest()


first_fit = functools.cache(fit_system)


@pytest.fixture(params=SYSTEMS)
def detector(request):
    return first_fit(request.param)


def need_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


# tests/test_detector.py fits a trained one twice.
@pytest.mark.slow
def test_another_process_gives_the_same_bits():
    code = (
        "import json; from tests.test_determinism import *; "
        "print(json.dumps({name: fingerprint(fit_system(name)) for name in SYSTEMS}))"
    )
    command = [sys.executable, "-c", code]
    # It compiles everything itself.
    env = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    env["PYTHONPATH"] = str(ROOT)
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {name: fingerprint(first_fit(name)) for name in SYSTEMS}


@pytest.mark.slow
def test_the_order_of_images_changes_no_bit(detector):
    order = np.random.default_rng(1).permutation(len(TEST))
    scores = detector.score(TEST)
    need_equal(detector.score(TEST[order]), jax.tree.map(lambda part: part[order], scores))


@pytest.mark.slow
def test_images_that_fill_a_batch_up_change_no_bit(detector):
    need_equal(detector.score(TEST[:7]), jax.tree.map(lambda part: part[:7], detector.score(TEST[:8])))


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7])
def test_the_size_of_batches_changes_rounding_alone(size, detector):
    expected = detector.score(TEST[:16])
    parts = [detector.score(TEST[begin : begin + size]) for begin in range(0, 16, size)]
    for field, whole in expected._asdict().items():
        found = np.concatenate([getattr(part, field) for part in parts])[:16]
        np.testing.assert_allclose(found, whole, rtol=0, atol=ROUNDING * np.abs(whole).max())


def test_an_estimator_scores_each_sample_by_itself():
    rows = DRAWS.normal(size=(300, 5))
    estimator = AnomalyDetector().fit(rows)
    scores, order = estimator.score_samples(rows), DRAWS.permutation(len(rows))
    np.testing.assert_array_equal(estimator.score_samples(rows[order]), scores[order])
    np.testing.assert_array_equal(np.concatenate([estimator.score_samples(row[None]) for row in rows[:9]]), scores[:9])
