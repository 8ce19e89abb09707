"""Which canvases photographs of any sizes are laid on: few, for each is one more program, and little of them empty.

A photograph that has the size of a canvas fills it; a smaller one lies in its corner; of a larger one each canvas shows
a part. See `jaxad.extents` for what a model makes of them. Nothing here touches a pixel; lengths are in pixels, and a
size is `(height, width)`.
"""

import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jaxad._check import InputError

Size = tuple[int, int]

MOST_CANVASES = 10
"""Beside those of `MOST_EXACT`, and squares of powers of two for sizes that fit none of them."""
MOST_EXACT = 4
"""Sizes that photographs may fill a canvas with, to the pixel, whatever else there is."""
SIDE = 2048
"""Height and width of a canvas at most; what is longer is shown in parts."""
GRAIN = 16
"""Sides of canvases are multiples of it, and of the step."""
PROGRAM = 2**22
"""Pixels that are scored, on two cores, in about the time that it takes to compile one more program."""
EMPTIEST = 4
"""How many times as large as what it shows a canvas may be, where there may be another."""
MOST_GROUPS = 256
"""Kinds of sizes to choose canvases by; sizes are rounded up until they are no more."""


class View(NamedTuple):
    """What one canvas shows of a photograph."""

    canvas: Size
    top: int
    """The photograph's row that is the canvas's first."""
    left: int
    core: tuple[int, int, int, int]
    """First row, first column, row and column behind the last of what is taken from this canvas, of the photograph."""


