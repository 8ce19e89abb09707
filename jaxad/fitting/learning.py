"""Training the networks of one or several detectors by gradient descent."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Shaped

from jaxad import training
from jaxad._check import InputError
from jaxad._types import Images, PRNGKey, PRNGKeys
from jaxad.checkpoints import Checkpoints
from jaxad.detector import Detector, naming, shape_of, what_is
from jaxad.fitting.resuming import Journal, describe_training
from jaxad.fitting.soundness import make_loss, need_score, need_tree, start
from jaxad.recipes import NetworkRecipe, Shape
from jaxad.training import DivergedError, History, OnEpoch, State

Watched = Shaped[Array | np.ndarray, "..."]
"""Images `[m, h, w, c]`; a set may have any number of them."""


class Extras(NamedTuple):
    """What else a training uses and tells, see `jaxad.fit`; `on_detectors` hears of all members."""

    watched: Mapping[str, Watched] | None = None
    extra_batch: Watched | None = None
    on_epoch: OnEpoch | None = None
    on_detectors: Callable[[int, list[Detector]], None] | None = None
    checkpoints: Checkpoints | None = None
    mesh: Mesh | None = None


class FitDivergedError(DivergedError):
    """A `DivergedError` that also carries the detectors of the last good state, one a member."""

    def __init__(self, message: str, state: State, history: History, detectors: list[Detector]) -> None:
        super().__init__(message, state, history)
        self.detectors = detectors


def train(keys: PRNGKeys, recipe: NetworkRecipe, images: Images, extras: Extras) -> tuple[list[Detector], History]:
    """Detectors for normal images `[n, h, w, c]`, one a key, and the history of all.

    Where the recipe restarts, a key stands for several trainings; the detector and the history are those of the best.
    """
    shape = shape_of(images)
    if recipe.restarts > 1:
        keys = jax.vmap(partial(jax.random.split, num=recipe.restarts))(keys).reshape(-1)
    pixels = jnp.asarray(images, jnp.float32)
    init_keys, crop_keys, fit_keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    examples = _examples(recipe, crop_keys, pixels)
    count = examples.shape[examples.ndim - 4]
    steps = count // min(recipe.batch_size, count) + (extras.extra_batch is not None)
    with naming(recipe, "optimizer", shape):
        optimizer = recipe.optimizer(updates=recipe.epochs * steps)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise InputError(f"{what_is(recipe)}: optimizer must give one of optax, it gave {type(optimizer).__name__}")

    @partial(jax.vmap, in_axes=0)
    def first(key: PRNGKey) -> State:
        return training.make_state(start(key, recipe, shape), optimizer)

    state = jax.jit(first)(init_keys)
    single = len(keys) == 1
    if single:
        # One member runs without the axis in front: a plain product is faster than a batch of one.
        state, fit_keys = jax.tree.map(lambda leaf: leaf[0], (state, fit_keys))
        examples = examples[0] if examples.ndim == 5 else examples

    best = partial(_best, restarts=recipe.restarts, count=len(keys))

    def detectors(state: State, chosen: list[int]) -> list[Detector]:
        stacked = jax.tree.map(lambda leaf: leaf[None], state) if single else state
        return [_detector(recipe, jax.tree.map(lambda leaf, i=i: leaf[i], stacked), images) for i in chosen]

    def kept(history: History, chosen: list[int]) -> History:
        rows = {name: values.reshape(len(values), -1) for name, values in history.terms.items()}
        return history._replace(terms={name: values[:, chosen] for name, values in rows.items()})

    journal = _journal(keys, recipe, images, extras)
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
            loss=make_loss(recipe, shape),
            optimizer=optimizer,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            extra_batch=extras.extra_batch,
            monitor=_monitor(recipe, shape, extras.watched) if extras.watched else None,
            on_epoch=extras.on_epoch,
            on_state=on_state,
            so_far=so_far,
            mesh=extras.mesh,
        )
    except DivergedError as error:
        message = f"{error} (learning_rate is {recipe.learning_rate:g}, batch_size {recipe.batch_size})"
        chosen = best(error.history)
        good = detectors(error.state, chosen)
        raise FitDivergedError(message, error.state, kept(error.history, chosen), good) from None
    chosen = best(history)
    fitted = detectors(state, chosen)
    # Once, and not for every detector that is told of while training.
    need_tree(recipe, fitted[0].variables)
    need_score(recipe, shape, fitted[0].variables)
    return fitted, kept(history, chosen)


def _best(history: History, *, restarts: int, count: int) -> list[int]:
    """Which of `count` trainings are kept: of each `restarts` neighbours the one with the lowest last loss."""
    if not history.terms:
        return list(range(0, count, restarts))
    last = history.terms["loss"][-1].reshape(-1, restarts)
    return [i * restarts + int(best) for i, best in enumerate(last.argmin(axis=1))]


def _journal(keys: PRNGKeys, recipe: NetworkRecipe, images: Images, extras: Extras) -> Journal | None:
    if extras.checkpoints is None:
        return None
    arrays = {"images": images} | {f"watched {name}": values for name, values in (extras.watched or {}).items()}
    if extras.extra_batch is not None:
        arrays["extra batch"] = extras.extra_batch
    training = describe_training(keys, recipe, arrays, devices=extras.mesh.size if extras.mesh else 1)
    return Journal(extras.checkpoints, training, recipe.epochs)


def _examples(recipe: NetworkRecipe, keys: PRNGKeys, images: Images) -> Array:
    """Training examples: `[m, h, w, c]` shared by all members, or `[members, m, h, w, c]` where each has its own."""
    draw = jax.vmap(recipe.examples, in_axes=(0, None))
    if jax.eval_shape(draw, keys, images) is None:
        return jnp.asarray(images)
    return jnp.asarray(jax.jit(draw)(keys, images))


def _monitor(recipe: NetworkRecipe, shape: Shape, watched: Mapping[str, Watched]) -> Callable[[State], dict[str, Any]]:
    """The mean loss of the watched images, by the running statistics."""
    held = {name: jnp.asarray(images, jnp.float32) for name, images in watched.items()}
    model = recipe.model(shape)

    def monitor(state: State) -> dict[str, Any]:
        return {name: jnp.mean(recipe.watch(model, state.variables, images)) for name, images in held.items()}

    return monitor


def _detector(recipe: NetworkRecipe, state: State, images: Images) -> Detector:
    shape = shape_of(images)
    with naming(recipe, "finish", shape):
        return Detector(recipe, shape, recipe.finish(recipe.model(shape), state.variables, images))
