"""A folder of results at an address such as s3://bucket/out: written beside, and sent there every few seconds.

Stores of objects cannot add to a file, so the run keeps its folder on a local disk and sends what is new: pictures and
maps first, then the tables, and `run.json` last, so that what lies there can be read, or gone on with, at any time. A
run that goes on fetches what lies there first. Nothing there can be held, so that two runs do not meet is up to you.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxad._addresses import Remote, at
from jaxad._check import InputError
from jaxad.results.stamps import STAMPS

EVERY = 10.0
"""Seconds between two times that results are sent, at least; what a killed run had not sent is scored again."""
_FIRST = ("started.json", STAMPS)
_TABLES = ("regions.jsonl", "errors.csv", "results.csv")
_NUMBERED = ("pictures", "maps")
_LAST = "run.json"


@contextlib.contextmanager
def kept_at(out: str | os.PathLike[str], *, resume: bool) -> Iterator[tuple[Path, Callable[..., None]]]:
    """A local folder for the results of `out`, and what sends them there: nothing where `out` is local already.

    The sender is called whenever rows have been written; it waits unless it is told `now=True`.

    Raises:
        InputError: nothing can be read or written there; here and by the sender.
    """
    there = at(out)
    if isinstance(there, Path):
        yield there, lambda *, now=False: None
        return
    with tempfile.TemporaryDirectory(prefix="jaxad-") as folder:
        try:
            mirror = _Mirror(there, Path(folder))
            mirror.fetch(all_of_it=resume)
            try:
                yield Path(folder), mirror.send
            except BaseException:
                # What stands is sent, for a run that goes on.
                with contextlib.suppress(InputError):
                    mirror.send(now=True)
                raise
        except InputError as error:
            raise InputError(str(error).replace(folder, there.address)) from None


class _Mirror:
    def __init__(self, there: Remote, here: Path) -> None:
        self.there, self.here = there, here
        self._sent: dict[str, tuple[int, int]] = {}
        """Bytes and time of modification of what lies at the address, by its name here."""
        self._due = 0.0

    def fetch(self, *, all_of_it: bool) -> None:
        """Bring what a run has left there; else what tells that there is one."""
        with self._told("read"):
            keys = self.there.files.find(self.there.key, refresh=True) if self.there.exists() else []
            names = [key[len(self.there.key) :].strip("/") for key in keys]
            names = [name for name in names if name.partition("/")[0] in (*_FIRST, *_TABLES, *_NUMBERED, _LAST)]
            if not all_of_it and _FIRST[0] in names:
                names = [name for name in names if "/" not in name]
            for name in names:
                (self.here / name).parent.mkdir(exist_ok=True)
            if names:
                self.there.files.get([self._key(name) for name in names], [str(self.here / name) for name in names])
            self._sent = {name: _signature(self.here / name) for name in names}

    def send(self, *, now: bool = False) -> None:
        """Send what is new, and take away what is gone."""
        began = time.monotonic()
        if began < self._due and not now:
            return
        found = {name: _signature(self.here / name) for name in self._names()}
        fresh = [name for name, signature in found.items() if self._sent.get(name) != signature]
        gone = [name for name in self._sent if name not in found]
        with self._told("written"):
            for name in gone:
                # By `rm`, brackets and stars in the address would be patterns.
                self.there.files.rm_file(self._key(name))
            # A row is never there without what belongs to it.
            for some in ([name for name in fresh if "/" in name], *([name] for name in fresh if "/" not in name)):
                if some:
                    self.there.files.put([str(self.here / name) for name in some], [self._key(name) for name in some])
        self._sent = found
        # Where much lies there already, looking for what is new takes its time too.
        self._due = time.monotonic() + max(EVERY, 10 * (time.monotonic() - began))

    def _names(self) -> Iterator[str]:
        for folder in _NUMBERED:
            if (self.here / folder).is_dir():
                yield from (f"{folder}/{one.name}" for one in os.scandir(self.here / folder))
        yield from (name for name in (*_FIRST, *_TABLES, _LAST) if (self.here / name).exists())

    def _key(self, name: str) -> str:
        return f"{self.there.key.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            with self.there.told():
                yield
        except OSError as error:
            raise InputError(
                f"output folder {self.there.address!r} cannot be {what}: {error.strerror}; mend that, or choose "
                "another with --out"
            ) from None


def _signature(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
