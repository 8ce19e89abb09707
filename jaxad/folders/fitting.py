"""Fitting a part on a folder of photographs: normal images in, one file out that judges new ones."""

import datetime
import importlib.metadata
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxad import part, thresholds
from jaxad._check import InputError, need_output_folder, raise_problems
from jaxad.checkpoints import open_checkpoints
from jaxad.datasets import Header, read_mask, survey
from jaxad.detector import find_faults, fit, tell_drawn_defects
from jaxad.folders.held_out import judge_held_out
from jaxad.folders.plan import SHARE, VALUES, describe, normal_headers, plan_fit
from jaxad.folders.sources import file_sum
from jaxad.folders.training_images import TILE, Roi, plan_tiles, read_tiles
from jaxad.preparation import need_same_aspect
from jaxad.recipes import AUTO, Recipe, compares_positions, named
from jaxad.sharding import is_first, wait_for_all

PACKAGES = ("jaxad", "jax", "flax", "numpy", "pillow")
LOOKED_AT = 64
"""Training images that are searched for faults of the model, and held-out ones that defects are drawn on."""
BLIND = 0.6
"""AUROC between held-out images and copies with a drawn defect below which a part is no use."""

OnStep = Callable[[str, int, int], None]


def fit_folder(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    recipe: Recipe | str = AUTO,
    resize: int | None = None,
    scale: float | None = None,
    native: bool = False,
    grey: bool = False,
    holdout: float = SHARE,
    rate: float = 0.01,
    roi: str | os.PathLike[str] | None = None,
    seed: int = 0,
    checkpoints: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
    mesh: Mesh | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Fit a part on the normal images of a folder and write it to the file `out`.

    A share of the images, drawn by `seed`, is never trained on: they give what is usual at each position, the threshold
    with the interval of its false-positive rate, the unit of calibrated scores, the colour scale and the level of
    regions; see `jaxad.folders.held_out`. Memory is bounded for models of windows, see
    `jaxad.folders.training_images`; for models of whole images it grows with their number.

    Args:
        root: the folder, in a layout that `jaxad.datasets.survey` knows.
        out: the file to write; `jaxad.load` reads it.
        recipe: a name among `jaxad.RECIPES`, one of these recipes or a variant; `auto` compares whole images only where
            all have one size and fit the memory of training.
        resize: for models of windows the shorter side in pixels; for models of whole images both sides.
        scale: factor for both sides.
        native: sizes as they are; the default for models of windows.
        grey: turn colour into grey. Otherwise grey is repeated where any photograph is in colour.
        holdout: share of the normal images to hold out.
        rate: false-positive rate to aim at.
        roi: a mask file: only where it is above zero are images looked at; its height and width
            stand to each other as in the photographs.
        seed: of the held-out images, weights and crops; the same one gives the same bits.
        checkpoints: a folder to keep what training has reached in, every so many epochs; see `jaxad.fit`.
        every: epochs between two checkpoints.
        resume: go on with what the folder of checkpoints holds.
        mesh: devices that share every batch of training; see `jaxad.fit`. Where they are those of several processes,
            all make the same call, the first writes the part, and none returns before it is there.
        on_epoch: called with the epochs done and the means of that epoch's loss terms.
        on_step: called with "reading" or "judging", the photographs done and how many there are.

    Returns:
        What was done, ready for JSON: part, recipe, plan (see `jaxad.folders.plan`), preparation, images (train,
        holdout, left_out), training (shape and bytes), comparison (what `auto` tried), threshold, colour_limits,
        pixel_limit, seconds, warnings.

    Raises:
        InputError: the folder, its images, the recipe or an option cannot be used, or too few images are left to hold
            out two.
        UnreadableError: the mask cannot be read.
    """
    began = time.perf_counter()
    _need_options(holdout, rate, seed)
    open_checkpoints(checkpoints, every=every, resume=resume)
    inside = _read_roi(roi)
    step = on_step or (lambda *_: None)
    headers = normal_headers(survey(root))
    _need_fitting_roi(inside, headers)
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
    preparation = plan.preparation
    _need_place(out)

    tiles = plan_tiles(plan.train, recipe=plan.recipe, preparation=preparation, roi=inside, seed=seed, values=VALUES)
    training = read_tiles(tiles, preparation=preparation, roi=inside, on_step=step)
    seconds = {"read": time.perf_counter() - began}
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        detector, history = fit(
            jax.random.key(seed),
            plan.recipe,
            training.images,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            every=every,
            resume=resume,
            mesh=mesh,
        )
    if preparation.mode == "native" and compares_positions(detector.recipe):
        # Photographs of another size can still be fitted in.
        preparation = replace(preparation, mode="letterbox", box=detector.shape[:2])
    seconds |= {"compile": history.compile_seconds, "train": history.seconds}

    began = time.perf_counter()
    held = judge_held_out(detector, preparation, inside, plan.held_out, on_step=step)
    seconds["judge"] = time.perf_counter() - began
    made = part.Part(
        detector=detector,
        preparation=preparation,
        threshold=thresholds.for_false_positive_rate(held.scores, rate=rate),
        rate=rate,
        normal_scores=held.scores,
        colour_limits=held.colour_limits,
        pixel_limit=held.pixel_limit,
        golden=held.golden,
        golden_scores=held.golden_scores,
        provenance=_provenance(root, training.paths, held.paths, seed=seed),
        roi=inside,
        usual=held.usual,
    )
    if is_first(mesh):
        made.save(out)
    wait_for_all(mesh)
    left_out = [*plan.left_out, *training.unreadable, *held.unreadable]
    return {
        "part": str(out),
        "recipe": detector.recipe.name,
        "plan": describe(plan, root),
        "comparison": [candidate._asdict() for candidate in detector.comparison],
        "preparation": asdict(preparation),
        "images": {
            "train": len(training.paths),
            "holdout": len(held.paths),
            "left_out": [
                {"path": error.path.relative_to(root).as_posix(), "reason": error.reason} for error in left_out
            ],
        },
        "training": {"shape": list(training.images.shape), "bytes": training.images.nbytes},
        "threshold": {**asdict(made.threshold), "rate_asked": rate},
        "colour_limits": list(made.colour_limits),
        "pixel_limit": made.pixel_limit,
        "seconds": seconds,
        "warnings": [
            *(str(doubt.message) for doubt in doubts),
            *_warnings(made, headers.values(), left_out=len(left_out)),
            *find_faults(detector, training.images[:LOOKED_AT]),
            *_blindness(made, {path: plan.held_out[path] for path in held.paths}, seed),
        ],
    }


def _blindness(made: part.Part, held_out: Mapping[Path, tuple[int, int]], seed: int) -> list[str]:
    recipe, preparation = made.detector.recipe, made.preparation
    tiles = plan_tiles(
        held_out, recipe=recipe, preparation=preparation, roi=made.roi, seed=seed, values=LOOKED_AT * TILE**2
    )[:LOOKED_AT]
    images = read_tiles(tiles, preparation=preparation, roi=made.roi, on_step=lambda *_: None).images
    found = tell_drawn_defects(jax.random.key(seed), made.detector, images)
    if found >= BLIND:
        return []
    return [
        f"defects drawn on {len(images)} held-out images are hardly told from them (AUROC {found:.2f}): the model "
        "copies whatever it sees, or the images vary as much as a defect does; try another recipe, such as surface"
    ]


def _need_options(holdout: float, rate: float, seed: int) -> None:
    shares = (("holdout", holdout), ("rate", rate))
    problems = [f"{name} must lie strictly between 0 and 1, got {x}" for name, x in shares if not 0 < x < 1]
    if not 0 <= seed < 2**32:
        problems.append(f"seed must be at least 0 and below 2^32, got {seed}")
    raise_problems(problems)


def _read_roi(path: str | os.PathLike[str] | None) -> Roi:
    if path is None:
        return None
    inside = read_mask(path)
    if not inside.any():
        raise InputError(f"region of interest {str(path)!r} must be above zero somewhere, and is zero everywhere")
    return inside


def _need_fitting_roi(inside: Roi, headers: Mapping[Path, Header]) -> None:
    """Refuse a region of interest that would be stretched over the photographs."""
    if inside is None:
        return
    for path, header in headers.items():
        try:
            need_same_aspect((inside.shape[0], inside.shape[1]), (header.height, header.width))
        except InputError as error:
            raise InputError(f"{error}, such as {path.name!r}") from None


def _need_place(out: str | os.PathLike[str]) -> None:
    """Refuse before training what could not be written after it."""
    need_output_folder(Path(out).parent)
    if Path(out).is_dir():
        raise InputError(f"the part must be a file, and {str(out)!r} is a folder; name a file in it")


def _provenance(
    root: str | os.PathLike[str], train: Sequence[Path], held_out: Sequence[Path], *, seed: int
) -> dict[str, Any]:
    return {
        "root": str(root),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "images": {"train": len(train), "holdout": len(held_out)},
        "sha256": {"train": list(map(file_sum, train)), "holdout": list(map(file_sum, held_out))},
    }


def _warnings(made: part.Part, headers: Iterable[Header], *, left_out: int) -> list[str]:
    sentences = made.threshold.doubts(made.rate)
    if made.preparation.channels == 3 and any(header.channels == 1 for header in headers):
        sentences.append("some images are grey and some in colour; the grey ones were taken as colour")
    if left_out:
        sentences.append(f"images that were left out: {left_out}")
    return sentences
