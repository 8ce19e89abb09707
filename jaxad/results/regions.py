"""Where in a map the anomaly is: connected regions above a level, in the photograph's own pixels. Maps are `[h, w]`."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Region(NamedTuple):
    """One region of a map."""

    box: list[int]
    """Left, top, right and bottom in pixels; right and bottom are the first ones outside."""
    area: int
    """In pixels."""
    peak: float
    """The largest score."""
    mean: float
    """The mean score."""


def find_regions(score_map: Float[np.ndarray, "h w"], *, limit: float) -> list[Region]:
    """The 8-connected regions of a map `[h, w]` whose pixels score above `limit`, the highest peak first."""
    from skimage.measure import label, regionprops

    found = []
    for region in regionprops(label(score_map > limit, connectivity=2), score_map):
        top, left, bottom, right = map(int, region.bbox)
        box = [left, top, right, bottom]
        found.append(Region(box, int(region.area), float(region.intensity_max), float(region.intensity_mean)))
    return sorted(found, key=lambda region: -region.peak)
