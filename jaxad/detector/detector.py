"""`Detector`: a recipe with its trained variables; it scores, reconstructs, saves itself."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, PyTree

from jaxad import bundle, recipes
from jaxad._check import InputError, naming, need_channels_last, need_images, need_one_of
from jaxad._types import AnyArray, Images
from jaxad.batching import run_in_batches
from jaxad.calibration import Usual
from jaxad.canvases import Canvases
from jaxad.detector.arrays import flat
from jaxad.detector.batches import Found, Names, Shot, score_shots
from jaxad.detector.computing import (
    CALIBRATED,
    Scored,
    apply_recipe,
    for_scoring,
    need_shape,
    reconstruct_images,
    times,
    what_is,
)
from jaxad.extents import Batch, Extent, model_input, on_photograph
from jaxad.images import WHOLE, batches, photographs, unit_pixels
from jaxad.recipes import Recipe
from jaxad.sharding import automatic, shares, whole

PART = "part/"
"""Names of arrays in a bundle that begin so belong to `jaxad.pipeline`, which adds them."""
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

    score: np.ndarray
    """One score an image, float32 `[n]`."""
    map: Any
    """One score a pixel, float32 `[n, h, w]`; where images have several sizes, a list of `[h, w]`."""


@flax.struct.dataclass
class Detector:
    """A trained detector; a pytree whose leaves are the variables of its model."""

    recipe: Recipe = flax.struct.field(pytree_node=False)
    shape: tuple[int, int, int] = flax.struct.field(pytree_node=False)
    """Height, width and channels of the images it was fitted on."""
    variables: dict[str, PyTree]
    usual: Usual | None = None
    """What held-out normal images score at each position, where the recipe is calibrated by them."""
    comparison: tuple[Candidate, ...] = flax.struct.field(pytree_node=False, default=())
    """The recipes from which this one was chosen, by `auto`."""
    mesh: Mesh | None = flax.struct.field(pytree_node=False, default=None)
    """The devices that share every batch; see `on_mesh`."""

    def __repr__(self) -> str:
        """What it is, in a line; its arrays have millions of numbers."""
        count = sum(getattr(leaf, "size", 0) for leaf in jax.tree.leaves(self.variables))
        return f"Detector({self.recipe.name!r}, images of {times(self.shape)}, {count} numbers)"

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
        """Score images by the score that the recipe names.

        Patch recipes take images of any sizes that the window fits, the others those of the size they were fitted on.
        Images are scored in batches of few sizes, so any number of them, and of sizes, compiles few programs. Those of
        an iterable are read when their turn comes, so that memory holds few of them, and the results.

        Args:
            source: an array `[n, h, w, c]`, `[h, w, c]` or `[h, w]`, a path, a Pillow image, or an iterable of these.
                uint8 is divided by 255, uint16 by 65535, float must lie in [0, 1]. All are grey or all in colour, as
                the images fitted on; `jaxad.Pipeline` takes mixed ones.
            any_range: take values outside [0, 1] too, such as images of noise; NaN is refused all the same.
            dtype: what a trained network computes in; `"bfloat16"` is faster on accelerators and changes scores
                slightly, which `python -m benchmarks.heatmap` measures. Scores are float32 whatever it is; so are
                closed forms, tables, and frozen networks.

        Raises:
            InputError: wrong rank, dtype, size or channel count, values outside [0, 1], or NaN; a file that cannot be
                read; no image at all; a score that is not finite.
        """
        return self._scored(source, (self.score_name,), any_range, dtype)[self.score_name]

    def score_all(self, source: Any, *, any_range: bool = False, dtype: DTypeLike = "float32") -> dict[str, Scores]:
        """Every score of the model by name, from one pass; else as `score`.

        Where the recipe holds normal images out, `"calibrated"` is its map in units of what is usual among them, with
        the score that is pooled from that; a score that the recipe gives beside its map stays as it is.
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

    def apply(
        self,
        images: Images,
        *,
        dtype: DTypeLike = "float32",
        extent: Extent | None = None,
        counted: Bool[AnyArray, "n h w"] | None = None,
    ) -> dict[str, Scored]:
        """The pure function under `score_all`, for images `[n, h, w, c]`; jit-safe, values unchecked.

        Recipes of any size take canvases too, with their `extent`, and pool maps where pixels are `counted`; see
        `jaxad.extents`.
        """
        if extent is not None and counted is None:
            counted = on_photograph((images.shape[1], images.shape[2]), extent)
        batch = Batch(images, extent, counted)
        return apply_recipe(self.recipe, self.shape, self.variables, batch, dtype=dtype, usual=self.usual)

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse images of height, width and channels that it cannot judge.

        Raises:
            InputError: the model cannot read them, or positions are judged and they have others.
        """
        need_shape(self.recipe, self.shape, shape)
        if self.usual is not None and shape[:2] != self.usual.mean.shape:
            raise InputError(
                f"images must be {times(self.usual.mean.shape)} pixels, whose positions the detector was calibrated "
                f"at, got {times(shape[:2])}; resize them, or use a recipe without calibration"
            )

    @property
    def score_name(self) -> str:
        """Which of the scores of `apply` judges an image."""
        return self.recipe.score_name if self.usual is None else CALIBRATED

    @cached_property
    def canvases(self) -> Canvases | None:
        """What photographs of any sizes are laid on; None where all must have the size fitted on."""
        reach = self.recipe.reach
        return None if reach is None or self.usual is not None else Canvases(reach=reach, step=self.recipe.step)

    @property
    def shares(self) -> int:
        """How many devices share a batch."""
        return self.mesh.size if self.mesh else 1

    @cached_property
    def for_scoring(self) -> "Detector":
        """The same detector, its variables on the device once, with what makes scoring faster beside them."""
        detector = dataclasses.replace(self, variables=for_scoring(self.recipe, self.shape, self.variables))
        return jax.device_put(detector, self.mesh and whole(self.mesh))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the detector to one file of arrays and JSON, which `jaxad.load` reads; see `jaxad.bundle`.

        Raises:
            InputError: the file cannot be written.
        """
        bundle.write(path, *self.contents())

    def contents(self) -> tuple[dict[str, np.ndarray], dict[str, bundle.JSON]]:
        """What `save` writes: arrays by name and the document; others may add entries under names of their own."""
        tree = {"variables": self.variables, **({"usual": self.usual._asdict()} if self.usual else {})}
        document: dict[str, bundle.JSON] = {
            "jaxad": importlib.metadata.version("jaxad"),
            "recipe": recipes.to_document(self.recipe),
            "shape": list(self.shape),
            "comparison": [list(candidate) for candidate in self.comparison],
        }
        return flat(tree), document

    def _scored(
        self, source: Any, names: tuple[str, ...] | None, any_range: bool, dtype: DTypeLike
    ) -> dict[str, Scores]:
        if isinstance(source, jax.core.Tracer):
            raise InputError(
                "Detector.score gives NumPy arrays, which jax.jit and the like cannot trace; inside of these call "
                "Detector.apply(images)"
            )
        kind = next((name for name in DTYPES if jnp.dtype(name) == dtype), str(dtype))
        need_one_of(kind, DTYPES, what="dtype")
        scored = self._gathered(source, names, partial(_score_batch, self.for_scoring, kind), any_range)
        for name, scores in scored.items():
            bad, count = np.flatnonzero(~np.isfinite(scores.score)), len(scores.score)
            if bad.size:
                raise InputError(
                    f"scores {name!r} must be finite, got NaN or infinity for {bad.size} of {count} images, "
                    f"first for image {bad[0]}; scale pixels far outside [0, 1], or fit again: weights may be broken, "
                    f"or the score of {what_is(self.recipe)} gives them"
                )
        return scored

    def _gathered(
        self, source: Any, names: Names, score: Callable[[Names, Batch], dict[str, Scored]], any_range: bool
    ) -> dict[str, Scores]:
        """Scores of images by name: of an array of a size that has a program at once, else few images at a time."""
        if len(getattr(source, "shape", ())) == 4:
            source = self._need_array(source, any_range)
            size = (source.shape[1], source.shape[2])
            if self.canvases is None or self.canvases.admit([size] * len(source)).is_exact(size):
                wholes = run_in_batches(partial(score, names), source, shares=self.shares)
                return {name: Scores(*parts) for name, parts in wholes.items()}
        found: list[dict[str, Found]] = []
        for batch in self._read(source, any_range):
            shots = [Shot(pixels) for pixels in batch]
            for one in score_shots(score, names, shots, self.recipe, self.canvases, shares=self.shares):
                if isinstance(one, InputError):
                    with naming(len(found)):
                        raise one
                found.append(one)
        return {name: gathered([scored[name] for scored in found]) for name in found[0]}

    def _read(self, source: Any, any_range: bool) -> Iterator[list[np.ndarray]]:
        """Images that the model can read, few at a time."""
        count = 0
        for batch in batches(((None, one) for one in photographs(source, any_range=any_range)), shares=self.shares):
            for _, pixels in batch:
                with naming(count):
                    self.need_shape(pixels.shape)
                count += 1
            yield [pixels for _, pixels in batch]
        if not count:
            raise InputError("images must be at least one, got none")

    def _need_array(self, images: Any, any_range: bool) -> np.ndarray:
        """Images of one array `[n, h, w, c]`: whole numbers as they are, float as float32."""
        need_images(images, any_dtype=True)
        need_channels_last(images.shape)
        self.need_shape(images.shape[1:])
        return np.asarray(images) if images.dtype in WHOLE else unit_pixels(images, any_range=any_range)

    def _autoencoded(self, source: Any, any_range: bool) -> Any:
        run = partial(_reconstruct_batch, self)
        if len(getattr(source, "shape", ())) == 4:
            return run_in_batches(run, self._need_array(source, any_range), shares=self.shares)
        parts = [run_in_batches(run, np.stack(batch), shares=self.shares) for batch in self._read(source, any_range)]
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def gathered(found: Sequence[Found]) -> Scores:
    """Scores of single images `[h, w]` together."""
    maps = [one.map for one in found]
    one_size = len({score_map.shape for score_map in maps}) == 1
    return Scores(np.array([one.score for one in found], np.float32), np.stack(maps) if one_size else maps)


