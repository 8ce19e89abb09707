"""Fitting: normal images in, a trained detector out."""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from jaxad._check import InputError, need_at_least, need_images
from jaxad._types import Images, Pixels, PRNGKey, PRNGKeys
from jaxad.calibration import fit_unit, fit_usual
from jaxad.checkpoints import open_checkpoints
from jaxad.detector import Candidate, Detector, naming, score_shapes, shape_of, what_is
from jaxad.fitting.choosing import OnCandidate, choose
from jaxad.fitting.learning import Extras, FitDivergedError, Watched, train
from jaxad.fitting.soundness import need_finite_variables, need_method, need_score, need_tree
from jaxad.images import unit_pixels
from jaxad.methods import named
from jaxad.recipes import ChoiceRecipe, NetworkRecipe, Recipe, Shape, SolvedRecipe, need_types, settled_fields
from jaxad.thresholds import FEWEST, count_held_out
from jaxad.training import History, OnEpoch

HOLDOUT_STREAM, CHOICE_STREAM = 2**31 - 1, 2**31 - 2
"""Folded into a key, so that its own splits stay free to draw weights, crops and orders."""


def fit(
    key: PRNGKey,
    recipe: Recipe | str,
    images: Pixels,
    *,
    watched: Mapping[str, Watched] | None = None,
    extra_batch: Watched | None = None,
    on_epoch: OnEpoch | None = None,
    on_detector: Callable[[int, Detector], None] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
    mesh: Mesh | None = None,
) -> tuple[Detector, History]:
    """Train a detector on normal images.

    Args:
        key: draws weights, crops, orders and noise; the same key gives the same bits.
        recipe: a name among `jaxad.RECIPES`, one of these recipes, or a variant by `dataclasses.replace`.
        images: normal images `[n, h, w, c]`; uint8 is divided by 255, uint16 by 65535, float must lie in [0, 1].
        watched: other images `[m, h, w, c]` by name, whose loss the history shows under that name; read as `images`
            are, but float of any range. No term of the loss may have that name.
        extra_batch: images `[b, h, w, c]` for one more update after every epoch; read as those to watch.
        on_epoch: called with the epochs done and the means of that epoch's loss terms.
        on_detector: called with the epochs done and the detector as it is then; never for a fusion.
        checkpoints: a folder to keep the newest two states of the training in, so that the same call with `resume`
            goes on from there and ends in the same bits. Each trained part of a fusion has a subfolder of its name;
            what has a closed form is fitted again.
        every: epochs between two checkpoints.
        resume: go on with what the folder holds, or start where it is empty; the calls for each epoch tell of the
            new ones only.
        mesh: devices to share every batch of training among, those of other processes too, which then make the same
            call; the result is that of one device to rounding. What has a closed form is fitted on one.

    Returns:
        The detector and the history of its training, whose terms are empty where the model has a closed form. The
        recipe `auto` gives a detector of the recipe that it chose, with all that it tried as `comparison`.

    Raises:
        InputError: images that cannot be used (see `Detector.score`), an unknown recipe, or one that names an unknown
            loss, score or pool, images to watch by a model that sees windows, or checkpoints that cannot be written,
            hold another training, or hold one that is not to be resumed.
        FitDivergedError: the loss is no longer finite; it carries the detector of the last good epoch.
    """
    _need_key(key)
    kept = open_checkpoints(checkpoints, every=every, resume=resume)
    extras = Extras(watched, extra_batch, on_epoch, on_detector and partial(_first, on_detector), kept, mesh)
    try:
        detectors, history = _fit(key[None], named(recipe), images, extras)
    except FitDivergedError as error:
        error.history = _of_first(error.history)
        raise
    return detectors[0], _of_first(history)


def fit_members(
    key: PRNGKey,
    recipe: Recipe | str,
    images: Pixels,
    *,
    count: int,
    watched: Mapping[str, Watched] | None = None,
    extra_batch: Watched | None = None,
    on_epoch: OnEpoch | None = None,
    on_detector: Callable[[int, Detector], None] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
    mesh: Mesh | None = None,
) -> tuple[list[Detector], History]:
    """Train `count` detectors that differ in their random choices only, in one compiled program.

    Arguments, errors and results as for `fit`; the terms of the history are `[epochs, count]`, and `on_detector` is
    called with the first detector.
    """
    need_at_least(count, 1, what="count")
    _need_key(key)
    kept = open_checkpoints(checkpoints, every=every, resume=resume)
    extras = Extras(watched, extra_batch, on_epoch, on_detector and partial(_first, on_detector), kept, mesh)
    return _fit(jax.random.split(key, count), named(recipe), images, extras)


