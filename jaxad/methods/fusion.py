"""The sum of the scores of few, different detectors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from jaxad._check import InputError
from jaxad.calibration import Unit, in_unit
from jaxad.pooling import SHARES
from jaxad.recipes import Recipe, Shape, Variables

FUSED = "fused"


class FusionRecipe(Recipe, kind="fusion"):
    """The sum of the scores of few, different recipes, each in deviations above its held-out normal ones."""

    parts: tuple[Recipe, ...]
    holdout: float = 0.2

    @property
    def score_name(self) -> str:
        """See `Recipe`."""
        return FUSED

    @property
    def ingredients(self) -> tuple[Recipe, ...]:
        """See `Recipe`."""
        return self.parts

    @property
    def reach(self) -> int | None:
        """See `Recipe`: the furthest of any part."""
        reaches = [part.reach for part in self.parts]
        return None if None in reaches else max((reach or 0 for reach in reaches), default=0)

    @property
    def step(self) -> int:
        """See `Recipe`: one that suits all parts."""
        return math.lcm(*(part.step for part in self.parts))

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`; where one of its parts does."""
        return any(part.compares_positions for part in self.parts)

    @property
    def pools_maps(self) -> bool:
        """See `Recipe`: image scores are added, and the pool of the added maps tells less."""
        return False

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`; what all parts can read."""
        heights, widths = zip(*((1, 1), *(part.least_size for part in self.parts)), strict=True)
        return max(heights), max(widths)

    def settle(self, images: Float[Any, "n h w c"]) -> Recipe:
        """See `Recipe`; images are `[n, h, w, c]`."""
        return replace(self, parts=tuple(part.settle(images) for part in self.parts))

    def check(self, shape: Shape) -> None:
        """See `Recipe`."""
        if not self.parts:
            raise InputError("parts must be at least one recipe, got none")

    def combine(self, variables: Variables, scored: Mapping[str, Any]) -> dict[str, Any]:
        """The sum, `fused`, and what each part adds to it, by its name, of images and of pixels; no unit."""
        added = {}
        for part in self.parts:
            score, score_map = scored[part.name][part.score_name]
            units = variables[part.name]
            added[part.name] = in_unit(score, Unit(**units["image"])), in_unit(score_map, Unit(**units["map"]))
        return {FUSED: jax.tree.map(lambda *parts: sum(parts), *added.values()), **added}

    def taken_off(self, variables: Variables) -> float:
        """See `Recipe`: the means of the parts, in their deviations."""
        found = 0.0
        for part in self.parts:
            held = variables[part.name]
            unit = Unit(**held["image"])
            found += (abs(float(unit.mean)) + part.taken_off(held["variables"])) / float(unit.deviation)
        return found

    def whole(
        self,
        name: str,
        parts: Sequence[Mapping[str, float]],
        counts: Sequence[int],
        score_map: Float[np.ndarray, "h w"],
        counted: Bool[np.ndarray, "h w"] | None,
    ) -> float:
        """See `Recipe`: the sum of what the parts of the recipe say of the whole photograph `[h, w]`."""
        inside = {part.name: part for part in self.parts}
        if name in inside:
            return inside[name].whole(name, parts, counts, score_map, counted)
        tops = [part.name for part in self.parts if part.pool in SHARES]
        if tops:
            raise InputError(
                f"photographs that are scored part by part need scores that are pooled by mean or max, and {tops[0]!r} "
                "pools by a share of them; scale them down, or leave it out"
            )
        return sum(part.whole(part.name, parts, counts, score_map, counted) for part in self.parts)
