"""By what a run that goes on sees that photographs were replaced or removed since they were scored.

Size and time of modification are enough, and cost no reading of the files; see `photographs.json` in
`jaxad.results.writing`.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxad._addresses import at, whole

STAMPS = "photographs.json"


class Stamp(NamedTuple):
    """A file as it was when a run looked at it."""

    path: str
    """Where it lies, from the root of the file system on."""
    size: int
    """In bytes; -1 where there is no file."""
    modified: int
    """Nanoseconds since 1970; -1 where there is no file."""


class Changes(NamedTuple):
    """Names of photographs whose results are not of the files that lie there now."""

    replaced: list[str]
    """Those that are to be scored now, too."""
    gone: list[str]
    """Those that are not: they were removed, or were replaced and are not asked for."""

    def sentences(self) -> list[str]:
        """What becomes of their results."""
        kinds = {
            "photographs that were replaced since they were scored, and are scored anew": self.replaced,
            "photographs that are no longer there as they were scored, whose results are left out": self.gone,
        }
        return [f"{words}: {len(names)}, first {names[0]!r}" for words, names in kinds.items() if names]


def lost_sentences(names: Collection[str]) -> list[str]:
    """What is said of photographs that a run knew of, that have no result and that are no longer there."""
    words = (
        "photographs that are no longer there and have no result, as results.csv was damaged or they were moved away "
        "before they were scored"
    )
    return [f"{words}: {len(names)}, first {min(names)!r}"] if names else []


def stamp_of(path: str | os.PathLike[str]) -> Stamp:
    """The stamp of a file, through links."""
    where = whole(path)
    try:
        found = at(where).stat()
    except OSError:
        return Stamp(where, -1, -1)
    return Stamp(where, found.st_size, found.st_mtime_ns)


def find_changes(names: Iterable[str], before: Mapping[str, Stamp], now: Mapping[str, Stamp]) -> Changes:
    """Which of the names are of other files than before; `now` are the stamps of those that are to be scored.

    A name without a stamp from before counts as unchanged.
    """
    changes = Changes([], [])
    for name in names:
        if name not in before:
            continue
        asked = name in now
        # Below a folder that is mounted elsewhere the same photograph has another path.
        if (now[name] if asked else stamp_of(before[name].path))[1:] != before[name][1:]:
            (changes.replaced if asked else changes.gone).append(name)
    return changes


def read_stamps(folder: Path) -> dict[str, Stamp]:
    """The stamps that a run wrote into its folder, by name; none where an older jaxad wrote it, or it is damaged."""
    found: dict[str, Stamp] = {}
    try:
        for line in (folder / STAMPS).read_text().splitlines():
            for name, (path, size, time) in json.loads(line).items():
                found[str(name)] = Stamp(str(path), int(size), int(time))
    except (OSError, ValueError, TypeError, AttributeError):
        pass  # the last line may not be whole
    return found


def stamps_line(stamps: Mapping[str, Stamp]) -> str:
    """Stamps as one line of the file; of a name that stands in several, the last counts."""
    return json.dumps(stamps) + "\n"
