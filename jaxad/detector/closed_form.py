"""Closed-form models on a fixed transform of images."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from jaxad import features, linear
from jaxad._check import need_at_least, need_one_of
from jaxad._types import Images
from jaxad.detector.system import POOLS, Scored, System
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import ClosedFormRecipe

TRANSFORMS: dict[str, Callable[[Images], Array]] = {
    "none": jnp.asarray,
    "oriented_gradients": features.oriented_gradients,
    "gradient_energies": features.gradient_energies,
    "logarithm": features.logarithm,
    "remove_median": features.remove_median,
}
BLOCK_PIXELS = 2**19
"""Pixels transformed at once when fitting."""
MOST_CELLS = 2**17
"""Cells that a local model is fitted on; evenly spread ones where there are more."""


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

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse another shape `[h, w, c]` where positions matter, else another channel count alone."""
        if self.recipe.local:
            self.need_channels(shape)
        else:
            super().need_shape(shape)

    def cells(self, images: Images) -> Float[Array, "n rows columns o"]:
        """Transformed images, `[n, rows, columns, o]`: so many numbers a cell of a grid."""
        return TRANSFORMS[self.recipe.transform](images)

    def rows(self, cells: Float[Array, "n rows columns o"]) -> Float[Array, "m d"]:
        """What is judged as one: the cells of an image `[n, rows, columns, o]` together, or each by itself."""
        return cells.reshape(-1 if self.recipe.local else cells.shape[0], self.row_length(cells.shape))

    def row_length(self, shape: tuple[int, ...]) -> int:
        """How many numbers are judged as one, for cells of shape `[n, rows, columns, o]`."""
        return shape[3] if self.recipe.local else shape[1] * shape[2] * shape[3]

    def solve(self, images: Images) -> PyTree:
        """The normal images `[n, h, w, c]` themselves, transformed, or their principal components."""
        size = max(1, BLOCK_PIXELS // (images.shape[1] * images.shape[2]))
        rows = jnp.concatenate([_rows(self, images[i : i + size]) for i in range(0, len(images), size)])
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
        del dtype  # Sums and distances stay in float32.
        images = jnp.asarray(images)
        cells = self.cells(images)
        rows = self.rows(cells)
        if "bank" in variables:
            distances, places = linear.nearest(variables["bank"], rows, count=self.recipe.count)
            differences = rows - jnp.asarray(variables["bank"])[places[:, 0]]
            judged = {"nearest": jnp.mean(distances, axis=1)}
        else:
            components = linear.Components(**variables)
            differences = rows - linear.project(components, rows)
            judged = {
                "residual": linear.residual(components, rows),
                "mahalanobis": linear.mahalanobis(components, rows),
            }
        spread = partial(jax.image.resize, shape=images.shape[:3], method="linear")
        if self.recipe.local:
            maps = {name: spread(values.reshape(cells.shape[:3])) for name, values in judged.items()}
            return {name: Scored(POOLS[self.recipe.pool](score_map), score_map) for name, score_map in maps.items()}
        painted = spread(jnp.sum(differences.reshape(cells.shape) ** 2, axis=-1))
        return {name: Scored(values, painted) for name, values in judged.items()}


@partial(jax.jit, static_argnums=0)
def _rows(system: ClosedFormSystem, images: Images) -> Float[Array, "m d"]:
    return system.rows(system.cells(images))
