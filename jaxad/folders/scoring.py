"""Scoring a folder of photographs of any size and number into a folder of results."""

import hashlib
import importlib.metadata
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Shaped

from jaxad import pipeline, recipes, thresholds
from jaxad._check import InputError, need_at_least, need_one_of
from jaxad._threads import in_order
from jaxad.detector import Found
from jaxad.folders.pictures import deep_png, picture
from jaxad.folders.sources import Source, find_sources
from jaxad.images import UnreadableError, batches, read_header, read_photographs
from jaxad.images.photograph import MAX_PIXELS
from jaxad.results import Output, Result, find_regions, stamp_of

MAPS = ("npy", "png")

Maps = Literal["npy", "png"]
AnyPath = str | os.PathLike[str]
Pixels = Shaped[np.ndarray, "_ _ _"]
Batch = list[tuple[Source, Pixels]]


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
    share: tuple[int, int] = (1, 1),
    on_image: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    """Score photographs and write results, regions, errors and pictures to a folder; see `jaxad.results.writing`.

    Photographs stream through: files are decoded and pictures drawn in the background, and what was scored is on disk
    before the next batch, so memory does not grow with their number (only their names are kept). A file that cannot be
    read or scored is named with the reason, and the others are scored all the same.

    Args:
        made: the pipeline.
        source: a folder or files; see `jaxad.folders.sources`.
        out: the folder to write; `jaxad report` reads it.
        labels: a table that says what each image is; see `jaxad.datasets.labels`.
        name: what the pipeline is called in `run.json`.
        threshold: the decision is `score > threshold`, in the unit of the scores; by default the pipeline's own.
        rate: instead of a threshold, the false-positive rate to aim at.
        maps: write every map too: "npy" as float32 [h, w], or "png" as 16-bit grey over the pipeline's colour scale.
        workers: threads that decode, and as many that score and draw, each a batch; one needs the least memory.
        max_pixels: the largest height times width of a file; see `jaxad.images.read_photograph`.
        resume: go on with a run that was stopped; no photograph is scored twice, but those that failed or whose files
            were replaced, told by size and time of modification. Results of files that were removed are left out.
        share: (i, n) scores the i-th of n shares alone, counted from 1: processes that know nothing of each other score
            one share each, to folders of their own, which `merge_folders` joins.
        on_image: called with the photographs done, how many there are and how many failed.

    Returns:
        What `run.json` holds: counts (scored, anomalous, failed), threshold, images_per_second, seconds, the pipeline,
        not_used: files that are no images to score, each with the reason, and warnings, sentences. Images that could
        not be scored are in `errors.csv`.

    Raises:
        InputError: an option or the source cannot be used, or the folder holds a run that is not to be, or cannot be,
            resumed.
    """
    if maps is not None:
        need_one_of(maps, MAPS, what="kind of maps")
    need_at_least(workers, 1, what="workers")
    limit, warnings = _threshold(made, threshold, rate)
    found = find_sources(source, labels=labels, max_pixels=max_pixels)
    sources, shared = _share(found.images, *share)
    folder = source if isinstance(source, str | os.PathLike) and os.path.isdir(source) else None
    if share[1] == 1 and folder:
        # Below another folder the same names are other photographs.
        shared["source"] = os.path.realpath(folder)
    fingerprint = made.fingerprint()
    started = {"part": fingerprint, "threshold": limit["value"], "maps": maps, **shared}
    output = Output(
        out,
        started,
        resume=resume,
        photographs={one.name: stamp_of(one.path) for one in sources},
        labels={one.name: one.defect for one in sources} if folder else None,
    )
    try:
        began, before = time.perf_counter(), len(output.rows)
        _score_all(
            made,
            sources,
            output,
            limit=limit["value"],
            maps=maps,
            workers=workers,
            max_pixels=max_pixels,
            on_image=on_image,
        )
        seconds = time.perf_counter() - began
        run = {
            "jaxad": importlib.metadata.version("jaxad"),
            "bundle": name,
            "fingerprint": fingerprint,
            "source": os.fspath(source) if isinstance(source, str | os.PathLike) else f"{len(found.images)} files",
            "recipe": recipes.to_document(made.detector.recipe),
            "preparation": asdict(made.preparation),
            "judged_by": "score",
            "threshold": limit,
            "colour_limits": list(made.colour_limits),
            "pixel_limit": made.pixel_limit,
            "counts": {"scored": len(output.rows), "anomalous": output.anomalous, "failed": len(output.failed)},
            "images_per_second": (len(output.rows) - before) / seconds,
            "seconds": seconds,
            "not_used": [{"path": path, "reason": reason} for path, reason in found.not_used],
            "provenance": {
                key: value for key, value in made.provenance.items() if key not in ("sha256", "pixel_sha256")
            },
            "warnings": [*warnings, *output.changes.sentences(), *_relabelled(output)],
        }
        output.finish(run)
    finally:
        output.close()
    return run