def on_devices(mesh: Mesh | None, function: Callable[[Any, Batch], PyTree], fitted: PyTree, batch: Batch) -> PyTree:
    """`function` of what was fitted and of a batch; on a mesh every device has all of one and a share of the other."""
    if mesh is None:
        return function(fitted, batch)
    specs = whole(mesh).spec, shares(mesh).spec
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=specs[1], check_vma=False)(fitted, batch)


# Outside jit the recipe and the shape are static, so each compiles once.
@partial(jax.jit, static_argnums=(1, 2))
def _score_batch(detector: Detector, dtype: str, names: Names, batch: Batch) -> dict[str, Scored]:
    def score(detector: Detector, batch: Batch) -> dict[str, Scored]:
        images = model_input(batch, detector.shape[-1])
        scored = detector.apply(images, dtype=dtype, extent=batch.extent, counted=batch.counted)
        return scored if names is None else {name: scored[name] for name in names}

    return on_devices(detector.mesh, score, detector, batch)


@jax.jit
def _reconstruct_batch(detector: Detector, batch: Batch) -> Any:
    def reconstruct(detector: Detector, batch: Batch) -> Any:
        images = model_input(batch, detector.shape[-1])
        return reconstruct_images(detector.recipe, detector.shape, detector.variables, images)

    return on_devices(detector.mesh, reconstruct, detector, batch)
