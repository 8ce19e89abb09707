"""Which mask belongs to which image, and what a mask shows.

A mask belongs to the image whose path below its defect's folder it shares, extension and case aside, with or without
`_mask`, `_gt` or `_label` behind it; or it lies beside that image with such an ending; or in a folder with the image's
name, where all masks of that folder are one. A pair that could be another one as well is told and not used.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxad.datasets.layouts import BAD, Place
from jaxad.images.masks import mask_problem, read_mask
from jaxad.images.photograph import MAX_PIXELS, UnreadableError

_ENDING = re.compile(r"[ _.-](mask|gt|label|seg|ground_?truth|groundtruth)$", re.IGNORECASE)

Key = tuple[str | None, ...]


class Pairs(NamedTuple):
    """Masks by image, and those that belong to none or to one that cannot be told."""

    masks: dict[Path, tuple[Path, ...]]
    unmatched: list[Path]
    ambiguous: list[tuple[Path, str]]
    """Masks with the other files that they may belong to, or that may be in their place."""
    unclear: set[Path]
    """The images that these masks may belong to."""


def find_beside(images: Collection[Path]) -> dict[Path, list[Path]]:
    """The masks among images that lie beside another one with the same stem but for an ending such as `_mask`."""
    stems: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in images:
        stems[path.parent, path.stem.casefold()].append(path)
    found = {}
    for path in images:
        base = _ENDING.sub("", path.stem)
        if base != path.stem and (path.parent, base.casefold()) in stems:
            found[path] = stems[path.parent, base.casefold()]
    return found


def pair_masks(places: Mapping[Path, Place], images: Collection[Path], beside: Mapping[Path, Sequence[Path]]) -> Pairs:
    """Pair the masks among the places with the images that may have one."""
    index: dict[Key, list[Path]] = defaultdict(list)
    for image in images:
        for key in _image_keys(places[image]):
            index[key].append(image)
    claims: dict[Path, list[Path]] = {}
    in_folders = set()
    for mask, place in places.items():
        if mask in beside:
            claims[mask] = [image for image in beside[mask] if image in images]
        elif place.is_mask:
            direct, in_folder, loose = (
                list(dict.fromkeys(image for key in keys for image in index.get(key, ())))
                for keys in (_mask_keys(place), _folder_keys(place), _stem_keys(place))
            )
            claims[mask] = direct or in_folder or loose
            if not direct and in_folder:
                in_folders.add(mask)
    pairs = Pairs({}, [mask for mask, claimed in claims.items() if not claimed], [], set())
    for group, claimed in _clusters(claims):
        if len(claimed) == 1 and (len(group) == 1 or in_folders.issuperset(group)):
            pairs.masks[claimed[0]] = tuple(group)
            continue
        exact = _exact(group, claimed, places)
        if exact:
            pairs.masks.update(exact)
            continue
        pairs.unclear.update(claimed)
        for mask in group:
            others = [path for path in (*claims[mask], *group) if path != mask]
            words = " and ".join(
                repr(path.name if path.parent == mask.parent else "/".join(path.parts[-2:])) for path in others[:2]
            )
            pairs.ambiguous.append((mask, f"it is not clear which image it is the mask of, for there are {words}"))
    return pairs


def read_masks(paths: Sequence[Path], *, max_pixels: int = MAX_PIXELS) -> Bool[np.ndarray, "h w"]:
    """Decode the masks of one image `[h, w]`: True where any of them is.

    Raises:
        UnreadableError: one cannot be read, or they differ in size.
    """
    first, *others = (read_mask(path, max_pixels=max_pixels) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if other.shape != first.shape:
            raise UnreadableError(path, f"it has {_size(other.shape)} pixels, {paths[0].name!r} {_size(first.shape)}")
        first = first | other
    return first


def mask_of(
    paths: Sequence[Path], shape: Sequence[int], *, max_pixels: int = MAX_PIXELS
) -> Bool[np.ndarray, "h w"] | str:
    """The mask `[h, w]` of a defect on an image of this height and width, or a sentence why it cannot be used."""
    try:
        mask = read_masks(paths, max_pixels=max_pixels)
    except UnreadableError as error:
        return error.reason
    if mask.shape != tuple(shape):
        return f"it has {_size(mask.shape)} pixels and its image {_size(shape)}"
    return mask_problem(mask) or mask


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _folders(place: Place) -> Iterator[tuple[str, ...]]:
    """The folders of a place, with one name for all words for bad, and without that where one of the defect follows."""
    below = tuple(name.casefold() for name in place.below)
    kind = BAD if place.says == "bad" else place.kind.casefold()
    yield (kind, *below) if kind else below
    if place.says == "bad" and below:
        yield below


def _image_keys(place: Place) -> set[Key]:
    stem = place.stem.casefold()
    ends = {(*folders, stem) for folders in _folders(place)}
    return {(split, *end) for end in (*ends, ("*", stem)) for split in (place.split, None)}


def _stems(place: Place) -> set[str]:
    return {place.stem.casefold(), _ENDING.sub("", place.stem).casefold()}


def _mask_keys(place: Place) -> set[Key]:
    return {(place.split, *folders, stem) for folders in _folders(place) for stem in _stems(place)}


def _folder_keys(place: Place) -> set[Key]:
    return {(place.split, *folders) for folders in _folders(place) if folders}


def _stem_keys(place: Place) -> set[Key]:
    """For masks that lie in no folder of a defect: the stem alone."""
    return set() if place.kind else {(place.split, "*", stem) for stem in _stems(place)}


def _clusters(claims: Mapping[Path, Sequence[Path]]) -> Iterator[tuple[list[Path], list[Path]]]:
    """Masks that claim the same images, directly or by others between them, with those images."""
    by_image: dict[Path, list[Path]] = defaultdict(list)
    for mask, claimed in claims.items():
        for image in claimed:
            by_image[image].append(mask)
    seen: set[Path] = set()
    for start, claimed in claims.items():
        if start in seen or not claimed:
            continue
        group, waiting = set(), [start]
        while waiting:
            mask = waiting.pop()
            if mask not in group:
                group.add(mask)
                waiting += [other for image in claims[mask] for other in by_image[image]]
        seen |= group
        yield sorted(group), sorted({image for mask in group for image in claims[mask]})


def _exact(masks: Sequence[Path], images: Sequence[Path], places: Mapping[Path, Place]) -> dict[Path, tuple[Path, ...]]:
    """Pairs whose folders are the same to the letter, where that gives each of the images one of the masks."""

    def spelt(path: Path) -> tuple[str, ...]:
        place = places[path]
        stem = _ENDING.sub("", place.stem) if place.is_mask else place.stem
        return (place.kind, *place.below, stem)

    by_name: dict[tuple[str, ...], tuple[Path, ...]] = {spelt(mask): (mask,) for mask in masks}
    found = {image: by_name[spelt(image)] for image in images if spelt(image) in by_name}
    one_each = len(images) == len(masks) == len(found) == len(set(found.values()))
    return found if one_each else {}
