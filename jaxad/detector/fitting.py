"""Fitting: normal images in, a trained detector out."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from jaxad import losses, one_class_svm, training
from jaxad._check import InputError, need_at_least, need_images, need_unit_range
from jaxad._types import Images, PRNGKey, PRNGKeys
from jaxad.calibration import fit_usual
from jaxad.detector.detector import Detector
from jaxad.detector.system import System
from jaxad.detector.systems import AutoencoderSystem, make_system
from jaxad.recipes import Recipe
from jaxad.training import DivergedError, ExtraBatch, History, OnEpoch, State

Watched = Float[Array | np.ndarray, "..."]
"""Images `[m, h, w, c]`; a set may have any number of them."""


class FitDivergedError(DivergedError):
    """A `DivergedError` that also carries the detectors of the last good state, one a member."""

    def __init__(self, message: str, state: State, history: History, detectors: list[Detector]) -> None:
        super().__init__(message, state, history)
        self.detectors = detectors


def fit(
    key: PRNGKey,
    recipe: Recipe,
    images: Images,
    *,
    watched: Mapping[str, Watched] | None = None,
    extra_batch: ExtraBatch | None = None,
    on_epoch: OnEpoch | None = None,
    on_detector: Callable[[int, Detector], None] | None = None,
) -> tuple[Detector, History]:
    """Train a detector on normal images.

    Args:
        key: draws weights, crops, orders and noise; the same key gives the same bits.
        recipe: one of `jaxad.RECIPES`, or a variant by `dataclasses.replace`.
        images: normal images `[n, h, w, c]`, float in [0, 1].
        watched: other images `[m, h, w, c]` by name, whose loss the history shows under that name.
        extra_batch: images `[b, h, w, c]` for one more update after every epoch.
        on_epoch: called with the epochs done and the means of that epoch's loss terms.
        on_detector: called with the epochs done and the detector as it is then.

    Returns:
        The detector and the history of its training, whose terms are empty where the model has a closed form.

    Raises:
        InputError: images that cannot be used (see `Detector.score`), a recipe that names an unknown
            loss, score or pool, or images to watch by a model that sees windows.
        FitDivergedError: the loss is no longer finite; it carries the detector of the last good epoch.
    """
    detectors, history = _fit(
        key[None], recipe, images, watched, extra_batch, on_epoch, on_detector and partial(_first, on_detector)
    )
    return detectors[0], history._replace(terms={name: values[:, 0] for name, values in history.terms.items()})


def fit_members(
    key: PRNGKey,
    recipe: Recipe,
    images: Images,
    *,
    count: int,
    watched: Mapping[str, Watched] | None = None,
    extra_batch: ExtraBatch | None = None,
    on_epoch: OnEpoch | None = None,
    on_detector: Callable[[int, Detector], None] | None = None,
) -> tuple[list[Detector], History]:
    """Train `count` detectors that differ in their random choices only, in one compiled program.

    Arguments, errors and results as for `fit`; the terms of the history are `[epochs, count]`, and `on_detector` is
    called with the first detector.
    """
    need_at_least(count, 1, what="count")
    keys, first = jax.random.split(key, count), on_detector and partial(_first, on_detector)
    return _fit(keys, recipe, images, watched, extra_batch, on_epoch, first)


def make_optimizer(recipe: Recipe, *, updates: int) -> optax.GradientTransformation:
    """Adam as the recipe sets it, for so many updates in all."""

    def decayed(done: Any) -> Any:
        return recipe.learning_rate / (1.0 + recipe.learning_rate_decay * done)

    rate: Any = decayed if recipe.learning_rate_decay else recipe.learning_rate
    if recipe.one_cycle:
        rate = optax.cosine_onecycle_schedule(updates, recipe.learning_rate)
    adam = optax.adam(rate, eps=recipe.adam_epsilon)
    if not recipe.weight_decay:
        return adam
    return optax.chain(optax.add_decayed_weights(recipe.weight_decay), adam)


def _fit(
    keys: PRNGKeys,
    recipe: Recipe,
    images: Images,
    watched: Mapping[str, Watched] | None,
    extra_batch: ExtraBatch | None,
    on_epoch: OnEpoch | None,
    on_detectors: Callable[[int, list[Detector]], None] | None,
) -> tuple[list[Detector], History]:
    need_images(images)
    need_at_least(recipe.learning_rate, 0, what="learning_rate")
    system = make_system(recipe, images.shape[1:])
    need_unit_range(np.asarray(images))
    images, held = _hold_out(keys, images, recipe.holdout)
    began = time.perf_counter()
    variables = system.solve(images)
    if variables is not None and (watched or extra_batch is not None):
        raise InputError(f"recipe {recipe.name!r} is fitted in closed form; leave watched and extra_batch out")
    if variables is None:
        detectors, history = _train(keys, system, images, watched, extra_batch, on_epoch, on_detectors)
    else:
        jax.block_until_ready(variables)
        history = History({}, 0.0, time.perf_counter() - began)
        detectors = [Detector(recipe, system.shape, variables)] * len(keys)
    return [_calibrated(detector, held) for detector in detectors], history


def _hold_out(keys: PRNGKeys, images: Images, share: float) -> tuple[Watched, Watched]:
    """The images to train on and those held out, drawn at random; all members share them."""
    if not 0 <= share < 1:
        raise InputError(f"holdout must lie in [0, 1), got {share}")
    pixels = np.asarray(images)
    if not share:
        return pixels, pixels[:0]
    count = round(share * len(images))
    if not 2 <= count < len(images):
        raise InputError(
            f"holdout={share:g} of {len(images)} images is {count}; hold out at least 2 and keep at least 1 to train on"
        )
    # The first key's own splits draw weights, crops and orders; folding is another stream.
    key = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 2**31 - 1)[0]
    held = np.sort(np.asarray(jax.random.permutation(key, len(images)))[:count])
    return np.delete(pixels, held, axis=0), pixels[held]


def _calibrated(detector: Detector, held: Watched) -> Detector:
    if not len(held):
        return detector
    return dataclasses.replace(detector, usual=fit_usual(detector.score(held).map))


def _train(
    keys: PRNGKeys,
    system: System,
    images: Images,
    watched: Mapping[str, Watched] | None,
    extra_batch: ExtraBatch | None,
    on_epoch: OnEpoch | None,
    on_detectors: Callable[[int, list[Detector]], None] | None,
) -> tuple[list[Detector], History]:
    recipe = system.recipe
    pixels = jnp.asarray(images, jnp.float32)
    init_keys, crop_keys, fit_keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    examples = _examples(system, crop_keys, pixels)
    count = examples.shape[examples.ndim - 4]
    steps = count // min(recipe.batch_size, count) + (extra_batch is not None)
    optimizer = make_optimizer(recipe, updates=recipe.epochs * steps)

    @partial(jax.vmap, in_axes=0)
    def start(key: PRNGKey) -> State:
        return training.make_state(system.make_model().init(key, system.example()), optimizer)

    state = jax.jit(start)(init_keys)
    single = len(keys) == 1
    if single:
        # One member runs without the axis in front: a plain product is faster than a batch of one.
        state, fit_keys = jax.tree.map(lambda leaf: leaf[0], (state, fit_keys))
        examples = examples[0] if examples.ndim == 5 else examples

    def detectors(state: State) -> list[Detector]:
        stacked = jax.tree.map(lambda leaf: leaf[None], state) if single else state
        return [_detector(system, jax.tree.map(lambda leaf, i=i: leaf[i], stacked), images) for i in range(len(keys))]

    try:
        state, history = training.fit(
            fit_keys,
            state,
            examples,
            loss=system.make_loss(),
            optimizer=optimizer,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            extra_batch=extra_batch,
            monitor=_monitor(system, watched) if watched else None,
            on_epoch=on_epoch,
            on_state=on_detectors and (lambda done, now: on_detectors(done, detectors(now))),
        )
    except DivergedError as error:
        message = f"{error} (learning_rate is {recipe.learning_rate:g}, batch_size {recipe.batch_size})"
        raise FitDivergedError(message, error.state, error.history, detectors(error.state)) from None
    if single:
        history = history._replace(terms={name: values[:, None] for name, values in history.terms.items()})
    return detectors(state), history


def _examples(system: System, keys: PRNGKeys, images: Images) -> Array:
    """Training examples: `[m, h, w, c]` shared by all members, or `[members, m, h, w, c]` where each has its own."""
    if type(system).make_examples is System.make_examples:
        return jnp.asarray(images)
    return jax.jit(jax.vmap(system.make_examples, in_axes=(0, None)))(keys, images)


def _monitor(system: System, watched: Mapping[str, Watched]) -> Callable[[State], dict[str, Any]]:
    """The mean loss of the watched images, by the running statistics."""
    if not isinstance(system, AutoencoderSystem):
        raise InputError(
            f"recipe {system.recipe.name!r} sees windows, so no whole images can be watched; leave watched out"
        )
    loss = getattr(losses, system.recipe.loss)
    held = {name: jnp.asarray(images, jnp.float32) for name, images in watched.items()}

    def monitor(state: State) -> dict[str, Any]:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return {
            name: jnp.mean(loss(images, system.reconstruct(variables, images).reconstruction))
            for name, images in held.items()
        }

    return monitor


def _detector(system: System, state: State, images: Images) -> Detector:
    variables: dict[str, PyTree] = {"params": state.params}
    if state.batch_stats:
        variables["batch_stats"] = state.batch_stats
    detector = Detector(system.recipe, system.shape, variables)
    if system.recipe.score != "one_class_svm":
        return detector
    return dataclasses.replace(detector, head=one_class_svm.fit(detector.encode(images)))


def _first(on_detector: Callable[[int, Detector], None], done: int, detectors: list[Detector]) -> None:
    on_detector(done, detectors[0])
