"""`Part`: everything that judging photographs of one part takes, in one file that can verify itself.

A score is one number an image, higher is more anomalous; a map has one a pixel of the photograph, float32 `[h, w]`.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from jaxad import bundle
from jaxad._check import InputError
from jaxad.datasets import photographs, same_size_batches
from jaxad.detector import PART, Detector, from_contents
from jaxad.part.scoring import PartScores, score_batch
from jaxad.preparation import Preparation
from jaxad.thresholds import Threshold

TOLERANCE = 1e-4
"""Relative difference of a golden image's score that `Part.verify` lets pass: machines round differently."""


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
        return score_batch(self.detector, self.preparation, self.roi, batch)

    def calibrate(self, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Raw scores [n] in standard deviations above the mean of the held-out normal ones; not clamped."""
        spread = float(np.std(self.normal_scores, ddof=1))
        return (scores - np.mean(self.normal_scores)) / (spread or 1.0)

    def verify(self) -> list[str]:
        """Score the golden images again and say which differ from what they scored when the part was fitted.

        Empty where all agree to 1e-4 of their score, whatever machine and versions score them now.
        """
        found = dataclasses.replace(self, roi=None).score(self.golden).image
        return [
            f"golden image {index} scores {now:.7g} here and scored {then:.7g} when the part was fitted"
            for index, (now, then) in enumerate(zip(found.tolist(), self.golden_scores.tolist(), strict=True))
            if not abs(now - then) <= TOLERANCE * max(abs(now), abs(then))
        ]

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
