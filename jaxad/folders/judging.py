"""What held-out photographs say of a detector, what is wrong with it, and learning from these photographs too.

A recipe that can leave images out needs no others to set a threshold by. Held-out ones show first that those that it
has learned from then score as new ones do.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxad._types import PRNGKey
from jaxad.datasets import Sums
from jaxad.detector import Detector
from jaxad.fitting import BLIND, find_faults, fit, tell_drawn_defects
from jaxad.folders.held_out import HeldOut, judge_held_out, judged_anew
from jaxad.folders.left_out import judge_left_out
from jaxad.folders.plan import Plan
from jaxad.folders.roi import Roi
from jaxad.folders.training_images import TILE, TileCutter, TrainingImages, joined, plan_tiles
from jaxad.pipeline import Pipeline, golden_scores
from jaxad.preparation import Preparation

LOOKED_AT = 64
"""Training images that are searched for faults of the model, and held-out ones that defects are drawn on."""


class Judged(NamedTuple):
    """A detector that has been judged, and by what."""

    detector: Detector
    training: TrainingImages
    """All that it has learned from, at last."""
    held: HeldOut
    apart: dict[Path, Sums]
    """The held-out files that it has not learned from after all."""
    faults: list[str]
    """Sentences on what is wrong with it."""
    seconds: dict[str, float]


def judge(
    key: PRNGKey,
    detector: Detector,
    preparation: Preparation,
    roi: Roi,
    plan: Plan,
    training: TrainingImages,
    *,
    learn: bool,
    told: bool,
    seed: int,
    max_pixels: int,
    mesh: Mesh | None,
    on_step: Callable[[str, int, int], None],
) -> Judged:
    """Judge a detector by held-out photographs and, where these show that it may, fit it again on all.

    Args:
        key: what it was fitted by.
        detector: was fitted on `training.images`.
        preparation: how photographs became these.
        roi: the region of interest.
        plan: says which photographs are held out.
        training: what it has learned from.
        learn: whether it may learn from the held-out photographs too, where it sees whole ones and can leave them out
            in turn, and those that it has learned from then score as these do.
        told: whether it is known already that the detector tells nothing.
        seed: of the defects that are drawn.
        max_pixels: see `jaxad.images.read_photograph`.
        mesh: see `jaxad.fit`.
        on_step: see `fit_folder`.

    Raises:
        InputError: fewer than two of the held-out photographs can be read.
    """
    began = time.perf_counter()
    learn = learn and detector.recipe.leaves_out and detector.recipe.compares_positions
    values = LOOKED_AT * TILE**2 * preparation.channels
    tiles_of = partial(plan_tiles, recipe=detector.recipe, preparation=preparation, roi=roi, seed=seed, values=values)
    looked_at = tiles_of(_few(plan.held_out))[:LOOKED_AT]
    # Those that are looked at are then the first of all, whole too.
    cutter = TileCutter(tiles_of(plan.held_out) if learn else looked_at, preparation=preparation, roi=roi)
    held = judge_held_out(
        detector,
        preparation,
        roi,
        plan.held_out,
        known=training.sums,
        left_out=judge_left_out(detector, preparation, roi, training, plan.train),
        max_pixels=max_pixels,
        on_step=on_step,
        on_photograph=cutter.take,
    )
    faults = find_faults(detector, training.images[:LOOKED_AT])
    if not told:
        faults += _blindness(detector, cutter.images[: len(looked_at)], seed)
    seconds = {"judge": time.perf_counter() - began}
    if not (learn and held.agreed):
        return Judged(detector, training, held, held.sums, faults, seconds)
    began = time.perf_counter()
    training = joined(training, cutter, held.sums)
    learned, _ = fit(key, detector.recipe, training.images, mesh=mesh)
    detector = replace(learned, comparison=detector.comparison)
    left_out = judge_left_out(detector, preparation, roi, training, {**plan.train, **plan.held_out})
    held = judged_anew(held, detector, preparation, left_out)
    seconds["learn from all"] = time.perf_counter() - began
    return Judged(detector, training, held, {}, faults, seconds)


def doubt_even_frames(made: Pipeline) -> list[str]:
    """A sentence where photographs that are all black, or all white, are called normal."""
    like = made.golden[0]
    frames = {"black": np.zeros_like(like), "white": np.full_like(like, np.iinfo(like.dtype).max)}
    scores = golden_scores(made.detector, made.preparation, made.usual, list(frames.values()))
    normal = [name for name, score in zip(frames, scores, strict=True) if score <= made.threshold.value]
    if not normal:
        return []
    return [
        f"photographs that are all {' or all '.join(normal)}, as of a covered lens or a failing lamp, are called "
        f"normal: what {made.detector.recipe.name} judges by is not in them; where they may come, try another recipe"
    ]


def _few(sizes: Mapping[Path, tuple[int, int]]) -> dict[Path, tuple[int, int]]:
    """The first photographs, as many as may stay whole: `auto` has compiled what scores those."""
    most = LOOKED_AT * TILE**2 // max(height * width for height, width in sizes.values())
    return dict(itertools.islice(sizes.items(), max(1, most)))


def _blindness(detector: Detector, images: np.ndarray, seed: int) -> list[str]:
    found = tell_drawn_defects(jax.random.key(seed), detector, images)
    if found >= BLIND:
        return []
    return [
        f"defects drawn on {len(images)} held-out images are hardly told from them (AUROC {found:.2f}): the model "
        "copies whatever it sees, or the images vary as much as a defect does; try another recipe, such as surface"
    ]
