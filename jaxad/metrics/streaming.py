"""Exact pixel metrics of any number of photographs, one after the other, in bounded memory."""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike

from jaxad._check import InputError, need_at_least
from jaxad.metrics.ranks import Ranked, Run, ranked, sorted_run
from jaxad.metrics.regions import Mapped, label_regions, need_good_and_bad, need_mapped
from jaxad.metrics.scratch import Scratch

BLOCK = 2**22
"""Pixels that are in memory at once: they take about 80 MB where most are good, 320 MB where all are defective."""
GOOD_BYTES = 4
"""On disk, of a good pixel of a float32 map: its score. A defective pixel takes four more, the kind of its region."""


class PixelMetrics:
    """`pixel_auroc` and `aupro` of photographs that come one by one, exact however many there are.

    The order in which they come changes no bit. Scores wait in memory until there are `block` of them; then they
    go, sorted, into a scratch file, 4 bytes a good pixel and 8 a defective one for maps of float32. The file has no
    name and vanishes when the block of `with` ends, or the process, however it does.

    >>> with PixelMetrics() as pixels:
    ...     pixels.add([[1, 0], [0, 0]], [[0.9, 0.1], [0.2, 0.3]])
    ...     pixels.auroc(), pixels.aupro()
    (1.0, 1.0)

    Args:
      folder: where the scratch file goes; by default where the system keeps temporary files (TMPDIR).
      expected: pixels that will come, if known, so that a disk that cannot hold them is refused before any work.
      block: pixels that are in memory at once, beside those of one photograph.

    Attributes:
      images: photographs so far.
      pixels: their pixels that count.
      defective: how many of these are defective.

    Raises:
      InputError: the disk has no room for what is expected, or a block has no pixel.
    """

    def __init__(self, *, folder: str | Path | None = None, expected: int = 0, block: int = BLOCK) -> None:
        need_at_least(block, 1, what="block of pixels")
        self.images, self.pixels, self.defective = 0, 0, 0
        self._block, self._scratch = block, Scratch(folder)
        self._runs: list[Run] = []
        self._held: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting = 0
        # Regions of one area are of one kind, for a pixel counts as a share of its region. With n defective pixels
        # there are less than sqrt(2 n) kinds.
        self._kinds: dict[int, int] = {}
        self._regions = 0
        if expected > block:
            self._scratch.need_room(GOOD_BYTES * expected)

    def __enter__(self) -> "PixelMetrics":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the scratch file; nothing can be asked any more."""
        self._scratch.close()

    def add(self, mask: ArrayLike, score_map: ArrayLike, *, inside: ArrayLike | None = None) -> None:
        """Take in a photograph.

        Args:
          mask: True on defects, [h, w].
          score_map: finite scores, [h, w], floats or whole numbers; those beyond 2^53 are rounded to float64.
          inside: True where pixels count, [h, w]; by default everywhere.

        Raises:
          InputError: shapes differ, a value is not of its kind, or the disk is full.
        """
        mapped = need_mapped(mask, score_map, inside)
        # Photographs may differ in type, and all types of floats can be compared without loss.
        floats = np.result_type(mapped.map.dtype, np.float32)
        self._take(mapped._replace(map=mapped.map.astype(floats, copy=False)))

    def auroc(self) -> float:
        """`pixel_auroc` of the photographs so far.

        Raises:
          InputError: no defect or nothing but defects is there.
        """
        need_good_and_bad(pixels=self.pixels, defective=self.defective)
        # A defective pixel should score above every good one; each that scores higher counts 2, each equal one 1.
        lost = 0
        for found in self._ranked():
            lost += 2 * found.base * found.kinds.size + int(np.sum(2 * found.above + found.tied))
        all_pairs = 2 * self.defective * (self.pixels - self.defective)
        return (all_pairs - lost) / all_pairs

    def aupro(self, *, limit: float = 0.3) -> float:
        """`aupro` of the photographs so far.

        Args:
          limit: the largest false-positive rate that counts, above 0 and up to 1; 0.3 is usual.

        Raises:
          InputError: no defect or nothing but defects is there, or the limit is out of range.
        """
        if not 0.0 < limit <= 1.0:
            raise InputError(f"limit of the false-positive rate must lie above 0 and up to 1, got {limit}")
        need_good_and_bad(pixels=self.pixels, defective=self.defective)
        # The area under the curve is made up pixel by pixel: each is found once the good pixels above it are false
        # positives, and little by little while those that score the same become ones; what of the width is gone by
        # then is lost. Sums of one kind are of whole numbers and halves, so their order changes no bit.
        width = limit * (self.pixels - self.defective)
        found, lost, cut = np.zeros((3, len(self._kinds)))
        share = 0.0
        for each in self._ranked():
            if each.base >= width:
                break
            above, tied = each.base + each.above, each.tied
            whole = (above < width) & (above + tied <= width)
            found += np.bincount(each.kinds[whole], minlength=len(found))
            lost += np.bincount(each.kinds[whole], (above + tied / 2)[whole], minlength=len(found))
            across = ~whole & (above < width)
            if across.any():
                # All these have one score, for the width ends among the good pixels that have it.
                first = int(np.argmax(across))
                share = float((width - above[first]) ** 2 / (2 * tied[first]))
                cut += np.bincount(each.kinds[across], minlength=len(found))
        areas = np.fromiter(self._kinds, float)
        area = width * math.fsum(found / areas) - math.fsum(lost / areas) + share * math.fsum(cut / areas)
        return area / (width * self._regions)

    @classmethod
    def in_memory(cls, photographs: Sequence[Mapped]) -> "PixelMetrics":
        """What these photographs [h, w], known to be sound, add up to, with nothing on disk."""
        done = cls(block=sys.maxsize)
        for each in photographs:
            done._take(each)
        return done

    def _ranked(self) -> Iterator[Ranked]:
        last = [self._run(None)] if self._held else []
        return ranked([*self._runs, *last], block=self._block)

    def _run(self, scratch: Scratch | None) -> Run:
        good, bad, kinds = (np.concatenate(parts) for parts in zip(*self._held, strict=True))
        return sorted_run(good, bad, kinds, scratch=scratch)

    def _take(self, mapped: Mapped) -> None:
        """Take in a photograph that is known to be sound."""
        labels, areas = label_regions(mapped.mask, mapped.inside)
        distinct, index = np.unique(areas, return_inverse=True)
        known = [self._kinds.setdefault(area, len(self._kinds)) if area else 0 for area in distinct.tolist()]
        kinds = np.array(known, np.int32)[index]
        self.images += 1
        self._regions += int(np.count_nonzero(areas))
        self.pixels += int(np.count_nonzero(mapped.inside))
        self.defective += int(areas.sum())
        height, width = labels.shape
        step = max(1, self._block // max(1, width))
        for rows in (slice(start, start + step) for start in range(0, height, step)):
            here, scores = labels[rows], mapped.map[rows]
            bad = here > 0
            good = mapped.inside[rows] & ~bad
            self._held.append((scores[good], scores[bad], kinds[here[bad]]))
            # Arrays of a few pixels take more room than these.
            self._waiting += here.size + 64
            if self._waiting >= self._block:
                self._store()

    def _store(self) -> None:
        run = self._run(self._scratch)
        self._held.clear()
        self._waiting = 0
        self._runs.append(run)
