"""Principal components of windows at several scales."""

import math
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad import linear
from jaxad._check import InputError, need_at_least, need_one_of, need_window
from jaxad._options import Cover
from jaxad._types import AnyArray, Images, Windows
from jaxad.calibration import Unit, fit_unit, in_unit
from jaxad.extents import Extent
from jaxad.heatmaps import heatmap
from jaxad.patches import random_crops, window_products
from jaxad.recipes import Scores, Shape, SolvedRecipe, Variables

JUDGES = {"residual": linear.residual_of, "mahalanobis": linear.mahalanobis_of}
FLOOR = 1e-5
"""Added to what is judged before its logarithm, so that a perfectly flat window has one."""


class PatchComponentsRecipe(SolvedRecipe, kind="patch_components"):
    """Principal components of windows of several sizes, slid over the image: linear autoencoders, fitted at once."""

    score_name: str = "residual"
    """What judges: `residual` or `mahalanobis`."""
    scales: tuple[tuple[int, int, int], ...]
    """Side of the window, stride and components of each scale."""
    cover: Cover = "full"
    crops: int = 30_000
    """Random windows of the normal images, at each scale, to fit on."""

    @property
    def reach(self) -> int:
        """See `Recipe`: the windows around a pixel."""
        return max(side for side, _, _ in self.scales) - 1

    @property
    def step(self) -> int:
        """See `Recipe`."""
        return math.lcm(*(stride for _, stride, _ in self.scales))

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`; the published grid leaves out the last window of each axis."""
        side = max((side + stride * (self.cover == "seed") for side, stride, _ in self.scales), default=1)
        return side, side

    def check(self, shape: Shape) -> None:
        """See `Recipe`; every window must fit, and its components too."""
        need_one_of(self.score_name, JUDGES, what="score_name")
        if not self.scales:
            raise InputError("scales must hold at least one window, stride and number of components, got none")
        for side, stride, _ in sorted(self.scales, reverse=True):
            need_window((shape[0], shape[1]), (side, side), (stride, stride))
        for side, _, count in self.scales:
            numbers = side * side * shape[-1]
            if not 1 <= count < numbers:
                raise InputError(
                    f"a window of {side} pixels has {numbers} numbers, so 1 to {numbers - 1} components; got {count}"
                )
            need_at_least(self.crops, count + 1, what=f"crops for {count} components")

    def solve(self, images: Images) -> Variables:
        """Components of random windows of normal images `[n, h, w, c]`, and their usual scores, a scale."""
        fitted = {}
        for i, (side, _, count) in enumerate(self.scales):
            windows = random_crops(jax.random.key(i), images, count=self.crops, size=(side, side))
            rows = windows.reshape(len(windows), -1)
            components = linear.fit_components(rows, count=count)
            parts = linear.parts(components, rows)
            units = {
                name: fit_unit(jnp.log(judge(components, *parts) + FLOOR))._asdict() for name, judge in JUDGES.items()
            }
            fitted[str(i)] = {"components": components._asdict(), "units": units}
        return fitted

    def template(self, shape: Shape, arrays: Mapping[str, Any]) -> Variables:
        """See `SolvedRecipe`."""
        return dict(jax.eval_shape(self.solve, jax.ShapeDtypeStruct((1, *shape), jnp.float32)))

    def score(self, variables: Variables, images: Images, *, extent: Extent | None = None) -> Scores:
        """How unusual that is which the components leave of every window, averaged over the scales: `[n, h, w]`.

        Its logarithm, in deviations from that of normal windows, up or down: a spot that is smoother than the surface
        leaves less than usual, and is as odd as one that leaves more. Images are `[n, h, w, c]`.
        """
        maps = [
            heatmap(
                WindowJudge(linear.Components(**variables[str(i)]["components"]), variables[str(i)]["units"]),
                images,
                size=(side, side),
                stride=(stride, stride),
                cover=self.cover,
                extent=extent,
            )
            for i, (side, stride, _) in enumerate(self.scales)
        ]
        return dict(jax.tree.map(lambda *scales: sum(scales) / len(scales), *maps))


@flax.struct.dataclass
class WindowJudge:
    """How unusual windows are at one scale; windows of one image share their products. A callable pytree."""

    components: linear.Components
    units: Mapping[str, Any]

    def share(self, images: Images, stride: tuple[int, int]) -> dict[str, Float[Array, "n rows columns"]]:
        """All scores, `[n, rows, columns]`, of the windows at multiples of the stride; see `heatmaps.Sharing`."""
        mean, directions = self.components.mean, self.components.directions
        d, _ = directions.shape
        side = math.isqrt(d // images.shape[-1])
        # Windows of any place have nearly one mean: without it the products are small, and round little.
        level = jnp.mean(mean)
        plane = jnp.matmul(directions, directions.T, precision=jax.lax.Precision.HIGHEST)

        def products(matrix: AnyArray) -> Array:
            found = window_products(images - level, matrix, size=(side, side), stride=stride)
            usual = jnp.matmul(mean - level, matrix, precision=jax.lax.Precision.HIGHEST)
            return found - usual[None, None, None]

        return self._scores(products(jnp.eye(d, dtype=directions.dtype) - plane), products(directions))

    def __call__(
        self, windows: Windows, shared: dict[str, Float[Array, " k"]] | None = None
    ) -> dict[str, Float[Array, " k"]]:
        """Scores `[k]` of windows `[k, p, q, c]`: those they share, where these are given."""
        if shared is not None:
            return shared
        return self._scores(*linear.parts(self.components, windows.reshape(windows.shape[0], -1)))

    def _scores(self, outside: Array, codes: Array) -> dict[str, Array]:
        return {
            name: jnp.abs(in_unit(jnp.log(judge(self.components, outside, codes) + FLOOR), Unit(**self.units[name])))
            for name, judge in JUDGES.items()
        }
