"""What a recipe for images of one shape can do, whatever its model: the interface, and what all have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree

from jaxad._check import InputError, mend_opacity, need_one_of
from jaxad._types import AnyArray, Images, Maps, PRNGKey
from jaxad.calibration import pool
from jaxad.extents import Extent
from jaxad.one_class_svm import OneClassSVM
from jaxad.training import LossFunction, Variables

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""

TOP = 0.1


def _highest(maps: Maps, *, where: Bool[AnyArray, "n h w"] | None = None) -> Float[Array, " n"]:
    """The largest score of each map: `[n]`; not a number where one pixel is none, which XLA's maximum may hide."""
    highest = jnp.max(maps, axis=(1, 2), initial=-jnp.inf, where=where)
    none = jnp.isnan(maps) if where is None else jnp.isnan(maps) & where
    return jnp.where(jnp.any(none, axis=(1, 2)), jnp.nan, highest)


POOLS: dict[str, Callable[..., Array]] = {
    "mean": partial(jnp.mean, axis=(1, 2)),
    "max": _highest,
    "top": partial(pool, share=TOP),
}
"""How maps `[n, h, w]` become scores `[n]`, with `where` of the pixels that count, `[n, h, w]`."""


class Scored(NamedTuple):
    """One score of a batch, on the device."""

    score: Float[Array, " n"]
    map: Maps