def choose_recipe(
    key: PRNGKey,
    recipe: ChoiceRecipe,
    images: Pixels,
    *,
    mesh: Mesh | None = None,
    on_candidate: OnCandidate | None = None,
) -> tuple[Recipe, tuple[Candidate, ...]]:
    """The recipe that `fit` would choose for `auto`, and what was found about each candidate; nothing else is fitted.

    Arguments as for `fit`, images `[n, h, w, c]`; `on_candidate` is called with the candidates done and how many there
    are. Warns with `NothingToldWarning` where no candidate tells normal images from copies that were made wrong.

    Raises:
        InputError: images that cannot be used, too few to judge by, or none of the candidates can be fitted.
    """
    need_images(images, any_dtype=True)
    return choose(
        jax.random.fold_in(key, CHOICE_STREAM),
        recipe,
        unit_pixels(images),
        fit=lambda *given: fit(*given, mesh=mesh)[0],
        on_candidate=on_candidate,
    )


def _need_key(key: object) -> None:
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise InputError(f"key must come from jax.random.key(seed), got {type(key).__name__}; write jax.random.key(0)")
    if key.shape:
        raise InputError(f"key must be a single one, got an array of keys {list(key.shape)}; take one of them")


def _fit(keys: PRNGKeys, recipe: Recipe, images: Pixels, extras: Extras) -> tuple[list[Detector], History]:
    need_types(recipe)
    need_images(images, any_dtype=True)
    images = unit_pixels(images)
    if isinstance(recipe, ChoiceRecipe):
        chosen, comparison = choose_recipe(keys[0], recipe, images, mesh=extras.mesh)
        detectors, history = _fit(keys, chosen, images, extras)
        return [dataclasses.replace(detector, comparison=comparison) for detector in detectors], history
    if isinstance(recipe, NetworkRecipe):
        need_at_least(recipe.learning_rate, 0, what="learning_rate")
        need_at_least(recipe.batch_size, 1, what="batch_size")
        need_at_least(recipe.epochs, 1, what="epochs")
        need_at_least(recipe.restarts, 1, what="restarts")
    need_method(recipe, len(images), shape_of(images))
    asked = {"watched": extras.watched, "extra_batch": extras.extra_batch is not None}
    if not isinstance(recipe, NetworkRecipe) and any(asked.values()):
        given = " and ".join(name for name, there in asked.items() if there)
        raise InputError(f"recipe {recipe.name!r} is not one network that is trained; leave {given} out")
    extras = _usable(extras, shape_of(images))
    images, held = _hold_out(keys, images, recipe.holdout)
    recipe = derived(recipe, "settle", images, np.asarray(images))
    if recipe.ingredients:
        return _fit_parts(keys, recipe, images, held, extras)
    if isinstance(recipe, NetworkRecipe):
        detectors, history = train(keys, recipe, images, extras)
    elif isinstance(recipe, SolvedRecipe):
        detectors, history = _solve(recipe, images, count=len(keys))
    else:
        raise InputError(f"recipe {recipe.name!r} is neither trained nor solved nor made of others")
    for detector in detectors:
        need_finite_variables(detector.recipe, detector.variables)
    if not recipe.judges_by_holdout:
        return detectors, history
    return [_calibrated(detector, held) for detector in detectors], history


def _usable(extras: Extras, shape: Shape) -> Extras:
    """With images to watch and the extra batch as float32, as images to fit on are, but in any range: noise may be."""

    def usable(given: Watched, what: str) -> Images:
        pixels = unit_pixels(given, any_range=True, what=what)
        if shape_of(pixels) != shape:
            raise InputError(
                f"{what} must be of shape [n, {', '.join(map(str, shape))}], as the images to fit on, got "
                f"{pixels.shape}; resize them"
            )
        return pixels

    watched = {name: usable(images, f"watched images {name!r}") for name, images in (extras.watched or {}).items()}
    batch = extras.extra_batch
    return extras._replace(watched=watched, extra_batch=None if batch is None else usable(batch, "extra_batch"))


