"""Labels in a table of comma-separated values: one row an image, with a row of names above.

file or path, image, filename           the image, relative to the folder or to the table
label or class, defect, anomaly         good, ok, normal or 0 for good; anything else names a defect
split or set, subset (optional)         train, test or validation
mask (optional)                         the mask of a defect, relative as the image

Separators are commas, semicolons, tabs or bars, or what a line above says as Excel's `sep=;` does; a row of names may
have any other columns too.
"""

import codecs
import csv
import io
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxad._addresses import at
from jaxad._check import InputError, name_some, raise_problems
from jaxad.datasets.layouts import BAD, BAD_NAMES, GOOD, SPLITS, Split, says_good, word_of

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "path", "image", "filename", "file_name", "image_path", "img", "name"),
    "label": ("label", "class", "defect", "anomaly", "target", "category", "is_anomaly", "is_defect", "y"),
    "split": ("split", "set", "subset", "phase"),
    "mask": ("mask", "mask_path", "mask_file", "ground_truth", "gt"),
}
_SEPARATORS = ",;\t|"
_SAID = re.compile(r'"?sep=(.)"?\r?\n', re.I)
"""The line in which Excel is told the separator."""
_SIGNS = {"1": 1, "1.0": 1, "+1": 1, "+1.0": 1, "-1": -1, "-1.0": -1}
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no", "none"})


class Label(NamedTuple):
    """What a row says of one image."""

    defect: str
    split: Split | None
    mask: Path | None


def read_labels(table: str | os.PathLike[str], root: Path, images: Collection[Path]) -> dict[Path, Label]:
    """Read the labels of images below the folder `root`; images without a row are not among them.

    Raises:
        InputError: the table cannot be read, lacks a column or holds no row; or rows name files that are not among the
            images, one file twice, or hold a label or split that says nothing.
    """
    path = Path(table)
    rows, columns = _read(path)
    known = set(images)
    places = [root, path.parent, root.resolve().parent]
    found: dict[Path, Label] = {}
    unknown, twice, empty, masks, splits, foreign = [], [], [], [], [], []
    signs = set()
    for number, row in rows:
        cells = {name: row[at].strip() if at < len(row) else "" for name, at in columns.items()}
        image = _below(cells["file"], places, root, known)
        where = f"line {number}: {cells['file']!r}"
        split = SPLITS.get(word_of(cells.get("split", "")))
        mask = _below(cells["mask"], places, root, known) if cells.get("mask") else None
        signs.add(_SIGNS.get(cells["label"]))
        misread = [cell for name, cell in cells.items() if not _is_text(cell) and not (name == "file" and image)]
        if misread:
            foreign.append(f"line {number}: {_in_windows(misread[0])!r}")
        elif image is None:
            unknown.append(where)
        elif image in found:
            twice.append(where)
        elif not cells["label"]:
            empty.append(where)
        elif cells.get("split") and split is None:
            splits.append(f"line {number}: {cells['split']!r}")
        else:
            if cells.get("mask") and mask is None:
                masks.append(f"line {number}: {cells['mask']!r}")
            found[image] = Label(_defect(cells["label"]), split, mask)
    kinds = {
        f"rows must name images of the folder {str(root)!r}, relative to it or to the table, and these do not": unknown,
        "each image must have one row, and these come again": twice,
        "each image must have a label, such as good or scratch, and these have none": empty,
        "masks must be images of the folder, and these are not": masks,
        "splits must be train, test or validation, and these are none": splits,
        "cells must be in UTF-8, so save the table anew as CSV in UTF-8; these are not (here in Windows-1252)": foreign,
    }
    problems = [f"labels {str(path)!r}: {words}: {name_some(rows)}" for words, rows in kinds.items() if rows]
    if signs >= {1, -1}:
        problems.append(
            f"labels {str(path)!r}: 1 and -1 do not tell which is good (of scikit-learn 1 is, and -1 is the anomaly); "
            "write good and bad, or 0 and 1 with 1 for the anomaly"
        )
    raise_problems(problems)
    if not found:
        raise InputError(f"labels {str(path)!r} must hold a row for each image, got none")
    return found


def _read(path: Path) -> tuple[list[tuple[int, list[str]]], dict[str, int]]:
    """The rows with the numbers of their lines, and where each column is."""
    try:
        data = at(path).read_bytes()
    except OSError as error:
        raise InputError(f"labels {str(path)!r} cannot be read: {error.strerror}; check the path") from None
    text = _decoded(data, path)
    said = _SAID.match(text)
    if said:
        # An empty line in its place, so that lines keep their numbers.
        text = "\n" + text[said.end() :]
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = said[1] if said else max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names, *rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)] or [(0, [])]
    except csv.Error as error:
        raise InputError(f"labels {str(path)!r} must be a table of comma-separated values; {error}") from None
    titles = [word_of(cell.strip()) for cell in names[1]]
    columns = {
        name: next(titles.index(word) for word in words if word in titles)
        for name, words in _COLUMNS.items()
        if set(words) & set(titles)
    }
    raise_problems(
        f"labels {str(path)!r} must have a column {name!r} (or {', '.join(_COLUMNS[name][1:])}) named in the first "
        f"line, got {', '.join(map(repr, names[1])) or 'no line'}"
        for name in ("file", "label")
        if name not in columns
    )
    return rows, columns


def _decoded(data: bytes, path: Path) -> str:
    """The text of a table: in UTF-8, or in UTF-16 as Excel writes it."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if b"\0" in data:
            raise InputError(
                f"labels {str(path)!r} must be text in UTF-8, or in UTF-16 with its mark of order, got bytes of 0; "
                "save the table anew as CSV in UTF-8"
            )
        return data.decode("utf-8-sig", "surrogateescape")
    try:
        return data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise InputError(f"labels {str(path)!r} begin as UTF-16 and go on as none: {error.reason}; save anew") from None


def _is_text(cell: str) -> bool:
    """Whether all its bytes were UTF-8; others are kept as surrogates, for names of files may hold any."""
    return not any("\udc80" <= letter <= "\udcff" for letter in cell)


def _in_windows(cell: str) -> str:
    return cell.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _below(name: str, places: Collection[Path], root: Path, known: Collection[Path]) -> Path | None:
    """The image that a cell names, by the path that the survey has it under."""
    for spelt in dict.fromkeys((name, name.replace("\\", "/"))):
        for path in _candidates(spelt, places, root):
            if path in known:
                return path
    return None


def _candidates(name: str, places: Collection[Path], root: Path) -> Iterator[Path]:
    yield root / name
    for place in places:
        whole = Path(os.path.normpath(place.resolve() / name))
        if whole.is_relative_to(root.resolve()):
            yield root / whole.relative_to(root.resolve())


def _defect(label: str) -> str:
    word = word_of(label)
    if says_good(label) or word in _NO:
        return GOOD
    return BAD if word in _YES or word in BAD_NAMES else label
