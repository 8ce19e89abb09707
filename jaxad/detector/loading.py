"""Reading a detector from its file; every array must fit the model of its recipe."""

import os
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxad import (
    bundle,
    methods,  # noqa: F401  (registers the kinds that files name)
    recipes,
)
from jaxad._check import InputError, raise_problems
from jaxad.calibration import Usual
from jaxad.detector.arrays import flat, misfits, path_of
from jaxad.detector.computing import need_sound, score_shapes, template
from jaxad.detector.detector import PART, Candidate, Detector
from jaxad.recipes import Recipe, Shape

BEFORE = "head/"
"""Names of the arrays of a one-class SVM in files of jaxad 0.1, which had a place for it beside the variables."""


def from_contents(
    arrays: Mapping[str, np.ndarray], document: Mapping[str, bundle.JSON], path: str | os.PathLike[str]
) -> Detector:
    """The detector in what was read from the bundle at `path`; arrays `[...]` under `pipeline/` are not its own.

    Raises:
        InputError: the bundle holds no detector, or its arrays do not fit the model of its recipe; all that do not fit
            are listed.
    """
    arrays = {_now(name): array for name, array in arrays.items() if not name.startswith(PART)}
    stored, sizes = document.get("recipe"), document.get("shape")
    problems = [] if isinstance(stored, dict) else ["recipe"]
    if not (isinstance(sizes, list) and len(sizes) == 3 and all(isinstance(n, int) and n > 0 for n in sizes)):
        problems.append("shape")
    compared = document.get("comparison", [])
    if not (isinstance(compared, list) and all(isinstance(row, list) and len(row) == 4 for row in compared)):
        problems.append("comparison")
    raise_problems(f"bundle {str(path)!r} holds no detector: it has no {name}" for name in problems)
    assert isinstance(compared, list)
    assert isinstance(stored, dict)
    assert isinstance(sizes, list)
    shape = sizes[0], sizes[1], sizes[2]
    try:
        recipe = recipes.from_document(stored)
        need_sound(recipe, shape)
    except InputError as error:
        raise InputError(
            f"bundle {str(path)!r} holds a recipe that this jaxad cannot read ({error}); read it with the version that "
            "wrote it, or fit it again"
        ) from None
    wanted_variables = template(recipe, shape, arrays)
    wanted = flat({"variables": wanted_variables}, shapes=True)
    calibrated = recipe.judges_by_holdout
    if calibrated:
        wanted.update({f"usual/{name}": jax.ShapeDtypeStruct(shape[:2], np.float32) for name in Usual._fields})
    raise_problems(misfits(arrays, wanted, path))
    variables = jax.tree_util.tree_map_with_path(
        lambda keys, leaf: arrays[path_of(("variables", *keys))], wanted_variables
    )
    _need_scoring(recipe, shape, variables, path)
    usual = Usual(*(jnp.asarray(arrays[f"usual/{name}"]) for name in Usual._fields)) if calibrated else None
    return Detector(recipe, shape, variables, usual, tuple(Candidate(*row) for row in compared))


def _need_scoring(recipe: Recipe, shape: Shape, variables: PyTree, path: str | os.PathLike[str]) -> None:
    """Refuse variables that the recipe's score fails on, such as those of another version of a method; by shapes."""
    try:
        score_shapes(recipe, shape, variables, (1, *shape))
    except (KeyError, TypeError, ValueError, IndexError) as error:  # InputError is a ValueError
        reason = str(error).partition(chr(10))[0]
        raise InputError(
            f"bundle {str(path)!r} does not fit its recipe {recipe.name!r}, whose score fails on what the file holds "
            f"({type(error).__name__}: {reason}); fit it again, or read it with the version that wrote it"
        ) from None


def _now(name: str) -> str:
    return f"variables/one_class_svm/{name.removeprefix(BEFORE)}" if name.startswith(BEFORE) else name
