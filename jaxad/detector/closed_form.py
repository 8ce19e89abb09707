"""Closed-form models on a fixed transform of images."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree

from jaxad import features, linear
from jaxad._check import InputError, need_at_least, need_one_of
from jaxad._types import AnyArray, Images
from jaxad.detector.system import Scored, System
from jaxad.extents import Extent, map_canvases
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import ClosedFormRecipe

TRANSFORMS: dict[str, Callable[..., Array]] = {
    "none": lambda images, **_: jnp.asarray(images),
    "oriented_gradients": features.oriented_gradients,
    "gradient_energies": features.gradient_energies,
}
REACHES = {"none": 0, "gradient_energies": features.ENERGIES_REACH}
"""Pixels to the furthest that count in a cell, of the transforms in which few do."""
BLOCK_PIXELS = 2**19
"""Pixels transformed at once when fitting."""
MOST_CELLS = 2**17
"""Cells that a local model is fitted on; evenly spread ones where there are more."""
SPREAD = 4
"""How many times as many cells are transformed, at most, so that they come from many images."""


class ClosedFormSystem(System):
    """Principal components or nearest neighbours of transformed images, or of the cells of transformed images."""

    recipe: ClosedFormRecipe
    scores: ClassVar[tuple[str, ...]] = ("residual", "mahalanobis", "nearest")
    losses = ("none",)
    fitted_at_once = True

    def need_sound(self) -> None:
        """See `System`; transforms have names too."""
        super().need_sound()
        need_one_of(self.recipe.transform, TRANSFORMS, what="transform")
        need_at_least(self.recipe.count, 1, what="count")
        self._need_least(self.shape)

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse another shape `[h, w, c]` where positions matter, else another channel count, or no room for edges."""
        if self.recipe.local:
            self.need_channels(shape)
            self._need_least(shape)
        else:
            super().need_shape(shape)

    def _need_least(self, shape: tuple[int, ...]) -> None:
        height, width = self.recipe.least_size
        if shape[0] < height or shape[1] < width:
            raise InputError(
                f"images must be at least {height} x {width} pixels for recipe {self.recipe.name!r}, which looks at "
                f"their edges, got {shape[0]} x {shape[1]}; use larger images"
            )

    @property
    def reach(self) -> int | None:
        """See `System`."""
        return REACHES.get(self.recipe.transform) if self.recipe.local else None

    def cells(self, images: Images, *, extent: Extent | None = None) -> Float[Array, "n rows columns o"]:
        """Transformed images, `[n, rows, columns, o]`: so many numbers a cell of a grid."""
        transform = TRANSFORMS[self.recipe.transform]
        return transform(images) if extent is None else transform(images, extent=extent)

    def rows(self, cells: Float[AnyArray, "n rows columns o"]) -> Float[AnyArray, "m d"]:
        """What is judged as one: the cells of an image `[n, rows, columns, o]` together, or each by itself."""
        return cells.reshape(-1 if self.recipe.local else cells.shape[0], self.row_length(cells.shape))

    def row_length(self, shape: tuple[int, ...]) -> int:
        """How many numbers are judged as one, for cells of shape `[n, rows, columns, o]`."""
        return shape[3] if self.recipe.local else shape[1] * shape[2] * shape[3]

    def solve(self, images: Images) -> PyTree:
        """The normal images `[n, h, w, c]` themselves, transformed, or their principal components."""
        if self.recipe.local:
            cells = math.prod(jax.eval_shape(self.cells, self.example()).shape[1:3])
            images = images[:: max(1, len(images) * cells // (SPREAD * MOST_CELLS))]
        size = min(len(images), max(1, BLOCK_PIXELS // (images.shape[1] * images.shape[2])))
        # The last block is as large as the others, or it would be compiled anew; what it repeats is cut off.
        filled = np.concatenate([images, images[: -len(images) % size]])
        blocks = [_cells(self.recipe.transform, filled[i : i + size]) for i in range(0, len(filled), size)]
        rows = self.rows(np.concatenate(blocks)[: len(images)])
        if self.recipe.local:
            rows = rows[:: -(-len(rows) // MOST_CELLS)]
        if self.recipe.score == "nearest":
            # Refuses more neighbours than images, and computes nothing.
            jax.eval_shape(partial(linear.nearest, count=self.recipe.count), rows, rows[:1])
            return {"bank": rows}
        return linear.fit_components(rows, count=self.recipe.count)._asdict()

    def template(self, arrays: Mapping[str, Any]) -> PyTree:
        """See `System`; the bank has as many rows as the file says."""
        numbers = self.row_length(jax.eval_shape(self.cells, self.example()).shape)
        count = self.recipe.count
        sizes: dict[str, tuple[int, ...]] = {
            "mean": (numbers,),
            "directions": (numbers, count),
            "variances": (count,),
            "noise": (),
        }
        if self.recipe.score == "nearest":
            bank = arrays.get("variables/bank")
            sizes = {"bank": (bank.shape[0] if bank is not None and bank.ndim else 1, numbers)}
        return {name: jax.ShapeDtypeStruct(size, jnp.float32) for name, size in sizes.items()}

    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """`residual` and `mahalanobis` of the components, or the mean distance to the `nearest` normal images.

        Images are `[n, h, w, c]`, scores `[n]` and `[n, h, w]`. The map shows the squared difference to the nearest
        normal image, or to what the components make of the image, summed over the numbers of a cell; where cells are
        judged by themselves it shows their scores, and the image's is the pool of it.
        """
        if self.recipe.local:
            return self.score_canvases(variables, images, dtype, None, None)
        images = jnp.asarray(images)
        cells = self.cells(images)
        judged, differences = self._judged(variables, self.rows(cells))
        squares = jnp.sum(differences.reshape(cells.shape) ** 2, axis=-1)
        painted = jax.image.resize(squares, images.shape[:3], method="linear")
        return {name: Scored(values, painted) for name, values in judged.items()}

    def score_canvases(
        self,
        variables: PyTree,
        images: Images,
        dtype: DTypeLike,
        extent: Extent | None,
        counted: Bool[AnyArray, "n h w"] | None,
    ) -> dict[str, Scored]:
        """The scores of every cell, spread over its pixels, and the pool of them, `[n, h, w]` and `[n]`."""
        del dtype  # Sums and distances stay in float32.

        def judge(images: Array, place: Extent | None) -> dict[str, Array]:
            cells = self.cells(images, extent=place)
            judged, _ = self._judged(variables, self.rows(cells))
            maps = {name: values.reshape(cells.shape[:3]) for name, values in judged.items()}
            if self.recipe.transform == "none":
                return maps
            shape = images.shape[1], images.shape[2]
            return {name: features.spread_cells(cells, shape, extent=place) for name, cells in maps.items()}

        images = jnp.asarray(images)
        maps = judge(images, None) if extent is None else map_canvases(judge, images, extent)
        return {name: Scored(self.pool(score_map, counted=counted), score_map) for name, score_map in maps.items()}

    def _judged(self, variables: PyTree, rows: Float[AnyArray, "m d"]) -> tuple[dict[str, Array], AnyArray]:
        """Every score of rows `[m]`, and their differences `[m, d]` to what is normal."""
        if "bank" in variables:
            distances, places = linear.nearest(variables["bank"], rows, count=self.recipe.count)
            return {"nearest": jnp.mean(distances, axis=1)}, rows - jnp.asarray(variables["bank"])[places[:, 0]]
        components = linear.Components(**variables)
        judged = {
            "residual": linear.residual(components, rows),
            "mahalanobis": linear.mahalanobis(components, rows),
        }
        return judged, rows - linear.project(components, rows)


@partial(jax.jit, static_argnums=0)
def _cells(transform: str, images: Images) -> Float[Array, "n rows columns o"]:
    """One program for all recipes of a transform."""
    return TRANSFORMS[transform](images)
