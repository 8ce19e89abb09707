"""How well a pipeline tells good from bad on a labelled folder of photographs.

An image or pixel that is anomalous scores higher; labels are used to measure and never to set the threshold.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxad import metrics, pipeline, thresholds
from jaxad._check import InputError
from jaxad.datasets import Item, Survey, file_sum, find_copies, pixel_sum, survey
from jaxad.datasets.layouts import GOOD
from jaxad.datasets.mask_pairs import mask_of
from jaxad.folders.inspection import name_reasons
from jaxad.folders.sizes import doubt_scale
from jaxad.images import Header, UnreadableError, batches, read_photographs
from jaxad.images.photograph import MAX_PIXELS

_OUTSIDE = "its defects lie outside the region of interest"


class Judged(NamedTuple):
    """What was found on the photographs that could be scored."""

    defects: list[str]
    scores: list[float]
    pixels: metrics.PixelMetrics
    """Of good images and of those with a mask."""
    errors: list[tuple[Path, str]]
    masks: list[tuple[Path, str]]
    """Masks that could not be used."""
    copies: list[Path]
    """Images with the same pixels as one that the pipeline was fitted on; they do not count."""
    outside: list[Path]
    """Images whose defects all lie outside the region of interest, of which the pixels inside count."""


def evaluate_folder(
    made: pipeline.Pipeline,
    root: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    on_image: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure a pipeline on a labelled folder in one of the layouts that `jaxad.datasets.survey` knows.

    Where the folder says which images are to test on these count, else all; never a copy of an image that the pipeline
    was trained on, by the SHA-256 of bytes or pixels, nor one that is good by one copy and defective by another. An
    image whose defects lie outside the region of interest, by its mask, counts as neither good nor defective.
    Images stream through, and memory is bounded however many there are: what the pixel metrics need goes, beyond a few
    million pixels, into a scratch file without a name in the system's folder for temporary files (TMPDIR), 4 bytes a
    good pixel and 8 a defective one. Where the pipeline has a region of interest, only its pixels count.

    Args:
        made: the pipeline.
        root: the folder.
        labels: a table that says what each image is; see `jaxad.datasets.labels`.
        workers: threads that decode.
        max_pixels: the largest height times width of a file; see `jaxad.images.read_photograph`.
        on_image: called with the photographs done, how many there are and how many failed.

    Returns:
        A dictionary, ready for JSON, in which what cannot be measured is None:
            images: {defect: count};
            auroc, average_precision: of the image scores;
            best_f1: {"f1", "threshold", "uses_labels": True}, a bound that no threshold without labels reaches;
            at_threshold: {"threshold", "precision", "recall", "f1", "false_positive_rate"} of the pipeline's own;
            defects: {defect: {"count", "auroc", "recall"}}, each against all good images;
            pixels: {"auroc", "aupro", "images", "pixels", "notes"}; notes are sentences on what is missing and why;
            errors: [{"file", "reason"}], files that cannot be read or scored;
            not_used: [{"path", "reason"}], other files that do not count, masks too, each once; warnings: sentences.

    Raises:
        InputError: the folder cannot be surveyed, has no labelled image that can be scored, or the disk has no room for
            the scratch file.
    """
    found = survey(root, labels=labels, judging=True, max_pixels=max_pixels)
    items, left_out, warnings = _labelled(made, found)
    if found.layout == "flat" or (not items and not left_out):
        raise InputError(
            f"folder {str(root)!r} must be labelled, by 'train/good' and 'test', 'good' and 'bad', masks or --labels, "
            f"and hold images to test on; it is {found.layout} and has {len(items)} of them"
        )
    if not items:
        raise InputError(
            f"folder {str(root)!r} must hold images to test on that the pipeline was not trained on, and all "
            f"{len(left_out)} are copies of those"
        )
    fitted: dict[str, list[str]] = dict(made.provenance.get("pixel_sha256") or {})
    seen = {*fitted.get("train", ()), *(fitted.get("holdout", ()) if found.split else ())}
    sizes = {found.name(item.path): (found.headers[item.path].height, found.headers[item.path].width) for item in items}
    warnings += doubt_scale(made.sides, sizes)
    made.admit(sizes.values())
    with metrics.PixelMetrics(expected=_pixels_to_come(items, found.headers, made.roi)) as pixels:
        judged = _judge(made, items, pixels, seen, workers=workers, max_pixels=max_pixels, on_image=on_image)
        pixel_metrics = _pixel_metrics(judged, within_region=made.roi is not None)
    if not judged.scores:
        known = "it has the same pixels as one that the pipeline was fitted on" if judged.copies else _OUTSIDE
        first = judged.errors[0][1] if judged.errors else known
        raise InputError(f"no image of {str(root)!r} can be scored; the first: {first}")
    truth, scores = np.array([defect != GOOD for defect in judged.defects]), np.array(judged.scores)
    if truth.all() or not truth.any():
        warnings.append(f"all images are {'defective' if truth.all() else 'good'}, so nothing can be told apart")
    warnings += made.threshold.doubts_of(scores[~truth])
    if judged.copies:
        warnings.append(f"images with the same pixels as one that was fitted on are left out: {len(judged.copies)}")
    left_out += [(path, "it has the same pixels as an image that was fitted on") for path in judged.copies]
    if judged.outside:
        warnings.append(f"images with no defect within the region of interest are left out: {len(judged.outside)}")
    left_out += [(path, _OUTSIDE) for path in judged.outside]
    named = {path for path, _ in (*found.unreadable, *judged.masks)}
    return {
        "images": dict(Counter(judged.defects).most_common()),
        **_image_metrics(truth, scores, limit=made.threshold.value),
        "defects": _by_defect(judged.defects, scores, limit=made.threshold.value),
        "pixels": pixel_metrics,
        "errors": [
            {"file": found.name(path), "reason": reason} for path, reason in (*found.unreadable, *judged.errors)
        ],
        "not_used": name_reasons(
            found,
            [*(pair for pair in found.not_used if pair[0] not in named), *judged.masks, *left_out],
        ),
        "warnings": warnings,
    }


