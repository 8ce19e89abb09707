"""Write a model for another run time, once a process without jaxad has scored with it as jaxad does."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxad._check import InputError, need_one_of, need_output_folder, needing
from jaxad._files import replacing
from jaxad.detector import Detector
from jaxad.export import running
from jaxad.export.computation import Computation, make_computation
from jaxad.export.to_onnx import to_onnx
from jaxad.export.to_stablehlo import PLATFORMS, to_stablehlo
from jaxad.pipeline import Pipeline, load

TOLERANCE = 1e-5
"""Relative difference of scores that is let pass."""
TINY = 1e-12
MOST_BYTES = 2**31 - 2**20
"""What a file of flatbuffers or of protocol buffers holds."""


def _to_safetensors(computation: Computation) -> bytes:
    with needing("export", what="writing safetensors"):
        import safetensors.numpy

    arrays, document = computation.detector.contents()
    # It writes the bytes of an array as they lie in memory, whatever its strides.
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return bytes(safetensors.numpy.save(plain, metadata={"jaxad": json.dumps(document)}))


FORMATS: Mapping[str, Callable[[Computation], bytes]] = MappingProxyType(
    {"stablehlo": to_stablehlo, "onnx": to_onnx, "safetensors": _to_safetensors}
)
"""What turns a computation into the bytes of a file, by format."""


class _Checked(NamedTuple):
    """How many images were compared, and the largest relative differences."""

    images: int
    image_difference: float
    map_difference: float


def export_model(
    source: Pipeline | Detector | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    to: str,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Write `model.stablehlo`, `model.onnx` or `model.safetensors`, with a JSON file beside it that describes it.

    The first two score uint8 images `[n, h, w, c]`, one or more at a time and each by itself: image scores `[n]` and
    maps `[n, h, w]`, float32, calibrated where the detector is. The third holds the detector's arrays, with its
    recipe as metadata.

    A file is kept only if a new process, without jaxad, reads it and scores as jaxad does: the pipeline's golden images
    and random ones on CPU. Scores must lie within 1e-5 of their size (of their unit, where scores reach zero and are
    nearer to it than that), maps within 1e-5 of their largest pixel. Sizes are those before what is usual is taken off,
    of scores too where they are pooled from calibrated maps. So decisions are the same but for scores as near as that
    to the threshold.

    Args:
        source: a pipeline, a detector, or the file of either.
        folder: where to write; made if need be.
        to: `"stablehlo"`, which runs on CPU, CUDA and TPU, `"onnx"` or `"safetensors"`.
        size: height and width of the images; by default those that the detector was fitted on, or those
            of the region of interest of a detector of windows.

    Returns:
        What the JSON file holds: input, outputs, preparation, threshold, colour_limits, checked and more.

    Raises:
        InputError: an unknown format, a source that cannot be read, a size that the model cannot read, a package that
            is not installed, or a file that does not score as jaxad does.
    """
    need_one_of(to, FORMATS, what="format")
    source = source if isinstance(source, Pipeline | Detector) else load(source)
    computation = make_computation(source, size)
    bytes_needed = sum(array.nbytes for array in computation.detector.contents()[0].values())
    if bytes_needed > MOST_BYTES:
        raise InputError(f"a {to} file holds 2 GB, and the detector's arrays take {bytes_needed / 1e9:.1f} GB")
    data = FORMATS[to](computation)
    with tempfile.TemporaryDirectory() as scratch:
        candidate = Path(scratch, f"model.{to}")
        candidate.write_bytes(data)
        checked = _check(candidate, to, computation, source.golden if isinstance(source, Pipeline) else ())
    facts = _describe(to, computation, source, data, checked)
    place = need_output_folder(folder)
    try:
        with replacing(place / f"model.{to}.json") as description, replacing(place / f"model.{to}") as model:
            model.write_bytes(data)
            description.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(
            f"model {str(place / f'model.{to}')!r} cannot be written: {error.strerror or error}; choose another place"
        ) from None
    return facts


