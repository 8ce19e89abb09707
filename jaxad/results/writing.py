"""The folder that `jaxad score` writes, row by row, so that a run that was killed can go on.

    started.json            which pipeline, threshold and maps the run was begun with; a run goes on with the same only
    photographs.json        path, bytes and time of modification of every photograph, by name: what was replaced or
                            removed since loses its row when a run goes on
    results.csv             file, defect, score, calibrated, decision, milliseconds; one row a photograph
    regions.jsonl           regions of the photographs that were flagged: file, box, area, peak, mean
    errors.csv              file, reason
    pictures/NNNNNN.jpg     photograph, heatmap and overlay of row NNNNNN of results.csv, counted from 0
    maps/NNNNNN.npy|png     its map, if asked for: float32, or 16-bit grey
    run.json                written last: where it lies the run is complete

Names of files may hold bytes that are no UTF-8; they are kept as surrogates, as Python keeps them in paths. What
belongs to a row is written before the row, so a row is never without it.
"""

import contextlib
import csv
import io
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from jaxad._check import InputError, name_changes, need_output_folder
from jaxad._files import hold, replacing
from jaxad.results.reading import COLUMNS, map_path, picture_path
from jaxad.results.regions import Region
from jaxad.results.stamps import Stamp, find_changes, read_stamps, write_stamps

ERROR_COLUMNS = ("file", "reason")
STARTED = "started.json"


class Result(NamedTuple):
    """What is written of one scored photograph."""

    file: str
    defect: str
    score: float
    calibrated: float
    anomalous: bool
    milliseconds: float
    regions: list[Region]
    picture: bytes
    map: bytes | None
    """The file of its map, where one was asked for."""


class Output:
    """A folder of results while it is being written; `resume` goes on with what lies there.

    `photographs` are the stamps of those to be scored, by name. Those that failed are tried again, for the files may
    have been mended. `labels` are the defects that are known of them now, by name.

    Attributes:
        changes: photographs that were replaced or removed since they were scored; their results are left out.
        relabelled: names of those whose rows had another defect.

    Raises:
        InputError: the folder cannot be written, holds a run and is not to be resumed, holds another run, or is being
            written by another one now.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        started: dict[str, Any],
        *,
        resume: bool,
        photographs: Mapping[str, Stamp] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = need_output_folder(folder)
        self.map_suffix: str | None = started["maps"]
        self._held = _hold(self.folder)
        try:
            self._begin(started, resume, photographs or {}, labels or {})
        except BaseException:
            self._release()
            raise

    def _begin(
        self, started: dict[str, Any], resume: bool, now: Mapping[str, Stamp], labels: Mapping[str, str]
    ) -> None:
        rows = _begun(self.folder, started, resume=resume)
        rows = _with_pictures(rows, self.folder, self.map_suffix)
        errors = _whole_rows(self.folder / "errors.csv", ERROR_COLUMNS) if resume else []
        before = read_stamps(self.folder) if resume else {}
        # What failed and is to be scored now is tried again, changed or not.
        names = [*(row[0] for row in rows), *(name for name, _ in errors if name not in now)]
        self.changes = find_changes(names, before, now)
        self.rows = _without({*self.changes.replaced, *self.changes.gone}, rows, self.folder, self.map_suffix)
        self.relabelled = [name for name, defect, *_ in self.rows if labels.get(name, defect) != defect]
        self.rows = [[name, labels.get(name, defect), *numbers] for name, defect, *numbers in self.rows]
        scored = {row[0] for row in self.rows}
        left_aside = scored.union(now, self.changes.gone)
        self.failed = {name: reason for name, reason in errors if name not in left_aside}
        regions = [line for line, file in _whole_lines(self.folder / "regions.jsonl") if file in scored]
        for name in ("pictures", *(["maps"] if self.map_suffix else [])):
            (self.folder / name).mkdir(exist_ok=True)
        with replacing(self.folder / STARTED) as path:
            path.write_text(json.dumps(started, indent=2) + "\n")
        self._results = _opened(self.folder / "results.csv", _table([COLUMNS, *self.rows]))
        self._errors = _opened(self.folder / "errors.csv", _table([ERROR_COLUMNS, *self.failed.items()]))
        self._regions = _opened(self.folder / "regions.jsonl", "".join(regions))
        # Behind the tables: killed between them, the next run finds the same changes.
        write_stamps(self.folder, {**{name: before[name] for name in self.done() & before.keys()}, **now})
        self.anomalous = sum(row[4] == "anomalous" for row in self.rows)
        (self.folder / "run.json").unlink(missing_ok=True)

    def done(self) -> set[str]:
        """Names of the photographs that are scored or failed already."""
        return {row[0] for row in self.rows} | self.failed.keys()

    def add(self, results: Sequence[Result]) -> None:
        """Write photographs that were scored; here and below a full disk is an InputError."""
        with self._said():
            self._add(results)

    def _add(self, results: Sequence[Result]) -> None:
        rows, regions = [], []
        for number, result in enumerate(results, start=len(self.rows)):
            picture_path(self.folder, number).write_bytes(result.picture)
            if result.map is not None and self.map_suffix is not None:
                map_path(self.folder, number, self.map_suffix).write_bytes(result.map)
            regions += [json.dumps({"file": result.file, **region._asdict()}) + "\n" for region in result.regions]
            decision = "anomalous" if result.anomalous else "normal"
            numbers = [repr(result.score), repr(result.calibrated), decision, f"{result.milliseconds:.3f}"]
            rows.append([result.file, result.defect, *numbers])
        self._append(self._regions, "".join(regions))
        self._append(self._results, _table(rows))
        self.rows += rows
        self.anomalous += sum(result.anomalous for result in results)

    def fail(self, name: str, reason: str) -> None:
        """Write a photograph that could not be scored."""
        with self._said():
            self._append(self._errors, _table([[name, reason]]))
        self.failed[name] = reason

    def finish(self, run: dict[str, Any]) -> None:
        """Write `run.json`: the run is complete."""
        with self._said(), replacing(self.folder / "run.json") as path:
            path.write_text(json.dumps(run, indent=2, allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the files, whether the run is complete or not."""
        for file in (self._results, self._errors, self._regions):
            # What a full disk did not take has been said, and is scored again.
            with contextlib.suppress(OSError):
                file.close()
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"results in {str(self.folder)!r} cannot be written: {error.strerror or error}; mend that and go on by "
                "--resume"
            ) from None

    @staticmethod
    def _append(file: TextIO, text: str) -> None:
        file.write(text)
        file.flush()


