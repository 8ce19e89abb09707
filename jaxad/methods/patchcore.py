"""A memory of normal features of a frozen network."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxad import backbones, calibration, linear, memory_bank, poses, styles
from jaxad._check import InputError, need_at_least
from jaxad._floats import root
from jaxad.batching import filled
from jaxad.feature_maps import turn
from jaxad.methods.frozen import BATCH, Cells, FrozenRecipe, ScoreMap
from jaxad.methods.stages import BESIDE, COARSE_STAGES
from jaxad.recipes import PooledMap, Shape, Variables

FEWEST_POSES = 12
"""Images that tell whether they differ less once upright; fewer are too soon alike by chance."""
KNOWN, JUDGED = 32, 8
"""Images that are known, and others that are judged, to find out whether parts lie anyhow."""
NEARNESS = 0.96
"""How near turned copies must bring them; see `PatchCoreRecipe.settle`."""
TURNS, TURNED_BANK = 2, 8192
ALIKE = 0.5
"""Share of their differences that is left at most where parts are brought upright."""
CALIBRATING = 256
"""Images that tell what is usual at each position of upright parts, at most."""
MOST_NEIGHBOURS = 64
"""Each cell is compared with as many; the published method takes 9 at most."""
MOST_STYLE = 100
"""Weight at which nothing else counts any more."""
FEWEST_STYLES = 20
"""Images that tell which styles are usual, at least; fewer hardly show how they vary."""
LEAST_UNIT = 0.01
"""Of the length of a row."""
UNIT_ROWS = 4096
"""Cells that tell how far normal ones usually are from the memory, at most."""


class PatchCoreRecipe(FrozenRecipe, kind="patchcore"):
    """Distance of each cell to the nearest of a spread choice of normal ones; Roth et al., arXiv:2106.08265."""

    beside: str = "efficientnet-lite1"
    """A network that sees the images too where its weights are installed, beside EfficientNet-Lite0; empty for none.

    Without them, or on other stages than the usual ones, the recipe settles for `backbone` alone; see `settle`.
    """
    pool: str = "high"
    bank: int = 2048
    """Normal cells of each stage that are remembered: those that cover the others, see `jaxad.memory_bank`."""
    choices: int = 16384
    """Cells that these are chosen from; random ones, as many of each image."""
    neighbours: int = 1
    """Cells of the memory around the nearest one that its distance is weighed by; 1 for none."""
    style: float = 0.02
    """What a deviation of the image's style counts in its score, in usual distances of cells; see `jaxad.styles`."""
    upright: bool = False
    """Whether each image's part is brought upright before it is compared, see `jaxad.poses`; `settle` finds that out.

    Then positions of the part count, by images left out in turn, and those of the image do not.
    """
    turns: int = -1
    """Copies of each image, turned by random angles, whose cells may be remembered too: for parts that lie anyhow.

    -1 leaves it to the images, see `settle`. With any, positions do not count, as they say nothing of such parts.
    """

    def on(self, backbone: str, stages: tuple[str, ...]) -> "PatchCoreRecipe":
        """See `FrozenRecipe`; on that network alone."""
        return replace(self, backbone=backbone, stages=stages, beside="")

    def check(self, shape: Shape) -> None:
        """See `Recipe`."""
        super().check(shape)
        if self.beside not in ("", PatchCoreRecipe.beside):
            raise InputError(f"beside must be {PatchCoreRecipe.beside!r}, or empty for none, got {self.beside!r}")
        for name, least in (("bank", 1), ("choices", 1), ("neighbours", 1), ("turns", -1), ("style", 0)):
            need_at_least(getattr(self, name), least, what=name)
        if self.neighbours > MOST_NEIGHBOURS:
            raise InputError(f"neighbours must be at most {MOST_NEIGHBOURS}, got {self.neighbours}")
        if not self.style <= MOST_STYLE:
            raise InputError(f"style must be at most {MOST_STYLE}, got {self.style}")

    @property
    def judges_beyond_maps(self) -> bool:
        """See `Recipe`: where a style is unusual, no map says."""
        return True

    @property
    def aligned(self) -> bool:
        """See `Recipe`."""
        return self.turns < 1 and not self.upright

    def for_sizes(self, sizes: Sequence[tuple[int, int]]) -> "PatchCoreRecipe":
        """See `Recipe`: where most photographs have a size of their own, they are seen smaller too.

        Then they are of no common scale, and what is small in one is large in another.
        """
        usual = (self.backbone, self.stages) == (FrozenRecipe.backbone, FrozenRecipe.stages)
        different = len(set(sizes))
        return replace(self, stages=COARSE_STAGES) if usual and 1 < different > len(sizes) / 2 else self

    def settle(self, images: Float[Any, "n h w c"]) -> "PatchCoreRecipe":
        """See `Recipe`: whether parts lie anyhow in the images `[n, h, w, c]`.

        Where they differ in less than half as much once they are upright, they are brought upright. Else, where turned
        copies bring others much nearer, `TURNS` copies of each are shown, and the memory is as large as `TURNED_BANK`
        at least, for it holds all angles. In both cases the pool of the highest twentieth becomes that of the highest
        hundredth: such parts fill little of an image. The network `beside` comes in, and styles of fewer than
        `FEWEST_STYLES` images are not judged.
        """
        settled = self._with_beside()
        if len(images) < FEWEST_STYLES:
            settled = replace(settled, style=0.0)
        if self.turns >= 0 or self.upright:
            return settled
        pool = "peak" if self.pool == "high" else self.pool
        if len(images) >= FEWEST_POSES and poses.fit_frame(images).left < ALIKE:
            return replace(settled, turns=0, upright=True, pool=pool)
        if len(images) < KNOWN + JUDGED or self._nearness_when_turned(images) > NEARNESS:
            return replace(settled, turns=0)
        bank = max(self.bank, TURNED_BANK)
        return replace(settled, turns=TURNS, bank=bank, choices=max(self.choices, 3 * bank), pool=pool)

    def _with_beside(self) -> "PatchCoreRecipe":
        usual = self.backbone == FrozenRecipe.backbone and self.stages in BESIDE
        if not self.beside or not usual or not backbones.is_installed(self.beside):
            return self
        return replace(self, backbone=f"{self.backbone}+{self.beside}", stages=BESIDE[self.stages])

    def _nearness_when_turned(self, images: Float[Any, "n h w c"]) -> float:
        """How far the furthest tenth of cells of some images are from cells of others and of their turned copies.

        In units of how far they are from half as many cells, those of the others alone. All are of the last stage.
        """
        order = np.asarray(jax.random.permutation(jax.random.key(3), len(images)))
        known, judged = images[order[:KNOWN]], images[order[KNOWN : KNOWN + JUDGED]]
        deepest = replace(self, stages=self.stages[-1:])
        weights = deepest.used_weights()
        fitted = {"network": weights, "whitening": deepest.fit_whitening(weights, known)}

        def rows(some: Any) -> Any:
            (one,) = deepest.cells(fitted, some).stages.values()
            return one.reshape(-1, one.shape[-1])

        angles = jax.random.uniform(jax.random.key(4), (KNOWN,), maxval=2 * math.pi)
        batches = range(0, KNOWN, JUDGED)
        straight = jnp.concatenate([rows(known[i : i + JUDGED]) for i in batches])
        turned = jnp.concatenate([rows(turn(known[i : i + JUDGED], angles[i : i + JUDGED])) for i in batches])
        half = jax.random.permutation(jax.random.key(5), len(straight))[: len(straight) // 2]
        alone, both = straight[half], jnp.concatenate([straight[half], turned[half]])
        asked = rows(judged)
        furthest = [
            jax.lax.top_k(linear.nearest(bank, asked, count=1)[0][:, 0], -(-len(asked) // 10))[0]
            for bank in (alone, both)
        ]
        least = float(jnp.mean(furthest[0]))
        return float(jnp.mean(furthest[1])) / least if least > 0 else 1.0

    def learn(self, cells: Callable[[Any], Cells], images: Float[Any, "n h w c"]) -> Variables:
        """See `FrozenRecipe`; images are `[n, h, w, c]`."""
        seen_styles: dict[int, Any] = {}
        drawn: dict[str, list[Any]] = {stage: [] for stage in self.stages}
        shown: dict[str, list[Any]] = {stage: [] for stage in self.stages}
        copies, wanted = len(images) * (1 + max(0, self.turns)), max(self.choices, self.bank)
        for one in jax.eval_shape(cells, images[:1]).stages.values():
            count = min(wanted, copies * one.shape[1] * one.shape[2])
            size = 4 * (2 * count + min(self.bank, count)) * one.shape[3]
            self.need_room(f"{count} cells of {one.shape[3]} numbers", size, "set bank and choices lower")
        for i, (first, some) in enumerate(self._shown(images)):
            seen = cells(some)
            # Images as they are come before their turned copies.
            seen_styles.setdefault(first, seen.styles)
            for stage, found in seen.stages.items():
                rows = found.reshape(len(some), -1, found.shape[-1])
                each = min(rows.shape[1], -(-wanted // copies))
                keys = jax.random.split(jax.random.fold_in(jax.random.key(1), i), len(some))
                # As many as are wanted of every image, each from anywhere in it.
                places = jax.vmap(lambda key, n=rows.shape[1]: jax.random.permutation(key, n))(keys)[:, :each]
                drawn[stage].append(jnp.take_along_axis(rows, places[..., None], axis=1).reshape(-1, rows.shape[2]))
                shown[stage].append(jnp.repeat(jnp.arange(first, first + len(some)), each))
        learned: Variables = {
            stage: self._remember(jnp.concatenate(rows), jnp.concatenate(shown[stage])) for stage, rows in drawn.items()
        }
        if self.style:
            learned["style"] = styles.fit_usual(jnp.concatenate(list(seen_styles.values())))._asdict()
        return learned

    def judge(self, learned: Variables, stage: str, cells: Float[Any, "n rows columns d"]) -> ScoreMap:
        """See `FrozenRecipe`; cells are `[n, rows, columns, d]`."""
        memory = learned[stage]["memory"]
        rows = cells.reshape(-1, cells.shape[-1])
        distances, places = linear.nearest(memory, rows, count=1)
        found = distances[:, 0]
        if "around" in learned[stage]:
            others = memory[learned[stage]["around"][places[:, 0]]]
            around = root(jnp.sum((rows[:, None] - others) ** 2, axis=-1))
            found = memory_bank.reweigh(found, around, dimensions=rows.shape[1])
        return found.reshape(cells.shape[:3]) / learned[stage]["unit"]

    def solve(self, images: Float[Any, "n h w c"]) -> Variables:
        """See `SolvedRecipe`; images are `[n, h, w, c]`."""
        if not self.upright:
            return super().solve(images)
        if len(images) < calibration.FEWEST:
            raise InputError(
                f"upright parts need at least {calibration.FEWEST} normal images, got {len(images)}; "
                "use more, or leave upright out"
            )
        frame = poses.fit_frame(images)
        batches = range(0, len(images), BATCH)
        upright = np.concatenate([_brought_upright(images[i : i + BATCH], frame)[0] for i in batches])
        solved = super().solve(upright)
        places, maps = np.arange(len(images))[:: -(-len(images) // CALIBRATING)], []
        for begin in range(0, len(places), BATCH):
            some = filled(places[begin : begin + BATCH], BATCH)
            maps.append(self._compared(solved, upright[some], some).map)
        left_out = jnp.concatenate(maps)[: len(places)]
        usual = calibration.fit_usual(left_out, trust=calibration.fit_trust(left_out))
        # One level stays in the maps: a pipeline takes it off, and so rounding is small beside it.
        level = jnp.mean(usual.mean / usual.deviation)
        usual = usual._replace(mean=usual.mean - level * usual.deviation)
        return {**solved, "frame": frame._asdict(), "usual": usual._asdict()}

    def score(self, variables: Variables, images: Float[Any, "n h w c"]) -> PooledMap:
        """See `SolvedRecipe`; images are `[n, h, w, c]`."""
        return self._in_frame(variables, images, partial(self._compared, variables))

    @property
    def leaves_out(self) -> bool:
        """See `Recipe`."""
        return True

    def score_left_out(self, variables: Variables, images: Float[Any, "n h w c"], places: Int[Any, " n"]) -> PooledMap:
        """See `SolvedRecipe`; no cell of an image of `[n, h, w, c]` is compared with its own, or its turned copies'.

        Which cells of the others are remembered, and how cells are whitened, stays as it is: of hundreds of images
        one hardly changes that.
        """
        return self._in_frame(variables, images, partial(self._compared, variables, places=places))

    def _in_frame(
        self, variables: Variables, images: Float[Any, "n h w c"], compare: Callable[[Any], PooledMap]
    ) -> PooledMap:
        """What comes of comparing images as they are, or brought upright, with maps put back."""
        if not self.upright:
            return compare(images)
        frame = poses.Frame(**variables["frame"])
        upright, lying = _brought_upright(images, frame)
        return _put_back(compare(upright), variables["usual"], lying, frame)

    def _compared(
        self, variables: Variables, images: Float[Any, "n h w c"], places: Int[Any, " n"] | None = None
    ) -> PooledMap:
        """What is said of images, or of those at these places, each left out of what it is compared with."""
        cells, learned = self.cells(variables, images), variables["learned"]
        judge = self.judge if places is None else partial(self._judge_left_out, places)
        judged = [judge(learned, stage, cells.stages[stage]) for stage in self.stages]
        beyond = jnp.zeros(len(images))
        if "style" in learned:
            usual = styles.Usual(**learned["style"])
            unusual = styles.unusualness(cells.styles, usual, left_out=places is not None)
            beyond = self.style * len(self.stages) * unusual
        return PooledMap(self._together(judged, images.shape[1:3]), beyond)

    @partial(jax.jit, static_argnames=("self", "stage"))
    def _judge_left_out(
        self, places: Int[Any, " n"], learned: Variables, stage: str, cells: Float[Any, "n rows columns d"]
    ) -> ScoreMap:
        def one(given: tuple[Any, Any]) -> Any:
            theirs = learned[stage]["image"] == given[1]
            # In the place of what is left out stands a cell of another image, which is there already.
            stand_ins = jnp.where(theirs, jnp.argmin(theirs), jnp.arange(len(theirs)))
            others = {name: learned[stage][name][stand_ins] for name in ("memory", "around") if name in learned[stage]}
            return self.judge({stage: {**learned[stage], **others}}, stage, given[0][None])[0]

        return jax.lax.map(one, (cells, places))

    def _shown(self, images: Float[Any, "n h w c"]) -> Iterator[tuple[int, Any]]:
        """The images in batches, each followed by its turned copies, and the place of the first of each."""
        turned = jax.jit(turn)
        angles = jax.random.uniform(jax.random.key(2), (max(0, self.turns), len(images)), maxval=2 * math.pi)
        for begin in range(0, len(images), BATCH):
            some = images[begin : begin + BATCH]
            yield begin, some
            for those in angles:
                yield begin, turned(some, those[begin : begin + BATCH])

    def _remember(self, known: Float[Any, "m d"], images: Int[Any, " m"]) -> Variables:
        chosen = memory_bank.choose_spread(known, count=min(self.bank, len(known)))
        memory = known[chosen]
        distances = linear.nearest(memory, known[:: -(-len(known) // UNIT_ROWS)], count=1)[0]
        # Rows that are remembered are no distance at all; of images that are all the same, rounding would be the unit.
        unit = jnp.sum(distances) / jnp.maximum(jnp.sum(distances > 0), 1)
        unit = jnp.maximum(unit, LEAST_UNIT * jnp.sqrt(jnp.mean(jnp.sum(known**2, axis=1))))
        learned = {"memory": memory, "image": images[chosen], "unit": jnp.where(unit > 0, unit, 1.0)}
        if self.neighbours > 1:
            learned["around"] = linear.nearest(memory, memory, count=min(self.neighbours, len(memory)))[1]
        return learned


@jax.jit
def _brought_upright(images: Float[Any, "n h w c"], frame: poses.Frame) -> tuple[Float[Any, "n h w c"], poses.Pose]:
    lying = poses.find_poses(images, frame)
    return poses.bring_upright(images, lying, frame), lying


@jax.jit
def _put_back(found: PooledMap, usual: dict[str, Any], lying: poses.Pose, frame: poses.Frame) -> PooledMap:
    """What was found of upright images in deviations, what is usual there made one level, on the images as they lie."""
    there = calibration.Usual(**usual)
    maps = poses.put_back(calibration.unusualness(found.map, there), lying, frame)
    return PooledMap(maps, found.beyond / jnp.mean(there.deviation))