def _relabelled(output: Output) -> list[str]:
    words = "labels that are others than when they were scored"
    return [f"{words}: {len(output.relabelled)}, first {output.relabelled[0]!r}"] if output.relabelled else []


def _share(sources: list[Source], index: int, count: int) -> tuple[list[Source], dict[str, Any]]:
    """The sources of one share, and what tells it from the others and from shares of other sources."""
    if not 1 <= index <= count:
        raise InputError(f"a share must be the i-th of n with i from 1 to n, got {index}/{count}")
    if count == 1:
        return sources, {}
    names = "\n".join(one.name for one in sources).encode("utf-8", "surrogateescape")
    return sources[index - 1 :: count], {"share": [index, count], "sources": hashlib.sha256(names).hexdigest()}


def _threshold(
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
    *,
    limit: float,
    maps: Maps | None,
    workers: int,
    max_pixels: int,
    on_image: Callable[[int, int, int], None] | None,
) -> None:
    done = output.done()
    waiting = [one for one in sources if one.name not in done]
    total = len(done) + len(waiting)

    def report() -> None:
        if on_image:
            on_image(len(output.rows) + len(output.failed), total, len(output.failed))

    def readable() -> Iterator[tuple[Source, Pixels]]:
        found = read_photographs((one.path for one in waiting), workers=workers, max_pixels=max_pixels)
        for one, (_, photograph) in zip(waiting, found, strict=True):
            if isinstance(photograph, UnreadableError):
                output.fail(one.name, photograph.reason)
                report()
            else:
                yield one, photograph.samples

    def keep(batch: Batch, found: list[Result | InputError]) -> None:
        output.add([one for one in found if isinstance(one, Result)])
        for (source, _), one in zip(batch, found, strict=True):
            if isinstance(one, InputError):
                output.fail(source.name, " ".join(str(one).split()))
        report()

    report()
    made.admit(_sizes(waiting, max_pixels))
    some = batches(readable(), shares=made.detector.shares)
    # The first one compiles; beside it others would compile the same once more.
    results = in_order(
        partial(_results, made, limit=limit, maps=maps), some, workers=workers, ahead=workers + 1, first_alone=True
    )
    with closing(results):
        for batch, found in results:
            keep(batch, found)


def _sizes(sources: Sequence[Source], max_pixels: int) -> Iterator[tuple[int, int]]:
    """Heights and widths of photographs that can be read, as their headers tell."""
    for one in sources:
        with suppress(UnreadableError):
            header = read_header(one.path, max_pixels=max_pixels)
            yield header.height, header.width


def _results(made: pipeline.Pipeline, batch: Batch, *, limit: float, maps: Maps | None) -> list[Result | InputError]:
    """What is written of some photographs; while they are on the device, others are drawn."""
    began = time.perf_counter()
    found = made.score_batch([pixels for _, pixels in batch])
    milliseconds = (time.perf_counter() - began) * 1000 / len(batch)
    return [
        one if isinstance(one, InputError) else _result(made, source, pixels, one, milliseconds, limit, maps)
        for (source, pixels), one in zip(batch, found, strict=True)
    ]


def _result(
    made: pipeline.Pipeline,
    one: Source,
    pixels: Pixels,
    found: Found,
    milliseconds: float,
    limit: float,
    maps: Maps | None,
) -> Result:
    score, score_map = found
    anomalous = score > limit
    return Result(
        file=one.name,
        defect=one.defect,
        score=score,
        calibrated=float(made.calibrate(np.float32(score))),
        anomalous=anomalous,
        milliseconds=milliseconds,
        regions=find_regions(score_map, limit=made.pixel_limit) if anomalous else [],
        picture=picture(pixels, score_map, made.colour_limits),
        map=None if maps is None else _encoded(score_map, maps, made.colour_limits),
    )


def _encoded(score_map: Float[np.ndarray, "h w"], maps: Maps, limits: tuple[float, float]) -> bytes:
    if maps == "png":
        return deep_png(score_map, limits)
    stream = io.BytesIO()
    np.save(stream, score_map, allow_pickle=False)
    return stream.getvalue()
