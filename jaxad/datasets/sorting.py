"""What each image of a folder is to be used for, before any header is read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxad.datasets.labels import Label
from jaxad.datasets.layouts import BAD, GOOD, Layout, Place, choose_layout, is_test, place_of
from jaxad.datasets.mask_pairs import Pairs, find_beside, pair_masks, read_masks
from jaxad.datasets.tree import NotUsed, Tree
from jaxad.images.photograph import UnreadableError


class Sorted(NamedTuple):
    """What each image is to be used for."""

    layout: Layout
    split: bool
    train: dict[Path, str]
    test: dict[Path, str]
    unplaced: dict[Path, str]
    unlearned: dict[Path, str]
    """Images among those to train on that are not good ones."""
    pairs: Pairs
    unread_masks: list[NotUsed]

    def judged(self) -> Iterator[tuple[Path, str]]:
        """The images that scoring takes, each with its defect, "" where that is not known."""
        yield from self.test.items()
        if not self.split:
            yield from ((path, "" if self.layout == "flat" else defect) for path, defect in self.train.items())
        yield from ((path, "") for path in self.unplaced)


def sort_by_table(root: Path, tree: Tree, labels: Mapping[Path, Label]) -> Sorted:
    """By the labels of a table; where it names no masks, these belong to images as they lie."""
    split = any(label.split for label in labels.values())
    masks: dict[Path, tuple[Path, ...]] = {image: (label.mask,) for image, label in labels.items() if label.mask}
    pairs = Pairs(masks, [], [], set())
    of_masks = {mask for paths in masks.values() for mask in paths}
    if not masks:
        places = {path: place_of(path.relative_to(root)) for path in tree.images}
        of_masks = {path for path, place in places.items() if place.is_mask and path not in labels}
        places = {path: place._replace(is_mask=path in of_masks) for path, place in places.items()}
        pairs = pair_masks(places, [path for path, label in labels.items() if label.defect != GOOD], {})
    found = Sorted("labels", split, {}, {}, {}, {}, pairs, [])
    for path in tree.images:
        label = labels.get(path)
        if label is None:
            if path not in of_masks:
                found.unplaced[path] = "the table of labels has no row for it"
        elif label.split == "test" or (label.defect != GOOD and not split):
            found.test[path] = label.defect
        elif label.split is None and split:
            found.unplaced[path] = "its row in the table of labels names no split, though others do"
        elif label.defect == GOOD:
            found.train[path] = GOOD
        else:
            found.unlearned[path] = f"it shows a defect ({label.defect}), and good images alone are learned from"
    return found


def sort_by_folders(root: Path, tree: Tree, *, judging: bool) -> Sorted:
    """By the names of folders and by masks; for `judging` and what is raised see `jaxad.datasets.survey`."""
    places = {path: place_of(path.relative_to(root)) for path in tree.images}
    beside = find_beside([path for path, place in places.items() if not place.is_mask])
    places |= {path: places[path]._replace(is_mask=True) for path in beside}
    layout = choose_layout(root, tree, places, paired=bool(beside), judging=judging)
    if layout == "flat":
        # With no image that could have one, a folder called masks is a folder like others.
        return Sorted(layout, False, dict.fromkeys(places, GOOD), {}, {}, {}, Pairs({}, [], [], set()), [])
    images = {path: place for path, place in places.items() if not place.is_mask}
    if layout == "masks":
        return _by_masks(images, pair_masks(places, images, beside))
    tests = is_test(root)
    named = tests or not any(place.says == "bad" and not place.split for place in images.values())
    found = Sorted(layout, layout != "good-bad", {}, {}, {}, {}, Pairs({}, [], [], set()), [])
    for path, place in images.items():
        kind, why = _role(place, layout, named=named)
        # The folder called test says of what lies below it what it says when the whole set is looked at.
        getattr(found, kind)[path] = why or (place._replace(split="test") if tests else place).defect
    defects = [path for path, defect in found.test.items() if defect != GOOD]
    return found._replace(pairs=pair_masks(places, defects, beside))


def _role(place: Place, layout: Layout, *, named: bool) -> tuple[str, str]:
    """The field of `Sorted` that an image goes into, and why where it is neither to train nor to test on.

    `named` says whether folders beside that of good images are named by their defects.
    """
    if layout == "mvtec" and place.split in {"train", "validation"}:
        if place.says == "good":
            return "train", ""
        what = f"it lies below {place.kind!r}" if place.kind else "it lies in no folder of 'good'"
        return "unlearned", f"{what} in {place.split}, where good images alone are learned from"
    if layout == "mvtec" and place.split == "test" and place.kind:
        return "test", ""
    if layout == "good-bad" and not place.split:
        if place.says == "good":
            return "train", ""
        if place.says == "bad" or (place.says == "other" and named):
            return "test", ""
    if (
        layout == "test"
        and (place.split == "test" or (not place.split and (named or place.says == "bad")))
        and place.kind
    ):
        return "test", ""
    return "unplaced", f"it lies where the layout {layout} has no place for it"


def _by_masks(images: Mapping[Path, Place], pairs: Pairs) -> Sorted:
    """Images with a mask that shows something are of defects, those with an empty one or none are good."""
    split = any(place.split for place in images.values())
    found = Sorted("masks", split, {}, {}, {}, {}, pairs, [])
    for path, place in images.items():
        defect: str | None = GOOD
        why = "it is not clear which mask is its own" if path in pairs.unclear else ""
        if path in pairs.masks:
            defect, problem = _shown(pairs.masks[path])
            why = why or problem
            if problem:
                found.unread_masks.extend((mask, problem) for mask in pairs.masks[path])
        if why:
            found.unplaced[path] = why
        elif place.split == "test" or (defect == BAD and not split):
            found.test[path] = BAD if defect == BAD else GOOD
        elif defect == BAD:
            found.unlearned[path] = f"its mask shows a defect, and in {place.split} good images alone are learned from"
        else:
            found.train[path] = GOOD
    return found


def _shown(masks: tuple[Path, ...]) -> tuple[str | None, str]:
    """What an image with these masks is, or why that cannot be told."""
    try:
        mask = read_masks(masks)
    except UnreadableError as error:
        return None, f"its mask {error.path.name!r} cannot be read: {error.reason}"
    if mask.all():
        return None, "its mask is white all over, so it is probably inverted: white must be the defect"
    return (BAD if mask.any() else GOOD), ""
