"""Several devices and several processes: the same result as one, and nothing lost when one of them dies."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxad import InputError, fit
from jaxad.folders import fit_folder
from jaxad.methods import RECIPES
from jaxad.sharding import make_mesh
from tests.one_of_two import RECIPE
from tests.photograph_folder import write_set

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def found():
    """What a process with eight devices finds."""
    command = [sys.executable, "-m", "tests.eight_devices"]
    environment = {**ENVIRONMENT, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    return json.loads(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout)


@pytest.mark.slow
def test_losses_are_those_of_one_device(found):
    for name, differences in found["losses"].items():
        assert max(differences) < 1e-5, name


@pytest.mark.slow
def test_scores_are_those_of_one_device(found):
    for name, differences in found["scores"].items():
        assert max(differences) < 1e-5, name
    assert found["reconstructions"] < 1e-5


@pytest.mark.slow
def test_the_work_is_shared_and_not_repeated(found):
    """A batch that is gathered on every device, or gradients that none adds up, would give the same losses."""
    for name, words in found["collectives"].items():
        assert words == {"all-reduce": True, "all-gather": False}, name
    assert set(found["devices that score"]) == {8}


def test_as_many_devices_as_there_are():
    assert make_mesh(count=1) is None
    with pytest.raises(InputError, match=f"between 1 and the {jax.device_count()} there are"):
        make_mesh(count=jax.device_count() + 1)


@pytest.mark.slow
def test_a_mesh_of_one_device_changes_no_bit():
    images = np.random.default_rng(0).random((20, 6, 6, 1), np.float32)
    mesh = jax.make_mesh((1,), ("devices",))
    detector, _ = fit(jax.random.key(0), replace(RECIPES["pixel-components"], count=3), images, mesh=mesh)
    for plain, on_mesh in zip(detector.score(images), detector.on_mesh(mesh).score(images), strict=True):
        np.testing.assert_array_equal(plain, on_mesh)
    assert detector.on_mesh(mesh).on_mesh(None).mesh is None


def start_two(root, out, when):
    """Two processes that work together; the second dies `when`."""
    out.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(port), str(root), str(out), when]
    return [
        subprocess.Popen([sys.executable, "-m", "tests.one_of_two", str(index), *arguments], cwd=ROOT, env=ENVIRONMENT)
        for index in range(2)
    ]


def losses_of(out):
    first, second = (json.loads((out / f"{index}.json").read_text()) for index in range(2))
    assert first == second
    return first


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_two_processes_train_one_pipeline(tmp_path, compile_fast):
    root = write_set(tmp_path / "set")
    assert [process.wait() for process in start_two(root, tmp_path / "whole", "never")] == [0, 0]

    out = tmp_path / "killed"
    left, killed = start_two(root, out, "epoch")
    assert killed.wait() == -signal.SIGKILL
    left.kill()  # it waits for the other one until its patience ends
    left.wait()
    assert [process.wait() for process in start_two(root, out, "never")] == [0, 0]

    alone: list[float] = []
    fit_folder(root, tmp_path / "alone.jaxad", recipe=RECIPE, on_epoch=lambda _, terms: alone.append(terms["loss"]))
    np.testing.assert_allclose(losses_of(tmp_path / "whole"), alone, rtol=1e-5)
    again = losses_of(out)
    assert again == losses_of(tmp_path / "whole")[-len(again) :]
