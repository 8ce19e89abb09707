"""What is in a folder of photographs and what fitting on it would do, before anything is fitted."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxad._check import InputError, name_some
from jaxad.datasets.copies import Copies, find_copies
from jaxad.datasets.folder import Item, Survey, odd_masks, survey
from jaxad.datasets.layouts import GOOD, names_defect, says_defect
from jaxad.folders.plan import SHARE, describe, normal_headers, plan_fit
from jaxad.images.photograph import MAX_PIXELS, UnreadableError, read_photographs
from jaxad.methods import AUTO
from jaxad.thresholds import FEWEST

KINDS = {1: "grey", 3: "colour"}

SHOWN = 10
"""Masks of which a sentence each is said."""
USUAL_RATE = 0.01
"""The false-positive rate that `jaxad.thresholds` aims at where none is given."""


def inspect_folder(
    root: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    max_pixels: int = MAX_PIXELS,
    on_image: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    """Say what `jaxad.datasets.survey` finds in a folder and what fitting would do with it, ready for JSON.

    Every file is decoded, few at a time, for damage shows among the pixels; `on_image` is called with the images done,
    how many there are and how many cannot be read. Paths are relative to the folder, in POSIX form.

    Returns a dictionary of
      root, layout: the folder and one of `jaxad.datasets.layouts`, or "labels";
      images: {"train": {"good": count}, "test": {defect: count}};
      sizes: [{"height", "width", "count"}] in pixels, the most frequent first;
      channels, modes, bits: {value: count}, likewise;
      masks: {"paired": count} of images whose mask can be used, and the lists missing, unmatched, misfit (of another
        size than their image), and
        ambiguous and odd (black all over, or probably inverted), [{"path", "reason"}];
      unreadable: [{"path", "reason"}];
      not_used: [{"path", "reason"}] of every file that is not used, these masks and unreadable files among them, of
        links to folders, of what jaxad wrote itself, and of copies of photographs that count once;
      hidden: count of hidden files and folders, which are not looked at;
      copies: {"repeated", "leaked", "contradictory", "doubled"}, each [{"path", "of"}]; see `jaxad.datasets.copies`;
      plan: what `jaxad fit` would do without options, as it will say itself: recipe, the candidates that it compares
        (some of them only if the pixels prove to be aligned), left_aside, the others with the reason, preparation with
        the channels, train and holdout, how many normal images would be learned from and held out, left_out, files that
        are too small; besides false_positive_rate, the smallest that the held-out count supports, 1 / holdout. None
        where fitting would be refused: a warning says why;
      warnings: sentences.

    Raises InputError where `jaxad.datasets.survey` does, which also explains `labels` and `max_pixels`.
    """
    found = survey(root, labels=labels, max_pixels=max_pixels)
    copies = find_copies(found)
    damaged = _damaged(found, max_pixels, on_image)
    # Fitting plans by the headers, and leaves out what it cannot decode.
    plan, refusal = _plan(found, copies, damaged)
    found = _without(found, damaged)
    odd = odd_masks(found)
    unusable = {*found.misfit_masks, *(path for path, _ in odd)}
    return {
        "root": str(found.root),
        "layout": found.layout,
        "images": {"train": _by_defect(found.train), "test": _by_defect(found.test)},
        "sizes": [{"height": h, "width": w, "count": count} for (h, w), count in found.sizes.items()],
        "channels": {str(value): count for value, count in found.channels.items()},
        "modes": dict(found.modes),
        "bits": {str(value): count for value, count in found.bits.items()},
        "masks": {
            "paired": sum(bool(item.masks) and unusable.isdisjoint(item.masks) for item in found.test),
            "missing": _names(found, found.missing_masks),
            "unmatched": _names(found, found.unmatched_masks),
            "misfit": _names(found, found.misfit_masks),
            "ambiguous": name_reasons(found, found.ambiguous_masks),
            "odd": name_reasons(found, odd),
        },
        "unreadable": name_reasons(found, found.unreadable),
        "not_used": name_reasons(found, [*found.not_used, *odd, *copies.not_learned(found.root)]),
        "hidden": found.hidden,
        "copies": {
            kind: [{"path": found.name(path), "of": found.name(other)} for path, other in pairs.items()]
            for kind, pairs in copies._asdict().items()
        },
        "plan": plan,
        "warnings": [
            *folder_warnings(found, copies),
            *_colour_warnings(found, plan),
            *_mask_warnings(found, odd),
            *_plan_warnings(found, plan),
            *refusal,
        ],
    }


def _by_defect(items: Iterable[Item]) -> dict[str, int]:
    return dict(sorted(Counter(item.defect for item in items).items(), key=lambda pair: (pair[0] != GOOD, pair[0])))


def name_reasons(found: Survey, pairs: Iterable[tuple[Path, str]]) -> list[dict[str, str]]:
    """Files below the folder with the reason why they are not used, ready for JSON."""
    return [{"path": found.name(path), "reason": reason} for path, reason in pairs]


def folder_warnings(found: Survey, copies: Copies) -> list[str]:
    """Sentences on what fitting makes of a folder that its owner may not expect."""
    sentences = []
    nested = [item.path.relative_to(found.root) for item in found.train if item.path.parent != found.root]
    below = [repr(name) for name in sorted({path.parts[0] for path in nested})]
    if found.layout == "flat" and below:
        sentences.append(
            f"all images below {name_some(below)} are taken as normal; name folders good and bad to say more"
        )
    own_name = found.root.resolve().name
    if found.layout == "flat" and says_defect(own_name):
        sentences.append(f"all images are taken as normal, though the folder is called {own_name!r}")
    named = [item.path for item in found.train if names_defect(item.path.stem)]
    if found.layout == "flat" and named:
        sentences.append(
            f"all images are taken as normal, though their names speak of defects, first {found.name(named[0])!r}"
        )
    counts = {
        "files that cannot be read and are left out": [path for path, _ in found.unreadable],
        f"images that lie where the layout {found.layout} has no place for them, not used": [
            path for path, _ in found.unplaced
        ],
        "normal images that are copies of others, which count once": copies.repeated,
        "test images that are copies of images to learn from, which evaluating leaves out": copies.leaked,
        "images that are good by one copy and defective by another, not used": copies.contradictory,
        "test images that are copies of others": copies.doubled,
    }
    for words, paths in counts.items():
        if paths:
            sentences.append(f"{words}: {len(paths)}, first {found.name(next(iter(paths)))!r}")
    if found.links:
        sentences.append(f"links to folders are not followed: {name_some(list(map(repr, _names(found, found.links))))}")
    return sentences


def _names(found: Survey, paths: Iterable[Path]) -> list[str]:
    return [found.name(path) for path in paths]


def _damaged(found: Survey, max_pixels: int, on_image: Callable[[int, int, int], None] | None) -> dict[Path, str]:
    """Images whose pixels cannot be decoded, with the reason."""
    known = {path for path, _ in found.unreadable}
    paths = dict.fromkeys([*(item.path for item in (*found.train, *found.test)), *(path for path, _ in found.to_judge)])
    wanted = [path for path in paths if path not in known]
    damaged: dict[Path, str] = {}
    for done, (path, image) in enumerate(read_photographs(wanted, max_pixels=max_pixels), start=1):
        if isinstance(image, UnreadableError):
            damaged[path] = image.reason
        if on_image:
            on_image(done, len(wanted), len(damaged))
    return damaged


def _without(found: Survey, damaged: Mapping[Path, str]) -> Survey:
    """The survey with damaged images among those that cannot be read, and nowhere else."""
    return replace(
        found,
        train=tuple(item for item in found.train if item.path not in damaged),
        test=tuple(item for item in found.test if item.path not in damaged),
        unplaced=tuple(pair for pair in found.unplaced if pair[0] not in damaged),
        missing_masks=tuple(path for path in found.missing_masks if path not in damaged),
        unreadable=tuple(sorted([*found.unreadable, *damaged.items()], key=lambda pair: found.name(pair[0]))),
    )


def _plan(found: Survey, copies: Copies, damaged: Mapping[Path, str]) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        made = plan_fit(normal_headers(found, copies), recipe=AUTO)
        train, held_out = (
            {path: size for path, size in side.items() if path not in damaged} for side in (made.train, made.held_out)
        )
        if not train or len(held_out) < FEWEST:
            raise InputError(
                f"{FEWEST} images to hold out and one to train on must be usable, got {len(held_out)} and {len(train)}"
            )
        plan = describe(made._replace(train=train, held_out=held_out), found.root)
    except InputError as error:
        return None, [f"fitting would be refused: {error}"]
    judged = plan["holdout"] + (plan["train"] if made.recipe.leaves_out else 0)
    return {**plan, "false_positive_rate": 1 / judged}, []


def _colour_warnings(found: Survey, plan: dict[str, Any] | None) -> list[str]:
    sentences = []
    if len(found.channels) > 1:
        taken = f"; all would be taken as {KINDS[plan['preparation']['channels']]}" if plan else ""
        sentences.append(f"images are grey ({found.channels[1]}) and in colour ({found.channels[3]}){taken}")
    shallow = sum((header.mode, header.bits) == ("CMYK", 16) for header in found.headers.values())
    if shallow:
        sentences.append(f"images in CMYK of which the upper 8 of 16 bits are read: {shallow}")
    return sentences


def _mask_warnings(found: Survey, odd: Sequence[tuple[Path, str]]) -> list[str]:
    counts = {
        "images of defects without a mask": len(found.missing_masks),
        "masks that belong to no image of a defect": len(found.unmatched_masks),
        "masks of another size than their image": len(found.misfit_masks),
        "masks of which it is not clear which image they belong to, not used": len(found.ambiguous_masks),
    }
    sentences = [f"{words}: {count}" for words, count in counts.items() if count]
    return [*sentences, *(f"mask {found.name(path)!r} is not used: {reason}" for path, reason in odd[:SHOWN])]


def _plan_warnings(found: Survey, plan: dict[str, Any] | None) -> list[str]:
    if plan is None or plan["false_positive_rate"] <= USUAL_RATE:
        return []
    judged, normal = round(1 / plan["false_positive_rate"]), plan["train"] + plan["holdout"]
    wanted = round(1 / (USUAL_RATE if judged == normal else SHARE * USUAL_RATE))
    return [
        f"{judged} {'' if judged == normal else 'held-out '}images support a false-positive rate of "
        f"{plan['false_positive_rate']:.1%} at best; {USUAL_RATE:.0%} takes {wanted} normal images, here are {normal}"
    ]
