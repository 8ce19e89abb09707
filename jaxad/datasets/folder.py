"""What a folder of photographs holds: which files are normal, which show what defect, which cannot be read.

Three layouts are known; the names train, test, ground_truth, good and bad in any case, extensions likewise:

    mvtec      train/good, test/good, test/<defect>, ground_truth/<defect>/<stem>.<ext> or <stem>_mask.<ext>
    good-bad   good, bad or bad/<defect>, and masks under ground_truth/<defect> or ground_truth/bad as above
    flat       images anywhere, none under a folder of a known name: all are taken as normal

Folders inside these places are searched too; below test, bad and ground_truth the first one names the defect.
"""

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, TypeVar

from jaxad._check import InputError, name_some
from jaxad.datasets.photograph import EXTENSIONS, MAX_PIXELS, Header, UnreadableError, read_header

GOOD = "good"
Layout = Literal["mvtec", "good-bad", "flat"]
Value = TypeVar("Value", bound=Hashable)
_KNOWN = frozenset({"train", "test", "ground_truth", GOOD, "bad"})


@dataclass(frozen=True)
class Item:
    """One image file: its path, its defect ("good" where there is none) and the file of its mask, if any."""

    path: Path
    defect: str
    mask: Path | None = None


@dataclass(frozen=True)
class Survey:
    """What a folder holds, each part sorted by the POSIX form of the path below `root`.

    Attributes:
      root: the folder; all paths begin with it.
      layout: "mvtec", "good-bad" or "flat".
      train: normal images to fit on.
      test: images to judge, good ones and defects; none in a flat folder.
      unreadable: images and masks whose header cannot be read, each with the reason; they are nowhere else.
      missing_masks: defects of `test` without a mask, where others have one; all lack one where this is empty
        and no item has a mask.
      unmatched_masks: masks that belong to no image of a defect.
      misfit_masks: masks of another height or width than their image; their items have them all the same.
      headers: what each image of train and test says of itself, by path.
      unused: images that lie where the layout has no place for them.
      links: links to folders. None is followed, so that nothing is counted twice or comes from outside.
      ignored: how many files are hidden or no image by their extension, and how many folders are hidden.
      sizes: how many of train and test have each (height, width), in pixels.
      channels: how many have 1 (grey) or 3 (colour) channels.
      modes: how many have each of Pillow's modes, such as "L", "RGB" or "I;16".
      bits: how many have each number of bits a sample.
    """

    root: Path
    layout: Layout
    train: tuple[Item, ...]
    test: tuple[Item, ...]
    unreadable: tuple[tuple[Path, str], ...]
    missing_masks: tuple[Path, ...]
    unmatched_masks: tuple[Path, ...]
    misfit_masks: tuple[Path, ...]
    headers: Mapping[Path, Header]
    unused: tuple[Path, ...]
    links: tuple[Path, ...]
    ignored: int
    sizes: Mapping[tuple[int, int], int]
    channels: Mapping[int, int]
    modes: Mapping[str, int]
    bits: Mapping[int, int]


