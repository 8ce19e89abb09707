"""Joining the results of all shares of one source into the folder that a single run would have written."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxad._check import InputError, name_changes, raise_problems
from jaxad.results import STARTED, Output, Region, Result, Results, in_words, map_path, picture_path, read_results

AnyPath = str | os.PathLike[str]


class Share(NamedTuple):
    """The results of one share of a source."""

    results: Results
    started: dict[str, Any]
    """What the run was begun with: pipeline, threshold, maps and sources."""
    number: int
    total: int


def merge_folders(folders: Sequence[AnyPath], out: AnyPath) -> dict[str, Any]:
    """Join the folders that `score_folder` wrote for the shares of one source into one like them.

    Every photograph is in it once, in the order of their names. A merge that was stopped goes on where it was.

    Args:
        folders: one a share, in any order, each complete.
        out: the folder to write.

    Returns:
        What `run.json` holds: counts are of all shares, seconds those of the slowest.

    Raises:
        InputError: a folder is damaged, no share or not complete; shares are missing or given twice; they are of
            different pipelines, thresholds, maps or sources; or `out` holds another run.
    """
    shares = [_read_share(Path(folder)) for folder in folders]
    _need_all(shares)
    started = {name: value for name, value in shares[0].started.items() if name != "sources"}
    output = Output(out, started, resume=True)
    try:
        done = output.done()
        images = [(image, place, share) for share in shares for place, image in enumerate(share.results.images)]
        for image, place, share in sorted(images, key=lambda one: one[0]["file"]):
            if image["file"] not in done:
                output.add([_result(image, place, share)])
        for error in (error for share in shares for error in share.results.errors if error["file"] not in done):
            output.fail(error["file"], error["reason"])
        runs = [share.results.run for share in shares]
        seconds = max(run["seconds"] for run in runs)
        run = {
            **runs[0],
            "counts": {"scored": len(output.rows), "anomalous": output.anomalous, "failed": len(output.failed)},
            "images_per_second": len(output.rows) / seconds,
            "seconds": seconds,
        }
        output.finish(run)
    finally:
        output.close()
    return run


def _read_share(folder: Path) -> Share:
    try:
        started = json.loads((folder / STARTED).read_text())
        number, total = started.pop("share")
    except (OSError, ValueError, KeyError):
        raise InputError(
            f"{str(folder)!r} holds no share of a run; score one by `jaxad score PIPELINE DIR -o OUT --share 1/2`"
        ) from None
    if not (folder / "run.json").exists():
        raise InputError(f"share {number}/{total} in {str(folder)!r} is not complete; go on with it by --resume")
    return Share(read_results(folder), started, number, total)


def _need_all(shares: Sequence[Share]) -> None:
    """Refuse shares that do not make up a whole."""
    if not shares:
        raise InputError("folders to merge must be all shares of one run, got none")
    first = shares[0]
    problems = []
    for share in shares[1:]:
        changes = name_changes(*({"shares": one.total, **in_words(one.started)} for one in (first, share)))
        if changes:
            problems.append(f"{str(share.results.folder)!r} is of another run: {', '.join(changes)}")
    given = [share.number for share in shares]
    problems += [f"share {i}/{first.total} is given twice" for i in sorted(set(given)) if given.count(i) > 1]
    problems += [f"share {i}/{first.total} is missing" for i in range(1, first.total + 1) if i not in given]
    raise_problems(problems)


def _result(image: dict[str, Any], place: int, share: Share) -> Result:
    folder, suffix = share.results.folder, share.started["maps"]
    return Result(
        file=image["file"],
        defect=image["defect"],
        score=image["score"],
        calibrated=image["calibrated"],
        anomalous=image["decision"] == "anomalous",
        milliseconds=image["milliseconds"],
        regions=[Region(**region) for region in image["regions"]],
        picture=picture_path(folder, place).read_bytes(),
        map=None if suffix is None else map_path(folder, place, suffix).read_bytes(),
    )
