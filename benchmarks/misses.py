"""The worst misses and false alarms of a pipeline on a set of photographs, drawn to be looked at."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from jaxad.pipeline import Pipeline
from jaxad.plots.grid import picture_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 320
"""Pixels of the longer side of a picture, at most."""


class Judged(NamedTuple):
    """One test photograph."""

    path: Path
    score: float
    defective: bool
    photograph: Image.Image
    map: Image.Image


def judge_set(pipeline: Pipeline, root: Path) -> list[Judged]:
    """Every test photograph of a set in the layout of MVTec AD."""
    judged = []
    for path in sorted(root.glob("test/*/*")):
        found = pipeline.score(path)
        photograph, score_map = Image.open(path).convert("RGB"), Image.fromarray(found.map[0])
        for one in (photograph, score_map):
            one.thumbnail((SIDE, SIDE))
        judged.append(Judged(path, float(found.score[0]), path.parent.name != "good", photograph, score_map))
    return judged


def draw_worst(judged: list[Judged], root: Path, pipeline: Pipeline, *, count: int = 5) -> "Figure":
    """The `count` lowest defective and highest good photographs: photograph, map and, where there is one, mask.

    Titles say the defect, the file, and the score over the threshold; maps share the pipeline's scale of colours.
    """
    misses = sorted((one for one in judged if one.defective), key=lambda one: one.score)[:count]
    alarms = sorted((one for one in judged if not one.defective), key=lambda one: -one.score)[:count]
    low, high = pipeline.colour_limits
    figure, axes = picture_grid(3, len(misses) + len(alarms), height=1.15)
    for column, one in zip(axes.T, (*misses, *alarms), strict=True):
        over = one.score - pipeline.threshold.value
        column[0].imshow(one.photograph)
        column[0].set_title(f"{one.path.parent.name} {one.path.stem}\n{over:+.2f}", fontsize=8)
        column[1].imshow(np.asarray(one.map), cmap="inferno", vmin=low, vmax=high)
        mask = root / "ground_truth" / one.path.parent.name / f"{one.path.stem}_mask.png"
        if mask.exists():
            column[2].imshow(Image.open(mask).convert("L").resize(one.photograph.size), cmap="gray", vmin=0, vmax=255)
        else:
            column[2].axis("off")
    return figure
