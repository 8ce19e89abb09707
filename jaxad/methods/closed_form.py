"""Closed-form models on a fixed transform of images."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad import features, linear
from jaxad._check import need_at_least, need_one_of
from jaxad._types import AnyArray, Images
from jaxad.extents import Extent, map_canvases
from jaxad.recipes import Scores, Shape, SolvedRecipe, Variables

EDGES = 4
"""Pixels of a side from which on a transform sees edges: the distance of the points that it looks around."""
BLOCK_PIXELS = 2**19
"""Pixels transformed at once when fitting."""
MOST_CELLS = 2**17
"""Cells that a local model is fitted on; evenly spread ones where there are more."""
SPREAD = 4
"""How many times as many cells are transformed, at most, so that they come from many images."""


class Transform(NamedTuple):
    """What images are turned into, and what it sees."""

    function: Callable[..., Array]
    least: int
    """Pixels of the smallest side."""
    reach: int | None = None
    """Pixels to the furthest that count in a cell, where few do."""


TRANSFORMS = {
    "none": Transform(lambda images, **_: jnp.asarray(images), 1, 0),
    "oriented_gradients": Transform(features.oriented_gradients, EDGES),
    "gradient_energies": Transform(features.gradient_energies, EDGES, features.ENERGIES_REACH),
}
COMPONENT_SCORES = ("residual", "mahalanobis")
NEAREST = "nearest"


class ClosedFormRecipe(SolvedRecipe, kind="closed_form"):
    """A transform of images with principal components or nearest neighbours on top.

    See `jaxad.features` and `jaxad.linear`. The transformed image is judged whole, or every cell of it by itself.
    """

    score_name: str = NEAREST
    """What judges: `residual` or `mahalanobis` of the components, or the distance to the `nearest` normal images."""
    transform: str = "oriented_gradients"
    local: bool = False
    """Judge every cell of the transformed image by itself, whatever its place, so that images may have any size."""
    count: int = 5
    """Neighbours whose distances are averaged, or components kept."""

    @property
    def reach(self) -> int | None:
        """See `Recipe`."""
        return TRANSFORMS[self.transform].reach if self.local and self.transform in TRANSFORMS else None

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`."""
        least = TRANSFORMS[self.transform].least if self.transform in TRANSFORMS else 1
        return least, least

    def check(self, shape: Shape) -> None:
        """See `Recipe`."""
        need_one_of(self.score_name, (*COMPONENT_SCORES, NEAREST), what="score_name")
        need_one_of(self.transform, TRANSFORMS, what="transform")
        need_at_least(self.count, 1, what="count")

    def cells(self, images: Images, *, extent: Extent | None = None) -> Float[Array, "n rows columns o"]:
        """Transformed images, `[n, rows, columns, o]`: so many numbers a cell of a grid."""
        transform = TRANSFORMS[self.transform].function
        return transform(images) if extent is None else transform(images, extent=extent)

    def rows(self, cells: Float[AnyArray, "n rows columns o"]) -> Float[AnyArray, "m d"]:
        """What is judged as one: the cells of an image `[n, rows, columns, o]` together, or each by itself."""
        return cells.reshape(-1 if self.local else cells.shape[0], self.row_length(cells.shape))

    def row_length(self, shape: tuple[int, ...]) -> int:
        """How many numbers are judged as one, for cells of shape `[n, rows, columns, o]`."""
        return shape[3] if self.local else shape[1] * shape[2] * shape[3]

    def solve(self, images: Images) -> Variables:
        """The normal images `[n, h, w, c]` themselves, transformed, or their principal components."""
        if self.local:
            cells = math.prod(self._cells_shape(images.shape[1:])[1:3])
            images = images[:: max(1, len(images) * cells // (SPREAD * MOST_CELLS))]
        size = min(len(images), max(1, BLOCK_PIXELS // (images.shape[1] * images.shape[2])))
        # The last block is as large as the others, or it would be compiled anew; what it repeats is cut off.
        filled = np.concatenate([images, images[: -len(images) % size]])
        blocks = [_cells(self.transform, filled[i : i + size]) for i in range(0, len(filled), size)]
        rows = self.rows(np.concatenate(blocks)[: len(images)])
        if self.local:
            rows = rows[:: -(-len(rows) // MOST_CELLS)]
        if self.score_name == NEAREST:
            # Refuses more neighbours than images, and computes nothing.
            jax.eval_shape(partial(linear.nearest, count=self.count), rows, rows[:1])
            return {"bank": rows}
        return linear.fit_components(rows, count=self.count)._asdict()

    def template(self, shape: Shape, arrays: Mapping[str, Any]) -> Variables:
        """See `SolvedRecipe`; the bank has as many rows as the file says."""
        numbers = self.row_length(self._cells_shape(shape))
        sizes: dict[str, tuple[int, ...]] = {
            "mean": (numbers,),
            "directions": (numbers, self.count),
            "variances": (self.count,),
            "noise": (),
        }
        if self.score_name == NEAREST:
            bank = arrays.get("bank")
            sizes = {"bank": (bank.shape[0] if bank is not None and bank.ndim else 1, numbers)}
        return {name: jax.ShapeDtypeStruct(size, jnp.float32) for name, size in sizes.items()}

    def score(self, variables: Variables, images: Array, *, extent: Extent | None = None) -> Scores:
        """`residual` and `mahalanobis` of the components, or the mean distance to the `nearest` normal images.

        Images are `[n, h, w, c]`. The map shows the squared difference to the nearest normal image, or to what the
        components make of the image, summed over the numbers of a cell; where cells are judged by themselves it shows
        their scores, spread over their pixels.
        """
        if self.local:
            return self._score_cells(variables, images, extent)
        cells = self.cells(images)
        judged, differences = self._judged(variables, self.rows(cells))
        squares = jnp.sum(differences.reshape(cells.shape) ** 2, axis=-1)
        painted = jax.image.resize(squares, images.shape[:3], method="linear")
        return {name: (values, painted) for name, values in judged.items()}

    def _score_cells(self, variables: Variables, images: Array, extent: Extent | None) -> Scores:
        def judge(images: Array, place: Extent | None) -> dict[str, Array]:
            cells = self.cells(images, extent=place)
            judged, _ = self._judged(variables, self.rows(cells))
            maps = {name: values.reshape(cells.shape[:3]) for name, values in judged.items()}
            if self.transform == "none":
                return maps
            shape = images.shape[1], images.shape[2]
            return {name: features.spread_cells(cells, shape, extent=place) for name, cells in maps.items()}

        return dict(judge(images, None) if extent is None else map_canvases(judge, images, extent))

    def _judged(self, variables: Variables, rows: Float[AnyArray, "m d"]) -> tuple[dict[str, Array], AnyArray]:
        """Every score of rows `[m]`, and their differences `[m, d]` to what is normal."""
        if "bank" in variables:
            distances, places = linear.nearest(variables["bank"], rows, count=self.count)
            return {NEAREST: jnp.mean(distances, axis=1)}, rows - jnp.asarray(variables["bank"])[places[:, 0]]
        components = linear.Components(**variables)
        judged = {
            "residual": linear.residual(components, rows),
            "mahalanobis": linear.mahalanobis(components, rows),
        }
        return judged, rows - linear.project(components, rows)

    def _cells_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return jax.eval_shape(self.cells, jax.ShapeDtypeStruct((1, *shape), jnp.float32)).shape


@partial(jax.jit, static_argnums=0)
def _cells(transform: str, images: Images) -> Float[Array, "n rows columns o"]:
    """One program for all recipes of a transform."""
    return TRANSFORMS[transform].function(images)
