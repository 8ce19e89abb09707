"""What fitting on a folder will do, decided by what files say of themselves before any pixel is decoded.

`fit_folder` does it and `inspect_folder` shows it; nothing here loads jax.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxad._check import InputError, need_at_least
from jaxad.datasets import Copies, Survey
from jaxad.folders.sizes import median_size, need_bounded, scaled_down, times, why_not_almost_one, why_not_whole
from jaxad.images import Header, UnreadableError
from jaxad.preparation import Mode, Preparation
from jaxad.recipes import ChoiceRecipe, Recipe
from jaxad.thresholds import FEWEST, count_held_out, count_wanted

VALUES = 2**26
"""Numbers that a model is trained on at most: 268 MB as float32."""
SEEN_VALUES = 2**27
"""The same where photographs are brought to the size that the model sees them at: it makes no copy of them."""
SHARE = 0.2
"""Share of the normal images that fitting holds out where none is given."""


class Plan(NamedTuple):
    """What fitting will do."""

    recipe: Recipe
    """Of `auto`, with only the candidates that can be compared on these photographs."""
    left_aside: dict[str, str]
    """The other candidates of `auto`, with the reason."""
    preparation: Preparation
    """How photographs become input of the recipe's model; of `auto`, of those that take any size."""
    grid: Preparation | None
    """How they become what whole photographs are compared on, all of one size; None where none are."""
    grid_reason: str
    """Why the grid is not the photographs' own size; empty where it is."""
    train: dict[Path, tuple[int, int]]
    """The files to train on with their height and width."""
    held_out: dict[Path, tuple[int, int]]
    left_out: list[UnreadableError]
    """Files that the recipe cannot take, with the reason."""
    doubts: list[str]
    """Sentences on what the owner of the photographs may not expect."""

    def shapes(self, mode: Mode) -> tuple[float, float] | None:
        """The least and the largest height, in widths, of photographs that may be compared with these, prepared so.

        Those to train on and to hold out say it; where they are stretched over one another, others may be off by as
        much as these are among themselves. None where photographs stay as they are.
        """
        found = [height / width for height, width in (*self.train.values(), *self.held_out.values())]
        low, high = min(found), max(found)
        if mode == "stretch":
            low, high = low * low / high, high * high / low
        return (low, high) if mode in ("letterbox", "stretch") else None

    def enlarged(self, preparation: Preparation) -> float:
        """How many times as large the smallest photograph becomes, at least 1, prepared so."""
        sizes = (*self.train.values(), *self.held_out.values())
        return max(1.0, *(preparation.geometry(*size).enlarged for size in sizes))


def normal_headers(found: Survey, copies: Copies) -> dict[Path, Header]:
    """What the normal images of a folder say of themselves, each photograph once.

    So copies of one photograph lie on one side of every split that is made of them, and the images that a threshold is
    set by are different ones, as the interval of its rate supposes.

    Raises:
        InputError: there is none.
    """
    left = copies.repeated.keys() | copies.contradictory.keys()
    headers = {item.path: found.headers[item.path] for item in found.train if item.path not in left}
    if not headers:
        why = "".join(f"; the first is {path.name!r}: {reason}" for path, reason in found.unreadable_train[:1])
        raise InputError(f"{str(found.root)!r} has no normal image that can be read{why}; `jaxad inspect` says more")
    return headers


