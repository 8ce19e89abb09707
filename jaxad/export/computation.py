"""What is exported: uint8 images in, scores and maps out, with all in between that a device can do."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from jaxad._check import InputError, raise_problems
from jaxad.calibration import Usual
from jaxad.detector import Detector, Scored
from jaxad.extents import Batch
from jaxad.images import photographs
from jaxad.pipeline import Pipeline, brought_back, judge, look, looked_at, region_at, usual_at
from jaxad.preparation import Preparation, mirror

WHITE = np.float32(255)
MOST_PIXELS = 2**26
"""Of an image of an exported model, which is one program."""
PLACE, NOISE = 8, 4
"""Of random images: pixels along a place of one light, levels of noise."""


@dataclass(frozen=True, eq=False)
class Computation:
    """A detector, and what of its pipeline is a device computation, for images of one size.

    Attributes:
        detector: what scores.
        size: height and width of the images.
        channels: of the images; 3 where the detector sees grey and the pipeline's photographs are in colour.
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
        return self.detector.score_name

    @property
    def taken_off(self) -> Float[np.ndarray, "h w"]:
        """What calibration takes off the maps, in their own units, `[h, w]` or `[1, 1]`; 0 where they are raw."""
        applied = [one for one in (self.detector.usual, self.usual) if one is not None]
        # The last to be applied: what was rounded before it is in its deviations.
        return np.asarray(applied[-1].mean / applied[-1].deviation) if applied else np.zeros((1, 1), np.float32)

    @property
    def taken_off_scores(self) -> float:
        """The same for scores of images: its mean where they are pooled from calibrated maps, and the recipe's own."""
        recipe = self.detector.recipe
        pooled = self.usual is None or recipe.pools_maps
        return recipe.taken_off(self.detector.variables) + (float(np.mean(self.taken_off)) if pooled else 0.0)

    def score(self, image: UInt8[Array, "h w c"]) -> tuple[Float[Array, ""], Float[Array, "h w"]]:
        """The score of one image `[h, w, c]` and its map `[h, w]`; jit-safe, and the same sums as `Pipeline.score`."""
        area = looked_at(self.detector.recipe, self.size, self.roi)
        usual = None if self.usual is None else usual_at(self.usual, area)
        if self.roi is None:
            found = self._judged(image, usual, None)
            return found.score[0], found.map[0]
        counted = self.roi[area.window]
        image = image.reshape(-1, self.channels)[mirror(self.roi).reshape(self.size)[area.window]]
        found = self._judged(image, usual, counted[None])
        rows, columns = self.size[0] - area.height, self.size[1] - area.width
        beyond = [(area.top, rows - area.top), (area.left, columns - area.left)]
        return found.score[0], jnp.where(self.roi, jnp.pad(found.map[0], beyond), jnp.min(found.map[0][counted]))

    def _judged(self, image: Array, usual: Usual | None, counted: Bool[np.ndarray, "1 h w"] | None) -> Scored:
        pixels = image[None].astype(jnp.float32) / WHITE
        return judge(self.detector, usual, Batch(pixels, counted=counted))[self.score_name]

    def expected(self, images: UInt8[np.ndarray, "n h w c"]) -> tuple[np.ndarray, np.ndarray]:
        """What jaxad itself scores images `[n, h, w, c]`: `[n]` and `[n, h, w]`."""
        seen = look(self.detector, Preparation(self.detector.shape[-1]), self.roi, self.usual, list(images))
        raise_problems(str(one) for one in seen if isinstance(one, InputError))
        found = [brought_back(one) for one in seen if not isinstance(one, InputError)]
        return np.array([one.score for one in found], np.float32), np.stack([one.map for one in found])

    def examples(self, golden: Sequence[np.ndarray]) -> UInt8[np.ndarray, "n h w c"]:
        """Images `[n, h, w, c]` to compare by: golden ones `[h, w, c]` brought to the size, and random ones.

        Random ones have light and dark places with a little noise, as photographs do. Of noise alone deep features
        hardly vary, and where their light is taken out little but rounding is left.
        """
        fit = Preparation(self.channels, "letterbox", box=self.size) if golden else None
        known = [np.rint(fit.prepare(pixels)[0] * WHITE) for pixels in photographs(golden)] if fit else []
        rng, (height, width) = np.random.default_rng(0), self.size
        drawn = []
        for low, high in ((0, 256), (96, 160)):
            places = rng.integers(low, high, (-(-height // PLACE), -(-width // PLACE), self.channels))
            even = places.repeat(PLACE, 0).repeat(PLACE, 1)[:height, :width]
            drawn.append(np.clip(even + rng.integers(-NOISE, NOISE + 1, self.shape), 0, 255))
        return np.stack([*known, *drawn]).astype(np.uint8)


def make_computation(source: Pipeline | Detector, size: tuple[int, int] | None) -> Computation:
    """The computation of a pipeline, or of a detector alone, for images of this size or of the usual one.

    Raises:
        InputError: the model cannot read images of this size, more than `MOST_PIXELS`, or photographs must be resized
            before the region of interest holds.
    """
    detector = source.detector if isinstance(source, Pipeline) else source
    roi = source.roi if isinstance(source, Pipeline) else None
    usual = source.usual if isinstance(source, Pipeline) else None
    placed = usual is not None and usual.mean.shape != (1, 1)
    # Detectors of windows are fitted on tiles; positions, or a region of interest, tell how large photographs are.
    fitted = detector.shape[:2] if roi is None or not detector.recipe.sees_windows else roi.shape
    if usual is not None and placed:
        fitted = usual.mean.shape
    chosen = size or (fitted[0], fitted[1])
    if placed and chosen != fitted:
        raise InputError(
            f"the pipeline judges by positions of {fitted[0]} x {fitted[1]} pixels, not {chosen[0]} x {chosen[1]}; "
            "leave the size out and bring images to the former"
        )
    if chosen[0] * chosen[1] > MOST_PIXELS:
        raise InputError(
            f"an exported model takes images of {MOST_PIXELS:,} pixels at most, got {chosen[0]} x {chosen[1]}; export "
            "it for a smaller size, and score larger photographs by jaxad, which goes part by part"
        )
    channels = detector.shape[-1]
    detector.need_shape((*chosen, channels))
    if not isinstance(source, Pipeline):
        return Computation(detector, chosen, channels)
    if roi is not None and source.preparation.geometry(*chosen).inside != chosen:
        raise InputError(
            f"the region of interest holds before photographs are resized ({source.preparation.mode}), which no "
            "exported model does; fit with --native, or without --roi"
        )
    if source.golden and all(one.ndim == 3 and one.shape[-1] == 3 for one in source.golden):
        channels = 3
    return Computation(detector, chosen, channels, region_at(roi, *chosen), usual)