def survey(root: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Survey:
    """Find the images of a folder, what each is and which cannot be read. Headers are read, no pixel is decoded.

    Files are taken as images by their extension and may be links, wherever those lead. A mask belongs to the image
    whose path below its defect's folder it shares, extension aside, with or without `_mask`.

    Args:
      root: the folder of one set.
      max_pixels: height times width beyond which a file counts as unreadable; see `read_photograph`.

    Raises:
      InputError: no such folder, one that cannot be listed, no image in it, several sets in it, or folders of known
        names without the normal images of any layout.
    """
    root = Path(root)
    tree = _walk(root)
    layout = _layout(root, tree)
    places = {path: _place(path.relative_to(root), layout) for path in tree.images}
    headers, unreadable = _read_headers((path for path, place in places.items() if place), max_pixels)
    pairs, unmatched = _pair(places)
    pairs = {image: mask for image, mask in pairs.items() if mask in headers}
    train, test = (
        tuple(
            Item(path, place.defect, pairs.get(path))
            for path, place in places.items()
            if place and place.split == split and path in headers
        )
        for split in ("train", "test")
    )
    used = {item.path: headers[item.path] for item in (*train, *test)}
    return Survey(
        root=root,
        layout=layout,
        train=train,
        test=test,
        unreadable=tuple(unreadable),
        missing_masks=tuple(item.path for item in test if pairs and item.defect != GOOD and not item.mask),
        unmatched_masks=tuple(mask for mask in unmatched if mask in headers),
        misfit_masks=tuple(item.mask for item in test if item.mask and _misfit(headers[item.path], headers[item.mask])),
        headers=used,
        unused=tuple(path for path, place in places.items() if not place),
        links=tuple(tree.links),
        ignored=tree.ignored,
        sizes=_counted((header.height, header.width) for header in used.values()),
        channels=_counted(header.channels for header in used.values()),
        modes=_counted(header.mode for header in used.values()),
        bits=_counted(header.bits for header in used.values()),
    )


class _Tree(NamedTuple):
    """What lies below a root, sorted, and how many entries were passed over."""

    images: list[Path]
    folders: list[Path]
    links: list[Path]
    ignored: int


def _walk(root: Path) -> _Tree:
    if not root.is_dir():
        raise InputError(f"{str(root)!r} must be a folder of images, and there is no such folder")
    images: list[Path] = []
    folders: list[Path] = []
    links: list[Path] = []
    ignored = 0
    for here, names, files in os.walk(root, onerror=_refuse_unlisted):
        shown = [name for name in names if not name.startswith(".")]
        ignored += len(names) - len(shown)
        names[:] = shown
        for path in (Path(here, name) for name in shown):
            (links if path.is_symlink() else folders).append(path)
        found = [name for name in files if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS]
        ignored += len(files) - len(found)
        images += [Path(here, name) for name in found]
    for paths in (images, folders, links):
        paths.sort(key=lambda path: path.relative_to(root).as_posix())
    tree = _Tree(images, folders, links, ignored)
    if not images:
        raise InputError(
            f"folder {str(root)!r} must hold images ({', '.join(sorted(EXTENSIONS))}), "
            f"got none and {ignored} other entries{_unfollowed(root, tree)}"
        )
    return tree


def _refuse_unlisted(error: OSError) -> NoReturn:
    raise InputError(f"folder {str(error.filename)!r} cannot be listed: {error.strerror}")


def _unfollowed(root: Path, tree: _Tree) -> str:
    return f"; links to folders are not followed: {_named(root, tree.links)}" if tree.links else ""


def _named(root: Path, paths: Iterable[Path]) -> str:
    return name_some([repr(path.relative_to(root).as_posix()) for path in paths])


def _layout(root: Path, tree: _Tree) -> Layout:
    parts = {folder: folder.relative_to(root).as_posix().casefold().split("/") for folder in tree.folders}
    if ["train", GOOD] in parts.values():
        return "mvtec"
    if [GOOD] in parts.values():
        return "good-bad"
    known = [folder for folder, names in parts.items() if names[-1] in _KNOWN and not _KNOWN & set(names[:-1])]
    strays = [folder for folder in known if folder.parent == root]
    if strays:
        raise InputError(
            f"folder {str(root)!r} has {_named(root, strays)} and no folder of normal images to go with it; put those "
            f"into 'good' beside 'bad', or into 'train/good' beside 'test'{_unfollowed(root, tree)}"
        )
    if known:
        sets = dict.fromkeys(folder.parent for folder in known)
        raise InputError(f"folder {str(root)!r} must hold one set, got {len(sets)}: {_named(root, sets)}; choose one")
    return "flat"


class _Place(NamedTuple):
    """What an image file is by where it lies; a mask has the key of its image, or that with `_mask` behind it."""

    split: Literal["train", "test", "mask"]
    defect: str
    key: tuple[str, ...]


def _place(path: Path, layout: Layout) -> _Place | None:
    """The place of a path below the root; None where the layout has none."""
    folders = path.parts[:-1]
    first, second = (*(name.casefold() for name in folders[:2]), "", "")[:2]
    if layout == "flat" or (first, second) == ("train", GOOD) or (layout, first) == ("good-bad", GOOD):
        return _Place("train", GOOD, ())
    if layout == "mvtec" and first == "test" and second:
        return _Place("test", GOOD if second == GOOD else folders[1], (second, *folders[2:], path.stem))
    if layout == "good-bad" and first == "bad":
        defect = folders[1] if second not in {"", GOOD} else "bad"
        return _Place("test", defect, (defect.casefold(), *folders[2:], path.stem))
    if first == "ground_truth" and second:
        return _Place("mask", folders[1], (second, *folders[2:], path.stem))
    return None


def _pair(places: Mapping[Path, _Place | None]) -> tuple[dict[Path, Path], list[Path]]:
    """The mask of each image of a defect that has one, and the masks that belong to none."""
    masks: dict[tuple[str, ...], Path] = {}
    for path, place in places.items():
        if place and place.split == "mask":
            masks.setdefault(place.key, path)
    pairs = {}
    for path, place in places.items():
        if place and place.split == "test" and place.defect != GOOD:
            *folders, stem = place.key
            mask = masks.get((*folders, f"{stem}_mask")) or masks.get(place.key)
            if mask:
                pairs[path] = mask
    taken = set(pairs.values())
    return pairs, [path for path, place in places.items() if place and place.split == "mask" and path not in taken]


def _read_headers(paths: Iterable[Path], max_pixels: int) -> tuple[dict[Path, Header], list[tuple[Path, str]]]:
    headers, unreadable = {}, []
    for path in paths:
        try:
            headers[path] = read_header(path, max_pixels=max_pixels)
        except UnreadableError as error:
            unreadable.append((path, error.reason))
    return headers, unreadable


def _misfit(image: Header, mask: Header) -> bool:
    return (image.height, image.width) != (mask.height, mask.width)


def _counted(values: Iterable[Value]) -> dict[Value, int]:
    """How often each value comes, the most frequent first."""
    return dict(Counter(values).most_common())
