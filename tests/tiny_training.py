"""A training that takes moments, for tests that stop it; importable by a child process without the suite."""

import hashlib
import json
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import jax
import numpy as np

import jaxad
from jaxad.methods import DENSE_AE

RECIPE = replace(DENSE_AE, encoder=(4,), decoder=(), norm=True, epochs=5, batch_size=4)
IMAGES = np.random.default_rng(0).random((10, 6, 5, 1), np.float32)


def keep_compiled(folder: Path) -> dict[str, object]:
    """Have jax keep in a folder whatever it compiles, and look there first; gives the settings of before."""
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    return before


def digest(detector: jaxad.Detector, history: jaxad.History, folder: Path) -> str:
    """SHA-256 of all that training gives, but for the seconds."""
    detector.save(folder / "one.jaxad")
    terms = {name: values.tolist() for name, values in history.terms.items()}
    return hashlib.sha256((folder / "one.jaxad").read_bytes() + json.dumps(terms).encode()).hexdigest()


def train(pipe: Connection, folder: Path, compiled: Path) -> None:
    """Train with checkpoints, or go on; tell of every epoch before it is kept, and at last of the result."""
    keep_compiled(compiled)
    fitted = jaxad.fit(
        jax.random.key(0),
        replace(RECIPE, epochs=30),
        IMAGES,
        on_epoch=lambda done, _: pipe.send(done),
        checkpoints=folder / "kept",
        resume=True,
    )
    pipe.send(digest(*fitted, folder))
