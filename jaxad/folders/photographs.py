"""What is written of photographs: each is decoded, scored and drawn, batch by batch.

This is the loop of one process. Whoever scores a folder otherwise, such as `jaxad.scaling`, runs it over parts of the
folder that begin where a batch would, and so gets what one process would have got.
"""

import io
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from jaxad import pipeline
from jaxad._check import InputError
from jaxad._threads import in_order
from jaxad.detector import Found
from jaxad.folders.pictures import deep_png, picture
from jaxad.folders.sources import Source
from jaxad.images import UnreadableError, batches, read_photographs
from jaxad.results import Result, find_regions

Maps = Literal["npy", "png"]
Size = tuple[int, int]
Pixels = Shaped[np.ndarray, "_ _ _"]
Batch = tuple[list[tuple[Source, str]], list[tuple[Source, Pixels]]]
"""Files that cannot be read, each with the reason, and the photographs that came behind them."""
Row = Result | tuple[str, str]
"""What is written of a photograph, or its name and why it could not be scored."""


class How(NamedTuple):
    """How photographs are scored, whoever does it; see `score_folder`."""

    limit: float
    """The threshold."""
    maps: Maps | None
    workers: int
    max_pixels: int


Rows = Generator[list[Row], None, None]
Loop = Callable[[pipeline.Pipeline, Sequence[Source], Sequence[Size | None], How], Rows]
"""Scores photographs, each once and in their order, and gives a few rows at a time; with their heights and widths,
None of those that cannot be read."""


def score_here(made: pipeline.Pipeline, sources: Sequence[Source], sizes: Sequence[Size | None], how: How) -> Rows:
    """The loop in this process; it lays photographs on the canvases that suit all the sizes."""
    made.admit(size for size in sizes if size)
    return score_admitted(made, sources, how)


HERE: AbstractContextManager[Loop] = nullcontext(score_here)
"""The same as `score_folder` takes it; nothing must be there for it."""


def score_admitted(made: pipeline.Pipeline, sources: Sequence[Source], how: How) -> Rows:
    """What is written of photographs whose sizes have canvases; files are decoded and pictures drawn by threads."""
    unread: list[tuple[Source, str]] = []

    def readable() -> Iterator[tuple[Source, Pixels]]:
        found = read_photographs((one.path for one in sources), workers=how.workers, max_pixels=how.max_pixels)
        for one, (_, photograph) in zip(sources, found, strict=True):
            if isinstance(photograph, UnreadableError):
                unread.append((one, photograph.reason))
            else:
                yield one, photograph.samples

    def parts() -> Iterator[Batch]:
        for batch in batches(readable(), shares=made.detector.shares):
            yield unread.copy(), batch
            unread.clear()

    # The first one compiles; beside it others would compile the same once more.
    results = in_order(partial(_rows, made, how), parts(), workers=how.workers, ahead=how.workers + 1, first_alone=True)
    with closing(results):
        for _, rows in results:
            yield rows
    yield [(one.name, reason) for one, reason in unread]


def _rows(made: pipeline.Pipeline, how: How, part: Batch) -> list[Row]:
    unread, batch = part
    return [*((one.name, reason) for one, reason in unread), *score_photographs(made, batch, how)]


def score_photographs(made: pipeline.Pipeline, batch: list[tuple[Source, Pixels]], how: How) -> list[Row]:
    """What is written of some photographs; while they are on the device, others are drawn."""
    began = time.perf_counter()
    found = made.score_batch([pixels for _, pixels in batch])
    milliseconds = (time.perf_counter() - began) * 1000 / len(batch)
    return [
        (source.name, " ".join(str(one).split()))
        if isinstance(one, InputError)
        else _result(made, source, pixels, one, milliseconds, how)
        for (source, pixels), one in zip(batch, found, strict=True)
    ]


def _result(
    made: pipeline.Pipeline, one: Source, pixels: Pixels, found: Found, milliseconds: float, how: How
) -> Result:
    score, score_map = found
    anomalous, inside, shown = score > how.limit, pipeline.region_at(made.roi, *score_map.shape), score_map
    if inside is not None:
        # Nothing is found outside, even where all of the inside is anomalous.
        least = np.float32(min(made.pixel_limit, made.colour_limits[0]))
        shown = np.where(inside, score_map, np.minimum(score_map, least))
    return Result(
        file=one.name,
        defect=one.defect,
        score=score,
        calibrated=float(made.calibrate(np.float32(score))),
        anomalous=anomalous,
        milliseconds=milliseconds,
        regions=find_regions(shown, limit=made.pixel_limit) if anomalous else [],
        picture=picture(pixels, shown, made.colour_limits),
        map=None if how.maps is None else _encoded(score_map, how.maps, made.colour_limits),
    )


def _encoded(score_map: Float[np.ndarray, "h w"], maps: Maps, limits: tuple[float, float]) -> bytes:
    if maps == "png":
        return deep_png(score_map, limits)
    stream = io.BytesIO()
    np.save(stream, score_map, allow_pickle=False)
    return stream.getvalue()
