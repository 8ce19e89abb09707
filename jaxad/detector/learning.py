"""Training the networks of one or several detectors by gradient descent."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from jaxad import linear, one_class_svm, training
from jaxad._check import InputError
from jaxad._types import Images, PRNGKey, PRNGKeys
from jaxad.checkpoints import Checkpoints
from jaxad.detector.autoencoders import AutoencoderSystem
from jaxad.detector.detector import Detector
from jaxad.detector.resuming import Journal, describe_training
from jaxad.detector.system import System
from jaxad.training import DivergedError, ExtraBatch, History, OnEpoch, State

Watched = Float[Array | np.ndarray, "..."]
"""Images `[m, h, w, c]`; a set may have any number of them."""


class Extras(NamedTuple):
    """What else a training uses and tells, see `jaxad.fit`; `on_detectors` hears of all members."""

    watched: Mapping[str, Watched] | None = None
    extra_batch: ExtraBatch | None = None
    on_epoch: OnEpoch | None = None
    on_detectors: Callable[[int, list[Detector]], None] | None = None
    checkpoints: Checkpoints | None = None
    mesh: Mesh | None = None


class FitDivergedError(DivergedError):
    """A `DivergedError` that also carries the detectors of the last good state, one a member."""

    def __init__(self, message: str, state: State, history: History, detectors: list[Detector]) -> None:
        super().__init__(message, state, history)
        self.detectors = detectors


def train(keys: PRNGKeys, system: System, images: Images, extras: Extras) -> tuple[list[Detector], History]:
    """Detectors for normal images `[n, h, w, c]`, one a key, and the history of all.

    Where the recipe restarts, a key stands for several trainings; the detector and the history are those of the best.
    """
    recipe = system.recipe
    if recipe.restarts > 1:
        keys = jax.vmap(partial(jax.random.split, num=recipe.restarts))(keys).reshape(-1)
    pixels = jnp.asarray(images, jnp.float32)
    init_keys, crop_keys, fit_keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    examples = _examples(system, crop_keys, pixels)
    count = examples.shape[examples.ndim - 4]
    steps = count // min(recipe.batch_size, count) + (extras.extra_batch is not None)
    optimizer = recipe.optimizer(updates=recipe.epochs * steps)

    @partial(jax.vmap, in_axes=0)
    def start(key: PRNGKey) -> State:
        return training.make_state(system.init(key), optimizer)

    state = jax.jit(start)(init_keys)
    single = len(keys) == 1
    if single:
        # One member runs without the axis in front: a plain product is faster than a batch of one.
        state, fit_keys = jax.tree.map(lambda leaf: leaf[0], (state, fit_keys))
        examples = examples[0] if examples.ndim == 5 else examples

    best = partial(_best, restarts=recipe.restarts, count=len(keys))

    def detectors(state: State, chosen: list[int]) -> list[Detector]:
        stacked = jax.tree.map(lambda leaf: leaf[None], state) if single else state
        return [_detector(system, jax.tree.map(lambda leaf, i=i: leaf[i], stacked), images) for i in chosen]

    journal = _journal(keys, system, images, extras)
    resumed = journal and journal.newest(state)
    state, so_far = resumed or (state, None)

    def on_state(done: int, now: State, history: History) -> None:
        if extras.on_detectors is not None:
            extras.on_detectors(done, detectors(now, best(history)))
        # Last: an epoch that is kept is not told of again when training goes on.
        if journal is not None:
            journal.save(done, now, history)

    try:
        state, history = training.fit(
            fit_keys,
            state,
            examples,
            loss=system.make_loss(),
            optimizer=optimizer,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            extra_batch=extras.extra_batch,
            monitor=_monitor(system, extras.watched) if extras.watched else None,
            on_epoch=extras.on_epoch,
            on_state=on_state,
            so_far=so_far,
            mesh=extras.mesh,
        )
    except DivergedError as error:
        message = f"{error} (learning_rate is {recipe.learning_rate:g}, batch_size {recipe.batch_size})"
        good = detectors(error.state, best(error.history))
        raise FitDivergedError(message, error.state, error.history, good) from None
    if single:
        history = history._replace(terms={name: values[:, None] for name, values in history.terms.items()})
    chosen = best(history)
    kept = history._replace(terms={name: values[:, chosen] for name, values in history.terms.items()})
    return detectors(state, chosen), kept


def _best(history: History, *, restarts: int, count: int) -> list[int]:
    """Which of `count` trainings are kept: of each `restarts` neighbours the one with the lowest last loss."""
    if not history.terms:
        return list(range(0, count, restarts))
    last = history.terms["loss"][-1].reshape(-1, restarts)
    return [i * restarts + int(best) for i, best in enumerate(last.argmin(axis=1))]


def _journal(keys: PRNGKeys, system: System, images: Images, extras: Extras) -> Journal | None:
    if extras.checkpoints is None:
        return None
    arrays = {"images": images} | {f"watched {name}": values for name, values in (extras.watched or {}).items()}
    if extras.extra_batch is not None:
        arrays["extra batch"] = extras.extra_batch
    training = describe_training(keys, system.recipe, arrays, devices=extras.mesh.size if extras.mesh else 1)
    return Journal(extras.checkpoints, training, system.recipe.epochs)


def _examples(system: System, keys: PRNGKeys, images: Images) -> Array:
    """Training examples: `[m, h, w, c]` shared by all members, or `[members, m, h, w, c]` where each has its own."""
    own = jax.jit(jax.vmap(system.make_examples, in_axes=(0, None)))(keys, images)
    return jnp.asarray(images) if own is None else own


def _monitor(system: System, watched: Mapping[str, Watched]) -> Callable[[State], dict[str, Any]]:
    """The mean loss of the watched images, by the running statistics."""
    if not isinstance(system, AutoencoderSystem):
        raise InputError(
            f"recipe {system.recipe.name!r} sees windows, so no whole images can be watched; leave watched out"
        )
    held = {name: jnp.asarray(images, jnp.float32) for name, images in watched.items()}

    def monitor(state: State) -> dict[str, Any]:
        return {name: jnp.mean(system.watch(state.variables, images)) for name, images in held.items()}

    return monitor


def _detector(system: System, state: State, images: Images) -> Detector:
    variables = system.finish(state.variables, images)
    detector = Detector(system.recipe, system.shape, variables)
    if system.score_name == "nearest_code":
        codes = detector.encode(images)
        # Refuses more neighbours than images, and computes nothing.
        jax.eval_shape(partial(linear.nearest, count=system.recipe.count), codes, codes[:1])
        return dataclasses.replace(detector, variables={**variables, "codes": codes})
    if system.score_name != "one_class_svm":
        return detector
    return dataclasses.replace(detector, head=one_class_svm.fit(detector.encode(images)))
