"""Which photographs are to be scored, under which name each is reported, and what is known of it."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxad._check import InputError, raise_problems
from jaxad.datasets import Survey, survey

AnyPath = str | os.PathLike[str]


class Source(NamedTuple):
    """One file: its path, the name it is reported under, and its defect: "good", another name, or "" if unknown."""

    path: Path
    name: str
    defect: str


def find_sources(source: AnyPath | Sequence[AnyPath]) -> list[Source]:
    """The photographs of a folder, or the given files, each once.

    Of a folder in the layout mvtec these are the test images, in the layout good-bad good and bad ones, else all,
    reported under their path below it; images that the layout has no place for are scored too, as unknown. Files are
    reported as they were given. Files that cannot be read are among them: reading says why.

    Raises:
        InputError: the folder cannot be surveyed or has nothing to score, or folders stand among several files.
    """
    given = (
        [os.fspath(source)]
        if isinstance(source, str | os.PathLike)
        else list(dict.fromkeys(os.fspath(path) for path in source))
    )
    if len(given) == 1 and Path(given[0]).is_dir():
        return _in_folder(survey(given[0]))
    raise_problems(f"{path!r} is a folder; score one folder, or several files" for path in given if Path(path).is_dir())
    if not given:
        raise InputError("images to score must be a folder or at least one file, got none")
    return [Source(Path(path), _as_utf8(path), "") for path in given]


def file_sum(path: Path) -> str:
    """SHA-256 of a file's bytes, by which a photograph is known again under another name."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _as_utf8(name: str) -> str:
    """The bytes of a name as UTF-8, which results are written in, whatever this process takes file names to be in."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _in_folder(found: Survey) -> list[Source]:
    known = {item.path: item.defect for item in found.test}
    if found.layout != "mvtec":
        known |= {item.path: item.defect if found.layout == "good-bad" else "" for item in found.train}
    left_aside = {"ground_truth", "train"} if found.layout == "mvtec" else {"ground_truth"}
    for path in (*found.unused, *(path for path, _ in found.unreadable)):
        if path.relative_to(found.root).parts[0].casefold() not in left_aside:
            known[path] = ""
    if not known:
        raise InputError(
            f"folder {str(found.root)!r} has images to train on and none to score; to score them, name "
            f"{str(found.root / 'train' / 'good')!r}"
        )
    named = [
        Source(path, _as_utf8(path.relative_to(found.root).as_posix()), _as_utf8(defect))
        for path, defect in known.items()
    ]
    return sorted(named, key=lambda one: one.name)
