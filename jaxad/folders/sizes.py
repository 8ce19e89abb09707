"""Whether photographs are of sizes that belong together, and at which one they fit memory; nothing here loads jax."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxad._check import InputError
from jaxad.images import Header
from jaxad.images.photograph import MAX_PIXELS
from jaxad.preparation import Preparation

ALMOST = 0.1
"""Share by which a height or a width may differ from the median where sizes count as almost one.

So little that the border which fits a photograph in is narrower than a tenth of the side, at each end. Whether
what they show is aligned the pixels say: see `jaxad.fitting.choosing`.
"""
MOST_SIDES = 1.5
"""How many times as large or as small as all others a photograph may be before its scale is doubted."""


def why_not_whole(sizes: Sequence[tuple[int, int]], channels: int, *, values: int) -> str | None:
    """Why models of windows do not take whole images of these heights and widths; None where they do."""
    different = sorted(set(sizes))
    if len(different) > 1:
        (low, high), (tall, wide) = different[0], different[-1]
        return f"these have {len(different)} sizes, from {low} x {high} to {tall} x {wide}"
    total = channels * sum(height * width for height, width in sizes)
    return None if total <= values else f"these hold {total} numbers, more than the {values} to train on at once"


def why_not_almost_one(sizes: Sequence[tuple[int, int]]) -> str:
    """Why these heights and widths do not count as almost one; empty where they do."""
    box, different = median_size(sizes), sorted(set(sizes))
    off = [size for size in sizes if any(abs(x - y) > ALMOST * y for x, y in zip(size, box, strict=True))]
    if not off:
        return ""
    differ = f"these have {len(different)} sizes, from {times(different[0])} to {times(different[-1])}"
    return f"{differ}, {len(off)} of {len(sizes)} more than {ALMOST:.0%} off the median {times(box)}"


def median_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The median height and width, at least 1 pixel each."""
    heights, widths = zip(*sizes, strict=True)
    return max(1, round(float(np.median(heights)))), max(1, round(float(np.median(widths))))


def times(size: tuple[int, int]) -> str:
    """A height and a width in words."""
    return f"{size[0]} x {size[1]}"


def scaled_down(box: tuple[int, int], count: int, channels: int, values: int) -> tuple[tuple[int, int], str]:
    """The height and width at which so many photographs fit memory, and the reason where it is not `box`."""
    total = count * channels * box[0] * box[1]
    if total <= values:
        return box, ""
    factor = math.sqrt(values / total)
    why = f"{count} photographs of {times(box)} are scaled by {factor:.2f} to hold no more than {values} numbers"
    return (max(1, math.floor(box[0] * factor)), max(1, math.floor(box[1] * factor))), why


def sides(sizes: Iterable[tuple[int, int]]) -> tuple[float, float]:
    """The least and the largest of the square roots of what these heights and widths hold."""
    found = [math.sqrt(height * width) for height, width in sizes]
    return min(found), max(found)


def doubt_scale(fitted: tuple[float, float] | None, sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """A sentence where photographs, by name, are much larger or smaller than all those between the `fitted` sides."""
    low, high = fitted or (0.0, math.inf)
    odd = [name for name, one in sizes.items() if not low / MOST_SIDES <= sides([one])[0] <= high * MOST_SIDES]
    if not odd:
        return []
    return [
        f"photographs much larger or smaller than all that were fitted on: {len(odd)}, first {odd[0]!r} of "
        f"{times(sizes[odd[0]])} pixels; they are judged at their own size, wrongly if they show things larger or "
        "smaller: take all at one scale, or fit on such as these"
    ]


def need_bounded(headers: Mapping[Path, Header], preparation: Preparation) -> None:
    """Refuse to enlarge photographs beyond what can be held."""
    for path, header in headers.items() if preparation.mode != "native" else ():
        height, width = preparation.geometry(header.height, header.width).size
        if height * width > max(MAX_PIXELS, header.height * header.width):
            raise InputError(
                f"{path.name!r} of {header.height} x {header.width} pixels would become {height} x {width}, more than "
                f"{MAX_PIXELS} pixels; choose a smaller resize or scale"
            )