def _labelled(made: pipeline.Pipeline, found: Survey) -> tuple[list[Item], list[tuple[Path, str]], list[str]]:
    """The images that count, those that do not, with the reason, and sentences about them."""
    sums: dict[str, list[str]] = dict(made.provenance.get("sha256") or {})
    trained, held_out = set(sums.get("train", ())), set(sums.get("holdout", ()))
    copies = find_copies(found)
    left_out: dict[str, list[Path]] = {}
    items, held = [], 0
    for item in found.test if found.split else (*found.train, *found.test):
        digest = file_sum(item.path)
        why = None
        if item.path in copies.contradictory:
            why = "are good by one copy and defective by another"
        elif digest in trained:
            why = "the pipeline was trained on"
        elif digest in held_out and found.split:
            why = "the pipeline's threshold was set by"
        elif item.path in copies.leaked:
            why = "are copies of images to train on"
        if why:
            left_out.setdefault(why, []).append(item.path)
            continue
        held += digest in held_out
        items.append(item)
    warnings = [f"images that {why} are left out: {len(paths)}" for why, paths in left_out.items()]
    if held:
        warnings.append(f"of the good images {held} were held out when the threshold was set, so it suits them")
    return (
        items,
        [(path, f"left out with all images that {why}") for why, paths in left_out.items() for path in paths],
        warnings,
    )


def _pixels_to_come(items: Sequence[Item], headers: Mapping[Path, Header], roi: np.ndarray | None) -> int:
    """About how many pixels will count, by what the images say of themselves."""
    seen = [headers[item.path] for item in items if item.defect == GOOD or item.masks]
    return round(sum(header.height * header.width for header in seen) * (1.0 if roi is None else roi.mean()))


def _judge(
    made: pipeline.Pipeline,
    items: Sequence[Item],
    pixels: metrics.PixelMetrics,
    seen: Collection[str],
    *,
    workers: int,
    max_pixels: int,
    on_image: Callable[[int, int, int], None] | None,
) -> Judged:
    judged = Judged([], [], pixels, [], [], [], [])

    def fail(item: Item, reason: str) -> None:
        judged.errors.append((item.path, " ".join(reason.split())))

    def readable() -> Iterator[tuple[Item, np.ndarray]]:
        found = read_photographs((item.path for item in items), workers=workers, max_pixels=max_pixels)
        for done, (item, (_, photograph)) in enumerate(zip(items, found, strict=True), start=1):
            if isinstance(photograph, UnreadableError):
                fail(item, photograph.reason)
            elif seen and pixel_sum(photograph.samples) in seen:
                judged.copies.append(item.path)
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
            mask, inside = _mask(item, one.map.shape, max_pixels), pipeline.region_at(made.roi, *one.map.shape)
            if isinstance(mask, str):
                judged.masks.append((item.masks[0], mask))
            elif mask is not None:
                pixels.add(mask, one.map, inside=inside)
                if inside is not None and mask.any() and not mask[inside].any():
                    judged.outside.append(item.path)
                    continue
            judged.scores.append(one.score)
            judged.defects.append(item.defect)
    return judged


def _mask(item: Item, shape: tuple[int, ...], max_pixels: int) -> Bool[np.ndarray, "h w"] | str | None:
    """The mask [h, w] of an image: empty where it is good, None where it has none, or why it cannot be used."""
    if item.defect == GOOD:
        return np.zeros(shape, bool)
    return mask_of(item.masks, shape, max_pixels=max_pixels) if item.masks else None


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
        lacking = f"no defect{where_seen} has a readable mask of its image's size"
        why = lacking if judged.outside or set(judged.defects) - {GOOD} else "no image shows a defect"
        return {**nothing, "notes": [*notes, f"no pixel metrics: {why}"]}
    if pixels.defective == pixels.pixels:
        return {**nothing, "notes": [*notes, "no pixel metrics: all pixels are of defects"]}
    without = len(judged.scores) + len(judged.outside) - pixels.images
    if without:
        notes.append(f"images of defects without a mask of their size do not count among the pixels: {without}")
    return {"auroc": pixels.auroc(), "aupro": pixels.aupro(), **counts, "notes": notes}


def _known(share: float) -> float | None:
    return None if math.isnan(share) else share
