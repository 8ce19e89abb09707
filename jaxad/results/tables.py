"""Tables and lines that a run adds to, and reads again after it was killed.

A row is there whole or not at all: what a full disk did not take of it is cut off, and what a killed run left of it is
not read. Names of files may hold bytes that are no UTF-8; they are kept as surrogates, as Python keeps them in paths.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxad._files import replacing


class Growing:
    """A file with this text in it, open to add more; `durable` brings all to the disk before it goes on."""

    def __init__(self, path: Path, text: str, *, durable: bool) -> None:
        with replacing(path) as beside:
            beside.write_bytes(_encoded(text))
        # Without a buffer, which would still hold what a full disk refused, and write it later.
        self._file = path.open("ab", buffering=0)
        self._durable = durable

    def add(self, text: str) -> None:
        """Add text, all of it or, with an OSError, none."""
        before, data = self._file.seek(0, os.SEEK_END), _encoded(text)
        try:
            while data:
                data = data[self._file.write(data) :]
            if self._durable:
                os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(before)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def table(rows: Iterable[Iterable[object]]) -> str:
    """Rows as lines of comma-separated values."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def whole_rows(path: Path, columns: Sequence[str]) -> list[list[str]]:
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


def whole_lines(path: Path) -> list[tuple[str, str]]:
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


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
