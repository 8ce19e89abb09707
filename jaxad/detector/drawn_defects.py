"""A network that has learnt to find defects which were drawn on normal images."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from jaxad import losses
from jaxad._types import Images, PRNGKey
from jaxad.defects import draw_defects
from jaxad.detector.system import POOLS, Scored, System
from jaxad.models import Segmenter
from jaxad.one_class_svm import OneClassSVM
from jaxad.patches import random_crops
from jaxad.recipes import DrawnDefectsRecipe
from jaxad.training import LossFunction, Terms


class DrawnDefectsSystem(System):
    """A U-Net on images of any height and width, trained on crops with new defects in every batch."""

    recipe: DrawnDefectsRecipe
    scores: ClassVar[tuple[str, ...]] = ("log_odds",)
    losses = ("cross_entropy",)

    def make_model(self) -> Segmenter:
        """See `System`."""
        return Segmenter(self.recipe.filters)

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse images `[h, w, c]` with another channel count."""
        self.need_channels(shape)

    def make_examples(self, key: PRNGKey, images: Images) -> Array:
        """Random crops of normal images, `[crops, p, q, c]`."""
        height, width = (min(pair) for pair in zip(self.recipe.crop, images.shape[1:3], strict=True))
        return random_crops(key, images, count=self.recipe.crops, size=(height, width))

    def make_loss(self) -> LossFunction:
        """See `System`: one half of every batch stays as it is, on average."""
        model, function = self.make_model(), getattr(losses, self.recipe.loss)

        def loss(params: PyTree, batch_stats: PyTree, batch: Array, key: Array) -> tuple[Array, tuple[PyTree, Terms]]:
            draw_key, choice_key = jax.random.split(key)
            drawn, masks, _ = draw_defects(draw_key, batch)
            good = jax.random.bernoulli(choice_key, shape=(batch.shape[0], 1, 1))
            log_odds = model.apply({"params": params}, jnp.where(good[..., None], batch, drawn))
            return jnp.mean(function(masks & ~good, log_odds)), (batch_stats, {})

        return loss

    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """Log-odds that a pixel is part of a defect, in nats, for images `[n, h, w, c]`: `[n]` and `[n, h, w]`."""
        score_map: Any = self.run(variables, images, dtype)
        return {"log_odds": Scored(POOLS[self.recipe.pool](score_map), score_map)}