def _hold(folder: Path) -> int | None:
    try:
        return hold(folder)
    except BlockingIOError:
        raise InputError(
            f"another run is writing output folder {str(folder)!r}; wait until it has ended, or choose another folder"
        ) from None


def _begun(folder: Path, started: dict[str, Any], *, resume: bool) -> list[list[str]]:
    """The whole rows of the run that was begun in the folder with the same pipeline, threshold and maps."""
    there = [name for name in (STARTED, "results.csv", "errors.csv", "run.json") if (folder / name).exists()]
    if not there:
        for name in ("pictures", "maps"):
            if (folder / name).is_dir() and any((folder / name).iterdir()):
                raise InputError(
                    f"output folder {str(folder)!r} holds a folder {name!r} that is of no run, and results would "
                    "replace what is in it; choose another folder"
                )
        return []
    if not resume:
        raise InputError(
            f"output folder {str(folder)!r} holds a run already ({there[0]}); go on with it by --resume, or choose "
            "another folder"
        )
    try:
        before = json.loads((folder / STARTED).read_text())
    except (OSError, ValueError):
        raise InputError(
            f"output folder {str(folder)!r} holds no run that can go on: its {STARTED} is missing or damaged; "
            "choose another folder"
        ) from None
    if "source" not in before or "source" not in started:
        # Single files are named as they were given, so they may join what was begun with a folder.
        before, started = ({**one, "source": None} for one in (before, started))
    changes = name_changes(in_words(before), in_words(started))
    if changes:
        raise InputError(
            f"output folder {str(folder)!r} holds another run: {', '.join(changes)}; choose another folder"
        )
    return _whole_rows(folder / "results.csv", COLUMNS)


def in_words(started: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was begun with, by the names that a user knows; the file says "part" for the pipeline."""
    return {"pipeline" if name == "part" else name: value for name, value in started.items()}


def _whole_rows(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """The rows of a table up to the first that was not written whole."""
    text = _text(path)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if len(row) != len(columns):
                return rows[1:]
            rows.append(row)
    except csv.Error:
        return rows[1:]
    # Cut off inside its last cell, a row looks whole; only the end of its line says that it is.
    return rows[1:] if text.endswith("\n") else rows[1:-1]


def _with_pictures(rows: list[list[str]], folder: Path, map_suffix: str | None) -> list[list[str]]:
    """The rows up to the first whose picture or map is missing or empty; it and those behind are scored anew."""
    for number in range(len(rows)):
        wanted = [picture_path(folder, number)]
        if map_suffix:
            wanted.append(map_path(folder, number, map_suffix))
        if not all(path.is_file() and path.stat().st_size for path in wanted):
            return rows[:number]
    return rows


def _without(names: Collection[str], rows: list[list[str]], folder: Path, map_suffix: str | None) -> list[list[str]]:
    """The rows but those of these names, whose places the last ones take, with copies of their pictures and maps.

    Until the table is written anew, only what belongs to rows that go is replaced.
    """
    kept = [number for number, row in enumerate(rows) if row[0] not in names]
    gaps = [number for number in range(len(kept)) if rows[number][0] in names]
    rows = list(rows)
    for gap, number in zip(gaps, kept[len(kept) - len(gaps) :], strict=True):
        paths = [(picture_path(folder, number), picture_path(folder, gap))]
        if map_suffix:
            paths.append((map_path(folder, number, map_suffix), map_path(folder, gap, map_suffix)))
        for there, here in paths:
            with replacing(here) as beside:
                shutil.copyfile(there, beside)
        rows[gap] = rows[number]
    return rows[: len(kept)]


def _whole_lines(path: Path) -> list[tuple[str, str]]:
    """The lines of JSON that were written whole, each with the file it speaks of."""
    found = []
    for line in _text(path).split("\n")[:-1]:
        try:
            found.append((line + "\n", json.loads(line)["file"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""


def _table(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _opened(path: Path, text: str) -> TextIO:
    """The file with this text in it, open to add more."""
    with replacing(path) as beside:
        beside.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path.open("a", encoding="utf-8", errors="surrogateescape", newline="")
