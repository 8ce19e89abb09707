"""What a detector says of the images that it was fitted on, each as if it had not been among them.

Where a recipe can leave an image out, hundreds of normal scores stand behind calibration and threshold, and not only
those of the few images that were held out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxad import pipeline
from jaxad.detector import Detector, each_left_out, pooled
from jaxad.folders.roi import Roi
from jaxad.folders.training_images import TrainingImages
from jaxad.preparation import Preparation

DOUBT = 0.05
"""Probability by chance below which held-out images score higher than left-out ones."""
LEAST = 0.3
"""Share of pairs of a held-out and a left-out image in which the former scores higher, at least; a half is usual."""


def judge_left_out(
    detector: Detector,
    preparation: Preparation,
    roi: Roi,
    training: TrainingImages,
    sizes: Mapping[Path, tuple[int, int]],
) -> Iterator[pipeline.Seen]:
    """What is seen of the images that were trained on, one after the other; nothing where the recipe leaves none out.

    Args:
        detector: was fitted on `training.images`, all of them, in their order.
        preparation: how photographs became these.
        roi: the region of interest.
        training: images, with one file each.
        sizes: heights and widths of their files by path.
    """
    for path, one in zip(training.paths, each_left_out(detector, training.images), strict=False):
        inside = pipeline.region_at(roi, *sizes[path])
        counted = None if inside is None else pipeline.prepare_region(preparation, inside)
        (score,), (score_map,) = pooled(detector.recipe, one, counted=None if counted is None else counted[None])
        yield pipeline.Seen(float(score), score_map, counted, preparation.geometry(*sizes[path]), inside)


def agree(held_out: Float[np.ndarray, " n"], left_out: Float[np.ndarray, " m"]) -> bool:
    """Whether scores of left-out images `[m]` may be taken for those of new ones, by the scores of held-out ones `[n]`.

    They may not where new images score higher, by the one-sided test of Mann and Whitney (Ann. Math. Statist. 18(1),
    1947) at 5 %: a threshold made of them would raise more alarms than it promises. Nor where left-out ones mostly do,
    as those of few images, whose others are not like them: it would let defects pass.
    """
    from scipy.stats import mannwhitneyu

    if not held_out.size or not left_out.size:
        return False
    found = mannwhitneyu(held_out, left_out, alternative="greater")
    return float(found.pvalue) >= DOUBT and float(found.statistic) >= LEAST * held_out.size * left_out.size
