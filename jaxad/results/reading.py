"""Reading a folder of results: every file is checked, and a damaged one is named with what it should hold.

Names of files may hold bytes that are no UTF-8; they are kept as surrogates, as Python keeps them in paths.
"""

import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxad._addresses import shown
from jaxad._check import InputError

COLUMNS = ("file", "defect", "score", "calibrated", "decision", "milliseconds")
REGION_NUMBERS = ("area", "peak", "mean")
DECISIONS = ("normal", "anomalous")
JUDGES = ("score", "calibrated")
MEND = "score the images again with `jaxad score PIPELINE FOLDER -o OUT`"
ROUNDING = 1e-6
"""Decisions are not held against scores this close to the threshold, as a share of it: they were written in decimal."""

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Results:
    """One folder of results.

    folder: where it is.
    run: run.json as it stands.
    judged_by: "score" or "calibrated", the column that is held against the threshold.
    threshold: the decision is anomalous where the judged score is above it.
    images: one dictionary an image, in the order of results.csv: the columns, with numbers as floats or None where
        empty, and `regions`, a list of dictionaries with box [left, top, right, bottom] in source pixels.
    errors: dictionaries with `file` and `reason`.
    """

    folder: Path
    run: Record
    judged_by: str
    threshold: float
    images: list[Record]
    errors: list[Record]


def read_results(folder: str | os.PathLike[str], *, run: Record | None = None) -> Results:
    """Read a folder of results whole; `run` stands for the run.json of one that still goes on.

    Raises:
        InputError: the folder is none, its run is not complete, or a file is missing, damaged or contradicts another.
    """
    home = Path(folder)
    if not home.is_dir():
        raise InputError(f"{shown(home)!r} must be a folder of results, and is no folder; {MEND}")
    if run is None and (home / "started.json").is_file() and not (home / "run.json").exists():
        raise InputError(
            f"{str(home)!r} holds a run that is not complete; go on with it by `jaxad score ... --resume`, or by the "
            "same `jaxad watch`"
        )
    run = _read_run(home / "run.json") if run is None else run
    judged_by, threshold = run["judged_by"], float(run["threshold"]["value"])
    images = _read_images(home / "results.csv", judged_by=judged_by, threshold=threshold)
    _add_regions(images, home / "regions.jsonl")
    errors = home / "errors.csv"
    return Results(
        folder=home,
        run=run,
        judged_by=judged_by,
        threshold=threshold,
        images=images,
        errors=[row for _, row in _read_table(errors, ("file", "reason"))] if errors.exists() else [],
    )


def picture_path(folder: Path, row: int) -> Path:
    """The picture of a row of results.csv, counted from 0."""
    return folder / "pictures" / f"{row:06d}.jpg"


def map_path(folder: Path, row: int, suffix: str) -> Path:
    """The map of a row of results.csv, counted from 0; its suffix is npy or png."""
    return folder / "maps" / f"{row:06d}.{suffix}"


def _read_run(path: Path) -> Record:
    run = _parsed(_text(path), path)
    if run.get("judged_by") not in JUDGES:
        raise _damaged(path, f'"judged_by" must be "score" or "calibrated", got {run.get("judged_by")!r}')
    threshold = run.get("threshold")
    value = threshold.get("value") if isinstance(threshold, dict) else None
    if not _is_number(value):
        raise _damaged(path, f'"threshold" must hold a finite number "value", got {value!r}')
    return run


def _read_images(path: Path, *, judged_by: str, threshold: float) -> list[Record]:
    images = []
    for place, row in _read_table(path, COLUMNS):
        image: Record = {"file": row["file"], "defect": row["defect"], "decision": row["decision"], "regions": []}
        for name in ("score", "calibrated", "milliseconds"):
            image[name] = _number(row[name], place, name, empty=name not in ("score", judged_by))
        if row["decision"] not in DECISIONS:
            raise _damaged(place, f"decision must be normal or anomalous, got {row['decision']!r}")
        judged = image[judged_by]
        near = math.isclose(judged, threshold, rel_tol=ROUNDING)
        if not near and (row["decision"] == "anomalous") != (judged > threshold):
            raise _damaged(
                place, f"decision {row['decision']!r} contradicts {judged_by} {judged} and run.json's {threshold}"
            )
        images.append(image)
    return images


def _add_regions(images: list[Record], path: Path) -> None:
    by_file = {image["file"]: image for image in images}
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        region = _parsed(line, place)
        box = region.get("box")
        if not (isinstance(box, list) and len(box) == 4 and all(_is_number(edge) for edge in box)):
            raise _damaged(place, f'"box" must be [left, top, right, bottom] in pixels, got {box!r}')
        for name in REGION_NUMBERS:
            if not _is_number(region.get(name)):
                raise _damaged(place, f'"{name}" must be a finite number, got {region.get(name)!r}')
        if region.get("file") not in by_file:
            raise _damaged(place, f'"file" must be in results.csv, got {region.get("file")!r}')
        kept = {"box": box, **{name: region[name] for name in REGION_NUMBERS}}
        by_file[region["file"]]["regions"].append(kept)


def _read_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where each row stands and what it holds; rows without a name or with missing cells are refused."""
    # Without translation, for a quoted name may hold a line break of any kind.
    rows = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        missing = [name for name in columns if name not in (rows.fieldnames or ())]
        if missing:
            raise _damaged(path, f"the columns must be {','.join(columns)}; missing: {','.join(missing)}")
        for row in rows:
            place = f"{path}, line {rows.line_num}"
            if not row["file"] or any(row[name] is None for name in columns):
                raise _damaged(place, f"a row must fill the columns {','.join(columns)}")
            yield place, {name: row[name] for name in columns}
    except csv.Error as error:
        raise _damaged(path, f"a table of comma-separated values is wanted; {error}") from None


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{str(path)!r} is missing; a folder of results holds it; {MEND}")
    # Read as bytes, for reading as text would change the line breaks inside names.
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _parsed(text: str, place: object) -> Record:
    try:
        # JSON has no NaN, and Python writes it all the same; as a word it can be shown and is no number.
        found = json.loads(text, parse_constant=str)
    except json.JSONDecodeError as error:
        raise _damaged(place, f"JSON is wanted; {error}") from None
    if not isinstance(found, dict):
        raise _damaged(place, f"a JSON object is wanted, got {text[:40]!r}")
    return found


def _number(text: str, place: str, name: str, *, empty: bool) -> float | None:
    if empty and not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _damaged(place, f"{name} must be a finite number, got {text!r}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _damaged(place: object, reason: str) -> InputError:
    return InputError(f"{place} is damaged: {reason}; {MEND}")
