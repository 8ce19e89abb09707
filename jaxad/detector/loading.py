"""Reading a detector from its file; every array must fit the model of its recipe."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxad import bundle, recipes
from jaxad._check import raise_problems
from jaxad.calibration import Usual
from jaxad.detector.arrays import flat, misfits, path_of
from jaxad.detector.detector import PART, Candidate, Detector
from jaxad.detector.systems import make_system
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import DenseAERecipe


def from_contents(
    arrays: Mapping[str, np.ndarray], document: Mapping[str, bundle.JSON], path: str | os.PathLike[str]
) -> Detector:
    """The detector in what was read from the bundle at `path`; arrays `[...]` under `pipeline/` are not its own.

    Raises:
        InputError: the bundle holds no detector, or its arrays do not fit the model of its recipe; all that do not fit
            are listed.
    """
    arrays = {name: array for name, array in arrays.items() if not name.startswith(PART)}
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
    recipe, shape = recipes.from_document(stored), (sizes[0], sizes[1], sizes[2])
    system = make_system(recipe, shape)
    template = system.template(arrays)
    wanted = flat({"variables": template}, shapes=True)
    if isinstance(recipe, DenseAERecipe) and recipe.score == "one_class_svm":
        wanted.update(_wanted_head(arrays, recipe.encoder[-1]))
    if system.calibrated:
        wanted.update({f"usual/{name}": jax.ShapeDtypeStruct(shape[:2], np.float32) for name in Usual._fields})
    raise_problems(misfits(arrays, wanted, path))
    variables = jax.tree_util.tree_map_with_path(lambda keys, leaf: arrays[path_of(("variables", *keys))], template)
    head = None
    if system.score_name == "one_class_svm":
        head = OneClassSVM(*(arrays[f"head/{name}"] for name in OneClassSVM._fields))
    usual = Usual(*(jnp.asarray(arrays[f"usual/{name}"]) for name in Usual._fields)) if system.calibrated else None
    return Detector(recipe, shape, variables, head, usual, tuple(Candidate(*row) for row in compared))


def _wanted_head(arrays: dict[str, np.ndarray], codes: int) -> dict[str, Any]:
    """The arrays of an SVM on so many codes; the file itself says how many support vectors there are."""
    found = arrays.get("head/weights")
    count = found.shape[0] if found is not None and found.ndim else 1
    head = OneClassSVM(np.empty((count, codes)), np.empty(count), np.empty(()), np.empty(()))
    return {f"head/{name}": part for name, part in head._asdict().items()}