class Canvases:
    """The canvases of one detector: they are chosen as sizes come, and their number stays bounded.

    Attributes:
        reach: pixels around one that count in its score.
        step: canvases begin at multiples of it in their photographs.
        exact: sizes of photographs that fill a canvas of their own.
        shapes: heights and widths of the other canvases.
    """

    def __init__(self, *, reach: int, step: int) -> None:
        self.reach, self.step = reach, step
        self.exact: set[Size] = set()
        self.shapes: list[Size] = []
        self._homes: dict[Size, Size] = {}
        self._wasted: Counter[Size] = Counter()
        """Pixels of each canvas that stayed empty since canvases were last chosen."""
        self._lock = threading.Lock()

    def admit(self, sizes: Iterable[Size]) -> "Canvases":
        """See to it that photographs of these sizes, one entry each, have canvases; the more are known the better.

        Sizes that `need` refuses have none.
        """
        counts = Counter(size for size in sizes if not self._refuses(size))
        with self._lock:
            new = {size: count for size, count in counts.items() if size not in self._homes}
            total = sum(math.prod(size) * count for size, count in counts.items())
            for size, count in sorted(new.items(), key=lambda one: -math.prod(one[0]) * one[1]):
                alone = len(new) == 1 or 2 * math.prod(size) * count > total
                if size not in self.exact and alone and max(size) <= SIDE and len(self.exact) < MOST_EXACT:
                    self.exact.add(size)
                    self._homes[size] = size
            self._settle({size: count for size, count in new.items() if size not in self.exact})
        return self

    def is_exact(self, size: Size) -> bool:
        """Whether photographs of this size fill canvases of their own."""
        return size in self.exact

    def views(self, size: Size) -> list[View]:
        """The views of an admitted photograph: one, or several that together show all of it."""
        canvas = self._homes[size]
        down, across = (self._parts(*pair) for pair in zip(size, canvas, strict=True))
        return [
            View(canvas, top, left, (first_row, first_column, row_end, column_end))
            for (top, first_row, row_end), (left, first_column, column_end) in itertools.product(down, across)
        ]

    def _settle(self, counts: dict[Size, int]) -> None:
        """Give every size a canvas: one that is there where it wastes less than a new program costs, or a new one."""
        wanted: dict[Size, Size] = {}
        later = bool(self.shapes)
        for size, count in counts.items():
            need = self.need(size)
            home = self._smallest(need)
            area = 0 if home is None else math.prod(home)
            waste = (area - math.prod(need)) * self._pieces(size) * count
            if home is None:
                # Where sizes come one after the other, with some room to grow the next will fit as well.
                wanted[size] = (need[0] * 5 // 4, need[1] * 5 // 4) if later else need
            elif self._room > 0 and (self._wasted[home] + waste > PROGRAM or area > EMPTIEST * math.prod(need)):
                wanted[size] = need
            else:
                self._homes[size] = home
                self._wasted[home] += waste
        if not wanted:
            return
        groups: Counter[Size] = Counter()
        grain = math.lcm(GRAIN, self.step)
        while not groups or len(groups) > MOST_GROUPS:
            groups.clear()
            for size, (height, width) in wanted.items():
                shape = min(SIDE, -(-height // grain) * grain), min(SIDE, -(-width // grain) * grain)
                groups[shape] += self._pieces(size) * counts[size]
            grain *= 2
        if self._room > 0:
            self.shapes += [shape for shape in _merged(groups, self._room) if shape not in self.shapes]
        for size in wanted:
            need = self.need(size)
            if self._smallest(need) is None:
                side = min(SIDE, 1 << (max(need) - 1).bit_length())
                self.shapes.append((side, side))
            self._homes[size] = self._smallest(need) or need
        self._wasted.clear()

    def _smallest(self, need: Size) -> Size | None:
        """The smallest canvas that has this height and width; None where all are too small."""
        fitting = [shape for shape in self.shapes if shape[0] >= need[0] and shape[1] >= need[1]]
        return min(fitting, key=math.prod, default=None)

    @property
    def _part(self) -> int:
        """Pixels along an axis of a photograph that a canvas of a part of it can show, at most."""
        return SIDE - 2 * self.reach - self.step

    def _refuses(self, size: Size) -> bool:
        return self._part < 1 and max(size) > SIDE

    @property
    def _room(self) -> int:
        return MOST_CANVASES - len(self.shapes)

    def need(self, size: Size) -> Size:
        """Which canvas is wanted for a photograph: one for all of it, or for one of few parts of equal lengths.

        Raises:
            InputError: the model sees further than a part can show.
        """
        if self._refuses(size):
            raise InputError(
                f"images of {size[0]} x {size[1]} pixels are scored in parts of {SIDE}, and the model sees "
                f"{self.reach} pixels around each of its own; scale them down to {SIDE} pixels a side at most"
            )
        most = self._part
        height, width = (
            length if length <= SIDE else -(-length // -(-length // most)) + 2 * self.reach + self.step
            for length in size
        )
        return height, width

    def _pieces(self, size: Size) -> int:
        return math.prod(len(self._parts(*pair)) for pair in zip(size, self.need(size), strict=True))

    def _parts(self, length: int, canvas: int) -> list[tuple[int, int, int]]:
        """Along one axis: where each view begins, and the first pixel that is taken from it and the one behind."""
        if length <= canvas:
            return [(0, 0, length)]
        advance = (canvas - 2 * self.reach) // self.step * self.step
        begins = range(0, length - canvas + advance, advance)
        bounds = [0, *(begin + self.reach for begin in begins[1:]), length]
        return [(begin, *pair) for begin, pair in zip(begins, itertools.pairwise(bounds), strict=True)]


class OneCanvas:
    """The canvas of photographs that are judged by their positions, which are those of its pixels; none is larger."""

    def __init__(self, canvas: Size) -> None:
        self.canvas = canvas

    def need(self, size: Size) -> Size:
        """It is the one that there is."""
        return self.canvas

    def admit(self, sizes: Iterable[Size]) -> "OneCanvas":
        """There is nothing to choose."""
        return self

    def is_exact(self, size: Size) -> bool:
        """Whether photographs of this size fill the canvas."""
        return size == self.canvas

    def views(self, size: Size) -> list[View]:
        """All of a photograph, in the corner."""
        return [View(self.canvas, 0, 0, (0, 0, *size))]


def _merged(groups: Counter[Size], most: int) -> list[Size]:
    """Few shapes that hold all groups: pairs are joined while a program less is worth what stays empty in exchange."""
    shapes = np.array(list(groups), np.int64).reshape(-1, 2)
    counts = np.array(list(groups.values()), np.int64)
    while len(shapes) > 1:
        areas = shapes.prod(axis=1)
        joined = np.maximum(shapes[:, None], shapes[None])
        added = joined.prod(axis=2) * (counts[:, None] + counts[None]) - (areas * counts)[:, None] - areas * counts
        np.fill_diagonal(added, np.iinfo(np.int64).max)
        first, second = sorted(divmod(int(added.argmin()), len(shapes)))
        if len(shapes) <= most and added[first, second] > PROGRAM:
            break
        shapes[first], counts[first] = joined[first, second], counts[first] + counts[second]
        shapes, counts = np.delete(shapes, second, axis=0), np.delete(counts, second)
    return [(int(height), int(width)) for height, width in shapes]
