"""Principal components of windows at several scales."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree

from jaxad import linear
from jaxad._check import InputError, need_window
from jaxad._types import AnyArray, Images, Windows
from jaxad.calibration import Unit, fit_unit, in_unit
from jaxad.detector.system import AnySizeSystem, Scored
from jaxad.extents import Extent
from jaxad.heatmaps import heatmap
from jaxad.patches import random_crops
from jaxad.recipes import PatchComponentsRecipe

JUDGES = {"residual": linear.residual, "mahalanobis": linear.mahalanobis}
FLOOR = 1e-5
"""Added to what is judged before its logarithm, so that a perfectly flat window has one."""


class PatchComponentsSystem(AnySizeSystem):
    """Linear autoencoders of windows, one a scale, for images of any height and width."""

    recipe: PatchComponentsRecipe
    scores: ClassVar[tuple[str, ...]] = tuple(JUDGES)
    losses = ("none",)
    fitted_at_once = True

    def need_sound(self) -> None:
        """See `System`; every window must fit, and its components too."""
        super().need_sound()
        if not self.recipe.scales:
            raise InputError("scales must hold at least one window, stride and number of components, got none")
        self.need_shape(self.shape)
        for side, _, count in self.recipe.scales:
            numbers = side * side * self.shape[-1]
            if not 1 <= count < numbers:
                raise InputError(
                    f"a window of {side} pixels has {numbers} numbers, so 1 to {numbers - 1} components; got {count}"
                )

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse another channel count, or an image `[h, w, c]` smaller than a window."""
        self.need_channels(shape)
        for side, stride, _ in sorted(self.recipe.scales, reverse=True):
            need_window((shape[0], shape[1]), (side, side), (stride, stride))

    def solve(self, images: Images) -> PyTree:
        """Components of random windows of normal images `[n, h, w, c]`, and their usual scores, a scale."""
        fitted = {}
        for i, (side, _, count) in enumerate(self.recipe.scales):
            windows = random_crops(jax.random.key(i), images, count=self.recipe.crops, size=(side, side))
            rows = windows.reshape(len(windows), -1)
            components = linear.fit_components(rows, count=count)
            units = {name: fit_unit(_logarithm(judge, components, rows))._asdict() for name, judge in JUDGES.items()}
            fitted[str(i)] = {"components": components._asdict(), "units": units}
        return fitted

    def template(self, arrays: Mapping[str, Any]) -> PyTree:
        """See `System`."""
        example = jax.ShapeDtypeStruct((1, *self.shape), np.float32)
        return jax.eval_shape(self.solve, example)

    @property
    def reach(self) -> int:
        """See `System`: the windows around a pixel."""
        return max(side for side, _, _ in self.recipe.scales) - 1

    @property
    def step(self) -> int:
        """See `System`."""
        return math.lcm(*(stride for _, stride, _ in self.recipe.scales))

    def score_canvases(
        self,
        variables: PyTree,
        images: Images,
        dtype: DTypeLike,
        extent: Extent | None,
        counted: Bool[AnyArray, "n h w"] | None,
    ) -> dict[str, Scored]:
        """How unusual that is which the components leave of every window, averaged over the scales.

        Its logarithm, in deviations from that of normal windows, up or down: a spot that is smoother than the surface
        leaves less than usual, and is as odd as one that leaves more. Images are `[n, h, w, c]`, scores `[n]` and
        `[n, h, w]`.
        """
        del dtype  # One product a window; sums stay in float32.
        maps = [
            heatmap(
                jax.tree_util.Partial(_judge, variables[str(i)]),
                images,
                size=(side, side),
                stride=(stride, stride),
                cover=self.recipe.cover,
                extent=extent,
            )
            for i, (side, stride, _) in enumerate(self.recipe.scales)
        ]
        means = jax.tree.map(lambda *scales: sum(scales) / len(scales), *maps)
        return {name: Scored(self.pool(score_map, counted=counted), score_map) for name, score_map in means.items()}


def _judge(scale: PyTree, windows: Windows) -> dict[str, Float[Array, " k"]]:
    """Scores of windows `[k, p, q, c]` at one scale."""
    components = linear.Components(**scale["components"])
    rows = windows.reshape(windows.shape[0], -1)
    return {
        name: jnp.abs(in_unit(_logarithm(judge, components, rows), Unit(**scale["units"][name])))
        for name, judge in JUDGES.items()
    }


def _logarithm(judge: Callable[..., Array], components: linear.Components, rows: AnyArray) -> Float[Array, " k"]:
    return jnp.log(judge(components, rows) + FLOOR)