def plan_fit(
    headers: Mapping[Path, Header],
    *,
    recipe: Recipe,
    resize: int | None = None,
    scale: float | None = None,
    native: bool = False,
    grey: bool = False,
    holdout: float = SHARE,
    region: bool = False,
    seed: int = 0,
) -> Plan:
    """Decide what to do with these normal photographs; options are those of `fit_folder`.

    `region` says whether a region of interest is looked at alone.

    Raises:
        InputError: options that do not go together, or too few images to hold out two and keep one.
    """
    recipe = _for_photographs(recipe, headers.values(), resize=resize, scale=scale)
    preparation = choose_preparation(
        recipe, list(headers.values()), grey=grey, resize=resize, scale=scale, native=native
    )
    need_bounded(headers, preparation)
    usable, left_out = _usable(headers, preparation, recipe)
    count = count_held_out(len(usable), share=holdout)
    least = FEWEST + 2 if isinstance(recipe, ChoiceRecipe) else 1
    if not count or len(usable) - count < least:
        unusable = "".join(
            f" ({len(left_out)} cannot be used, first {error.path.name!r}: {error.reason})" for error in left_out[:1]
        )
        own = f" ({FEWEST} of which {recipe.name} holds out itself, to choose by)" if least > 1 else ""
        fewest, wanted = FEWEST + least, count_wanted(least, share=holdout)
        mend = f"{wanted} images would do"
        if len(usable) + len(left_out) >= wanted:
            mend = "those that cannot be used would do: make them larger"
        elif len(usable) >= fewest:
            mend += f", or a holdout of {FEWEST / len(usable):.2g}"
        elif wanted > fewest:
            mend += f", and with another holdout {fewest} at the least"
        raise InputError(
            f"at least {FEWEST} images must be held out for a threshold and {least} be left to train on{own}, but a "
            f"share of {holdout:g} of {len(usable)} different usable images is {round(holdout * len(usable))}"
            f"{unusable}; {mend}"
        )
    drawn = set(np.random.default_rng(seed).permutation(len(usable))[:count].tolist())
    held_out, train = (
        {path: size for index, (path, size) in enumerate(usable.items()) if (index in drawn) == held}
        for held in (True, False)
    )
    grid, reason = _plan_grid(
        recipe,
        [*train.values(), *held_out.values()],
        preparation,
        count=len(train),
        region=region,
        native=native,
        asked=bool(resize or scale),
    )
    if not isinstance(recipe, ChoiceRecipe):
        doubts = _doubts(recipe, list(usable.values()), preparation, asked=bool(resize or scale))
        return Plan(recipe, {}, grid or preparation, grid, reason, train, held_out, left_out, doubts)
    recipe, left_aside = (recipe, {}) if grid else _of_any_size(recipe, reason)
    return Plan(recipe, left_aside, preparation, grid, reason if grid else "", train, held_out, left_out, [])


def describe(plan: Plan, root: str | os.PathLike[str]) -> dict[str, Any]:
    """A plan, ready for JSON: recipe, compares, left_aside, preparation, grid, grid_reason, train, holdout, left_out.

    `grid` is the height and width that whole photographs are compared at, or None. Paths are relative to the folder
    `root`, in POSIX form.
    """
    candidates = plan.recipe.candidates if isinstance(plan.recipe, ChoiceRecipe) else ()
    return {
        "recipe": plan.recipe.name,
        "compares": [candidate.name for candidate in candidates],
        "left_aside": plan.left_aside,
        "preparation": {**asdict(plan.preparation), "box": list(plan.preparation.box)},
        "grid": list(plan.grid.box) if plan.grid else None,
        "grid_reason": plan.grid_reason,
        "train": len(plan.train),
        "holdout": len(plan.held_out),
        "left_out": [
            {"path": error.path.relative_to(root).as_posix(), "reason": error.reason} for error in plan.left_out
        ],
    }


def choose_preparation(
    recipe: Recipe,
    headers: Sequence[Header],
    *,
    grey: bool = False,
    resize: int | None = None,
    scale: float | None = None,
    native: bool = False,
) -> Preparation:
    """How photographs of these sizes become input of the recipe's model.

    A model of windows takes them as they are (`native`), with the shorter side at `resize` pixels, or both sides times
    `scale`. A model of whole images takes one size: the median height and width of the photographs, times `scale`, or
    `resize` x `resize`; others are fitted in with their aspect ratio kept. With `native` all must have one size.

    Raises:
        InputError: more than one of the three options, or `native` for a model of whole images of several sizes; a
            scale that is no positive number, or a resize to nothing.
    """
    if resize is not None:
        need_at_least(resize, 1, what="resize")
    if scale is not None and not 0 < scale < math.inf:
        raise InputError(f"scale must be a positive number, got {scale}")
    given = [name for name, value in (("resize", resize), ("scale", scale), ("native", native)) if value]
    if len(given) > 1:
        raise InputError(f"choose one of resize, scale and native, got {' and '.join(given)}")
    fitted: Mode = "stretch" if recipe.stretches else "letterbox"
    channels = 1 if grey or all(header.channels == 1 for header in headers) else 3
    if not recipe.compares_positions:
        if resize is not None:
            return Preparation(channels, "resize", side=resize)
        return Preparation(channels, "native") if scale is None else Preparation(channels, "scale", scale=scale)
    sizes = sorted({(header.height, header.width) for header in headers})
    if native:
        if len(sizes) > 1:
            raise InputError(
                f"recipe {recipe.name!r} takes images of one size and these have {len(sizes)}, from "
                f"{sizes[0][0]} x {sizes[0][1]} to {sizes[-1][0]} x {sizes[-1][1]}; drop native, or choose a recipe "
                "of windows such as patch-vae-texture"
            )
        return Preparation(channels, "native")
    if resize is not None:
        return Preparation(channels, fitted, box=(resize, resize))
    height, width = (float(np.median([getattr(header, side) for header in headers])) for side in ("height", "width"))
    factor = 1.0 if scale is None else scale
    return Preparation(channels, fitted, box=(max(1, round(height * factor)), max(1, round(width * factor))))


