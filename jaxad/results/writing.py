"""The folder that `jaxad score` and `jaxad watch` write, row by row, so that a run that was killed can go on.

    started.json            which pipeline, threshold and maps the run was begun with; a run goes on with the same only
    photographs.json        path, bytes and time of modification of every photograph, by name: what was replaced or
                            removed since loses its row when a run goes on; a JSON object a line, the last counts
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
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxad._check import InputError, name_changes, need_output_folder
from jaxad._files import hold, replacing
from jaxad.results.reading import COLUMNS, map_path, picture_path
from jaxad.results.regions import Region
from jaxad.results.stamps import STAMPS, Stamp, find_changes, read_stamps, stamps_line
from jaxad.results.tables import Growing, table, whole_lines, whole_rows

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


class UnwrittenError(InputError):
    """Results could not be written: the disk is full, or gone. What was written before is whole, and can go on."""


class Output:
    """A folder of results while it is being written; `resume` goes on with what lies there.

    The folder is made, looked at and held until `close`, and nothing is written into it before `begin`. Where
    photographs are `arriving`, more may come (see `expect`), results of those that were moved away stay, and so do
    failures of files that are as they were; all is on the disk before it counts as written.

    Attributes:
        stamps: of photographs that are scored, failed or expected, by name; where they are arriving, of those whose
            results were lost too.
        changes: photographs that were replaced or removed since they were scored; their results are left out.
        lost: stamps of photographs that the run knew of, that have no result and are not to be scored now, by name.
        relabelled: names of those whose rows had another defect.

    Raises:
        InputError: the folder holds a run and is not to be resumed, holds another run, or is being written by another
            one now; an UnwrittenError where it cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        started: dict[str, Any],
        *,
        resume: bool,
        arriving: bool = False,
    ) -> None:
        self._made = [one for one in (Path(folder), *Path(folder).parents) if not one.exists()]
        self.folder = need_output_folder(folder)
        self.map_suffix: str | None = started["maps"]
        self._started, self._resume, self._arriving = started, resume, arriving
        self._files: list[Growing] = []
        self._held: int | None = None
        try:
            self._held = _hold(self.folder)
            with self.said():
                _need_own_run(self.folder, started, resume=resume)
        except BaseException:
            self.close()
            raise

    def begin(self, photographs: Mapping[str, Stamp], *, labels: Mapping[str, str] | None = None) -> None:
        """Write what is there before the first photograph is scored, or what a run that goes on keeps.

        `photographs` are the stamps of those to be scored, by name. Those that failed are tried again, for the files
        may have been mended. `labels` are the defects that are known of them now, by name.
        """
        try:
            with self.said():
                self._begin(photographs, labels or {})
        except BaseException:
            self.close()
            raise

    def _begin(self, now: Mapping[str, Stamp], labels: Mapping[str, str], anew: Collection[str] = ()) -> None:
        rows = whole_rows(self.folder / "results.csv", COLUMNS)
        rows = _with_pictures(rows, self.folder, self.map_suffix)
        errors = whole_rows(self.folder / "errors.csv", ERROR_COLUMNS)
        before = read_stamps(self.folder) if self._resume else {}
        # What failed and is to be scored now is tried again, changed or not; where it arrives, if it has changed.
        again = set() if self._arriving else set(now)
        names = [*(row[0] for row in rows), *(name for name, _ in errors if name not in again)]
        self.changes = find_changes(names, before, now)
        if self._arriving:
            self.changes = self.changes._replace(gone=[])
        left_out = {*self.changes.replaced, *self.changes.gone, *anew}
        self.rows = _without(left_out, rows, self.folder, self.map_suffix)
        self.relabelled = [name for name, defect, *_ in self.rows if labels.get(name, defect) != defect]
        self.rows = [[name, labels.get(name, defect), *numbers] for name, defect, *numbers in self.rows]
        scored = {row[0] for row in self.rows}
        left_aside = scored.union(again, left_out)
        self.failed = {name: reason for name, reason in errors if name not in left_aside}
        regions = [line for line, file in whole_lines(self.folder / "regions.jsonl") if file in scored]
        for name in ("pictures", *(["maps"] if self.map_suffix else [])):
            (self.folder / name).mkdir(exist_ok=True)
        with replacing(self.folder / STARTED) as path:
            path.write_text(json.dumps(self._started, indent=2) + "\n")
        self._made.clear()
        elsewhere = self.done().union(left_out, now)
        self.lost = {name: stamp for name, stamp in before.items() if stamp.size >= 0 and name not in elsewhere}
        kept = before.keys() if self._arriving else self.done() & before.keys()
        self.stamps = {**{name: before[name] for name in kept}, **now}
        self._results = self._open("results.csv", table([COLUMNS, *self.rows]))
        self._errors = self._open("errors.csv", table([ERROR_COLUMNS, *self.failed.items()]))
        self._regions = self._open("regions.jsonl", "".join(regions))
        # Behind the tables: killed between them, the next run finds the same changes.
        self._stamps = self._open(STAMPS, stamps_line(self.stamps))
        self.anomalous = sum(row[4] == "anomalous" for row in self.rows)
        (self.folder / "run.json").unlink(missing_ok=True)

    def _open(self, name: str, text: str) -> Growing:
        opened = Growing(self.folder / name, text, durable=self._arriving)
        self._files.append(opened)
        return opened

    def expect(self, photographs: Mapping[str, Stamp]) -> None:
        """Say which photographs are to be scored next, where they arrive; results of those of their names go."""
        with self.said():
            anew = self.done() & photographs.keys()
            if anew:
                self._close_files()
                self._begin(photographs, {}, anew)
            else:
                self._stamps.add(stamps_line(photographs))
                self.stamps.update(photographs)

    def done(self) -> set[str]:
        """Names of the photographs that are scored or failed already."""
        return {row[0] for row in self.rows} | self.failed.keys()

    def counts(self) -> dict[str, int]:
        """How many photographs were scored, how many of them are anomalous, and how many failed."""
        return {"scored": len(self.rows), "anomalous": self.anomalous, "failed": len(self.failed)}

    def add(self, results: Sequence[Result]) -> None:
        """Write photographs that were scored; here and below a full disk is an InputError."""
        with self.said():
            self._add(results)

    def _add(self, results: Sequence[Result]) -> None:
        rows, regions = [], []
        for number, result in enumerate(results, start=len(self.rows)):
            self._write(picture_path(self.folder, number), result.picture)
            if result.map is not None and self.map_suffix is not None:
                self._write(map_path(self.folder, number, self.map_suffix), result.map)
            regions += [json.dumps({"file": result.file, **region._asdict()}) + "\n" for region in result.regions]
            decision = "anomalous" if result.anomalous else "normal"
            numbers = [repr(result.score), repr(result.calibrated), decision, f"{result.milliseconds:.3f}"]
            rows.append([result.file, result.defect, *numbers])
        self._regions.add("".join(regions))
        self._results.add(table(rows))
        self.rows += rows
        self.anomalous += sum(result.anomalous for result in results)

    def fail(self, name: str, reason: str) -> None:
        """Write a photograph that could not be scored."""
        with self.said():
            self._errors.add(table([[name, reason]]))
        self.failed[name] = reason

    def finish(self, run: dict[str, Any]) -> None:
        """Write `run.json`: the run is complete."""
        with self.said(), replacing(self.folder / "run.json") as path:
            path.write_text(json.dumps(run, indent=2, allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the files, whether the run is complete or not; a folder made for a run that never began goes."""
        self._close_files()
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._made.clear()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _close_files(self) -> None:
        for file in self._files:
            # A disk that is gone may say so once more.
            with contextlib.suppress(OSError):
                file.close()
        self._files.clear()

    @contextlib.contextmanager
    def said(self) -> Iterator[None]:
        """Turn an OSError of the block into an UnwrittenError."""
        try:
            yield
        except OSError as error:
            raise UnwrittenError(
                f"results in {str(self.folder)!r} cannot be written: {error.strerror or error}; mend that"
                + (", and the same command goes on" if self._arriving else " and go on by --resume")
            ) from None

    def _write(self, path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data)
            if self._arriving:
                file.flush()
                os.fsync(file.fileno())


def _hold(folder: Path) -> int | None:
    try:
        return hold(folder)
    except BlockingIOError:
        raise InputError(
            f"another run is writing output folder {str(folder)!r}; wait until it has ended, or choose another folder"
        ) from None


def _need_own_run(folder: Path, started: dict[str, Any], *, resume: bool) -> None:
    """Refuse a folder that holds another run than one to go on with: of the same pipeline, threshold and maps."""
    there = [name for name in (STARTED, "results.csv", "errors.csv", "run.json") if (folder / name).exists()]
    if not there:
        for name in ("pictures", "maps"):
            if (folder / name).is_dir() and any((folder / name).iterdir()):
                raise InputError(
                    f"output folder {str(folder)!r} holds a folder {name!r} that is of no run, and results would "
                    "replace what is in it; choose another folder"
                )
        return
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
    changes = name_changes(_in_words(before), _in_words(started))
    if changes:
        raise InputError(
            f"output folder {str(folder)!r} holds another run: {', '.join(changes)}; choose another folder"
        )


def _in_words(started: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was begun with, by the names that a user knows; the file says "part" for the pipeline."""
    return {"pipeline" if name == "part" else name: value for name, value in started.items()}


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
