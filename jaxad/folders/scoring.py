"""Scoring a folder of photographs of any size and number into a folder of results."""

import importlib.metadata
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from typing import Any

import numpy as np

from jaxad import pipeline, recipes, thresholds
from jaxad._addresses import AnyPath, at, is_address, shown
from jaxad._check import InputError, need_at_least, need_one_of
from jaxad.folders.photographs import HERE, How, Loop, Maps
from jaxad.folders.sizes import doubt_scale
from jaxad.folders.sources import Source, find_sources, need_apart
from jaxad.images import UnreadableError, read_headers
from jaxad.images.photograph import MAX_PIXELS
from jaxad.results import Output, Result, kept_at, lost_sentences, stamp_of

MAPS = ("npy", "png")


def score_folder(
    made: pipeline.Pipeline,
    source: AnyPath | Sequence[AnyPath],
    out: AnyPath,
    *,
    labels: AnyPath | None = None,
    name: str = "pipeline",
    threshold: float | None = None,
    rate: float | None = None,
    maps: Maps | None = None,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    resume: bool = False,
    loop: AbstractContextManager[Loop] = HERE,
    on_image: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    """Score photographs and write results, regions, errors and pictures to a folder; see `jaxad.results.writing`.

    Photographs stream through: files are decoded and pictures drawn in the background, and what was scored is on disk
    before the next batch, so memory does not grow with their number (only their names are kept). A file that cannot be
    read or scored is named with the reason, and the others are scored all the same.

    Args:
        made: the pipeline.
        source: a folder or files, on a disk or at addresses such as s3://bucket/folder; see `jaxad.folders.sources`.
        out: the folder to write; `jaxad report` reads it from a disk. For one at an address see `jaxad.results.mirror`.
        labels: a table that says what each image is; see `jaxad.datasets.labels`.
        name: what the pipeline is called in `run.json`.
        threshold: the decision is `score > threshold`, in the unit of the scores; by default the pipeline's own.
        rate: instead of a threshold, the false-positive rate to aim at.
        maps: write every map too: "npy" as float32 [h, w], or "png" as 16-bit grey over the pipeline's colour scale.
        workers: threads that decode, and as many that score and draw, each a batch; one needs the least memory.
        max_pixels: the largest height times width of a file; see `jaxad.images.read_photograph`.
        resume: go on with a run that was stopped; no photograph is scored twice, but those that failed or whose files
            were replaced, told by size and time of modification. Results of files that were removed are left out.
        loop: who scores: this process, or others that it tells; see `jaxad.scaling`. It is entered once all else that
            can be refused was looked at, and before anything is written.
        on_image: called with the photographs done, how many there are and how many failed.

    Returns:
        What `run.json` holds: counts (scored, anomalous, failed), threshold, images_per_second, seconds, the pipeline,
        not_used: files that are no images to score, each with the reason, hidden: how many files and folders are, and
        warnings, sentences. Images that could not be scored are in `errors.csv`.

    Raises:
        InputError: an option or the source cannot be used, or the folder holds a run that is not to be, or cannot be,
            resumed.
    """
    if maps is not None:
        need_one_of(maps, MAPS, what="kind of maps")
    need_at_least(workers, 1, what="workers")
    limit, warnings = choose_threshold(made, threshold, rate)
    need_apart(source, out)
    found = find_sources(source, labels=labels, max_pixels=max_pixels)
    folder = source if isinstance(source, str | os.PathLike) and at(source).is_dir() else None
    fingerprint = made.fingerprint()
    started: dict[str, Any] = {"part": fingerprint, "threshold": limit["value"], "maps": maps}
    if folder:
        # Below another folder the same names are other photographs.
        started["source"] = shown(folder) if is_address(folder) else os.path.realpath(folder)
    how = How(limit["value"], maps, workers, max_pixels)
    with (
        kept_at(out, resume=resume) as (here, send),
        closing(Output(here, started, resume=resume)) as output,
        loop as score,
    ):
        output.begin(
            {one.name: stamp_of(one.path) for one in found.images},
            labels={one.name: one.defect for one in found.images} if folder else None,
        )
        send(now=True)
        began, before = time.perf_counter(), len(output.rows)
        sizes = _score_all(made, found.images, output, how, loop=score, on_image=on_image, send=send)
        seconds = time.perf_counter() - began
        run = {
            **facts_of(made, name, fingerprint),
            "source": shown(source) if isinstance(source, str | os.PathLike) else f"{len(found.images)} files",
            "threshold": limit,
            "counts": output.counts(),
            "images_per_second": (len(output.rows) - before) / seconds,
            "seconds": seconds,
            "not_used": [{"path": path, "reason": reason} for path, reason in found.not_used],
            "hidden": found.hidden,
            "warnings": [*warnings, *doubt_scale(made.sides, sizes), *_unlike_before(output)],
        }
        output.finish(run)
        send(now=True)
    return run


def facts_of(made: pipeline.Pipeline, name: str, fingerprint: str) -> dict[str, Any]:
    """What `run.json` holds of a pipeline, whatever it scores."""
    return {
        "jaxad": importlib.metadata.version("jaxad"),
        "bundle": name,
        "fingerprint": fingerprint,
        "recipe": recipes.to_document(made.detector.recipe),
        "preparation": asdict(made.preparation),
        "judged_by": "score",
        "colour_limits": list(made.colour_limits),
        "pixel_limit": made.pixel_limit,
        "provenance": {key: value for key, value in made.provenance.items() if key not in ("sha256", "pixel_sha256")},
    }


def _unlike_before(output: Output) -> list[str]:
    """What a run that goes on found otherwise than it was left."""
    lost = [name for name, stamp in output.lost.items() if stamp_of(stamp.path).size < 0]
    words = "labels that are others than when they were scored"
    others = output.relabelled
    return [
        *output.changes.sentences(),
        *lost_sentences(lost),
        *([f"{words}: {len(others)}, first {others[0]!r}"] if others else []),
    ]


def choose_threshold(
    made: pipeline.Pipeline, threshold: float | None, rate: float | None
) -> tuple[dict[str, Any], list[str]]:
    """The threshold to decide by, and doubts about one that was asked for; of the own one, fitting has told them."""
    if threshold is not None and rate is not None:
        raise InputError("give a threshold or a false-positive rate, not both")
    if threshold is not None:
        if not np.isfinite(threshold):
            raise InputError(f"threshold must be a finite number, got {threshold}")
        above = float(np.mean(made.normal_scores > threshold))
        return {"value": threshold, "rate_asked": None, "rate": above, "count": len(made.normal_scores)}, []
    if rate is None:
        return {**asdict(made.threshold), "rate_asked": made.rate}, []
    found = thresholds.for_false_positive_rate(made.normal_scores, rate=rate)
    return {**asdict(found), "rate_asked": rate}, found.doubts(rate)


def _score_all(
    made: pipeline.Pipeline,
    sources: Sequence[Source],
    output: Output,
    how: How,
    *,
    loop: Loop,
    on_image: Callable[[int, int, int], None] | None,
    send: Callable[..., None],
) -> dict[str, tuple[int, int]]:
    """Score what is not done, and say of which heights and widths it is."""
    done = output.done()
    waiting = [one for one in sources if one.name not in done]
    total = len(done) + len(waiting)

    def report() -> None:
        if on_image:
            on_image(len(output.rows) + len(output.failed), total, len(output.failed))

    report()
    headers = read_headers((one.path for one in waiting), max_pixels=how.max_pixels)
    sizes = [None if isinstance(one, UnreadableError) else (one.height, one.width) for _, one in headers]
    with closing(loop(made, waiting, sizes, how)) as parts:
        for rows in parts:
            output.add([row for row in rows if isinstance(row, Result)])
            for row in rows:
                if not isinstance(row, Result):
                    output.fail(*row)
            report()
            send()
    return {one.name: size for one, size in zip(waiting, sizes, strict=True) if size and one.name not in output.failed}
