"""`Part`: everything that judging photographs of one part takes, in one file that can verify itself.

A score is one number an image, higher is more anomalous; a map has one a pixel of the photograph, float32 `[h, w]`.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from PIL import Image

from jaxad import bundle
from jaxad._check import InputError
from jaxad.detector import PART, POOLS, Detector, from_contents
from jaxad.part.photographs import photographs, same_size_batches
from jaxad.preparation import Preparation, restore
from jaxad.recipes import Recipe
from jaxad.thresholds import Threshold

HIDDEN = 0.5
"""What every pixel outside the region of interest is set to before a model sees it."""
TOLERANCE = 1e-4
"""Relative difference of a golden image's score that `Part.verify` lets pass: machines round differently."""


class PartScores(NamedTuple):
    """Anomaly scores of photographs; higher is more anomalous."""

    image: Float[np.ndarray, " n"]
    """One raw score an image, in the recipe's own unit."""
    map: list[np.ndarray]
    """One score a pixel of each photograph, float32 `[h, w]` at the photograph's own size."""


def sees_windows(recipe: Recipe) -> bool:
    """Whether the recipe's model sees small windows, so that an image's score is pooled from its map."""
    return recipe.model == "patch_vae" or bool(getattr(recipe, "local", False))


def takes_one_size(recipe: Recipe) -> bool:
    """Whether all images must have one size: the model sees them whole, or scores are calibrated at each position."""
    return not sees_windows(recipe) or recipe.holdout > 0


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A detector with what is done to photographs before it and what judges their scores after it.

    Attributes:
        detector: what scores.
        preparation: how a photograph becomes its input.
        threshold: the decision is `score > threshold.value`.
        rate: the false-positive rate that was asked for, in (0, 1).
        normal_scores: of held-out normal images, float32 [m]; a threshold for another rate needs nothing else.
        colour_limits: scores of the lowest and the highest colour in all pictures, from held-out normal images.
        pixel_limit: a pixel above it belongs to a region: the largest 0.999 quantile of a held-out normal map.
        golden: small photographs [h, w, c], uint8 where the file was, that `verify` scores again.
        golden_scores: what they scored when the part was fitted, float32 [g].
        provenance: where the part comes from, ready for JSON.
        roi: the region of interest, bool [h, w]; for photographs of another size it is resized. Pixels outside are
            hidden from the model, count in no score and get the lowest score of the map.
    """

    detector: Detector
    preparation: Preparation
    threshold: Threshold
    rate: float
    normal_scores: Float[np.ndarray, " m"]
    colour_limits: tuple[float, float]
    pixel_limit: float
    golden: tuple[Shaped[np.ndarray, "..."], ...]
    golden_scores: Float[np.ndarray, " g"]
    provenance: Mapping[str, Any]
    roi: Bool[np.ndarray, "h w"] | None = None

    def score(self, source: Any) -> PartScores:
        """Score photographs of any sizes: raw scores [n] and maps, each at its photograph's own size [h, w].

        Args:
            source: an array `[h, w]`, `[h, w, c]` or `[n, h, w, c]`, a path, a Pillow image, or an iterable of these.
                uint8 is divided by 255, uint16 by 65535, float must lie in [0, 1].

        Raises:
            InputError: an array or a file that cannot be taken, or an image of a size that the model cannot score.
        """
        parts = [
            self.score_batch([pixels for _, pixels in batch])
            for batch in same_size_batches((None, pixels) for pixels in photographs(source))
        ]
        scores = [part.image for part in parts]
        return PartScores(
            np.concatenate(scores) if scores else np.zeros(0, np.float32), [one for part in parts for one in part.map]
        )

    def score_batch(self, batch: Sequence[Float[np.ndarray, "h w c"]]) -> PartScores:
        """Score photographs `[h, w, c]` of one size, float32 in [0, 1], at once: scores [n] and maps `[h, w]`.

        Raises:
            InputError: sizes differ, or the model cannot score this one.
        """
        inside = self.region(batch[0].shape[0], batch[0].shape[1])
        if inside is not None:
            batch = [np.where(inside[..., None], pixels, np.float32(HIDDEN)) for pixels in batch]
        prepared = [self.preparation.prepare(pixels) for pixels in batch]
        if len({image.shape for image, _ in prepared}) != 1:
            raise InputError("photographs of one batch must have one size; Part.score takes mixed ones")
        scores = self.detector.score(np.stack([image for image, _ in prepared]))
        maps = [restore(found, geometry) for found, (_, geometry) in zip(scores.map, prepared, strict=True)]
        if inside is None:
            return PartScores(scores.image, maps)
        image = scores.image
        if sees_windows(self.detector.recipe):
            pool = POOLS[self.detector.recipe.pool]
            image = np.array([pool(found[inside][None, None])[0] for found in maps], np.float32)
        return PartScores(image, [np.where(inside, found, found[inside].min()) for found in maps])

    def calibrate(self, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Raw scores [n] in standard deviations above the mean of the held-out normal ones; not clamped."""
        spread = float(np.std(self.normal_scores, ddof=1))
        return (scores - np.mean(self.normal_scores)) / (spread or 1.0)

    def region(self, height: int, width: int) -> Bool[np.ndarray, "h w"] | None:
        """The region of interest of a photograph of this size, `[h, w]`, or None where there is none.

        Raises:
            InputError: at this size nothing of it is left.
        """
        if self.roi is None or self.roi.shape == (height, width):
            return self.roi
        inside = np.asarray(Image.fromarray(self.roi).resize((width, height), Image.Resampling.NEAREST))
        if not inside.any():
            raise InputError(f"nothing of the region of interest is left at {height} x {width} pixels")
        return inside

    def verify(self) -> list[str]:
        """Score the golden images again and say which differ from what they scored when the part was fitted.

        Empty where all agree to 1e-4 of their score, whatever machine and versions score them now.
        """
        found = self.without_roi().score(self.golden).image
        return [
            f"golden image {index} scores {now:.7g} here and scored {then:.7g} when the part was fitted"
            for index, (now, then) in enumerate(zip(found.tolist(), self.golden_scores.tolist(), strict=True))
            if not abs(now - then) <= TOLERANCE * max(abs(now), abs(then))
        ]

    def without_roi(self) -> "Part":
        """The same part for whole photographs, as golden images are scored."""
        return dataclasses.replace(self, roi=None)

    def fingerprint(self) -> str:
        """SHA-256 of all that is in the part: two parts with the same one judge alike."""
        arrays, document = self._contents()
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
        for name in sorted(arrays):
            digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the part to one file, which `load_part` reads; `jaxad.load` reads the detector in it.

        Raises:
            InputError: the file cannot be written.
        """
        bundle.write(path, *self._contents())

    def _contents(self) -> tuple[dict[str, np.ndarray], dict[str, bundle.JSON]]:
        arrays, document = self.detector.contents()
        arrays[f"{PART}normal_scores"] = self.normal_scores
        arrays[f"{PART}golden_scores"] = self.golden_scores
        if self.roi is not None:
            arrays[f"{PART}roi"] = self.roi
        arrays.update({f"{PART}golden/{index}": pixels for index, pixels in enumerate(self.golden)})
        document["part"] = {
            "preparation": dataclasses.asdict(self.preparation),
            "threshold": dataclasses.asdict(self.threshold),
            "rate": self.rate,
            "colour_limits": self.colour_limits,
            "pixel_limit": self.pixel_limit,
            "provenance": self.provenance,
        }
        return arrays, document


def load_part(path: str | os.PathLike[str]) -> Part:
    """Read a part that `Part.save` wrote.

    Raises:
        InputError: the file is missing, damaged, foreign or too new, does not fit its model, or holds no part.
    """
    arrays, document = bundle.read(path)
    detector = from_contents(arrays, document, path)
    stored: Any = document.get("part")
    if stored is None:
        raise InputError(f"bundle {str(path)!r} holds a detector alone and no part; make one with `jaxad fit`")
    try:
        return _from_document(detector, stored, arrays)
    except (KeyError, TypeError, ValueError) as error:
        words = str(error) if isinstance(error, InputError) else repr(error)
        raise InputError(
            f"bundle {str(path)!r} holds a part that this jaxad cannot read ({words}); fit it again"
        ) from None


def _from_document(detector: Detector, stored: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Part:
    preparation, threshold = dict(stored["preparation"]), dict(stored["threshold"])
    low, high = stored["colour_limits"]
    golden_scores = arrays[f"{PART}golden_scores"]
    return Part(
        detector=detector,
        preparation=Preparation(**{**preparation, "box": tuple(preparation["box"])}),
        threshold=Threshold(**{**threshold, "interval": tuple(threshold["interval"])}),
        rate=stored["rate"],
        normal_scores=arrays[f"{PART}normal_scores"],
        colour_limits=(low, high),
        pixel_limit=stored["pixel_limit"],
        golden=tuple(arrays[f"{PART}golden/{index}"] for index in range(len(golden_scores))),
        golden_scores=golden_scores,
        provenance=stored["provenance"],
        roi=arrays.get(f"{PART}roi"),
    )
