"""A Gaussian of features of a frozen network at every position."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from jaxad import gaussians
from jaxad._check import InputError
from jaxad.methods.frozen import BATCH, Cells, FrozenRecipe, ScoreMap
from jaxad.recipes import Variables


class PaDiMRecipe(FrozenRecipe, kind="padim"):
    """Mahalanobis distance of each cell to normal ones at its position; Defard et al., arXiv:2011.08785."""

    numbers: int = 32

    def learn(self, cells: Callable[[Any], Cells], images: Float[Any, "n h w c"]) -> Variables:
        """See `FrozenRecipe`; images are `[n, h, w, c]`."""
        if len(images) < 2:
            raise InputError(f"recipe {self.name!r} needs at least 2 images, got {len(images)}; use more normal images")
        shapes = jax.eval_shape(cells, images[:1]).stages
        size = sum(
            4 * x.shape[1] * x.shape[2] * x.shape[3] * (2 * len(images) + 2 * x.shape[3]) for x in shapes.values()
        )
        self.need_room(
            f"Gaussians of {self.numbers} numbers of {len(images)} images", size, "set side or numbers lower"
        )
        found = [cells(images[begin : begin + BATCH]) for begin in range(0, len(images), BATCH)]
        learned = {}
        for stage in self.stages:
            known = jnp.concatenate([one.stages[stage] for one in found])
            learned[stage] = gaussians.fit_gaussians(known.reshape(len(images), -1, known.shape[-1]))._asdict()
        return learned

    def judge(self, learned: Variables, stage: str, cells: Float[Any, "n rows columns d"]) -> ScoreMap:
        """See `FrozenRecipe`; cells are `[n, rows, columns, d]`."""
        n, rows, columns, d = cells.shape
        fitted = gaussians.Gaussians(**learned[stage])
        return gaussians.mahalanobis(fitted, cells.reshape(n, rows * columns, d)).reshape(n, rows, columns)
