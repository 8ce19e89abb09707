"""Where each defective pixel stands among all good ones, from scores that lie in sorted runs.

Whatever cannot be in memory at once is divided by a score into what is higher, equal and lower, until it can. So
memory is bounded however many runs there are, and equal scores stay together however many there are.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from jaxad.metrics.scratch import Scratch, Stored

STEP = 4096
"""Of so many stored scores one stays in memory, to find places by."""

Values = Shaped[np.ndarray, " n"] | Stored


class Column:
    """Scores [n] that rise, in memory or stored."""

    def __init__(self, rising: Shaped[np.ndarray, " n"], *, scratch: Scratch | None = None) -> None:
        self.values: Values = scratch.store(rising) if scratch else rising
        # A copy, for a view would keep all of them.
        self._fences = rising[::STEP].copy()

    def place(self, score: Any, *, side: str) -> int:
        """How many scores are below `score` (side "left"), or not above it ("right")."""
        fence = int(np.searchsorted(self._fences, score, side))  # type: ignore[call-overload]
        start = max(0, fence - 1) * STEP
        return start + int(np.searchsorted(self.values[start : fence * STEP], score, side))  # type: ignore[call-overload]


class Run(NamedTuple):
    """Pixels in the order of their scores; of a defective one also the kind of its region."""

    good: Column
    bad: Column
    kinds: Values


def sorted_run(
    good: Shaped[np.ndarray, " n"],
    bad: Shaped[np.ndarray, " k"],
    kinds: Int[np.ndarray, " k"],
    *,
    scratch: Scratch | None = None,
) -> Run:
    """Good pixels [n] and defective ones [k] as a run, in memory or stored; `good` is sorted in place."""
    good.sort()
    order = np.argsort(bad)
    kinds = kinds[order]
    return Run(
        Column(good, scratch=scratch), Column(bad[order], scratch=scratch), scratch.store(kinds) if scratch else kinds
    )


class Ranked(NamedTuple):
    """Defective pixels [n] of neighbouring scores among the good ones."""

    base: int
    """Good pixels that score higher than any of these."""
    above: Int[np.ndarray, " n"]
    """Further good pixels that score higher."""
    tied: Int[np.ndarray, " n"]
    """Good pixels that score the same."""
    kinds: Int[np.ndarray, " n"]


class _Stretch(NamedTuple):
    """A part of each column, from `start` to `stop`: all pixels whose scores lie between two scores."""

    start: Int[np.ndarray, " columns"]
    stop: Int[np.ndarray, " columns"]
    equal: bool
    """Whether they are known to score the same."""


def ranked(runs: Sequence[Run], *, block: int) -> Iterator[Ranked]:
    """All defective pixels, from the highest scores down, not more than `block` pixels in memory at once."""
    columns = [column for run in runs for column in (run.good, run.bad)]
    stop = np.array([len(column.values) for column in columns], int)
    waiting, base = [_Stretch(np.zeros_like(stop), stop, False)], 0
    while waiting:
        stretch = waiting.pop()
        sizes = stretch.stop - stretch.start
        good, bad = int(sizes[::2].sum()), int(sizes[1::2].sum())
        if bad and good + bad <= block:
            yield _rank(runs, stretch, base)
        elif bad and stretch.equal:
            yield from _ranks_of_equals(runs, stretch, base, good, block)
        elif bad:
            waiting += _divided(columns, stretch)
            continue
        base += good


def _rank(runs: Sequence[Run], stretch: _Stretch, base: int) -> Ranked:
    spans = [slice(a, b) for a, b in zip(stretch.start.tolist(), stretch.stop.tolist(), strict=True)]
    good = _joined([run.good.values for run in runs], spans[::2])
    bad = _joined([run.bad.values for run in runs], spans[1::2])
    kinds = _joined([run.kinds for run in runs], spans[1::2])
    if len(runs) > 1:
        good.sort()
        order = np.argsort(bad)
        # In order they are found several times faster.
        bad, kinds = bad[order], kinds[order]
    not_above = np.searchsorted(good, bad, "right")
    return Ranked(base, good.size - not_above, not_above - np.searchsorted(good, bad, "left"), kinds)


def _ranks_of_equals(runs: Sequence[Run], stretch: _Stretch, base: int, good: int, block: int) -> Iterator[Ranked]:
    for run, first, end in zip(runs, stretch.start[1::2].tolist(), stretch.stop[1::2].tolist(), strict=True):
        for start in range(first, end, block):
            kinds = run.kinds[start : min(end, start + block)]
            yield Ranked(base, np.zeros(kinds.size, int), np.full(kinds.size, good), kinds)


def _divided(columns: Sequence[Column], stretch: _Stretch) -> list[_Stretch]:
    """The stretch as three: lower than one of its scores, equal to it, higher."""
    score = _middle(columns, stretch)
    low, high = stretch.start.copy(), stretch.start.copy()
    for index in np.flatnonzero(stretch.stop > stretch.start).tolist():
        low[index] = columns[index].place(score, side="left")
        high[index] = columns[index].place(score, side="right")
    return [
        _Stretch(stretch.start, low, False),
        _Stretch(low, high, True),
        _Stretch(high, stretch.stop, False),
    ]


def _middle(columns: Sequence[Column], stretch: _Stretch) -> Any:
    """One of the scores, with a quarter of all or more on either side, equal ones included: the median of medians."""
    there = np.flatnonzero(stretch.stop > stretch.start).tolist()
    middles = [(int(stretch.start[index]) + int(stretch.stop[index])) // 2 for index in there]
    scores = np.concatenate([columns[i].values[at : at + 1] for i, at in zip(there, middles, strict=True)])
    order = np.argsort(scores)
    reached = np.cumsum((stretch.stop - stretch.start)[there][order])
    return scores[order][np.searchsorted(reached, reached[-1] / 2)]


def _joined(columns: Sequence[Values], spans: Sequence[slice]) -> np.ndarray:
    parts = [values[span] for values, span in zip(columns, spans, strict=True) if span.stop > span.start]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0)
