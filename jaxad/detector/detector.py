"""`Detector`: a recipe with its trained variables; it scores, reconstructs, saves itself."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Float, PyTree

from jaxad import bundle, recipes
from jaxad._check import InputError, need_one_of, raise_problems
from jaxad._types import Images
from jaxad.calibration import Usual, unusualness
from jaxad.detector.autoencoders import AutoencoderSystem
from jaxad.detector.batches import in_batches
from jaxad.detector.system import POOLS, Scored, System
from jaxad.detector.systems import make_system
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import DenseAERecipe, Recipe
from jaxad.sharding import automatic, shares, whole

__all__ = ["CALIBRATED", "POOLS", "Detector", "Scores"]

CALIBRATED = "calibrated"
PART = "part/"
"""Names of arrays in a bundle that begin so belong to `jaxad.part`, which adds them."""
DTYPES = ("float32", "bfloat16")
"""What a model can compute in."""


class Candidate(NamedTuple):
    """What `auto` found out about one recipe."""

    name: str
    separation: float | None
    """Mean of four AUROCs, each of held-out normal images against copies of them: with a defect drawn on each, upside
    down, turned by half, and mixed with another. None where the recipe could not be fitted."""
    seconds: float
    """To fit it on the other images and to score."""
    reason: str
    """Why it could not be fitted; empty where it could."""


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
    usual: Usual | None = None
    """What held-out normal images score at each position, where the recipe is calibrated by them."""
    comparison: tuple[Candidate, ...] = flax.struct.field(pytree_node=False, default=())
    """The recipes from which this one was chosen, by `auto`."""
    mesh: Mesh | None = flax.struct.field(pytree_node=False, default=None)
    """The devices that share every batch; see `on_mesh`."""

    def on_mesh(self, mesh: Mesh | None) -> "Detector":
        """The same detector, which shares every batch among the devices of a mesh; None takes it off again.

        Each device has the whole detector and scores whole images, so scores are those of one device to rounding.

        Raises:
            InputError: the mesh has devices of another process.
        """
        if mesh is not None and mesh.is_multi_process:
            raise InputError(
                "a mesh to score on must have devices of this process alone, got those of several; let every process "
                "score a share of the images, on jax.local_devices()"
            )
        return dataclasses.replace(self, mesh=mesh and automatic(mesh))

    def score(self, source: Any, *, any_range: bool = False, dtype: DTypeLike = "float32") -> Scores:
        """Score images of one size by the score that the recipe names.

        Patch recipes take any height and width that the window fits, the others those they were fitted on.
        Images are scored in batches of few sizes, so any number of them compiles few programs. Those of an iterable
        are read when their turn comes, so that memory holds one batch, and the results.

        Args:
            source: an array `[n, h, w, c]`, `[h, w, c]` or `[h, w]`, a path, a Pillow image, or an iterable of these.
                uint8 is divided by 255, uint16 by 65535, float must lie in [0, 1]. All have one size and are all grey
                or all in colour, as the images fitted on; `jaxad.Part` takes mixed ones.
            any_range: take values outside [0, 1] too, such as images of noise; NaN is refused all the same.
            dtype: what the model computes in; `"bfloat16"` is faster on accelerators and changes scores
                slightly, which `python -m benchmarks.heatmap` measures. Scores are float32 whatever it is.

        Raises:
            InputError: wrong rank, dtype, size or channel count, values outside [0, 1], or NaN; mixed sizes; a file
                that cannot be read; no image at all; a score that is not finite.
        """
        name = self.recipe.score if self.usual is None else CALIBRATED
        return self._scored(source, (name,), any_range, dtype)[name]

    def score_all(self, source: Any, *, any_range: bool = False, dtype: DTypeLike = "float32") -> dict[str, Scores]:
        """Every score of the model by name, from one pass; else as `score`.

        Where the recipe holds normal images out, `"calibrated"` is its score in units of what is usual among them.
        """
        return self._scored(source, None, any_range, dtype)

    def reconstruct(self, source: Any, *, any_range: bool = False) -> Float[np.ndarray, "n h w c"]:
        """What the model makes of whole images: `[n, h, w, c]`; arguments as in `score`.

        Raises:
            InputError: as `score`, or the model is no autoencoder of whole images.
        """
        return self._autoencoded(source, any_range).reconstruction

    def encode(self, source: Any, *, any_range: bool = False) -> Float[np.ndarray, "n *code"]:
        """The model's code of whole images: `[n, ...]`; arguments and errors as in `reconstruct`."""
        return self._autoencoded(source, any_range).code

    def apply(self, images: Images, *, dtype: DTypeLike = "float32") -> dict[str, Scored]:
        """The pure function under `score_all`, for images `[n, h, w, c]`; jit-safe, values unchecked."""
        scored = self.system.score(self.variables, self.head, images, dtype)
        if self.usual is None:
            return scored
        score_map = unusualness(scored[self.recipe.score].map, self.usual)
        return {**scored, CALIBRATED: Scored(POOLS[self.recipe.pool](score_map), score_map)}

    @property
    def system(self) -> System:
        """What the recipe's names mean for images of this shape."""
        return make_system(self.recipe, self.shape)

    @property
    def shares(self) -> int:
        """How many devices share a batch."""
        return self.mesh.size if self.mesh else 1

    @cached_property
    def for_scoring(self) -> "Detector":
        """The same detector, its variables on the device once, with what makes scoring faster on this backend."""
        detector = dataclasses.replace(self, variables=self.system.for_scoring(self.variables))
        return jax.device_put(detector, self.mesh and whole(self.mesh))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the detector to one file of arrays and JSON, which `jaxad.load` reads; see `jaxad.bundle`.

        Raises:
            InputError: the file cannot be written.
        """
        bundle.write(path, *self.contents())

    def contents(self) -> tuple[dict[str, np.ndarray], dict[str, bundle.JSON]]:
        """What `save` writes: arrays by name and the document; others may add entries under names of their own."""
        parts = {"head": self.head, "usual": self.usual}
        tree = {"variables": self.variables, **{name: part._asdict() for name, part in parts.items() if part}}
        document: dict[str, bundle.JSON] = {
            "jaxad": importlib.metadata.version("jaxad"),
            "recipe": recipes.to_document(self.recipe),
            "shape": list(self.shape),
            "comparison": [list(candidate) for candidate in self.comparison],
        }
        return _flat(tree), document

    def _scored(
        self, source: Any, names: tuple[str, ...] | None, any_range: bool, dtype: DTypeLike
    ) -> dict[str, Scores]:
        name = dtype if isinstance(dtype, str) else jnp.dtype(dtype).name
        need_one_of(name, DTYPES, what="dtype")
        detector = self.for_scoring if name == "float32" else self
        scored = detector._in_batches(_score_batch, (names, name), source, any_range)
        for score, parts in scored.items():
            bad = np.flatnonzero(~np.isfinite(parts[0]))
            if bad.size:
                raise InputError(
                    f"scores {score!r} must be finite, got NaN or infinity for {bad.size} of {len(parts[0])} images, "
                    f"first for image {bad[0]}; scale pixels far outside [0, 1], or fit again: weights may be broken"
                )
        return {name: Scores(*parts) for name, parts in scored.items()}

    def _autoencoded(self, source: Any, any_range: bool) -> Any:
        if not isinstance(self.system, AutoencoderSystem):
            raise InputError(
                f"recipe {self.recipe.name!r} is no autoencoder of whole images, so it reconstructs none; score them"
            )
        return self._in_batches(_reconstruct_batch, (), source, any_range)

    def _in_batches(self, function: Any, options: tuple[Any, ...], source: Any, any_range: bool) -> Any:
        # Outside jit the recipe and the shape are static, so each compiles once.
        run = partial(_run_batch, function, options, self)
        return in_batches(run, source, need_shape=self.system.need_shape, any_range=any_range, shares=self.shares)


@partial(jax.jit, static_argnums=(0, 1))
def _run_batch(function: Any, options: tuple[Any, ...], detector: Detector, images: Images) -> Any:
    """`function` of a batch, on a mesh every device with its share."""
    run = partial(function, *options)
    if detector.mesh is not None:
        detectors, batches = whole(detector.mesh).spec, shares(detector.mesh).spec
        run = jax.shard_map(run, mesh=detector.mesh, in_specs=(detectors, batches), out_specs=batches, check_vma=False)
    return run(detector, images)


def _score_batch(names: tuple[str, ...] | None, dtype: str, detector: Detector, images: Images) -> dict[str, Scored]:
    scored = detector.apply(images, dtype=dtype)
    return scored if names is None else {name: scored[name] for name in names}


def _reconstruct_batch(detector: Detector, images: Images) -> Any:
    system = detector.system
    assert isinstance(system, AutoencoderSystem)
    return system.reconstruct(detector.variables, images)


def from_contents(
    arrays: Mapping[str, np.ndarray], document: Mapping[str, bundle.JSON], path: str | os.PathLike[str]
) -> Detector:
    """The detector in what was read from the bundle at `path`; arrays `[...]` under `part/` are not its own.

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
    wanted = _flat({"variables": template}, shapes=True)
    if isinstance(recipe, DenseAERecipe) and recipe.score == "one_class_svm":
        wanted.update(_wanted_head(arrays, recipe.encoder[-1]))
    if system.calibrated:
        wanted.update({f"usual/{name}": jax.ShapeDtypeStruct(shape[:2], np.float32) for name in Usual._fields})
    raise_problems(_misfits(arrays, wanted, path))
    variables = jax.tree_util.tree_map_with_path(lambda keys, leaf: arrays[_path(("variables", *keys))], template)
    head = None
    if recipe.score == "one_class_svm":
        head = OneClassSVM(*(arrays[f"head/{name}"] for name in OneClassSVM._fields))
    usual = Usual(*(jnp.asarray(arrays[f"usual/{name}"]) for name in Usual._fields)) if system.calibrated else None
    return Detector(recipe, shape, variables, head, usual, tuple(Candidate(*row) for row in compared))


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
