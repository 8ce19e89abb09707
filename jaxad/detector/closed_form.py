"""Closed-form models on a fixed transform of whole images."""

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
from jaxad.detector.system import Scored, System
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import ClosedFormRecipe

TRANSFORMS: dict[str, Callable[[Images], Array]] = {
    "none": jnp.asarray,
    "oriented_gradients": features.oriented_gradients,
    "logarithm": features.logarithm,
    "remove_median": features.remove_median,
}
BLOCK = 512
"""Images transformed at once when fitting."""


class ClosedFormSystem(System):
    """Principal components or nearest neighbours of transformed images of one size."""

    recipe: ClosedFormRecipe
    scores: ClassVar[tuple[str, ...]] = ("residual", "mahalanobis", "nearest")
    losses = ("none",)

    def need_sound(self) -> None:
        """See `System`; transforms have names too."""
        super().need_sound()
        need_one_of(self.recipe.transform, TRANSFORMS, what="transform")
        need_at_least(self.recipe.count, 1, what="count")

    def cells(self, images: Images) -> Float[Array, "n rows columns o"]:
        """Transformed images, `[n, rows, columns, o]`: so many numbers a cell of a grid."""
        return TRANSFORMS[self.recipe.transform](images)

    def solve(self, images: Images) -> PyTree:
        """The normal images `[n, h, w, c]` themselves, transformed, or their principal components."""
        rows = jnp.concatenate([_rows(self, images[i : i + BLOCK]) for i in range(0, len(images), BLOCK)])
        if self.recipe.score == "nearest":
            # Refuses more neighbours than images, and computes nothing.
            jax.eval_shape(partial(linear.nearest, count=self.recipe.count), rows, rows[:1])
            return {"bank": rows}
        return linear.fit_components(rows, count=self.recipe.count)._asdict()

    def template(self, arrays: Mapping[str, Any]) -> PyTree:
        """See `System`; the bank has as many rows as the file says."""
        shape = jax.eval_shape(self.cells, self.example()).shape
        numbers, count = shape[1] * shape[2] * shape[3], self.recipe.count
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
        normal image, or to what the components make of the image, summed over the numbers of a cell.
        """
        del dtype  # Sums and distances stay in float32.
        images = jnp.asarray(images)
        cells = self.cells(images)
        rows = cells.reshape(cells.shape[0], -1)
        paint = partial(_paint, shape=cells.shape, size=(images.shape[1], images.shape[2]))
        if "bank" in variables:
            distances, places = linear.nearest(variables["bank"], rows, count=self.recipe.count)
            painted = paint(rows - jnp.asarray(variables["bank"])[places[:, 0]])
            return {"nearest": Scored(jnp.mean(distances, axis=1), painted)}
        components = linear.Components(**variables)
        painted = paint(rows - linear.project(components, rows))
        return {
            "residual": Scored(linear.residual(components, rows), painted),
            "mahalanobis": Scored(linear.mahalanobis(components, rows), painted),
        }


@partial(jax.jit, static_argnums=0)
def _rows(system: ClosedFormSystem, images: Images) -> Float[Array, "n d"]:
    return system.cells(images).reshape(images.shape[0], -1)


def _paint(differences: Array, *, shape: tuple[int, ...], size: tuple[int, int]) -> Float[Array, "n h w"]:
    """Squared differences summed over each cell, spread over the pixels between the cells."""
    squares = jnp.sum(differences.reshape(shape) ** 2, axis=-1)
    return jax.image.resize(squares, (shape[0], *size), "linear")
