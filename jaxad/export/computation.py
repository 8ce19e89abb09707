"""What is exported: uint8 images in, scores and maps out, with all in between that a device can do."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from jaxad._check import InputError
from jaxad.calibration import Usual, unusualness
from jaxad.datasets import photographs
from jaxad.detector import CALIBRATED, POOLS, Detector
from jaxad.part import HIDDEN, Part, pools_maps, region_at, score_batch, sees_windows, usual_at
from jaxad.preparation import GREY_WEIGHTS, Preparation

WHITE = np.float32(255)


@dataclass(frozen=True, eq=False)
class Computation:
    """A detector, and what of its part is a device computation, for images of one size.

    Attributes:
        detector: what scores.
        size: height and width of the images.
        channels: of the images; 3 where the detector sees grey and the part's photographs are in colour.
        roi: the region of interest at that size, bool [h, w].
        usual: what held-out normal maps show at each position of that size, [h, w].
    """

    detector: Detector
    size: tuple[int, int]
    channels: int
    roi: Bool[np.ndarray, "h w"] | None = None
    usual: Usual | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return (*self.size, self.channels)

    @property
    def score_name(self) -> str:
        """Which of the detector's scores judges an image."""
        return self.detector.recipe.score if self.detector.usual is None else CALIBRATED

    def score(self, image: UInt8[Array, "h w c"]) -> tuple[Float[Array, ""], Float[Array, "h w"]]:
        """The score of one image `[h, w, c]` and its map `[h, w]`; jit-safe, and the same sums as `Part.score`."""
        pixels = image[None].astype(jnp.float32) / WHITE
        if self.roi is not None:
            pixels = jnp.where(self.roi[None, ..., None], pixels, HIDDEN)
        if self.channels != self.detector.shape[-1]:
            pixels = (pixels @ jnp.array(GREY_WEIGHTS, jnp.float32))[..., None]
        scored = self.detector.apply(pixels)[self.score_name]
        found = scored.map if self.usual is None else unusualness(scored.map, self.usual)
        inside = found if self.roi is None else found[:, self.roi][:, None]
        recipe, image = self.detector.recipe, scored.image
        if pools_maps(recipe, calibrated=self.usual is not None, within_region=self.roi is not None):
            image = POOLS[recipe.pool](inside)
        return image[0], found[0] if self.roi is None else jnp.where(self.roi, found[0], jnp.min(inside))

    def expected(self, images: UInt8[np.ndarray, "n h w c"]) -> tuple[np.ndarray, np.ndarray]:
        """What jaxad itself scores images `[n, h, w, c]`: `[n]` and `[n, h, w]`."""
        shares = np.divide(images, WHITE, dtype=np.float32)
        if self.roi is None and self.usual is None and self.channels == self.detector.shape[-1]:
            return self.detector.score(shares)
        found = score_batch(self.detector, Preparation(self.detector.shape[-1]), self.roi, self.usual, list(shares))
        return found.image, np.stack(found.map)

    def examples(self, golden: Sequence[np.ndarray]) -> UInt8[np.ndarray, "n h w c"]:
        """Images `[n, h, w, c]` to compare by: golden ones `[h, w, c]` brought to the size, and random ones."""
        fit = Preparation(self.channels, "letterbox", box=self.size) if golden else None
        known = [np.rint(fit.prepare(pixels)[0] * WHITE) for pixels in photographs(golden)] if fit else []
        rng = np.random.default_rng(0)
        drawn = [rng.integers(low, high, self.shape) for low, high in ((0, 256), (96, 160))]
        return np.stack([*known, *drawn]).astype(np.uint8)


def make_computation(source: Part | Detector, size: tuple[int, int] | None) -> Computation:
    """The computation of a part, or of a detector alone, for images of this size or of the usual one.

    Raises:
        InputError: the model cannot read images of this size, or photographs must be resized before the region of
            interest holds.
    """
    detector = source.detector if isinstance(source, Part) else source
    roi = source.roi if isinstance(source, Part) else None
    # Detectors of windows are fitted on tiles; a region of interest tells how large the photographs are.
    fitted = detector.shape[:2] if roi is None or not sees_windows(detector.recipe) else roi.shape
    chosen = size or (fitted[0], fitted[1])
    channels = detector.shape[-1]
    detector.system.need_shape((*chosen, channels))
    if not isinstance(source, Part):
        return Computation(detector, chosen, channels)
    if roi is not None and source.preparation.geometry(*chosen).inside != chosen:
        raise InputError(
            f"the region of interest holds before photographs are resized ({source.preparation.mode}), which no "
            "exported model does; fit with --native, or without --roi"
        )
    if source.golden and all(one.ndim == 3 and one.shape[-1] == 3 for one in source.golden):
        channels = 3
    usual = None if source.usual is None else usual_at(source.usual, chosen)
    return Computation(detector, chosen, channels, region_at(roi, *chosen), usual)
