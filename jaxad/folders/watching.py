"""Scoring photographs as they arrive in a folder, for as long as it is wanted.

The folder is looked at again and again, for that works on every file system, network disks among them.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxad import pipeline
from jaxad._addresses import AnyPath, is_address, shown
from jaxad._check import InputError, need_at_least, need_one_of, raise_problems
from jaxad.folders.arrivals import Arrivals, AwayError, Watched
from jaxad.folders.photographs import How, Maps
from jaxad.folders.scoring import MAPS, choose_threshold, facts_of
from jaxad.folders.sources import need_apart
from jaxad.images.photograph import MAX_PIXELS
from jaxad.results import UnwrittenError

DAY = 24 * 3600


def watch_folder(
    made: pipeline.Pipeline,
    folder: AnyPath,
    out: AnyPath,
    *,
    name: str = "pipeline",
    threshold: float | None = None,
    rate: float | None = None,
    maps: Maps | None = None,
    max_pixels: int = MAX_PIXELS,
    poll: float = 1.0,
    patience: float = 10.0,
    report_every: float = 5.0,
    until_idle: float | None = None,
    on_photograph: Callable[[Watched], None] = lambda _: None,
    on_trouble: Callable[[str], None] = lambda _: None,
    on_end: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Score the photographs of a folder, and those that arrive, into a folder of results as `score_folder` writes it.

    A photograph is scored once its size and time of modification have stayed the same from one look to the next. What
    cannot be read then is tried until it has stayed the same for `patience` seconds, and becomes a row of `errors.csv`;
    a file that changes later is scored anew, in place of what was said before. Each photograph is scored alone and is
    on the disk before the next. Results of photographs that are moved away stay. A folder that vanishes, or results
    that cannot be written, are waited for. Whatever stops it, the same call goes on, or `score_folder` does by
    `resume`: nothing is lost or doubled. What failed before is then tried once more, and said again only if its file
    has changed. `report.html` shows the newest 1,000 photographs.

    Args:
        made: the pipeline.
        folder: where photographs arrive, on a disk; every image there and below is one. Links to folders are not
            followed. Hidden files are left alone, so photographs may be written under hidden names and renamed.
        out: the folder of results, on a disk; what the same call, or `score_folder`, has begun there goes on.
        name: what the pipeline is called in `run.json`.
        threshold: the decision is `score > threshold`; by default the pipeline's own.
        rate: instead of a threshold, the false-positive rate to aim at.
        maps: write every map too, "npy" or "png"; see `score_folder`.
        max_pixels: the largest height times width of a file; see `jaxad.images.read_photograph`.
        poll: seconds between two looks, a day at most.
        patience: seconds for which a file that cannot be read may stay as it is before it is given up.
        report_every: seconds between two pages at least; large ones are written less often.
        until_idle: end when nothing new came for so many seconds; 0 ends when nothing is left to do.
        on_photograph: called with each photograph, when it is on the disk.
        on_trouble: called with a sentence when the folder is away or results cannot be written, once each time, and
            when that is over.
        on_end: called with what `run.json` holds when that is written, after an interruption too.

    Returns:
        What `run.json` holds, as of `score_folder`. It is written at the end, after an interruption (KeyboardInterrupt)
        too.

    Raises:
        InputError: an option, the folder or `out` cannot be used; or the time until idle is over and the folder is
            still away, or results still cannot be written.
    """
    if maps is not None:
        need_one_of(maps, MAPS, what="kind of maps")
    for what, seconds in {"poll": poll, "patience": patience, "report_every": report_every}.items():
        need_at_least(seconds, 0, what=what)
    if not poll <= DAY:
        raise InputError(f"poll must be a day at most, {DAY} seconds, got {poll:g}; look more often")
    need_at_least(until_idle or 0, 0, what="until_idle")
    raise_problems(
        f"watch takes folders on a disk, such as a network disk that is mounted, got {shown(path)!r}; give such a "
        "folder, or score what lies at an address with jaxad score"
        for path in (folder, out)
        if is_address(path)
    )
    need_apart(folder, out)
    if not Path(folder).is_dir():
        raise InputError(f"{os.fspath(folder)!r} must be a folder where photographs arrive; check the path")
    limit, warnings = choose_threshold(made, threshold, rate)
    fingerprint = made.fingerprint()
    watch = Arrivals(
        made=made,
        folder=Path(folder),
        out=Path(out),
        started={
            "part": fingerprint,
            "threshold": limit["value"],
            "maps": maps,
            "source": os.path.realpath(folder),
        },
        facts={
            **facts_of(made, name, fingerprint),
            "source": os.fspath(folder),
            "threshold": limit,
            "warnings": warnings,
        },
        how=How(limit["value"], maps, 2, max_pixels),
        patience=patience,
        report_every=report_every,
        on_photograph=on_photograph,
    )
    trouble: AwayError | UnwrittenError | None = None
    busy = time.monotonic()
    try:
        while True:
            began = time.monotonic()
            try:
                moved = watch.look()
                if trouble:
                    away = isinstance(trouble, AwayError)
                    what = f"folder {str(folder)!r} is there" if away else f"results in {str(out)!r} can be written"
                    on_trouble(f"going on: {what} again")
                trouble = None
            except (AwayError, UnwrittenError) as error:
                if str(error) != str(trouble):
                    on_trouble(f"waiting: {error}")
                trouble, moved = error, False
                if isinstance(error, UnwrittenError):
                    watch.close()
            now = time.monotonic()
            if moved:
                busy = now
            elif until_idle is not None and now - busy >= until_idle:
                if trouble:
                    raise InputError(str(trouble))
                run = watch.finish()
                on_end(run)
                return run
            time.sleep(max(poll, now - began))
    except KeyboardInterrupt:
        # Wherever it was stopped, what lies on the disk is whole.
        watch.close()
        try:
            if run := watch.finish():
                on_end(run)
        except UnwrittenError as error:
            on_trouble(str(error))
        raise
    finally:
        watch.close()
