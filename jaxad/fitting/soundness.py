"""Whether a recipe gives what it should, told by its shapes before anything is computed."""

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxad._check import InputError, name_some
from jaxad._types import PRNGKey
from jaxad.detector import example_of, flat, naming, need_sound, score_shapes, shape_of, what_is
from jaxad.recipes import ChoiceRecipe, NetworkRecipe, Recipe, Shape, SolvedRecipe, Variables
from jaxad.thresholds import count_held_out
from jaxad.training import LossFunction, Terms


def need_method(recipe: Recipe, count: int, shape: Shape) -> None:
    """Refuse a recipe that does not give what it should for so many images of that shape; nothing is computed.

    Raises:
        InputError: fields that do not hash or do not go together, too few images, a model without weights, a loss that
            is no scalar or draws twice from one key, a score of another shape; see `NetworkRecipe`.
    """
    try:
        hash(recipe)
    except TypeError as error:
        raise InputError(
            f"{what_is(recipe)}: its fields must hash, so that programs are compiled once: {error}; use tuples"
        ) from None
    _need_ingredients(recipe)
    need_sound(recipe, shape)
    if not 0 <= recipe.holdout < 1:
        raise InputError(f"holdout must lie in [0, 1), got {recipe.holdout}")
    if isinstance(recipe, NetworkRecipe):
        kept = count - count_held_out(count, share=recipe.holdout)
        if kept < recipe.least_images:
            raise InputError(
                f"{what_is(recipe)}: takes {recipe.least_images} images at the least, got {kept}; use more"
            )
        _need_network(recipe, count, shape)


def _need_ingredients(recipe: Recipe) -> None:
    """Refuse others to put together that have no place of their own, or no unit, in what is fitted."""
    parts: Sequence[Any] = recipe.ingredients
    if not parts:
        return
    names = [getattr(part, "name", None) for part in parts]
    problems = [] if recipe.holdout else ["holdout must be above 0: units of scores come from held-out normal images"]
    if len(set(names)) < len(names):
        problems.append(f"ingredients must have different names, got {names}; name them by dataclasses.replace")
    for part in parts:
        if not isinstance(part, Recipe):
            problems.append(f"ingredients must be recipes, got {part!r}")
        elif isinstance(part, ChoiceRecipe):
            problems.append(f"ingredient {part.name!r} must score by itself, and is a choice among others: take one")
        elif part.holdout:
            problems.append(
                f"ingredient {part.name!r} must leave holdout at 0, got {part.holdout:g}: the whole holds out for all"
            )
    if problems:
        raise InputError(f"{what_is(recipe)}: {'; '.join(problems)}")


@lru_cache(maxsize=64)
def _need_network(recipe: NetworkRecipe, count: int, shape: Shape) -> None:
    images = jax.ShapeDtypeStruct((count, *shape), jnp.float32)
    variables = jax.eval_shape(lambda key, images: _start(recipe, key, images), jax.random.key(0), images)
    need_tree(recipe, variables)
    try:
        need_score(recipe, shape, variables, finished=False)
    except InputError as error:
        # What is only there when training is done cannot be missed before.
        if not isinstance(error.__cause__, KeyError):
            raise


def start(key: PRNGKey, recipe: NetworkRecipe, shape: Shape) -> Variables:
    """The variables before training.

    Raises:
        InputError: they are no dictionary with `params`.
    """
    with naming(recipe, "model", shape):
        model = recipe.model(shape)
    with naming(recipe, "examples", shape):
        example = example_of(recipe, shape)
    with naming(recipe, "init", shape):
        variables = recipe.init(key, model, example)
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise InputError(f"{what_is(recipe)}: init must give a dictionary with `params`; the model has no weights")
    return dict(variables)


def make_loss(recipe: NetworkRecipe, shape: Shape) -> LossFunction:
    """The recipe's loss for `jaxad.training`.

    Raises:
        InputError: when it is called: it gives something else than a scalar, collections and terms.
    """
    model = recipe.model(shape)

    def loss(variables: Variables, batch: Array, key: PRNGKey) -> tuple[Array, tuple[Variables, Terms]]:
        value, changed, terms = _need_loss(recipe, recipe.loss(model, variables, batch, key), variables)
        return value, (changed, terms)

    return loss


