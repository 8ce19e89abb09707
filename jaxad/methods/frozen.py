"""What methods on the features of a frozen network have in common."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from jaxad import backbones, linear, styles
from jaxad._barriers import apart
from jaxad._check import InputError, raise_problems
from jaxad.batching import filled
from jaxad.feature_maps import average_neighbours, spread_smoothly, take_out_light
from jaxad.recipes import Shape, SolvedRecipe, Variables

ScoreMap = Float[Any, "n h w"]
MOST_BYTES = 2**31
"""Of what is learned, with all that learning it needs."""
BATCH = 8
"""Images whose features are computed at once when fitting."""
WHITENED_BY = 64
"""Images that tell how features vary, at most."""
LEAST = 32
"""Pixels of a side of what a network sees, at least."""
AT = "@"
"""Between an output's name and the share of its sides at which an image is seen for it."""


class Cells(NamedTuple):
    """What images are compared by; a pytree."""

    stages: dict[str, Float[Any, "n rows columns d"]]
    """Rows of numbers on a grid, for each stage."""
    styles: Float[Any, "n k"]
    """Of the last stage before each image's light is taken out of it; see `jaxad.styles`."""


class FrozenRecipe(SolvedRecipe, kind=""):
    """What methods on frozen features have in common: how an image becomes rows of numbers on grids of cells.

    An image is brought to about `side` x `side` pixels; outputs of the network at several depths are cleared of the
    image's own light, averaged over neighbours, and whitened along their first principal components. Each stage is
    judged by itself; the sum is blurred on the grid of the first stage and brought to the image's size.
    """

    backbone: str = "efficientnet-lite0"
    """See `jaxad.backbones.open_backbone`: a network's name, a file of weights, or `hub:NAME`."""
    stages: tuple[str, ...] = ("depthwise_4", "depthwise_7", "depthwise_10")
    """Outputs of the network; `depthwise_10@0.65` is that of the image at .65 of its height and width."""
    side: int = 320
    """Pixels of the side of a square as large as what the network sees of an image; the aspect ratio is kept."""
    enlarged: float = 2.0
    """How many times larger than it is an image may be made, at most."""
    light: bool = True
    """Whether each image's mean and deviation are taken out of its features; see `jaxad.feature_maps`."""
    numbers: int = 128
    """Principal components of each stage."""
    blur: float = 1.0
    """Deviation of the Gaussian that smooths the map, in cells."""
    pool: str = "top"

    @property
    def stretches(self) -> bool:
        """See `Recipe`: a map has a grid that says where things are, whatever the size of the photograph."""
        return True

    @property
    def pools_maps(self) -> bool:
        """See `Recipe`."""
        return True

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`: the least that a network reads, before it is enlarged."""
        least = math.ceil(LEAST / max(1.0, self.enlarged))
        return least, least

    def check(self, shape: Shape) -> None:
        """See `Recipe`."""
        problems = []
        if not self.stages:
            problems.append("stages must name one output of the network at least, got none")
        for stage in self.stages:
            problems += _stage_problems(stage)
        for name in ("side", "enlarged", "numbers"):
            if not getattr(self, name) > 0:
                problems.append(f"{name} must be positive, got {getattr(self, name)}")
        raise_problems(problems)
        self.seen_size(shape[:2])

    def on(self, backbone: str, stages: tuple[str, ...]) -> "FrozenRecipe":
        """The same recipe on these stages of another network."""
        return replace(self, backbone=backbone, stages=stages)

    def learn(self, cells: Callable[[Any], Cells], images: Float[Any, "n h w c"]) -> Variables:
        """What is learned of normal images `[n, h, w, c]`, given what makes cells of some of them."""
        raise self._lacks("learn(self, cells, images)")

    def judge(self, learned: Variables, stage: str, cells: Float[Any, "n rows columns d"]) -> ScoreMap:
        """How far each cell `[n, rows, columns, d]` of a stage is from normal ones: `[n, rows, columns]`."""
        raise self._lacks("judge(self, learned, stage, cells)")

    def solve(self, images: Float[Any, "n h w c"]) -> Variables:
        """See `SolvedRecipe`; of images `[n, h, w, c]` the network's weights, as far as used, and what is learned."""
        weights = self.used_weights()
        fitted = {"network": weights, "whitening": self.fit_whitening(weights, images)}

        def cells(some: Any) -> Cells:
            found: Cells = jax.tree.map(lambda part: part[: len(some)], self.cells(fitted, filled(some, BATCH)))
            return found

        return {**fitted, "learned": self.learn(cells, images)}

    def score(self, variables: Variables, images: Float[Any, "n h w c"]) -> ScoreMap:
        """See `SolvedRecipe`; images are `[n, h, w, c]`."""
        cells = self.cells(variables, images).stages
        judged = [self.judge(variables["learned"], stage, cells[stage]) for stage in self.stages]
        return self._together(judged, images.shape[1:3])

    def cells(self, variables: Variables, images: Float[Any, "n h w c"]) -> Cells:
        """What images `[n, h, w, c]` are compared by.

        Compiled once for each count and size of images, however often a fit asks for them.
        """
        found = self._seen(variables["network"], images)
        return Cells(_whiten(found.stages, variables["whitening"]), found.styles)

    def seen_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """See `Recipe`; a size that came of this stays as it is, for another resize by one pixel would blur stripes.

        Raises:
            InputError: a side would be too short for the network.
        """
        height, width = size
        factor = min(self.side / math.sqrt(height * width), self.enlarged)
        if (height - 0.5) * (width - 0.5) <= self.side**2 <= (height + 0.5) * (width + 0.5):
            factor = 1.0
        seen = (max(1, round(height * factor)), max(1, round(width * factor)))
        if min(seen) < LEAST:
            raise InputError(
                f"recipe {self.name!r} takes images that are at least {LEAST} pixels high and wide where the network "
                f"sees them, and {size[0]} x {size[1]} become {seen[0]} x {seen[1]}; use larger images, or set side"
            )
        return seen

    @partial(jax.jit, static_argnames=("self", "size"))
    def _together(self, judged: list[Any], size: tuple[int, int]) -> ScoreMap:
        """The sum of what stages say, each `[n, rows, columns]`, smoothed and brought to that height and width."""
        total = sum(jax.image.resize(one, judged[0].shape, "linear") for one in judged)
        return spread_smoothly(total, size, blur=self.blur)

    def _seen(self, weights: Variables, images: Float[Any, "n h w c"]) -> Cells:
        """The network's outputs for images `[n, h, w, c]`, at each of the sizes at which stages see them."""
        network = backbones.find_network(weights, _outputs(self.stages))
        seen, found = self.seen_size(images.shape[1:3]), {}
        for share in dict.fromkeys(map(_share, self.stages)):
            stages = _outputs([stage for stage in self.stages if _share(stage) == share])
            height, width = (max(LEAST, round(side * share)) for side in seen)
            found[share] = _feature_maps(
                weights, images, network=network, stages=stages, size=(height, width), light=self.light
            )
        maps = {stage: found[_share(stage)].stages[_output(stage)] for stage in self.stages}
        return Cells(maps, found[_share(self.stages[-1])].styles)

    def used_weights(self) -> Variables:
        """The weights of the network that its stages are computed from."""
        return backbones.used_weights(backbones.open_backbone(self.backbone), _outputs(self.stages))

    def fit_whitening(self, weights: Variables, images: Float[Any, "n h w c"]) -> Variables:
        """Mean `[channels]` and matrix `[channels, numbers]` of each stage."""
        looked_at, found = images[:: -(-len(images) // WHITENED_BY)], []
        for begin in range(0, len(looked_at), BATCH):
            some = looked_at[begin : begin + BATCH]
            found.append(_moments(self._seen(weights, filled(some, BATCH)).stages))
        count = len(looked_at)
        means: Any = jax.tree.map(lambda *each: jnp.mean(jnp.concatenate(each)[:count], axis=0), *found)
        return {
            stage: {
                "mean": mean,
                "matrix": linear.whitening(square - mean[:, None] * mean[None], count=self.numbers),
            }
            for stage, (mean, square) in means.items()
        }

    def need_room(self, what: str, size: int, mend: str) -> None:
        """Refuse what would take more memory than is sensible, before any of it is computed."""
        if size > MOST_BYTES:
            raise InputError(
                f"{what} would take {size / 1e9:.1f} GB of memory, and {MOST_BYTES / 1e9:.1f} GB are allowed; {mend}"
            )


def _output(stage: str) -> str:
    return stage.partition(AT)[0]


def _outputs(stages: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_output, stages)))


def _share(stage: str) -> float:
    """Of its height and width at which an image is seen for this stage."""
    return float(stage.partition(AT)[2] or 1)


def _stage_problems(stage: str) -> list[str]:
    with contextlib.suppress(ValueError):
        if 0 < _share(stage) <= 1:
            return []
    return [
        f"what stands behind {AT} in a stage is the share of its height and width at which an image is seen, above 0 "
        f"and at most 1, such as {_output(stage)}{AT}0.65, got {stage!r}"
    ]


@partial(jax.jit, static_argnames=("network", "stages", "size", "light"))
def _feature_maps(
    weights: Variables,
    images: Float[Any, "n h w c"],
    *,
    network: backbones.Network,
    stages: tuple[str, ...],
    size: tuple[int, int],
    light: bool,
) -> Cells:
    if images.shape[1:3] != size:
        # Channels first: XLA would join products with the turn of their rows, and finds no tiles for both on an A100.
        planes = images.transpose(0, 3, 1, 2)
        images = jax.image.resize(planes, (*planes.shape[:2], *size), "linear").transpose(0, 2, 3, 1)
    found = backbones.stage_outputs(network, weights, images, stages=stages)
    seen = styles.styles(found[stages[-1]])
    if light:
        found = {stage: take_out_light(found[stage]) for stage in stages}
    return Cells({stage: average_neighbours(found[stage]) for stage in stages}, seen)


@jax.jit
def _whiten(maps: dict[str, Any], white: Variables) -> dict[str, Any]:
    def whitened(cells: Any, mean: Any, matrix: Any) -> Any:
        # Made before the product, for the same reason: convolutions of cuDNN are channels first.
        rows = apart((cells - mean).reshape(-1, cells.shape[-1]))
        return jnp.matmul(rows, matrix, precision="highest").reshape(*cells.shape[:-1], -1)

    return {
        stage: whitened(one, white[stage]["mean"][None, None, None], white[stage]["matrix"])
        for stage, one in maps.items()
    }


@jax.jit
def _moments(maps: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Of each image the mean of its rows and of their products."""
    rows = {stage: one.reshape(len(one), -1, one.shape[-1]) for stage, one in maps.items()}
    return {
        stage: (jnp.mean(x, axis=1), jnp.matmul(x.swapaxes(1, 2), x, precision="highest") / x.shape[1])
        for stage, x in rows.items()
    }
