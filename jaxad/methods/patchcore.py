"""A memory of normal features of a frozen network."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from jaxad import linear, memory_bank
from jaxad._check import need_at_least
from jaxad.feature_maps import turn
from jaxad.methods.frozen import BATCH, Cells, FrozenRecipe, ScoreMap
from jaxad.recipes import Variables

UNIT_ROWS = 4096
"""Cells that tell how far normal ones usually are from the memory, at most."""


class PatchCoreRecipe(FrozenRecipe, kind="patchcore"):
    """Distance of each cell to the nearest of a spread choice of normal ones; Roth et al., arXiv:2106.08265."""

    bank: int = 2048
    """Normal cells of each stage that are remembered: those that cover the others, see `jaxad.memory_bank`."""
    choices: int = 16384
    """Cells that these are chosen from; random ones, as many of each image."""
    neighbours: int = 1
    """Cells of the memory around the nearest one that its distance is weighed by; 1 for none."""
    turns: int = 0
    """Copies of each image, turned by random angles, whose cells may be remembered too: for parts that lie anyhow."""

    def learn(self, cells: Callable[[Any], Cells], images: Float[Any, "n h w c"]) -> Variables:
        """See `FrozenRecipe`; images are `[n, h, w, c]`."""
        for name in ("bank", "choices", "neighbours"):
            need_at_least(getattr(self, name), 1, what=name)
        need_at_least(self.turns, 0, what="turns")
        drawn: dict[str, list[Any]] = {stage: [] for stage in self.stages}
        copies, wanted = len(images) * (1 + self.turns), max(self.choices, self.bank)
        for one in jax.eval_shape(cells, images[:1]).values():
            count = min(wanted, copies * one.shape[1] * one.shape[2])
            size = 4 * (2 * count + min(self.bank, count)) * one.shape[3]
            self.need_room(f"{count} cells of {one.shape[3]} numbers", size, "set bank and choices lower")
        for i, some in enumerate(self._shown(images)):
            for stage, found in cells(some).items():
                rows = found.reshape(len(some), -1, found.shape[-1])
                each = min(rows.shape[1], -(-wanted // copies))
                keys = jax.random.split(jax.random.fold_in(jax.random.key(1), i), len(some))
                # As many as are wanted of every image, each from anywhere in it.
                places = jax.vmap(lambda key, n=rows.shape[1]: jax.random.permutation(key, n))(keys)[:, :each]
                drawn[stage].append(jnp.take_along_axis(rows, places[..., None], axis=1).reshape(-1, rows.shape[2]))
        return {stage: self._remember(jnp.concatenate(rows)) for stage, rows in drawn.items()}

    def judge(self, learned: Variables, stage: str, cells: Float[Any, "n rows columns d"]) -> ScoreMap:
        """See `FrozenRecipe`; cells are `[n, rows, columns, d]`."""
        memory = learned[stage]["memory"]
        rows = cells.reshape(-1, cells.shape[-1])
        distances, places = linear.nearest(memory, rows, count=1)
        found = distances[:, 0]
        if "around" in learned[stage]:
            others = memory[learned[stage]["around"][places[:, 0]]]
            around = jnp.linalg.norm(rows[:, None] - others, axis=-1)
            found = memory_bank.reweigh(found, around, dimensions=rows.shape[1])
        return found.reshape(cells.shape[:3]) / learned[stage]["unit"]

    def _shown(self, images: Float[Any, "n h w c"]) -> Iterator[Any]:
        """The images in batches, each followed by its turned copies."""
        turned = jax.jit(turn)
        angles = jax.random.uniform(jax.random.key(2), (self.turns, len(images)), maxval=2 * math.pi)
        for begin in range(0, len(images), BATCH):
            some = images[begin : begin + BATCH]
            yield some
            for those in angles:
                yield turned(some, those[begin : begin + BATCH])

    def _remember(self, known: Float[Any, "m d"]) -> Variables:
        memory = known[memory_bank.choose_spread(known, count=min(self.bank, len(known)))]
        distances = linear.nearest(memory, known[:: -(-len(known) // UNIT_ROWS)], count=1)[0]
        # Rows that are remembered are no distance at all.
        unit = jnp.sum(distances) / jnp.maximum(jnp.sum(distances > 0), 1)
        learned = {"memory": memory, "unit": jnp.where(unit > 0, unit, 1.0)}
        if self.neighbours > 1:
            learned["around"] = linear.nearest(memory, memory, count=min(self.neighbours, len(memory)))[1]
        return learned