def derived(recipe: Recipe, function: str, images: Pixels, given: Any) -> Recipe:
    """The recipe that a function of another one makes of what is given, for `images` `[n, h, w, c]` to fit on.

    Raises:
        InputError: the function fails, or makes no recipe.
    """
    with naming(recipe, function, shape_of(images)):
        made = getattr(recipe, function)(given)
    if not isinstance(made, Recipe):
        raise InputError(f"{what_is(recipe)}: {function} must give a recipe, it gave {type(made).__name__}")
    return made


def _solve(recipe: SolvedRecipe, images: Images, *, count: int) -> tuple[list[Detector], History]:
    began, shape = time.perf_counter(), shape_of(images)
    with naming(recipe, "solve", shape):
        variables = recipe.solve(np.asarray(images))
    if not isinstance(variables, Mapping):
        raise InputError(
            f"{what_is(recipe)}: solve must give a dictionary of arrays, it gave {type(variables).__name__}"
        )
    need_tree(recipe, variables)
    jax.block_until_ready(variables)
    need_score(recipe, shape, variables)
    return [Detector(recipe, shape, variables)] * count, History({}, 0.0, time.perf_counter() - began)


def _fit_parts(
    keys: PRNGKeys, recipe: Recipe, images: Images, held: Watched, extras: Extras
) -> tuple[list[Detector], History]:
    """Every part on its own, then what it says of the held-out images as its unit."""
    members: list[dict[str, PyTree]] = [{} for _ in keys]
    terms, compile_seconds, seconds = {}, 0.0, 0.0
    for part in recipe.ingredients:  # before the first is trained
        need_method(part, len(images), shape_of(images))
        settled = derived(part, "settle", images, images)
        if settled != part:
            raise InputError(
                f"{what_is(recipe)}: its ingredient {part.name!r} leaves open what the images decide "
                f"({', '.join(settled_fields(part, settled))}); let settle of {type(recipe).__name__} settle it too, "
                "as jaxad.methods.FusionRecipe does"
            )
    for i, part in enumerate(recipe.ingredients):
        part_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, i)
        kept = extras.checkpoints and extras.checkpoints.part(part.name)
        fitted, history = _fit(
            part_keys, part, images, Extras(on_epoch=extras.on_epoch, checkpoints=kept, mesh=extras.mesh)
        )
        for member, detector in zip(members, fitted, strict=True):
            scores = detector.score(held)
            units = {"image": fit_unit(scores.score)._asdict(), "map": fit_unit(scores.map)._asdict()}
            member[part.name] = {"variables": detector.variables, **units}
        terms.update({f"{part.name} {name}": values for name, values in history.terms.items()})
        compile_seconds, seconds = compile_seconds + history.compile_seconds, seconds + history.seconds
    shape = shape_of(images)
    score_shapes(recipe, shape, members[0], (2, *shape))
    return [Detector(recipe, shape, member) for member in members], History(terms, compile_seconds, seconds)


def _hold_out(keys: PRNGKeys, images: Images, share: float) -> tuple[Watched, Watched]:
    """The images to train on and those held out, drawn at random; all members share them."""
    pixels = np.asarray(images).view()
    pixels.flags.writeable = False  # they are the caller's
    if not share:
        return pixels, pixels[:0]
    count = count_held_out(len(images), share=share)
    if not count:
        raise InputError(
            f"holdout={share:g} of {len(images)} images is {round(share * len(images))}; hold out at least {FEWEST} "
            "and keep at least 1 to train on"
        )
    key = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, HOLDOUT_STREAM)[0]
    held = np.sort(np.asarray(jax.random.permutation(key, len(images)))[:count])
    return np.delete(pixels, held, axis=0), pixels[held]


def _calibrated(detector: Detector, held: Watched) -> Detector:
    if not len(held):
        return detector
    return dataclasses.replace(detector, usual=fit_usual(detector.score(held).map))


def _of_first(history: History) -> History:
    return history._replace(terms={name: values[:, 0] for name, values in history.terms.items()})


def _first(on_detector: Callable[[int, Detector], None], done: int, detectors: list[Detector]) -> None:
    on_detector(done, detectors[0])