def _check(candidate: Path, to: str, computation: Computation, golden: Sequence[np.ndarray]) -> _Checked:
    """What a process without jaxad makes of the file; `InputError` where it is not what jaxad makes of it."""
    images = computation.examples(golden)
    given, out = candidate.with_name("images.npy"), candidate.with_name("found.npz")
    np.save(given, images)
    done = subprocess.run(
        # -I: the current folder and PYTHONPATH do not count, so that jaxad is not found where it lies.
        [sys.executable, "-I", running.__file__, to, str(candidate), str(given), str(out)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise _refusal(to, computation, f"a new process cannot run it: {reason[0]}")
    with np.load(out) as file:
        found = dict(file)
    if to == "safetensors":
        arrays, _ = computation.detector.contents()
        if found.keys() != arrays.keys() or not all(np.array_equal(found[name], arrays[name]) for name in arrays):
            raise _refusal(to, computation, "its arrays do not come back as they were")
        return _Checked(0, 0.0, 0.0)
    with jax.default_device(jax.devices("cpu")[0]):
        image, score_map = computation.expected(images)
    # Rounding is relative to what the model gave, of which what is usual leaves a small difference.
    sizes = np.maximum(_sizes(image), np.abs(image + computation.taken_off_scores))
    given_by_model = np.maximum(np.abs(score_map), np.abs(score_map + computation.taken_off))
    differences = (
        _difference(found["image"], image, sizes),
        _difference(found["map"], score_map, given_by_model.max(axis=(1, 2), keepdims=True)),
    )
    alone = _difference(found["first"], image[:1], sizes[:1])
    # Written so that NaN is refused.
    if not max(*differences, alone) <= TOLERANCE:
        worst = max(*differences, alone)
        raise _refusal(to, computation, f"scores differ by {worst:.2g} of their size, more than {TOLERANCE:g}")
    return _Checked(len(images), *differences)


def _sizes(scores: np.ndarray) -> np.ndarray:
    """What differences are relative to: the scores themselves, or at least their unit where they reach zero."""
    return np.maximum(np.abs(scores), 1.0 if scores.min() <= 0 else 0.0)


def _difference(found: np.ndarray, wanted: np.ndarray, sizes: np.ndarray) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return float((np.abs(found - wanted) / np.maximum(sizes, TINY)).max())


def _refusal(to: str, computation: Computation, reason: str) -> InputError:
    others = {"stablehlo": "onnx or safetensors", "onnx": "stablehlo or safetensors"}
    mend = f"; export it to {others[to]}, or fit another recipe" if to in others else ""
    return InputError(f"recipe {computation.detector.recipe.name!r} was not exported to {to}: {reason}{mend}")


def _describe(
    to: str, computation: Computation, source: Pipeline | Detector, data: bytes, checked: _Checked
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "file": f"model.{to}",
        "format": to,
        "sha256": hashlib.sha256(data).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in ("jaxad", "jax", "numpy")},
        "recipe": computation.detector.recipe.name,
        "score": computation.score_name,
    }
    if to != "safetensors":
        facts["input"] = {"name": "images", "dtype": "uint8", "shape": ["n", *computation.shape]}
        facts["outputs"] = [
            {"name": "image", "dtype": "float32", "shape": ["n"]},
            {"name": "map", "dtype": "float32", "shape": ["n", *computation.size]},
        ]
        facts["platforms"] = list(PLATFORMS) if to == "stablehlo" else ["onnxruntime"]
        facts["region_of_interest"] = computation.roi is not None
        facts["checked"] = {**checked._asdict(), "tolerance": TOLERANCE}
    if isinstance(source, Pipeline):
        facts["part"] = {
            "fingerprint": source.fingerprint(),
            "preparation": {**dataclasses.asdict(source.preparation), "filter": "bilinear, antialiased, as Pillow's"},
            "threshold": source.threshold.value,
            "decision": "bad where the image's score > threshold",
            "false_positive_rate": source.rate,
            "colour_limits": list(source.colour_limits),
            "pixel_limit": source.pixel_limit,
        }
    return facts
