"""How well a part tells good from bad on a labelled folder of photographs.

An image or pixel that is anomalous scores higher; labels are used to measure and never to set the threshold.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxad import metrics, part, thresholds
from jaxad._check import InputError
from jaxad.datasets import Header, Item, UnreadableError, batches, read_mask, read_photographs, survey
from jaxad.datasets.folder import GOOD
from jaxad.datasets.photograph import MAX_PIXELS
from jaxad.folders.sources import file_sum


class Judged(NamedTuple):
    """What was found on the photographs that could be scored."""

    defects: list[str]
    scores: list[float]
    pixels: metrics.PixelMetrics
    """Of good images and of those with a mask."""
    errors: list[tuple[Path, str]]


def evaluate_folder(
    made: part.Part,
    root: str | os.PathLike[str],
    *,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    on_image: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure a part on a labelled folder in one of the layouts that `jaxad.datasets.survey` knows.

    Of the layout mvtec the test images count, of good-bad all but those that the part was trained on, by SHA-256.
    Images stream through, and memory is bounded however many there are: what the pixel metrics need goes, beyond a few
    million pixels, into a scratch file without a name in the system's folder for temporary files (TMPDIR), 4 bytes a
    good pixel and 8 a defective one. Where the part has a region of interest, only its pixels count.

    Args:
        made: the part.
        root: the folder.
        workers: threads that decode.
        max_pixels: the largest height times width of a file; see `jaxad.datasets.read_photograph`.
        on_image: called with the photographs done, how many there are and how many failed.

    Returns:
        A dictionary, ready for JSON, in which what cannot be measured is None:
          images: {defect: count};
          auroc, average_precision: of the image scores;
          best_f1: {"f1", "threshold", "uses_labels": True}, a bound that no threshold without labels reaches;
          at_threshold: {"threshold", "precision", "recall", "f1", "false_positive_rate"} of the part's own;
          defects: {defect: {"count", "auroc", "recall"}}, each against all good images;
          pixels: {"auroc", "aupro", "images", "pixels", "notes"}; notes are sentences on what is missing and why;
          errors: [{"file", "reason"}], files that cannot be read or scored; warnings: sentences.

    Raises:
        InputError: the folder cannot be surveyed, has no labelled image that can be scored, or the disk has no room for
            the scratch file.
    """
    found = survey(root, max_pixels=max_pixels)
    items, warnings = _labelled(made, found.train, found.test, layout=found.layout)
    if found.layout == "flat" or not items:
        raise InputError(
            f"folder {str(root)!r} must be labelled, with 'train/good' and 'test' or with 'good' and 'bad', and hold "
            f"images to test on; it is {found.layout} and has {len(items)} of them"
        )
    made.admit((found.headers[item.path].height, found.headers[item.path].width) for item in items)
    with metrics.PixelMetrics(expected=_pixels_to_come(items, found.headers, made.roi)) as pixels:
        judged = _judge(made, items, pixels, workers=workers, max_pixels=max_pixels, on_image=on_image)
        pixel_metrics = _pixel_metrics(judged, within_region=made.roi is not None)
    if not judged.scores:
        raise InputError(f"no image of {str(root)!r} can be scored; the first: {judged.errors[0][1]}")
    labels, scores = np.array([defect != GOOD for defect in judged.defects]), np.array(judged.scores)
    if labels.all() or not labels.any():
        warnings.append(f"all images are {'defective' if labels.all() else 'good'}, so nothing can be told apart")
    return {
        "images": dict(Counter(judged.defects).most_common()),
        **_image_metrics(labels, scores, limit=made.threshold.value),
        "defects": _by_defect(judged.defects, scores, limit=made.threshold.value),
        "pixels": pixel_metrics,
        "errors": [
            {"file": path.relative_to(found.root).as_posix(), "reason": reason}
            for path, reason in (*found.unreadable, *judged.errors)
        ],
        "warnings": warnings,
    }


def _labelled(
    made: part.Part, train: Sequence[Item], test: Sequence[Item], *, layout: str
) -> tuple[list[Item], list[str]]:
    if layout != "good-bad":
        return list(test), []
    sums: dict[str, list[str]] = dict(made.provenance.get("sha256") or {})
    known = {item.path: file_sum(item.path) for item in train}
    new = [item for item in train if known[item.path] not in sums.get("train", ())]
    held = sum(known[item.path] in sums.get("holdout", ()) for item in new)
    warnings = []
    if len(new) < len(train):
        warnings.append(f"good images that the part was trained on are left out: {len(train) - len(new)}")
    if held:
        warnings.append(f"of the good images {held} were held out when the threshold was set, so it suits them")
    return [*new, *test], warnings


