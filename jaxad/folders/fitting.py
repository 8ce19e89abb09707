"""Fitting a pipeline on a folder of photographs: normal images in, one file out that judges new ones."""

import datetime
import importlib.metadata
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxad import bundle, pipeline, thresholds
from jaxad._check import InputError, need_local, need_output_folder, need_share, raise_problems
from jaxad.checkpoints import open_checkpoints
from jaxad.datasets import RepeatedError, Sums, Survey, doubt_near_copies, find_copies, survey
from jaxad.datasets.layouts import SPLITS, says_good, word_of
from jaxad.detector import Candidate
from jaxad.fitting import NothingToldWarning, choose_recipe, derived, fit
from jaxad.folders.inspection import folder_warnings, name_reasons
from jaxad.folders.judging import doubt_even_frames, judge
from jaxad.folders.plan import SHARE, describe, normal_headers, plan_fit
from jaxad.folders.roi import read_roi
from jaxad.folders.sizes import sides, times
from jaxad.folders.training_images import doubt_range, make_cutters, read_into
from jaxad.images import Header
from jaxad.images.photograph import MAX_PIXELS
from jaxad.methods import AUTO, named
from jaxad.recipes import ChoiceRecipe, Recipe, is_trained, settled_fields
from jaxad.sharding import is_first, wait_for_all

PACKAGES = ("jaxad", "jax", "flax", "numpy", "pillow")
SMALL_REGION = 0.001
"""Share of a photograph, below which a region of interest may be dust on a mask."""
_NO_USE = "checkpoints have no use: recipe {!r} is not trained, it is fitted again in one go"

OnStep = Callable[[str, int, int], None]