@dataclass(frozen=True)
class System(ABC):
    """The computations of one of jaxad's own recipes for images of one shape."""

    recipe: Any
    shape: Shape
    scores: ClassVar[tuple[str, ...]]
    """Names of the scores it can give."""
    losses: ClassVar[tuple[str, ...]]
    """Names of the losses it can be trained with."""
    fitted_at_once: ClassVar[bool] = False
    """Whether `solve`, or the fit of other systems, gives the variables; else they are trained."""

    def need_sound(self) -> None:
        """Refuse a recipe whose names or sizes do not go with the model or the images."""
        need_one_of(self.recipe.loss, self.losses, what="loss")
        need_one_of(self.recipe.score, self.scores, what="score")
        need_one_of(self.recipe.pool, POOLS, what="pool")

    @property
    def score_name(self) -> str:
        """Which of the scores judges an image."""
        return str(self.recipe.score)

    def need_method(self, images: Images) -> None:
        """Refuse what no method may do, before it is fitted on images `[n, h, w, c]`; nothing is computed."""
        self.need_sound()

    @property
    def calibrated(self) -> bool:
        """Whether held-out normal images tell what is usual at each position."""
        return bool(self.recipe.holdout)

    def make_model(self) -> Any:
        """The flax model, where there is one."""
        raise InputError(f"recipe {self.recipe.name!r} has no network: it is fitted in closed form")

    def example(self) -> Array:
        """One input of the model, `[1, h, w, c]`, of zeros."""
        return jnp.zeros((1, *self.shape))

    def init(self, key: PRNGKey) -> Variables:
        """The variables before training."""
        return dict(self.make_model().init(key, self.example()))

    def template(self, arrays: Mapping[str, Any]) -> PyTree:
        """The variables as shapes; those that depend on the training images are read off `arrays`, by path."""
        return jax.eval_shape(self.make_model().init, jax.random.key(0), self.example())

    def for_scoring(self, variables: PyTree) -> PyTree:
        """The variables, with what makes scoring in float32 faster on this backend beside them; on the host."""
        return variables

    def solve(self, images: Images) -> PyTree:
        """The variables for normal images `[n, h, w, c]` in closed form, where the system is fitted at once."""
        raise InputError(f"recipe {self.recipe.name!r} is not fitted in closed form")

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse images of height, width and channels that the model cannot read."""
        if tuple(shape) != self.shape:
            self.need_channels(shape)
            raise InputError(
                f"images must be {times(self.shape)} (height x width x channels), as those it was fitted on; "
                f"got {times(shape)}"
            )

    def need_channels(self, shape: tuple[int, ...]) -> None:
        """Refuse images of shape `[h, w, c]` with another channel count."""
        wanted, got = self.shape[-1], shape[-1]
        if got != wanted:
            mend = "turn colour into grey or repeat grey three times, or fit a part with `jaxad fit`, which does it"
            if got in (2, 4):
                mend = mend_opacity(got) + ("" if wanted == got - 1 else f", and {mend}")
            raise InputError(
                f"images must have {wanted} channel(s) in the last axis, got {got} (shape {shape}); {mend}"
            )

    def make_examples(self, key: PRNGKey, images: Images) -> Array | None:
        """What to train on, `[m, h, w, c]`; None for the images themselves."""
        return None

    def finish(self, variables: Variables, images: Images) -> Variables:
        """The variables after training on images `[n, h, w, c]`, with what is fitted then."""
        return variables

    def make_loss(self) -> LossFunction:
        """The loss for `jaxad.training`: the mean over the batch, with its terms beside it."""
        raise InputError(f"recipe {self.recipe.name!r} has no loss: it is fitted in closed form")

    @property
    def reach(self) -> int | None:
        """Pixels from one whose score is asked for to the furthest that count in it, where canvases are scored.

        None where the model scores whole images alone; see `score_canvases`.
        """
        return None

    @property
    def step(self) -> int:
        """Canvases begin at multiples of so many pixels of their photographs."""
        return 1

    @abstractmethod
    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """Every score of images `[n, h, w, c]`, by name, from a model that computes in `dtype`; jit-safe."""

    def score_canvases(
        self,
        variables: PyTree,
        images: Images,
        dtype: DTypeLike,
        extent: Extent | None,
        counted: Bool[AnyArray, "n h w"] | None,
    ) -> dict[str, Scored]:
        """As `score`, for canvases `[n, h, w, c]` that show photographs of any sizes; see `jaxad.extents`.

        Where a photograph goes on beyond its canvas, maps are right from `reach` pixels inside on. Image scores that
        are pooled from maps are pooled where pixels are `counted`, by default on all the photograph.
        """
        raise InputError(f"recipe {self.recipe.name!r} scores whole images of one size")

    def pool(self, score_map: Maps, *, counted: Bool[AnyArray, "n h w"] | None = None) -> Float[Array, " n"]:
        """What the recipe's pool makes of maps `[n, h, w]`, where they are counted: `[n]`."""
        return POOLS[self.recipe.pool](score_map, where=counted)

    @property
    def ingredients(self) -> tuple[str, ...]:
        """Names of further scores that `whole` needs of every part."""
        return ()

    def whole(
        self,
        name: str,
        parts: Sequence[Mapping[str, Any]],
        counts: Sequence[int],
        score_map: Float[np.ndarray, "h w"],
        counted: Bool[np.ndarray, "h w"] | None,
    ) -> float:
        """The score of that name of a photograph `[h, w]` that was scored part by part; on the host.

        Args:
            name: which score.
            parts: scores by name, one entry a part, each of the pixels that counted there.
            counts: how many those were.
            score_map: the map of that score, put together.
            counted: where its pixels count; by default everywhere.
        """
        if self.recipe.pool == "top":
            values = score_map.ravel() if counted is None else score_map[counted]
            most = max(1, round(TOP * values.size))
            return float(np.mean(np.partition(values, -most)[-most:]))
        seen = [(part[name], count) for part, count in zip(parts, counts, strict=True) if count]
        values, weights = np.array(seen).T
        return float(values.max() if self.recipe.pool == "max" else np.average(values, weights=weights))

    def run(self, variables: PyTree, inputs: Images, dtype: DTypeLike, *more: Any) -> Any:
        """What the model makes of inputs `[n, h, w, c]`, computed in `dtype`, given in float32; jit-safe."""
        variables, inputs = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (variables, inputs))
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), self.make_model().apply(variables, inputs, *more))


class AnySizeSystem(System):
    """A system whose model sees windows or spots, so that images may have any size that holds one of them."""

    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """See `System`; images are `[n, h, w, c]`."""
        return self.score_canvases(variables, images, dtype, None, None)

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse images `[h, w, c]` with another channel count."""
        self.need_channels(shape)


def times(shape: tuple[int, ...]) -> str:
    """Sizes for a sentence, such as `28 x 28 x 1`."""
    return " x ".join(map(str, np.asarray(shape)))
