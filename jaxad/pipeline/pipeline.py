"""`Pipeline`: preparation, detector, calibration and decision threshold, in one file that can verify itself.

A score is one number an image, higher is more anomalous; a map has one a pixel of the photograph, float32 `[h, w]`.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import msgspec
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Shaped

from jaxad import bundle
from jaxad._check import InputError, naming, need_fields, raise_problems
from jaxad.calibration import Usual, everywhere
from jaxad.detector import PART, Detector, Found, from_contents
from jaxad.images import batches, photographs
from jaxad.pipeline.scoring import PipelineScores, admit, brought_back, look
from jaxad.preparation import Preparation
from jaxad.thresholds import Threshold

TOLERANCE = 1e-4
"""Relative difference of a golden image's score that `Pipeline.verify` lets pass: machines round differently."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pipeline:
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
        golden_scores: what they scored when the pipeline was fitted, float32 [g].
        provenance: where the pipeline comes from, ready for JSON.
        roi: the region of interest, bool [h, w]; for photographs of another size it is resized. A model of windows sees
            the rectangle around it alone. Pixels outside are filled from inside, count in no score and get the lowest
            score of the map.
        usual: mean and deviation of held-out normal maps at every position of the model's input, float32 [h, w]: maps
            are in deviations above it, and so is the score of a model of windows, which is pooled from the map. All
            inputs have that size; or it is `[1, 1]`, the same everywhere, for inputs of any. None where maps keep the
            unit of the model.
        shapes: the least and the largest height, in widths, of the photographs that it was fitted on, where whole ones
            are compared: others are refused. None where they are not, or a jaxad before 0.1 wrote the file.
        enlarged: how many times as large the smallest of them became, at least 1: others that would be enlarged more
            than twice as much are refused. None as for `shapes`.
        sides: square roots of the least and the largest count of pixels of the photographs that it was fitted on, where
            the model sees them at their own size: what has another scale is judged wrongly. None where it does not.
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
    usual: Usual | None = None
    shapes: tuple[float, float] | None = None
    enlarged: float | None = None
    sides: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.golden) != len(self.golden_scores):
            raise InputError(
                f"a pipeline must have a score for each golden image, got {len(self.golden)} images and "
                f"{len(self.golden_scores)} scores; leave out both or none"
            )
        if not isinstance(self.threshold, Threshold):
            raise InputError(
                f"the threshold of a pipeline must be a jaxad.thresholds.Threshold, got {self.threshold!r}; make one "
                "of normal scores by jaxad.thresholds.for_false_positive_rate"
            )

    def __repr__(self) -> str:
        """What it is, in a line."""
        return f"Pipeline({self.detector}, {self.preparation}, threshold {self.threshold.value:g})"

    def on_mesh(self, mesh: Mesh | None) -> "Pipeline":
        """The same pipeline, whose detector shares every batch among the devices of a mesh; see `Detector.on_mesh`.

        Raises:
            InputError: the mesh has devices of another process.
        """
        return dataclasses.replace(self, detector=self.detector.on_mesh(mesh))

    def score(self, source: Any) -> PipelineScores:
        """Score photographs of any sizes: scores [n] and maps, each at its photograph's own size [h, w].

        Args:
            source: an array `[h, w]`, `[h, w, c]` or `[n, h, w, c]`, a path, a Pillow image, or an iterable of these.
                uint8 is divided by 255, uint16 by 65535, float must lie in [0, 1].

        Raises:
            InputError: an array or a file that cannot be taken, or an image of a size that the model cannot score.
        """
        scores: list[float] = []
        maps: list[np.ndarray] = []
        items = ((None, pixels) for pixels in photographs(source))
        for batch in batches(items, shares=self.detector.shares):
            for found in self.score_batch([pixels for _, pixels in batch]):
                if isinstance(found, InputError):
                    with naming(len(scores)):
                        raise found
                scores.append(found.score)
                maps.append(found.map)
        return PipelineScores(np.array(scores, np.float32), maps)

    def score_batch(self, batch: Sequence[Shaped[np.ndarray, "..."]]) -> list[Found | InputError]:
        """Score photographs `[h, w, c]` of any sizes at once, uint8, uint16 or float32 in [0, 1].

        Returns:
            Score and map `[h, w]` of each, or why the model cannot score it, in their order.
        """
        judges = (self.detector, self.preparation, self.roi, self.usual)
        seen = look(*judges, batch, shapes=self.shapes, enlarged=self.enlarged)
        return [one if isinstance(one, InputError) else brought_back(one) for one in seen]

    def admit(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Prepare for photographs of these heights and widths, one entry each: the fewer programs are compiled."""
        admit(self.detector, self.preparation, self.roi, sizes)

    def calibrate(self, scores: Float[np.ndarray, "*n"] | np.float32) -> Float[np.ndarray, "*n"] | np.float32:
        """Scores `[...]` in standard deviations above the mean of the held-out normal ones; not clamped."""
        spread = float(np.std(self.normal_scores, ddof=1))
        return (scores - np.mean(self.normal_scores)) / (spread or 1.0)

    def verify(self) -> list[str]:
        """Score the golden images again and say which differ from what they scored when the pipeline was fitted.

        Empty where all agree to 1e-4 of their score, whatever machine and versions score them now.
        """
        found = golden_scores(self.detector, self.preparation, self.usual, self.golden)
        return [
            f"golden image {index} scores {now:.7g} here and scored {then:.7g} when the pipeline was fitted"
            for index, (now, then) in enumerate(zip(found.tolist(), self.golden_scores.tolist(), strict=True))
            if not abs(now - then) <= TOLERANCE * max(abs(now), abs(then))
        ]

    def fingerprint(self) -> str:
        """SHA-256 of all that is in the pipeline: two pipelines with the same one judge alike."""
        return bundle.fingerprint(*self._contents())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pipeline to one file, which `jaxad.load` reads.

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
        if self.usual is not None:
            arrays.update({f"{PART}usual/{name}": np.asarray(each) for name, each in self.usual._asdict().items()})
        arrays.update({f"{PART}golden/{index}": pixels for index, pixels in enumerate(self.golden)})
        document["part"] = {
            "preparation": dataclasses.asdict(self.preparation),
            "threshold": dataclasses.asdict(self.threshold),
            "rate": self.rate,
            "colour_limits": self.colour_limits,
            "pixel_limit": self.pixel_limit,
            "provenance": self.provenance,
            **({} if self.shapes is None else {"shapes": self.shapes}),
            **({} if self.enlarged is None else {"enlarged": self.enlarged}),
            **({} if self.sides is None else {"sides": self.sides}),
        }
        return arrays, document


def golden_scores(
    detector: Detector, preparation: Preparation, usual: Usual | None, golden: Sequence[Shaped[np.ndarray, "..."]]
) -> Float[np.ndarray, " g"]:
    """What golden images `[h, w, c]` score, `[g]`: by what is usual at their positions, or wherever they lie.

    They may be crops where the model takes any size; only one of the size that was calibrated has its positions.
    """
    if detector.canvases is not None and preparation.mode == "letterbox":
        preparation = Preparation(preparation.channels)
    scores = []
    for pixels in photographs(golden):
        size = preparation.geometry(pixels.shape[0], pixels.shape[1]).size
        judges = usual and (usual if size == usual.mean.shape else everywhere(usual))
        (found,) = look(detector, preparation, None, judges, [pixels])
        scores.append(np.nan if isinstance(found, InputError) else found.score)
    return np.array(scores, np.float32)


def load(path: str | os.PathLike[str]) -> Pipeline | Detector:
    """Read what `Pipeline.save` or `Detector.save` wrote, by `jaxad fit` and `jaxad convert` too.

    Raises:
        InputError: the file is missing, damaged, foreign or too new, or does not fit its model.
    """
    arrays, document = bundle.read(path)
    return (_pipeline if "part" in document else from_contents)(arrays, document, path)


def load_pipeline(path: str | os.PathLike[str]) -> Pipeline:
    """Read a pipeline that `Pipeline.save` wrote.

    Raises:
        InputError: as `load`, or the file holds a detector alone.
    """
    loaded = load(path)
    if isinstance(loaded, Detector):
        raise InputError(
            f"bundle {str(path)!r} holds a detector alone and no pipeline; make one with `jaxad fit`, or score in "
            "Python with jaxad.load"
        )
    return loaded


def _pipeline(
    arrays: Mapping[str, np.ndarray], document: Mapping[str, bundle.JSON], path: str | os.PathLike[str]
) -> Pipeline:
    detector = from_contents(arrays, document, path)
    try:
        found = need_fields(document["part"], _Stored, what="pipeline")
        raise_problems(_misfits(arrays))
        return _from_document(detector, found, arrays)
    except (KeyError, InputError) as error:
        words = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"bundle {str(path)!r} holds a pipeline that this jaxad cannot read ({words}); fit it again"
        ) from None


class _Stored(msgspec.Struct):
    """The JSON of a pipeline."""

    preparation: Preparation
    threshold: Threshold
    rate: float
    colour_limits: tuple[float, float]
    pixel_limit: float
    provenance: dict[str, Any]
    shapes: tuple[float, float] | None = None
    enlarged: float | None = None
    sides: tuple[float, float] | None = None


AXES_AND_KIND = {"normal_scores": "1f", "golden_scores": "1f", "roi": "2b", "usual/mean": "2f", "usual/deviation": "2f"}


def _misfits(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """What is wrong with the arrays of a pipeline."""
    found = {name.removeprefix(PART): array for name, array in arrays.items() if name.startswith(PART)}
    shapes = {found[name].shape for name in ("usual/mean", "usual/deviation") if name in found}
    return [
        *(
            f"array {name} has {found[name].ndim} axes of {found[name].dtype}"
            for name, wanted in AXES_AND_KIND.items()
            if name in found and f"{found[name].ndim}{found[name].dtype.kind}" != wanted
        ),
        *(
            f"array {name} is no photograph"
            for name, array in found.items()
            if name.startswith("golden/")
            and not (
                array.ndim in (2, 3) and array.shape[2:] in ((), (1,), (3,)) and array.size and array.dtype.kind in "uf"
            )
        ),
        *(["what is usual has no single size"] if len(shapes) > 1 else []),
    ]


def _from_document(detector: Detector, stored: _Stored, arrays: Mapping[str, np.ndarray]) -> Pipeline:
    scores, usual, preparation = arrays[f"{PART}golden_scores"], _usual(arrays), stored.preparation
    if usual is not None and usual.mean.shape != (1, 1) and preparation.mode == "native":
        # Before 0.1 a pipeline with positions left photographs of other sizes as they were.
        height, width = usual.mean.shape
        preparation = dataclasses.replace(preparation, mode="letterbox", box=(height, width))
    return Pipeline(
        detector=detector,
        preparation=preparation,
        threshold=stored.threshold,
        rate=stored.rate,
        normal_scores=arrays[f"{PART}normal_scores"],
        colour_limits=stored.colour_limits,
        pixel_limit=stored.pixel_limit,
        golden=tuple(arrays[f"{PART}golden/{index}"] for index in range(len(scores))),
        golden_scores=scores,
        provenance=stored.provenance,
        roi=arrays.get(f"{PART}roi"),
        usual=usual,
        shapes=stored.shapes,
        enlarged=stored.enlarged,
        sides=stored.sides,
    )


def _usual(arrays: Mapping[str, np.ndarray]) -> Usual | None:
    """What is usual at each position; None where the pipeline, or the jaxad that wrote it, does not calibrate them."""
    if f"{PART}usual/mean" not in arrays:
        return None
    return Usual(*(jnp.asarray(arrays[f"{PART}usual/{name}"]) for name in Usual._fields))