def fit_folder(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    recipe: Recipe | str = AUTO,
    resize: int | None = None,
    scale: float | None = None,
    native: bool = False,
    grey: bool = False,
    holdout: float = SHARE,
    rate: float = 0.01,
    roi: str | os.PathLike[str] | None = None,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    checkpoints: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
    mesh: Mesh | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Fit a pipeline on the normal images of a folder and write it to the file `out`.

    A share of the images, drawn by `seed`, is not trained on: they give what is usual at each position, the threshold
    with the interval of its false-positive rate, the unit of calibrated scores, the colour scale and the level of
    regions; see `jaxad.folders.held_out`. Where a recipe can leave images out in turn, and those it has learned from
    then score as these do, it is fitted again on all of them, and all left out in turn give these instead; not where
    `evaluate_folder` has no other good images to judge by. Memory is bounded: of many photographs models of windows
    are trained on some tiles, and models of whole images on smaller copies; see `jaxad.folders.plan`.

    Args:
        root: the folder, in a layout that `jaxad.datasets.survey` knows.
        out: the file to write; `jaxad.load` reads it.
        labels: a table that says what each image is; see `jaxad.datasets.labels`.
        recipe: a name among `jaxad.RECIPES`, one of these recipes or a variant; `auto` compares whole images only where
            they are of almost one size, on one grid that fits memory; the plan says which.
        resize: for models of windows the shorter side in pixels; for models of whole images both sides.
        scale: factor for both sides.
        native: sizes as they are; the default for models of windows.
        grey: turn colour into grey. Otherwise grey is repeated where any photograph is in colour.
        holdout: share of the normal images to hold out.
        rate: false-positive rate to aim at.
        roi: a mask file, see `jaxad.images.read_mask`: only where it is white are images looked at; its height and
            width stand to each other as in the photographs, to a twentieth.
        max_pixels: the largest height times width of a file; see `jaxad.images.read_photograph`.
        seed: of the held-out images, weights and crops; the same one gives the same bits.
        checkpoints: a folder to keep what training has reached in, every so many epochs; see `jaxad.fit`.
        every: epochs between two checkpoints.
        resume: go on with what the folder of checkpoints holds.
        mesh: devices that share every batch of training; see `jaxad.fit`. Where they are those of several processes,
            all make the same call, the first writes the pipeline, and none returns before it is there.
        on_epoch: called with the epochs done and the means of that epoch's loss terms.
        on_step: called with "reading" or "judging", the photographs done and how many there are; between them, for
            `auto`, with "choosing", the recipes done and how many there are.

    Returns:
        What was done, ready for JSON: part, recipe, settled (fields of the recipe that the images decided), plan (see
        `jaxad.folders.plan`), preparation, images (train, holdout, learned_after, which are those of train that were
        held out first, judged_left_out, left_out with the path and reason of every file that is not used, and failed,
        those of them that were to be fitted on and cannot be read or are too small), training (shape and bytes),
        comparison (what `auto` tried), threshold, colour_limits, pixel_limit, seconds, warnings.

    Raises:
        InputError: the folder, its images, the recipe or an option cannot be used, or too few images are left to hold
            out two.
        UnreadableError: the mask cannot be read.
    """
    began = time.perf_counter()
    _need_options(holdout, rate, seed)
    open_checkpoints(checkpoints, every=every, resume=resume)
    step = on_step or (lambda *_: None)
    found = survey(root, labels=labels, max_pixels=max_pixels)
    copies = find_copies(found)
    headers = normal_headers(found, copies)
    inside = read_roi(roi, headers, max_pixels=max_pixels)
    plan = plan_fit(
        headers,
        recipe=named(recipe),
        resize=resize,
        scale=scale,
        native=native,
        grey=grey,
        holdout=holdout,
        region=inside is not None,
        seed=seed,
    )
    _need_place(out)

    cutters = make_cutters(plan, roi=inside, seed=seed)
    readings = read_into(cutters, max_pixels=max_pixels, on_step=step)
    seconds = {"read": time.perf_counter() - began}
    key, chosen = jax.random.key(seed), plan.recipe
    comparison: tuple[Candidate, ...] = ()
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        if isinstance(chosen, ChoiceRecipe):
            began = time.perf_counter()
            chosen, comparison = choose_recipe(
                key, chosen, readings[0].images, mesh=mesh, on_candidate=partial(step, "choosing")
            )
            seconds["choose"] = time.perf_counter() - began
        whole = chosen.compares_positions
        preparation = plan.grid if whole and plan.grid is not None else plan.preparation
        training = readings[0 if whole else -1]
        del readings  # What the choice alone was made by is large.
        detector, history = fit(
            key,
            derived(chosen, "for_sizes", training.images, list(plan.train.values())),
            training.images,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            every=every,
            resume=resume,
            mesh=mesh,
        )
    detector = replace(detector, comparison=comparison)
    if preparation.mode == "native" and detector.recipe.compares_positions:
        # Photographs of another size can still be fitted in.
        preparation = replace(preparation, mode="letterbox", box=detector.shape[:2])
    seconds |= {"compile": history.compile_seconds, "train": history.seconds}

    detector, training, held, apart, faults, more = judge(
        key,
        detector,
        preparation,
        inside,
        plan,
        training,
        learn=_keeps_good_images(found),
        told=any(issubclass(doubt.category, NothingToldWarning) for doubt in doubts),
        seed=seed,
        max_pixels=max_pixels,
        mesh=mesh,
        on_step=step,
    )
    seconds |= more
    unfit = [*plan.left_out, *training.unreadable, *held.unreadable]
    unused = {error.path for error in unfit}
    used = [size for path, size in {**plan.train, **plan.held_out}.items() if path not in unused]
    made = pipeline.Pipeline(
        detector=detector,
        preparation=held.preparation,
        threshold=thresholds.for_false_positive_rate(held.scores, rate=rate),
        rate=rate,
        normal_scores=held.scores,
        colour_limits=held.colour_limits,
        pixel_limit=held.pixel_limit,
        golden=held.golden,
        golden_scores=held.golden_scores,
        provenance=_provenance(root, training.sums, apart, seed=seed),
        roi=inside,
        usual=held.usual,
        shapes=plan.shapes(preparation.mode) if whole else None,
        enlarged=plan.enlarged(preparation) if whole else None,
        sides=sides(used) if held.preparation.mode in ("native", "scale") else None,
    )
    not_used = [
        *found.not_used,
        *copies.not_learned(found.root),
        *((error.path, error.reason) for error in unfit),
    ]
    failed = [(error.path, error.reason) for error in unfit if not isinstance(error, RepeatedError)]
    done = {
        "part": str(out),
        "recipe": detector.recipe.name,
        "settled": settled_fields(chosen, detector.recipe),
        "plan": describe(plan, root),
        "comparison": [candidate._asdict() for candidate in detector.comparison],
        "preparation": asdict(held.preparation),
        "images": {
            "train": len(training.sums),
            "holdout": len(apart),
            "learned_after": len(held.paths) - len(apart),
            "judged_left_out": len(held.scores) - len(apart),
            "left_out": name_reasons(found, not_used),
            "failed": name_reasons(found, [*found.unreadable_train, *failed]),
        },
        "training": {"shape": list(training.images.shape), "bytes": training.images.nbytes},
        "threshold": {**asdict(made.threshold), "rate_asked": rate},
        "colour_limits": list(made.colour_limits),
        "pixel_limit": made.pixel_limit,
        "seconds": seconds,
        "warnings": [
            *(str(doubt.message) for doubt in doubts),
            *folder_warnings(found, copies),
            *doubt_near_copies({**training.sums, **held.sums}),
            *doubt_range(training.images),
            *plan.doubts,
            *_warnings(made, headers.values(), left_out=len(unfit)),
            *([] if checkpoints is None or is_trained(chosen) else [_NO_USE.format(detector.recipe.name)]),
            *faults,
            *doubt_even_frames(made),
        ],
    }
    # Last, for any of the above may refuse the model.
    if is_first(mesh):
        made.save(out)
    wait_for_all(mesh)
    return done


def _keeps_good_images(found: Survey) -> bool:
    """Whether `evaluate_folder` needs no held-out images: others are there to test on, or nothing tells good from bad.

    A folder called good may lie beside one of defects, and be evaluated with it.
    """
    if found.split or found.layout != "flat":
        return found.split
    root = found.root.resolve()
    return not says_good(root.name) or word_of(root.parent.name) in SPLITS


def _need_options(holdout: float, rate: float, seed: int) -> None:
    problems = []
    for what, share in (("holdout", holdout), ("rate", rate)):
        try:
            need_share(share, what=what)
        except InputError as error:
            problems.append(str(error))
    if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**32):
        problems.append(f"seed must be a whole number, at least 0 and below 2^32, got {seed}")
    raise_problems(problems)


def _need_place(out: str | os.PathLike[str]) -> None:
    """Refuse before training what could not be written after it."""
    path = Path(out)
    need_local(path, what="the pipeline")
    need_output_folder(path.parent)
    if path.is_dir():
        raise InputError(f"the pipeline must be a file, and {str(out)!r} is a folder; name a file in it")
    if path.exists() and not (path.is_file() and (path.stat().st_size == 0 or bundle.begins_as_bundle(path))):
        raise InputError(f"the pipeline would replace {str(out)!r}, which is no pipeline; choose another name")


def _provenance(
    root: str | os.PathLike[str], train: Mapping[Path, Sums], held_out: Mapping[Path, Sums], *, seed: int
) -> dict[str, Any]:
    sides = {"train": train, "holdout": held_out}
    return {
        "root": str(root),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "images": {side: len(sums) for side, sums in sides.items()},
        "sha256": {side: [one.file for one in sums.values()] for side, sums in sides.items()},
        "pixel_sha256": {side: [one.pixels for one in sums.values()] for side, sums in sides.items()},
    }


def _warnings(made: pipeline.Pipeline, headers: Iterable[Header], *, left_out: int) -> list[str]:
    sentences = made.threshold.doubts(made.rate)
    if made.detector.canvases is not None and made.preparation.box != (1, 1):
        sentences.append(
            "what is usual differs from position to position, so photographs of about "
            f"{times(made.preparation.box)} alone can be scored"
        )
    if made.preparation.channels == 3 and any(header.channels == 1 for header in headers):
        sentences.append("some images are grey and some in colour; the grey ones were taken as colour")
    if left_out:
        sentences.append(f"images that were left out: {left_out}")
    if made.roi is not None and made.roi.mean() < SMALL_REGION:
        sentences.append(
            f"the region of interest is {np.count_nonzero(made.roi)} pixels of {made.roi.size}, and nothing else is "
            "looked at: see whether the mask is what you meant"
        )
    return sentences
