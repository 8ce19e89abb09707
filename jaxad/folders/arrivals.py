"""Photographs that arrive in a folder, and the folder of results that they are scored into.

All that is known lies in the folder of results: after a kill, a full disk or an interruption it is read again, as
`score_folder` reads it when it goes on.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jaxad import pipeline
from jaxad._check import InputError
from jaxad.datasets.tree import Tree, walk
from jaxad.folders.photographs import How, score_photographs
from jaxad.folders.sizes import doubt_scale
from jaxad.folders.sources import Source, as_utf8
from jaxad.images import UnreadableError, read_photographs
from jaxad.report import write_report
from jaxad.results import STARTED, Output, Result, Stamp, UnwrittenError, lost_sentences, stamp_of

IN_REPORT = 1000
"""Photographs that the page shows at most, the newest; it is written anew all day."""
SHARE_OF_REPORT = 0.1
"""Share of the time that writing the page may take."""


class Watched(NamedTuple):
    """What became of one photograph."""

    file: str
    score: float | None
    """None where it could not be scored."""
    anomalous: bool
    reason: str
    """Why it could not be scored; else empty."""


class AwayError(Exception):
    """The folder cannot be looked at now."""


class Waiting(NamedTuple):
    """A photograph that is not done."""

    path: Path
    stamp: Stamp
    since: float
    """When it was first seen like this, in seconds of `time.monotonic`."""


@dataclass
class Arrivals:
    """What is watched; where nothing is open, the next look goes on with what lies in the folder of results."""

    made: pipeline.Pipeline
    folder: Path
    out: Path
    started: dict[str, Any]
    """As `Output` takes it."""
    facts: dict[str, Any]
    """Of `run.json`, what is known from the beginning."""
    how: How
    patience: float
    report_every: float
    on_photograph: Callable[[Watched], None]
    output: Output | None = None
    begun: bool = False
    stamps: dict[str, Stamp] = field(default_factory=dict)
    """Of photographs that are done, by name; those that could not be scored are among them."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    """Names of those waiting that the results know of."""
    again: set[str] = field(default_factory=set)
    """Names of those that failed in an earlier process and are tried once more, without a word if they fail again."""
    lost: set[str] = field(default_factory=set)
    """Names that the results know of without a result, and that were no longer there when these were opened."""
    tree: Tree = field(default_factory=lambda: Tree([], [], [], [], 0))
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Heights and widths of photographs that were scored, by name."""
    scored: int = 0
    seconds: float = 0.0
    """That scoring took."""
    reported: bool = False
    """Whether the page is up to date."""
    report_at: float = 0.0
    """When it may be written again, in seconds of `time.monotonic`."""

    def look(self) -> bool:
        """Score what has arrived; False where there is nothing to do, nor soon will be."""
        there = self._scan()
        self._need_results()
        output = self._open(there)
        done = output.done()
        now = time.monotonic()
        waiting = {}
        for name, (path, stamp) in there.items():
            if name in done and self._is_known(name, stamp):
                if name not in self.again:
                    continue
            else:
                self.again.discard(name)
            before = self.waiting.get(name)
            waiting[name] = before if before and before.stamp == stamp else Waiting(path, stamp, now)
        settled = [name for name, one in waiting.items() if one is self.waiting.get(name)]
        self.waiting = waiting
        # Under another name, it may be, so no result is missing.
        gone = {name: Stamp("", -1, -1) for name in self.expected - done - there.keys()}
        if gone:
            output.expect(gone)
        self.expected &= set(settled)
        self._score(output, sorted(settled, key=lambda name: (waiting[name].stamp.modified, name)))
        self._report()
        return bool(waiting)

    def _is_known(self, name: str, stamp: Stamp) -> bool:
        # Below a folder that is mounted elsewhere the same photograph has another path.
        return name in self.stamps and self.stamps[name][1:] == stamp[1:]

    def _scan(self) -> dict[str, tuple[Path, Stamp]]:
        try:
            self.tree = walk(self.folder, leave_closed=True)
        except (InputError, OSError) as error:
            raise AwayError(str(error)) from None
        return {self._name(path): (path, stamp_of(path)) for path in self.tree.images}

    def _name(self, path: Path) -> str:
        return as_utf8(path.relative_to(self.folder).as_posix())

    def _need_results(self) -> None:
        # Begun anew they would be without what was scored before.
        if self.begun and not (self.out / STARTED).is_file():
            raise UnwrittenError(f"results in {str(self.out)!r} are no longer there; put that folder back")

    def _open(self, there: dict[str, tuple[Path, Stamp]]) -> Output:
        if self.output is None:
            new = {name: stamp for name, (_, stamp) in there.items() if not self._is_known(name, stamp)}
            try:
                output = Output(self.out, self.started, resume=True, arriving=True)
                output.begin(new)
            except InputError as error:
                if not self.begun:
                    raise
                raise UnwrittenError(str(error)) from None
            if not self.begun:
                self.again = output.failed.keys() & there.keys()
            self.output, self.begun, self.reported = output, True, False
            self.lost |= output.lost.keys() - there.keys() - self.waiting.keys()
            self.stamps = {name: output.stamps[name] for name in output.done() & output.stamps.keys()}
            self.expected.clear()
        return self.output

    def _score(self, output: Output, names: Sequence[str]) -> None:
        new = {name: self.waiting[name].stamp for name in names if name not in self.expected | self.again}
        if new:
            output.expect(new)
            self.expected.update(new)
        paths = (self.waiting[name].path for name in names)
        with closing(read_photographs(paths, workers=self.how.workers, max_pixels=self.how.max_pixels)) as photographs:
            for name, (path, photograph) in zip(names, photographs, strict=True):
                now = stamp_of(path)
                if now.size >= 0 and now != self.waiting[name].stamp:
                    continue  # it still changes: network disks may tell only when a file is opened
                again = name in self.again
                if isinstance(photograph, UnreadableError):
                    if not again:
                        self._unreadable(output, name, photograph.reason)
                    self.again.discard(name)
                    continue
                began = time.monotonic()
                batch = [(Source(path, name, ""), photograph.samples)]
                (found,) = score_photographs(self.made, batch, self.how)
                if isinstance(found, Result):
                    if again:
                        output.expect({name: self.waiting[name].stamp})
                    output.add([found])
                    self.sizes[name] = (photograph.samples.shape[0], photograph.samples.shape[1])
                    self.scored += 1
                    self.seconds += time.monotonic() - began
                    self._say(Watched(name, found.score, found.anomalous, ""), self.waiting[name].stamp)
                elif not again:
                    self._fail(output, *found, self.waiting[name].stamp)
                self.again.discard(name)
                self._report()

    def _unreadable(self, output: Output, name: str, reason: str) -> None:
        """Give a file up that cannot be read, or wait for it."""
        path, stamp, since = self.waiting[name]
        if not os.path.lexists(path) or stamp.size < 0:
            if not self.folder.is_dir():
                raise AwayError(f"folder {str(self.folder)!r} has vanished")
            # Should it come back, it is another file.
            self._fail(output, name, reason, Stamp(stamp.path, -1, -1))
        elif time.monotonic() - since >= self.patience:
            self._fail(output, name, reason, stamp)

    def _fail(self, output: Output, name: str, reason: str, stamp: Stamp) -> None:
        output.fail(name, reason)
        self._say(Watched(name, None, False, reason), stamp)

    def _say(self, one: Watched, stamp: Stamp) -> None:
        self.stamps[one.file] = stamp
        self.reported = False
        self.on_photograph(one)

    def _run(self, output: Output) -> dict[str, Any]:
        links = [(path, "a link to a folder, which is not followed") for path in self.tree.links]
        lost = self.lost - output.done() - self.waiting.keys()
        return {
            **self.facts,
            "warnings": [*self.facts["warnings"], *doubt_scale(self.made.sides, self.sizes), *lost_sentences(lost)],
            "counts": output.counts(),
            "images_per_second": self.scored / (self.seconds or 1.0),
            "seconds": self.seconds,
            "not_used": [{"path": self._name(path), "reason": reason} for path, reason in (*self.tree.other, *links)],
            "hidden": self.tree.hidden,
        }

    def _report(self, *, at_once: bool = False) -> None:
        """Write the page anew where it is not up to date, and its time has come."""
        began = time.monotonic()
        if self.output is None or self.reported or (began < self.report_at and not at_once):
            return
        try:
            with self.output.said():
                write_report(self.out, run=self._run(self.output), last=IN_REPORT)
        except UnwrittenError:
            self._need_results()
            raise
        except InputError as error:
            self._need_results()
            # Someone changed the results; opened again, they are mended by what is whole of them.
            raise UnwrittenError(f"{str(self.out / 'report.html')!r} cannot be written: {error}") from None
        now = time.monotonic()
        self.reported, self.report_at = True, now + max(self.report_every, (now - began) / SHARE_OF_REPORT)

    def finish(self) -> dict[str, Any]:
        """Write the page and `run.json`, of all that lies in the folder of results."""
        if not self.begun:
            return {}
        self._need_results()
        if self.output is None:
            self._open({})
        assert self.output is not None
        run = self._run(self.output)
        self._report(at_once=True)
        self.output.finish(run)
        return run

    def close(self) -> None:
        """Close the results; the next look, or `finish`, opens them again."""
        if self.output is not None:
            self.output.close()
            self.output = None