def need_tree(recipe: Recipe, variables: Any) -> None:
    """Refuse variables that no file can hold."""
    if isinstance(variables, Mapping):
        for name, value in variables.items():
            if not isinstance(name, str) or "/" in name or not name:
                raise InputError(f"{what_is(recipe)}: variables must have names without a slash, got {name!r}")
            need_tree(recipe, value)
    elif not hasattr(variables, "shape"):
        raise InputError(
            f"{what_is(recipe)}: variables must be nested dictionaries of arrays, so that a file can hold them; got "
            f"{type(variables).__name__}"
        )


def need_finite_variables(recipe: Recipe, variables: PyTree) -> None:
    """Refuse what was fitted where some of it is NaN or infinite: nothing could be scored by it."""
    broken = [
        name
        for name, array in flat(variables).items()
        if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all()
    ]
    if broken:
        raise InputError(
            f"{what_is(recipe)}: what was fitted must be finite, and there is NaN or infinity in {name_some(broken)}; "
            "a smaller learning rate, or other images, may mend it"
        )


def need_score(recipe: NetworkRecipe | SolvedRecipe, shape: Shape, variables: PyTree, *, finished: bool = True) -> None:
    """Refuse a score that is not what a detector takes, or one of any size that takes no other."""

    def score(height: int, width: int) -> None:
        with naming(recipe, "score", (height, width, shape[2])):
            found = score_shapes(recipe, shape, variables, (2, height, width, shape[2]))
        if finished and recipe.score_name not in found:
            raise InputError(f"{what_is(recipe)}: score_name is {recipe.score_name!r}, and score gives {list(found)}")

    height, width, _ = shape
    if recipe.reach is not None and "extent" not in inspect.signature(recipe.score).parameters:
        raise InputError(
            f"{what_is(recipe)}: its reach says that it takes images of any size, so score must have an argument "
            "extent that says where they lie; see jaxad.extents"
        )
    score(height, width)
    if recipe.reach is None:
        return
    try:
        score(height + 3, width + 5)
    except (TypeError, ValueError) as error:
        reason = str(error).partition(chr(10))[0]
        raise InputError(
            f"{what_is(recipe)}: its reach says that it takes images of any size, and fitted on {height} x {width} it "
            f"cannot score {height + 3} x {width + 5} ({reason}); leave reach out, or score windows"
        ) from None


def _start(recipe: NetworkRecipe, key: PRNGKey, images: Array) -> PyTree:
    shape = shape_of(images)
    init_key, draw_key, loss_key = jax.random.split(key, 3)
    variables = start(init_key, recipe, shape)
    with naming(recipe, "examples", shape):
        examples = recipe.examples(draw_key, images)
    batch = images[:2] if examples is None else examples[:2]
    try:
        with naming(recipe, "loss", shape), jax.debug_key_reuse(True):
            jax.eval_shape(jax.jit(make_loss(recipe, shape)), variables, batch, loss_key)
    except jax.errors.KeyReuseError:
        raise InputError(
            f"{what_is(recipe)}: loss draws twice from one key, so that its noise is correlated; split it first with "
            "jax.random.split"
        ) from None
    return variables


def _need_loss(recipe: Recipe, found: Any, variables: Variables) -> tuple[Array, Variables, Terms]:
    if not (isinstance(found, tuple) and len(found) == 3 and all(isinstance(one, Mapping) for one in found[1:])):
        kinds = [_kind(one) for one in (found if isinstance(found, tuple) else [found])]
        raise InputError(
            f"{what_is(recipe)}: loss must give a scalar, a dictionary of the collections that changed and a "
            f"dictionary of terms, as in `return loss, {{}}, {{}}`; it gave {', '.join(kinds)}"
        )
    value, changed, terms = found
    if jnp.shape(value) != ():
        raise InputError(f"{what_is(recipe)}: loss must be a scalar, got shape {jnp.shape(value)}; take its mean")
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise InputError(f"{what_is(recipe)}: loss must be a floating-point number, got {jnp.result_type(value)}")
    if "loss" in terms:
        raise InputError(f"{what_is(recipe)}: a term called 'loss' would hide the loss itself; name it otherwise")
    long = [f"{name!r} of shape {jnp.shape(term)}" for name, term in terms.items() if jnp.shape(term) != ()]
    if long:
        raise InputError(f"{what_is(recipe)}: terms of loss must be scalars, got {', '.join(long)}; take their means")
    strange = [name for name in changed if name not in variables or name == "params"]
    if strange:
        raise InputError(
            f"{what_is(recipe)}: loss changes collections {strange}, and those beside params are "
            f"{[name for name in variables if name != 'params']}"
        )
    return value, dict(changed), dict(terms)


def _kind(value: Any) -> str:
    return "an array" if hasattr(value, "shape") else type(value).__name__