def _pixels_to_come(items: Sequence[Item], headers: Mapping[Path, Header], roi: np.ndarray | None) -> int:
    """About how many pixels will count, by what the images say of themselves."""
    seen = [headers[item.path] for item in items if item.defect == GOOD or item.mask is not None]
    return round(sum(header.height * header.width for header in seen) * (1.0 if roi is None else roi.mean()))


def _judge(
    made: part.Part,
    items: Sequence[Item],
    pixels: metrics.PixelMetrics,
    *,
    workers: int,
    max_pixels: int,
    on_image: Callable[[int, int, int], None] | None,
) -> Judged:
    judged = Judged([], [], pixels, [])

    def fail(item: Item, reason: str) -> None:
        judged.errors.append((item.path, " ".join(reason.split())))

    def readable() -> Iterator[tuple[Item, np.ndarray]]:
        found = read_photographs((item.path for item in items), workers=workers, max_pixels=max_pixels)
        for done, (item, (_, photograph)) in enumerate(zip(items, found, strict=True), start=1):
            if isinstance(photograph, UnreadableError):
                fail(item, photograph.reason)
            else:
                yield item, photograph.samples
            if on_image:
                on_image(done, len(items), len(judged.errors))

    for batch in batches(readable(), shares=made.detector.shares):
        found = made.score_batch([pixels for _, pixels in batch])
        for (item, _), one in zip(batch, found, strict=True):
            if isinstance(one, InputError):
                fail(item, str(one))
                continue
            judged.scores.append(one.image)
            judged.defects.append(item.defect)
            mask = _mask(item, one.map.shape, max_pixels)
            if mask is not None:
                pixels.add(mask, one.map, inside=part.region_at(made.roi, *mask.shape))
    return judged


def _mask(item: Item, shape: tuple[int, ...], max_pixels: int) -> Bool[np.ndarray, "h w"] | None:
    """The mask [h, w] of an image: empty where it is good, None where there is none of its size."""
    if item.defect == GOOD:
        return np.zeros(shape, bool)
    if item.mask is None:
        return None
    try:
        mask = read_mask(item.mask, max_pixels=max_pixels)
    except UnreadableError:
        return None
    return mask if mask.shape == shape else None


def _image_metrics(labels: np.ndarray, scores: np.ndarray, *, limit: float) -> dict[str, Any]:
    both = bool(labels.any() and not labels.all())
    met = metrics.confusion(labels, scores > limit)
    best = thresholds.best_f1(labels, scores) if labels.any() else None
    good = met.fp + met.tn
    return {
        "auroc": metrics.auroc(labels, scores) if both else None,
        "average_precision": metrics.average_precision(labels, scores) if both else None,
        "best_f1": best and {"f1": best.f1, "threshold": best.value, "uses_labels": True},
        "at_threshold": {
            "threshold": limit,
            "precision": _known(met.precision),
            "recall": _known(met.recall),
            "f1": _known(met.f1),
            "false_positive_rate": met.fp / good if good else None,
        },
    }


def _by_defect(defects: Sequence[str], scores: np.ndarray, *, limit: float) -> dict[str, Any]:
    names = np.array(defects)
    good = scores[names == GOOD]
    rows = {}
    for name in sorted(set(defects) - {GOOD}):
        bad = scores[names == name]
        rows[name] = {
            "count": len(bad),
            "auroc": metrics.auroc_between(good, bad) if len(good) else None,
            "recall": float(np.mean(bad > limit)),
        }
    return rows


def _pixel_metrics(judged: Judged, *, within_region: bool) -> dict[str, Any]:
    pixels = judged.pixels
    notes, where_seen = [], ""
    if within_region:
        notes, where_seen = ["pixels outside the region of interest do not count"], " inside the region of interest"
    counts = {"images": pixels.images, "pixels": pixels.pixels}
    nothing = {"auroc": None, "aupro": None, **counts}
    if not pixels.defective:
        return {
            **nothing,
            "notes": [*notes, f"no pixel metrics: no defect{where_seen} has a readable mask of its image's size"],
        }
    if pixels.defective == pixels.pixels:
        return {**nothing, "notes": [*notes, "no pixel metrics: all pixels are of defects"]}
    without = len(judged.scores) - pixels.images
    if without:
        notes.append(f"images of defects without a mask of their size do not count among the pixels: {without}")
    return {"auroc": pixels.auroc(), "aupro": pixels.aupro(), **counts, "notes": notes}


def _known(share: float) -> float | None:
    return None if math.isnan(share) else share
