"""What a training keeps in its checkpoints, and what tells it from another training."""

import dataclasses
import importlib.metadata
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxad import bundle
from jaxad._types import PRNGKeys
from jaxad.checkpoints import Checkpoints
from jaxad.recipes import Recipe
from jaxad.training import History, State

PACKAGES = ("jaxad", "jax", "jaxlib", "flax", "optax")
"""Those that decide the bits of a result."""


class Journal(NamedTuple):
    """The checkpoints of one training."""

    checkpoints: Checkpoints
    training: dict[str, str]
    epochs: int

    def save(self, done: int, state: State, history: History) -> None:
        """Keep what is reached after every so many epochs, and after the last."""
        if done % self.checkpoints.every and done != self.epochs:
            return
        terms = {name: values.tolist() for name, values in history.terms.items()}
        self.checkpoints.save(done, state, training=self.training, report={"terms": terms, "seconds": history.seconds})

    def newest(self, start: State) -> tuple[State, History] | None:
        """The newest state, of the structure of `start`, and the history up to it; None where nothing is kept yet."""
        found = self.checkpoints.newest(start, training=self.training)
        if found is None:
            return None
        state, report = found
        terms = {name: np.asarray(values, np.float32) for name, values in report["terms"].items()}
        return state, History(terms, 0.0, report["seconds"])


def describe_training(keys: PRNGKeys, recipe: Recipe, arrays: dict[str, Any], *, devices: int) -> dict[str, str]:
    """All that decides the bits of a training: settings, keys, `arrays` of any shapes `[...]`, versions, devices."""
    pixels = {f"array of {name}": np.asarray(values) for name, values in arrays.items()}
    return {
        **{field.name: str(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)},
        # No field of a recipe has a name of several words.
        "kind of recipe": recipe.kind,
        **{name: f"{values.shape} {bundle.fingerprint({name: values}, {})[:16]}" for name, values in pixels.items()},
        "random key": str(jax.random.key_data(keys).tolist()),
        **{f"version of {package}": importlib.metadata.version(package) for package in PACKAGES},
        "kind of device": jax.default_backend(),
        "count of devices": str(devices),
    }