def _plan_grid(
    recipe: Recipe,
    sizes: Sequence[tuple[int, int]],
    preparation: Preparation,
    *,
    count: int,
    region: bool,
    native: bool,
    asked: bool,
) -> tuple[Preparation | None, str]:
    """What whole photographs of these heights and widths are compared on, and why it is not their size, or is none.

    `count` of them are trained on; `asked` says that a size was asked for.
    """
    channels = preparation.channels
    if not isinstance(recipe, ChoiceRecipe):
        if not recipe.compares_positions or native:
            return None, ""
        if asked:
            return preparation, ""
        seen = recipe.seen_size(preparation.box)
        # Resized once, as it is read: twice would blur it. Not where the model would enlarge that again.
        box = seen if recipe.seen_size(seen) == seen else preparation.box
        why = "" if box == preparation.box else f"the model sees them at {times(box)}"
        # What is smaller than the photographs is held once; else there is a copy at the size of the model's own.
        values = VALUES if box == preparation.box else SEEN_VALUES
        box, scaled = scaled_down(box, count, channels, values)
        return replace(preparation, box=box), scaled or why
    if region:
        return None, "only a region of these is looked at"
    prepared = [preparation.geometry(height, width).size for height, width in sizes]
    unlike = why_not_whole(prepared[:count], channels, values=VALUES)
    if native and unlike:
        return None, f"{unlike}, and sizes are to stay as they are"
    box, off = median_size(prepared), why_not_almost_one(prepared)
    if off:
        return None, off
    different = len(set(prepared))
    fitted = f"{different} sizes are fitted into their median {times(box)}" if different > 1 else ""
    box, scaled = scaled_down(box, count, channels, VALUES)
    return Preparation(channels, "letterbox", box=box), " and ".join(filter(None, [fitted, scaled]))


def _doubts(recipe: Recipe, sizes: Sequence[tuple[int, int]], preparation: Preparation, *, asked: bool) -> list[str]:
    """That photographs of these heights and widths do not belong on one grid; where a size was asked for, by shape."""
    if not recipe.compares_positions or preparation.mode != "letterbox":
        return []
    why = why_not_almost_one([preparation.geometry(*size).inside for size in sizes] if asked else sizes)
    if not why:
        return []
    return [
        f"recipe {recipe.name!r} compares photographs position by position, and {why}; all are fitted into one size, "
        "with their borders repeated: take photographs of one view and size, or a recipe of any size, such as surface"
    ]


def _for_photographs(recipe: Recipe, headers: Iterable[Header], *, resize: int | None, scale: float | None) -> Recipe:
    """Of `auto`, the recipe for photographs where these are so large when they are resized; else the recipe itself."""
    if not isinstance(recipe, ChoiceRecipe) or not recipe.photographs:
        return recipe
    median = median_size([(header.height, header.width) for header in headers])
    height, width = (resize, resize) if resize else (round(side * (scale or 1.0)) for side in median)
    if min(height, width) < recipe.large:
        return recipe
    try:
        recipe.photographs[0].seen_size((height, width))
    except InputError:
        return recipe  # a strip so narrow that nothing is left of its width
    return recipe.photographs[0]


def _of_any_size(recipe: ChoiceRecipe, why: str) -> tuple[ChoiceRecipe, dict[str, str]]:
    """The recipe without the candidates that compare whole photographs, and those with the reason."""
    kept = tuple(candidate for candidate in recipe.candidates if not candidate.compares_positions)
    reason = f"it compares whole photographs of one size, and {why}"
    return replace(recipe, candidates=kept), {
        candidate.name: reason for candidate in recipe.candidates if candidate not in kept
    }


def _usable(
    headers: Mapping[Path, Header], preparation: Preparation, recipe: Recipe
) -> tuple[dict[Path, tuple[int, int]], list[UnreadableError]]:
    """Files with their height and width, and those that are smaller than the recipe needs."""
    usable, left_out = {}, []
    window = recipe.least_size
    for path, header in headers.items():
        size = preparation.geometry(header.height, header.width).size
        if size[0] >= window[0] and size[1] >= window[1]:
            usable[path] = (header.height, header.width)
        else:
            reason = f"its {times(size)} pixels are fewer than the {times(window)} that the recipe needs"
            left_out.append(UnreadableError(path, reason))
    return usable, left_out
