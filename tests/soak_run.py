"""The command line over a folder of `tests.soak_folder`: fitted, scored, killed and resumed, evaluated and reported.

`soak` runs it all and says what is not as it should be. Nothing here imports jaxad.
"""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.soak_folder import Folder

ROOT = Path(__file__).resolve().parent.parent
COMPILED = "Finished XLA compilation of"
"""What jax logs once a program, found in its cache or not."""
ROUNDING = 1e-4
"""Of a score, relative: photographs come in other batches, on other canvases, after a kill."""


class Ran(NamedTuple):
    """One command that has ended."""

    code: int
    out: str
    err: str
    seconds: float
    mebibytes: float
    """The most that was resident; 0 where the system does not tell (only Linux does)."""
    programs: int
    """Compiled, or taken from the cache of compiled ones."""
    course: list[tuple[int, float]]
    """Rows of results and MiB resident, whenever a hundred more were there."""


class Soak(NamedTuple):
    """What was seen of one folder and one recipe."""

    commands: dict[str, Ran]
    problems: list[str]
    """Sentences on what is not as it should be."""


def soak(folder: Folder, where: Path, *, recipe: str, settings: tuple[str, ...] = ()) -> Soak:
    """Run every command over the folder, with what they write in `where`."""
    made, whole, killed = (str(where / name) for name in (f"{recipe}.jaxad", "whole", "killed"))
    root = str(folder.root)
    chosen = [word for one in settings for word in ("--set", one)]
    half = len(folder.scored) // 2
    cache = where / "compiled"
    ran = {
        "fit": run("fit", root, "-o", made, "--recipe", recipe, *chosen, "--json", cache=cache),
        "score": run("score", made, root, "-o", whole, "--json", cache=cache, results=Path(whole)),
        "score, killed": run("score", made, root, "-o", killed, cache=cache, results=Path(killed), kill_at=half),
        "score --resume": run("score", made, root, "-o", killed, "--resume", "--json", cache=cache),
        "evaluate": run("evaluate", made, root, "--json", cache=cache),
        "report": run("report", killed, "--json", cache=cache),
    }
    return Soak(ran, list(_problems(folder, ran, Path(whole), Path(killed))))


def run(*words: str, cache: Path, results: Path | None = None, kill_at: int | None = None) -> Ran:
    """Run `jaxad` with these words; kill it once the folder of results has so many rows."""
    environment = {**os.environ, "JAX_LOG_COMPILES": "1", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    table, began, peak, rows = results and results / "results.csv", time.perf_counter(), 0.0, 0
    course: list[tuple[int, float]] = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = [sys.executable, "-m", "jaxad", *words]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err)
        while process.poll() is None:
            now, most = _resident(process.pid)
            peak = max(peak, most)
            if table and table.is_file():
                rows = table.read_bytes().count(b"\n") - 1
            if rows >= 100 * (len(course) + 1) and now:
                course.append((rows, now))
            if kill_at is not None and rows >= kill_at:
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "surrogateescape"))
    return Ran(process.returncode, *texts, seconds, peak, texts[1].count(COMPILED), course)


def _resident(process: int) -> tuple[float, float]:
    """MiB that a process has in memory, and the most it had; not of its parent, as `getrusage` may say."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = {line.split(":")[0]: line for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    now, most = (int(found[name].split()[1]) / 1024 if name in found else 0.0 for name in ("VmRSS", "VmHWM"))
    return now, most


def _problems(folder: Folder, ran: dict[str, Ran], whole: Path, killed: Path) -> Iterator[str]:
    wanted = {"fit": 3, "score": 3, "score, killed": -signal.SIGKILL, "score --resume": 3, "evaluate": 3, "report": 0}
    for name, code in wanted.items():
        if ran[name].code != code:
            yield f"{name} must end with {code}, got {ran[name].code}: {_words(ran[name].err)}"
        if "Traceback" in ran[name].err or "RuntimeWarning" in ran[name].err:
            yield f"{name} must speak in sentences: {_words(ran[name].err)}"
    parsed: dict[str, Any] = {}
    for name in ("fit", "score", "score --resume", "evaluate"):
        try:
            parsed[name] = json.loads(ran[name].out)
        except ValueError:
            yield f"{name} must print one JSON object, got {ran[name].out[:200]!r}"
            return
    left_out = {row["path"] for row in parsed["fit"]["images"]["left_out"]}
    yield from (f"fit is silent on {name}" for name in sorted(set(folder.not_learnt) - left_out))
    tables = {"score": rows_of(whole), "score --resume": rows_of(killed)}
    for name, results in (("score", whole), ("score --resume", killed)):
        for problem in _misplaced(folder, results, parsed[name]["not_used"]):
            yield f"{name}: {problem}"
        pictures = len(list((results / "pictures").iterdir()))
        if pictures != len(tables[name]):
            yield f"{name}: {pictures} pictures for {len(tables[name])} rows"
    yield from _different(tables["score"], tables["score --resume"])
    named = {row["file"] for row in parsed["evaluate"]["errors"]}
    yield from (f"evaluate is silent on {name}" for name in sorted(set(folder.unreadable) - named))
    if not (killed / "report.html").is_file():
        yield "report must write report.html"


def _words(text: str) -> str:
    """The last that was said, without what jax logs."""
    said = [line for line in text.splitlines() if "jaxad" in line or "Error" in line or "Warning" in line]
    return " ".join(said[-5:])[-500:]


def rows_of(results: Path) -> dict[str, dict[str, str]]:
    """The rows of `results.csv` by their file."""
    with (results / "results.csv").open(encoding="utf-8", newline="") as table:
        return {row["file"]: row for row in csv.DictReader(table)}


def _misplaced(folder: Folder, results: Path, not_used: list[dict[str, str]]) -> Iterator[str]:
    """Files that are not exactly once where they belong."""
    found: dict[str, list[str]] = {"not used": [row["path"] for row in not_used]}
    for where in ("results", "errors"):
        with (results / f"{where}.csv").open(encoding="utf-8", newline="") as table:
            found[where] = [row["file"] for row in csv.DictReader(table)]
    for where, wanted in (("results", folder.scored), ("errors", folder.unreadable), ("not used", folder.aside)):
        counts = Counter(found[where])
        yield from (f"{name} is {counts[name]} times in {where}" for name in wanted if counts[name] != 1)
        yield from (f"{name} should not be in {where}" for name in counts.keys() - set(wanted))


def _different(one: dict[str, dict[str, str]], other: dict[str, dict[str, str]]) -> Iterator[str]:
    """Rows of two runs over the same folder that differ by more than rounding."""
    for name in one.keys() & other.keys():
        (score, defect), (again, also) = ((float(row["score"]), row["defect"]) for row in (one[name], other[name]))
        if not math.isfinite(score):
            yield f"{name} scores {score}"
        elif defect != also or not math.isclose(score, again, rel_tol=ROUNDING):
            yield f"{name} scores {score} ({defect}), and {again} ({also}) when resumed"
