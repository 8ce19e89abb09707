"""Settings and fixtures of the whole suite. Nothing here may import jaxad: the shape checks hook into its import."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import hypothesis
import jax
import jaxtyping
import matplotlib
import pytest

from tests import (
    drawn,  # noqa: F401  (its profile)
    fast_compilation,
    garbage,
    kept_context,
    one_platform,
    shape_checks,  # noqa: F401  (pyproject.toml names it)
)

ROOT = Path(__file__).resolve().parent.parent

# What fails in these is shown with its values, as in tests.
pytest.register_assert_rewrite("tests.command")

# Scripts that made the fixtures: run by hand, with packages that the suite does without.
collect_ignore_glob = ["data/make_*.py"]

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
matplotlib.use("Agg")

LEFT = pytest.StashKey[int]()
"""How many slow tests were chosen not to run."""
DAYS_KEPT = 14


def pytest_configure(config: pytest.Config) -> None:
    """Have jax keep whatever it compiles in pytest's cache, for the other worker, other files and the next run.

    So do the processes that tests start. Where slow tests are left out, hypothesis draws few examples.
    """
    garbage.collect_seldom()
    kept_context.keep()
    one_platform.trace_one()
    if hasattr(config, "workerinput"):
        take_a_core(**config.workerinput)
    if "not slow" in config.option.markexpr:
        hypothesis.settings.load_profile("quick")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or not hasattr(config, "cache"):
        return
    folder = config.cache.mkdir("compiled")
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    if not hasattr(config, "workerinput"):
        oldest = time.time() - DAYS_KEPT * 24 * 3600
        for file in folder.iterdir():
            if file.stat().st_mtime < oldest:
                file.unlink()


def take_a_core(workerid: str, workercount: int, **_: object) -> None:
    """Keep to one core where workers are as many: threads of workers that share all cores wait for each other.

    Compiling and small programs then take a thirteenth less time.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if workercount >= len(cores):
        os.sched_setaffinity(0, {cores[int(workerid.removeprefix("gw")) % len(cores)]})


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    stash = items[0].config.stash
    stash[LEFT] = stash.get(LEFT, 0) + sum(item.get_closest_marker("slow") is not None for item in items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = session.config.stash.get(LEFT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    """Every worker of pytest-xdist chooses among all tests, so that any of them tells how many are left."""
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get("left", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(LEFT, 0)
    if left and "not slow" in config.option.markexpr:
        terminalreporter.write_line(
            f"{left} slow tests, and most examples that hypothesis draws, left to CI: "
            'python -m pytest -n 2 --dist loadfile -m "slow or hypothesis"'
        )


def data_folder(folder: Path, *, how: str) -> str:
    """Return the folder's path; where it is absent skip the test, or fail it when CI is set."""
    if folder.is_dir():
        return str(folder)
    reason = f"no folder {folder}; {how}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def tfds_dir() -> str:
    """Folder of prepared TensorFlow Datasets: TFDS_DATA_DIR, else ../shared/tfds beside the repository."""
    chosen = os.environ.get("TFDS_DATA_DIR") or ROOT.parent / "shared" / "tfds"
    return data_folder(Path(chosen), how="set TFDS_DATA_DIR to a folder of prepared TensorFlow Datasets")


@pytest.fixture(scope="session")
def parity_dir() -> str:
    """Folder of weights, inputs and outputs of other frameworks: ../shared/parity beside the repository."""
    return data_folder(ROOT.parent / "shared" / "parity", how="it holds reference weights and outputs")


@pytest.fixture(scope="module")
def compile_fast() -> Iterator[None]:
    """Compile with few optimisations, for modules whose time goes into compiling many small programs."""
    with fast_compilation.used():
        yield


@pytest.fixture(scope="module")
def every_platform() -> Iterator[None]:
    """Trace what is for other platforms too, for modules that lower for them."""
    with one_platform.every():
        yield


@contextlib.contextmanager
def no_shape_checks() -> Iterator[None]:
    """Switch off the run-time shape checks, so that a test of bad input meets the library's own `InputError`.

    The checks are put around every function of jaxad when it is imported (pytest's option
    `--jaxtyping-packages`), and each call asks `jaxtyping.config.jaxtyping_disable` first. So the switch acts
    on functions decorated long ago, and flipping it back restores them. A function under `jax.jit` is checked
    while it is traced: what was traced during the test stays in jit's cache for those same shapes.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """See `no_shape_checks`."""
    with no_shape_checks():
        yield


@pytest.fixture(scope="module")
def all_unchecked() -> Iterator[None]:
    """`unchecked` for a whole module: hypothesis calls a test many times and takes no fixture that lasts for one."""
    with no_shape_checks():
        yield
