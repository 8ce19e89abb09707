"""`Detector`: a recipe with its trained variables; it scores, reconstructs, saves itself."""

import importlib.metadata
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax
import jax
import numpy as np
from jaxtyping import Float, PyTree

from jaxad import bundle, recipes
from jaxad._check import InputError, need_images, need_unit_range, raise_problems
from jaxad._types import Images
from jaxad.detector.systems import POOLS, AutoencoderSystem, Scored, System, make_system
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import DenseAERecipe, Recipe

__all__ = ["POOLS", "Detector", "Scores", "load"]

BATCH_PIXELS = 2**18
"""Pixels scored in one call of the compiled program; small images are batched up to it."""


class Scores(NamedTuple):
    """Anomaly scores; higher is more anomalous."""

    image: np.ndarray
    """One score an image, float32 `[n]`."""
    map: np.ndarray
    """One score a pixel, float32 `[n, h, w]`."""


@flax.struct.dataclass
class Detector:
    """A trained detector; a pytree whose leaves are the variables of its model."""

    recipe: Recipe = flax.struct.field(pytree_node=False)
    shape: tuple[int, int, int] = flax.struct.field(pytree_node=False)
    """Height, width and channels of the images it was fitted on."""
    variables: dict[str, PyTree]
    head: OneClassSVM | None = None
    """The one-class SVM on the code, where the recipe has one."""

    def score(self, images: Images, *, any_range: bool = False) -> Scores:
        """Score images `[n, h, w, c]`, float in [0, 1], by the score that the recipe names.

        Patch recipes take any height and width that the window fits, the others those they were fitted on.
        Images are scored in batches of one shape, so any number of them compiles one program.

        Args:
            images: the images.
            any_range: take values outside [0, 1] too, such as images of noise; NaN is refused all the same.

        Raises:
            InputError: wrong rank, dtype, size or channel count, values outside [0, 1], or NaN.
        """
        return self.score_all(images, any_range=any_range)[self.recipe.score]

    def score_all(self, images: Images, *, any_range: bool = False) -> dict[str, Scores]:
        """Every score of the model for images `[n, h, w, c]` by name, from one pass; else as `score`."""
        parts = self._in_batches(_score_batch, images, any_range=any_range)
        return {
            name: Scores(*(np.concatenate(values) for values in zip(*part, strict=True)))
            for name, part in ((name, [p[name] for p in parts]) for name in parts[0])
        }

    def reconstruct(self, images: Images, *, any_range: bool = False) -> Float[np.ndarray, "n h w c"]:
        """What the model makes of whole images `[n, h, w, c]`: `[n, h, w, c]`; arguments as in `score`.

        Raises:
            InputError: as `score`, or the model sees windows and not whole images.
        """
        return np.concatenate([part.reconstruction for part in self._autoencoded(images, any_range)])

    def encode(self, images: Images, *, any_range: bool = False) -> Float[np.ndarray, "n *code"]:
        """The model's code of whole images `[n, h, w, c]`: `[n, ...]`; arguments and errors as in `reconstruct`."""
        return np.concatenate([part.code for part in self._autoencoded(images, any_range)])

    def apply(self, images: Images) -> dict[str, Scored]:
        """The pure function under `score_all`, for images `[n, h, w, c]`; jit-safe, values unchecked."""
        return self.system.score(self.variables, self.head, images)

    @property
    def system(self) -> System:
        """What the recipe's names mean for images of this shape."""
        return make_system(self.recipe, self.shape)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the detector to one file of arrays and JSON, which `jaxad.load` reads; see `jaxad.bundle`.

        Raises:
            InputError: the file cannot be written.
        """
        tree = {"variables": self.variables, **({"head": self.head._asdict()} if self.head else {})}
        document: dict[str, bundle.JSON] = {
            "jaxad": importlib.metadata.version("jaxad"),
            "recipe": recipes.to_document(self.recipe),
            "shape": list(self.shape),
        }
        bundle.write(path, _flat(tree), document)

    def _autoencoded(self, images: Images, any_range: bool) -> list[Any]:
        if not isinstance(self.system, AutoencoderSystem):
            raise InputError(
                f"recipe {self.recipe.name!r} sees windows, so it reconstructs no whole images; score them"
            )
        return self._in_batches(_reconstruct_batch, images, any_range=any_range)

    def _in_batches(self, function: Any, images: Images, *, any_range: bool) -> list[Any]:
        need_images(images)
        self.system.need_shape(images.shape[1:])
        pixels = np.asarray(images, np.float32)
        need_unit_range(pixels, any_range=any_range)
        # Outside jit the recipe and the shape are static, so each compiles once.
        return [
            jax.tree.map(lambda part, n=count: np.asarray(part)[:n], jax.device_get(function(self, batch)))
            for batch, count in _padded_batches(pixels)
        ]


@jax.jit
def _score_batch(detector: Detector, images: Images) -> dict[str, Scored]:
    return detector.apply(images)


@jax.jit
def _reconstruct_batch(detector: Detector, images: Images) -> Any:
    system = detector.system
    assert isinstance(system, AutoencoderSystem)
    return system.reconstruct(detector.variables, images)


def load(path: str | os.PathLike[str]) -> Detector:
    """Read a detector that `Detector.save` wrote.

    Raises:
        InputError: the file is missing, damaged, foreign or too new, or its arrays do not fit the model of its
            recipe; all that do not fit are listed.
    """
    arrays, document = bundle.read(path)
    stored, sizes = document.get("recipe"), document.get("shape")
    problems = [] if isinstance(stored, dict) else ["recipe"]
    if not (isinstance(sizes, list) and len(sizes) == 3 and all(isinstance(n, int) and n > 0 for n in sizes)):
        problems.append("shape")
    raise_problems(f"bundle {str(path)!r} holds no detector: it has no {name}" for name in problems)
    assert isinstance(stored, dict)
    assert isinstance(sizes, list)
    recipe, shape = recipes.from_document(stored), (sizes[0], sizes[1], sizes[2])
    system = make_system(recipe, shape)
    template = jax.eval_shape(system.make_model().init, jax.random.key(0), system.example())
    wanted = _flat({"variables": template}, shapes=True)
    if isinstance(recipe, DenseAERecipe) and recipe.score == "one_class_svm":
        wanted.update(_wanted_head(arrays, recipe.encoder[-1]))
    raise_problems(_misfits(arrays, wanted, path))
    variables = jax.tree_util.tree_map_with_path(lambda keys, leaf: arrays[_path(("variables", *keys))], template)
    head = None
    if recipe.score == "one_class_svm":
        head = OneClassSVM(*(arrays[f"head/{name}"] for name in OneClassSVM._fields))
    return Detector(recipe, shape, variables, head)


def _wanted_head(arrays: dict[str, np.ndarray], codes: int) -> dict[str, Any]:
    """The arrays of an SVM on so many codes; the file itself says how many support vectors there are."""
    found = arrays.get("head/weights")
    count = found.shape[0] if found is not None and found.ndim else 1
    head = OneClassSVM(np.empty((count, codes)), np.empty(count), np.empty(()), np.empty(()))
    return {f"head/{name}": part for name, part in head._asdict().items()}


def _misfits(arrays: dict[str, np.ndarray], wanted: dict[str, Any], path: str | os.PathLike[str]) -> list[str]:
    lines = [f"{name}: bundle has nothing" for name in wanted if name not in arrays]
    lines += [f"{name}: model has nothing" for name in arrays if name not in wanted]
    for name, leaf in wanted.items():
        if name in arrays and arrays[name].shape != leaf.shape:
            lines.append(f"{name}: model has {list(leaf.shape)}, bundle has {list(arrays[name].shape)}")
    return ["\n  ".join([f"bundle {str(path)!r} does not fit its model:", *sorted(lines)])] if lines else []


def _flat(tree: PyTree, *, shapes: bool = False) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_path(keys): leaf if shapes else np.asarray(leaf) for keys, leaf in leaves}


def _path(keys: tuple[Any, ...]) -> str:
    return "/".join(str(getattr(key, "key", key)) for key in keys)


def _padded_batches(images: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of one shape with their counts; the last is filled up with copies of the last image."""
    size = max(1, min(len(images), BATCH_PIXELS // (images.shape[1] * images.shape[2])))
    for begin in range(0, len(images), size):
        batch = images[begin : begin + size]
        yield np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)]), len(batch)
