"""What is in a folder of photographs and what fitting on it would do, before anything is fitted."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxad._check import InputError, name_some
from jaxad.datasets.folder import GOOD, Item, Survey, survey
from jaxad.datasets.photograph import MAX_PIXELS
from jaxad.folders.plan import SHARE, describe, normal_headers, plan_fit
from jaxad.recipes import AUTO

KINDS = {1: "grey", 3: "colour"}

USUAL_RATE = 0.01
"""The false-positive rate that `jaxad.thresholds` aims at where none is given."""


def inspect_folder(root: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> dict[str, Any]:
    """Say what `jaxad.datasets.survey` finds in a folder and what fitting would do with it, ready for JSON.

    No pixel is decoded. Paths are relative to the folder, in POSIX form.

    Returns a dictionary of
      root, layout: the folder and "mvtec", "good-bad" or "flat";
      images: {"train": {"good": count}, "test": {defect: count}};
      sizes: [{"height", "width", "count"}] in pixels, the most frequent first;
      channels, modes, bits: {value: count}, likewise;
      masks: {"paired": count} and the lists missing, unmatched and misfit (of another size than their image);
      unreadable: [{"path", "reason"}];
      unused, links: images where the layout has no place for them, and links to folders, which are not followed;
      ignored: count of hidden entries and of files that are no images by their extension;
      plan: what `jaxad fit` would do without options, as it will say itself: recipe, the candidates that it compares
        (some of them only if the pixels prove to be aligned), left_aside, the others with the reason, preparation with
        the channels, train and holdout, how many normal images would be learned from and held out, left_out, files that
        are too small; besides false_positive_rate, the smallest that the held-out count supports, 1 / holdout. None
        where fitting would be refused: a warning says why;
      warnings: sentences.

    Raises InputError where `jaxad.datasets.survey` does. For `max_pixels` see `jaxad.datasets.read_photograph`.
    """
    found = survey(root, max_pixels=max_pixels)
    plan, refusal = _plan(found)
    return {
        "root": str(found.root),
        "layout": found.layout,
        "images": {"train": _by_defect(found.train), "test": _by_defect(found.test)},
        "sizes": [{"height": h, "width": w, "count": count} for (h, w), count in found.sizes.items()],
        "channels": {str(value): count for value, count in found.channels.items()},
        "modes": dict(found.modes),
        "bits": {str(value): count for value, count in found.bits.items()},
        "masks": {
            "paired": sum(item.mask is not None for item in found.test),
            "missing": _names(found, found.missing_masks),
            "unmatched": _names(found, found.unmatched_masks),
            "misfit": _names(found, found.misfit_masks),
        },
        "unreadable": [{"path": _name(found, path), "reason": reason} for path, reason in found.unreadable],
        "unused": _names(found, found.unused),
        "links": _names(found, found.links),
        "ignored": found.ignored,
        "plan": plan,
        "warnings": [*_reading_warnings(found, plan), *_mask_warnings(found), *_plan_warnings(found, plan), *refusal],
    }


def _by_defect(items: Iterable[Item]) -> dict[str, int]:
    return dict(sorted(Counter(item.defect for item in items).items(), key=lambda pair: (pair[0] != GOOD, pair[0])))


def _names(found: Survey, paths: Iterable[Path]) -> list[str]:
    return [_name(found, path) for path in paths]


def _name(found: Survey, path: Path) -> str:
    return path.relative_to(found.root).as_posix()


def _plan(found: Survey) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        plan = describe(plan_fit(normal_headers(found), recipe=AUTO), found.root)
    except InputError as error:
        return None, [f"fitting would be refused: {error}"]
    return {**plan, "false_positive_rate": 1 / plan["holdout"]}, []


def _reading_warnings(found: Survey, plan: dict[str, Any] | None) -> list[str]:
    sentences = []
    nested = [item.path.relative_to(found.root) for item in found.train if item.path.parent != found.root]
    below = [repr(name) for name in sorted({path.parts[0] for path in nested})]
    if found.layout == "flat" and below:
        sentences.append(
            f"all images below {name_some(below)} are taken as normal; name folders good and bad to say more"
        )
    if found.unreadable:
        sentences.append(f"files that cannot be read and would be left out: {len(found.unreadable)}")
    if found.unused:
        sentences.append(
            f"images that lie where the layout {found.layout} has no place for them, not used: {len(found.unused)}, "
            f"first {_name(found, found.unused[0])!r}"
        )
    if found.links:
        sentences.append(
            f"links to folders are not followed: {name_some([repr(name) for name in _names(found, found.links)])}"
        )
    if len(found.channels) > 1:
        taken = f"; all would be taken as {KINDS[plan['preparation']['channels']]}" if plan else ""
        sentences.append(f"images are grey ({found.channels[1]}) and in colour ({found.channels[3]}){taken}")
    shallow = sum((header.mode, header.bits) == ("CMYK", 16) for header in found.headers.values())
    if shallow:
        sentences.append(f"images in CMYK of which the upper 8 of 16 bits are read: {shallow}")
    return sentences


def _mask_warnings(found: Survey) -> list[str]:
    counts = {
        "images of defects without a mask": len(found.missing_masks),
        "masks that belong to no image of a defect": len(found.unmatched_masks),
        "masks of another size than their image": len(found.misfit_masks),
    }
    return [f"{words}: {count}" for words, count in counts.items() if count]


def _plan_warnings(found: Survey, plan: dict[str, Any] | None) -> list[str]:
    if plan is None or plan["false_positive_rate"] <= USUAL_RATE:
        return []
    wanted = round(1 / (SHARE * USUAL_RATE))
    return [
        f"{plan['holdout']} held-out images support a false-positive rate of {plan['false_positive_rate']:.1%} at "
        f"best; {USUAL_RATE:.0%} takes {wanted} normal images, here are {len(found.train)}"
    ]
