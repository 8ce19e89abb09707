"""What each recipe's model is: one system a kind of model, and the one that adds others."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, PyTree

from jaxad._check import InputError, need_one_of, raise_problems
from jaxad._types import AnyArray, Images
from jaxad.calibration import Unit, in_unit
from jaxad.detector.autoencoders import ConvAESystem, DenseAESystem
from jaxad.detector.closed_form import ClosedFormSystem
from jaxad.detector.dense_vae import DenseVAESystem
from jaxad.detector.drawn_defects import DrawnDefectsSystem
from jaxad.detector.methods import NetworkSystem, SolvedSystem
from jaxad.detector.patch_components import PatchComponentsSystem
from jaxad.detector.patch_vae import PatchVAESystem
from jaxad.detector.system import Scored, System
from jaxad.extents import Extent
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import FusionRecipe, NamedRecipe, NetworkRecipe, Recipe


class FusionSystem(System):
    """The sum of the scores of few, different detectors, each in deviations above its held-out normal ones."""

    recipe: FusionRecipe
    scores: ClassVar[tuple[str, ...]] = ("fused",)
    losses = ("none",)
    fitted_at_once = True

    def need_sound(self) -> None:
        """See `System`; the parts must be different, and leave holding out and calibration to the sum."""
        super().need_sound()
        recipe, names = self.recipe, [part.name for part in self.recipe.parts]
        problems = [] if recipe.holdout else ["holdout must be above 0: units come from held-out normal images"]
        if not names or len(set(names)) < len(names):
            problems.append(f"parts must be at least one, under different names; got {names}")
        problems += [
            f"part {part.name!r} must leave holdout at 0, got {part.holdout:g}: the fusion holds out for all"
            for part in recipe.parts
            if part.holdout
        ]
        problems += [
            f"part {part.name!r} must score by its model alone, got 'one_class_svm'"
            for part in recipe.parts
            if getattr(part, "score", None) == "one_class_svm"
        ]
        raise_problems(problems)
        for part in recipe.parts:
            make_system(part, self.shape)

    @property
    def calibrated(self) -> bool:
        """See `System`; the units of the parts are all that the held-out images give."""
        return False

    @property
    def systems(self) -> dict[str, System]:
        """The systems of the parts by name."""
        return {part.name: make_system(part, self.shape) for part in self.recipe.parts}

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse images `[h, w, c]` that one of the parts cannot read."""
        for system in self.systems.values():
            system.need_shape(shape)

    def template(self, arrays: Mapping[str, Any]) -> PyTree:
        """See `System`."""
        number = jax.ShapeDtypeStruct((), jnp.float32)
        unit = dict.fromkeys(Unit._fields, number)
        return {
            name: {"variables": system.template(_inside(arrays, name)), "image": unit, "map": unit}
            for name, system in self.systems.items()
        }

    def for_scoring(self, variables: PyTree) -> PyTree:
        """See `System`; of every part."""
        return {
            name: {**variables[name], "variables": system.for_scoring(variables[name]["variables"])}
            for name, system in self.systems.items()
        }

    @property
    def reach(self) -> int | None:
        """See `System`: the furthest of any part."""
        reaches = [system.reach for system in self.systems.values()]
        return max(reach or 0 for reach in reaches) if None not in reaches else None

    @property
    def step(self) -> int:
        """See `System`: one that suits all parts."""
        return math.lcm(*(system.step for system in self.systems.values()))

    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """The sum, `fused`, and what each part adds to it, by its name; images `[n, h, w, c]`, no unit."""
        return self._added(variables, lambda system, part: system.score(part, None, images, dtype))

    def score_canvases(
        self,
        variables: PyTree,
        images: Images,
        dtype: DTypeLike,
        extent: Extent | None,
        counted: Bool[AnyArray, "n h w"] | None,
    ) -> dict[str, Scored]:
        """See `score` and `System`; canvases are `[n, h, w, c]`."""
        return self._added(variables, lambda system, part: system.score_canvases(part, images, dtype, extent, counted))

    @property
    def ingredients(self) -> tuple[str, ...]:
        """See `System`: the scores of the parts."""
        return tuple(self.systems)

    def whole(
        self,
        name: str,
        parts: Sequence[Mapping[str, Any]],
        counts: Sequence[int],
        score_map: Float[np.ndarray, "h w"],
        counted: Bool[np.ndarray, "h w"] | None,
    ) -> float:
        """See `System`: the sum of what the parts of the recipe say of the whole photograph `[h, w]`."""
        if name != "fused":
            return self.systems[name].whole(name, parts, counts, score_map, counted)
        tops = [one for one, system in self.systems.items() if system.recipe.pool == "top"]
        if tops:
            raise InputError(
                f"photographs that are scored part by part need scores that are pooled by mean or max, and {tops[0]!r} "
                'pools by "top"; scale them down, or leave it out'
            )
        return sum(system.whole(one, parts, counts, score_map, counted) for one, system in self.systems.items())

    def _added(self, variables: PyTree, score: Callable[[System, PyTree], dict[str, Scored]]) -> dict[str, Scored]:
        added = {}
        for name, system in self.systems.items():
            part = variables[name]
            scored = score(system, part["variables"])[system.score_name]
            added[name] = Scored(in_unit(scored.score, Unit(**part["image"])), in_unit(scored.map, Unit(**part["map"])))
        return {"fused": jax.tree.map(lambda *parts: sum(parts), *added.values()), **added}


def _inside(arrays: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The arrays of one part, by the paths that they would have alone."""
    prefix = f"variables/{name}/variables/"
    return {f"variables/{path.removeprefix(prefix)}": a for path, a in arrays.items() if path.startswith(prefix)}


SYSTEMS: dict[str, type[System]] = {
    "patch_vae": PatchVAESystem,
    "conv_ae": ConvAESystem,
    "dense_ae": DenseAESystem,
    "dense_vae": DenseVAESystem,
    "closed_form": ClosedFormSystem,
    "patch_components": PatchComponentsSystem,
    "drawn_defects": DrawnDefectsSystem,
    "fusion": FusionSystem,
}


def make_system(recipe: Recipe, shape: tuple[int, ...]) -> System:
    """The system of a recipe for images of height, width and channels `[h, w, c]`.

    Raises:
        InputError: the recipe names a model, loss, score, pool or activation that there is not, or its sizes do
            not go with the images.
    """
    height, width, channels = shape
    if isinstance(recipe, NamedRecipe):
        need_one_of(recipe.model, SYSTEMS, what="model")
        kind: type[System] = SYSTEMS[recipe.model]
    else:
        kind = NetworkSystem if isinstance(recipe, NetworkRecipe) else SolvedSystem
    system = kind(recipe, (height, width, channels))
    system.need_sound()
    return system
