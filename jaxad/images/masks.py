"""Masks: which pixels of a photograph are defective, or are to be looked at."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from jaxad.images.opening import opened
from jaxad.images.photograph import MAX_PIXELS
from jaxad.images.samples import Numbers, Samples, white_of

LABELS = 32
"""Different colours that a label image has at most."""
INVERTED = (0.5, 0.75)
"""Shares of a mask and of its border that are True where it is taken for inverted."""


def read_mask(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Bool[np.ndarray, "h w"]:
    """Decode a mask to bool [h, w]: True where a channel is above half of white; what is transparent is black.

    A label image is True wherever it is not black: a lossless file of at most `LABELS` colours, none of which is above
    half of white or one of which is no grey. Where all that can be seen is black, the opacity is the mask.

    Read and refused is what `read_photograph` reads and refuses. `mask_problem` says what is wrong with a mask.
    """
    with opened(Path(path), max_pixels) as image:
        samples = image.samples()
        lossless = image.lossless
    values = _visible(samples)
    highest = values.max(axis=-1)
    above = highest > white_of(values) / 2
    labels = lossless and (not above.any() or _coloured(values)) and _count(values, LABELS) <= LABELS
    return highest > 0 if labels else above


def mask_problem(mask: Bool[np.ndarray, "h w"]) -> str | None:
    """What is wrong with the mask [h, w] of a defect, as a sentence that calls it "it"; None where nothing is.

    Told are a mask that is black, and one that is probably inverted: most of it is white, and most of its border.
    """
    share = float(mask.mean())
    if share == 0:
        return "it is black everywhere, so no pixel is marked as defective"
    border = float(np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]]).mean())
    if share > INVERTED[0] and border > INVERTED[1]:
        return (
            f"it is probably inverted: {share:.0%} of it and {border:.0%} of its border are white, which stands for a "
            "defect"
        )
    return None


def _visible(samples: Samples) -> Numbers:
    values = samples.over(0.0)
    if samples.opacity is not None and not values.any():
        return samples.opacity
    return values


def _coloured(values: Numbers) -> bool:
    return values.shape[-1] == 3 and bool((values != values[..., :1]).any())


def _count(values: Numbers, most: int) -> int:
    """How many colours there are; more than `most` where that is certain."""
    found: set[tuple[float, ...]] = set()
    for row in values:
        # Neighbours are alike in a mask, so that few are left to be told apart.
        changes = np.append(True, (row[1:] != row[:-1]).any(axis=-1))
        found.update(map(tuple, row[changes].tolist()))
        if len(found) > most:
            break
    return len(found)
