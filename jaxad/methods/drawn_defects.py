"""A network that has learnt to find defects which were drawn on normal images."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad import losses
from jaxad._types import Images, PRNGKey
from jaxad.defects import draw_defects
from jaxad.extents import Extent, axes_of, map_canvases
from jaxad.models import Segmenter
from jaxad.patches import map_tiles, random_crops
from jaxad.recipes import NetworkRecipe, Scores, Shape, Variables

TILE = 512
"""Height and width, at most, of what the network judges at once; it sees the surroundings too."""
SURROUNDINGS = 6
"""Pixels of the coarsest level: up to three convolutions a level look one to each side, and the way between levels."""


class DrawnDefectsRecipe(NetworkRecipe, kind="drawn_defects"):
    """A U-Net on images of any height and width, trained on crops with new defects in every batch; see `jaxad.defects`.

    The image score is the pool of log-odds, in nats, that a pixel is part of a defect.
    """

    filters: tuple[int, ...] = (8, 16, 32)
    """Channels at full size, at half of it, and so on."""
    crop: tuple[int, int] = (64, 64)
    """Height and width of the crops to train on; the image's own where it is smaller."""
    crops: int = 800

    @property
    def score_name(self) -> str:
        """See `Recipe`."""
        return "log_odds"

    @property
    def reach(self) -> int:
        """See `Recipe`: what the network sees around a pixel."""
        return SURROUNDINGS * self.step

    @property
    def step(self) -> int:
        """See `Recipe`: the pixels that one of the coarsest level stands for."""
        return 2 ** (len(self.filters) - 1)

    def model(self, shape: Shape) -> Segmenter:
        """See `NetworkRecipe`."""
        return Segmenter(self.filters)

    def examples(self, key: PRNGKey, images: Images) -> Array:
        """Random crops of normal images `[n, h, w, c]`: `[crops, p, q, c]`."""
        height, width = (min(pair) for pair in zip(self.crop, images.shape[1:3], strict=True))
        return random_crops(key, images, count=self.crops, size=(height, width))

    def loss(
        self, model: Any, variables: Variables, batch: Array, key: PRNGKey
    ) -> tuple[Float[Array, ""], Variables, dict[str, Array]]:
        """The mean cross-entropy over a batch `[b, h, w, c]`, of which one half stays as it is, on average."""
        draw_key, choice_key = jax.random.split(key)
        drawn, masks, _ = draw_defects(draw_key, batch)
        good = jax.random.bernoulli(choice_key, shape=(batch.shape[0], 1, 1))
        log_odds = model.apply(variables, jnp.where(good[..., None], batch, drawn))
        return jnp.mean(losses.cross_entropy(masks & ~good, log_odds)), {}, {}

    def score(self, model: Any, variables: Variables, images: Array, *, extent: Extent | None = None) -> Scores:
        """Log-odds that a pixel is part of a defect, in nats, for images `[n, h, w, c]`: `[n, h, w]`.

        Large images are judged tile by tile, each with all of its surroundings that the network sees, so that memory
        does not grow with them and the map is that of the whole image.
        """

        def judge(pixels: Array, place: Extent | None) -> Array:
            n, height, width, channels = pixels.shape
            axes = axes_of((height, width), extent=place)

            def make_tile(row: Array, column: Array, p: int, q: int) -> Array:
                (top, tall), (left, wide) = (
                    _with_surroundings(row, p, height, self.step),
                    _with_surroundings(column, q, width, self.step),
                )
                seen = jax.lax.dynamic_slice(pixels, (0, top, left, 0), (n, tall, wide, channels))
                rest = None if place is None else (axes[0].rest - top, axes[1].rest - left)
                log_odds = model.apply(variables, seen, rest)
                return jax.lax.dynamic_slice(log_odds, (0, row - top, column - left), (n, p, q))

            return map_tiles(make_tile, shape=(height, width), most=TILE)

        score_map: Any = judge(images, None) if extent is None else map_canvases(judge, images, extent)
        return {self.score_name: score_map}


def _with_surroundings(first: Array, count: int, length: int, step: int) -> tuple[Array, int]:
    """The run of pixels that the network sees when it judges `count` pixels of an axis: its first one, and how many.

    Strides halve the axis until a pixel stands for `step`. Where they begin depends on the length, so a run begins at
    a multiple of `step` and lacks one of the whole length.
    """
    reach = SURROUNDINGS * step
    size = count + 2 * reach + step
    size = min(length, size + (length - size) % step)
    return jnp.clip((first - reach) // step * step, 0, length - size), size
