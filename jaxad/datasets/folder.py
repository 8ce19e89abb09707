"""What a folder of photographs holds: which files are normal, which show what defect, which are not used and why."""

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jaxad._check import InputError
from jaxad.datasets.labels import read_labels
from jaxad.datasets.layouts import GOOD, Layout
from jaxad.datasets.mask_pairs import mask_of
from jaxad.datasets.sorting import sort_by_folders, sort_by_table
from jaxad.datasets.tree import NotUsed, Tree, name_below, walk
from jaxad.images.photograph import EXTENSIONS, MAX_PIXELS, UNREAD_EXTENSIONS, Header, UnreadableError, read_headers

Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True)
class Item:
    """One image file: its path, its defect ("good" where there is none) and the files of its masks, if any."""

    path: Path
    defect: str
    masks: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What a folder holds, each part sorted by the POSIX form of the path below `root`.

    Attributes:
      root: the folder; all paths begin with it.
      layout: one of `jaxad.datasets.layouts`, or "labels" where a table says what each image is.
      split: whether the folder says which images are to train on and which to test on.
      train: normal images to fit on.
      test: images to judge, defects and, where there is a split, good ones; none in a flat folder.
      to_judge: the images that scoring takes, readable or not, each with its defect, "" where that is not known: those
        of test, without a split those of train too, and those of `unplaced` that do not lie among images to train on.
      unreadable: images and masks whose header cannot be read, each with the reason; they are nowhere else.
      unreadable_train: those of them that were to be fitted on.
      unplaced: images that are neither to train nor to test on, each with the reason.
      missing_masks: defects of `test` without a mask, where others have one; all lack one where this is empty
        and no item has a mask.
      unmatched_masks: masks that belong to no image of a defect.
      ambiguous_masks: masks of which it is not clear whose they are, each with the reason; no item has them.
      misfit_masks: masks of another height or width than their image; their items have them all the same.
      headers: what each image of train and test says of itself, by path.
      links: links to folders. None is followed, so that nothing is counted twice or comes from outside.
      other: files that are no images by their extension, folders that systems make, such as thumbnails, and what jaxad
        wrote itself, each with the reason.
      hidden: how many files and folders are hidden.
      sizes: how many of train and test have each (height, width), in pixels.
      channels: how many have 1 (grey) or 3 (colour) channels.
      modes: how many have each of Pillow's modes, such as "L", "RGB" or "I;16".
      bits: how many have each number of bits a sample.
    """

    root: Path
    layout: Layout
    split: bool
    train: tuple[Item, ...]
    test: tuple[Item, ...]
    to_judge: tuple[tuple[Path, str], ...]
    unreadable: tuple[NotUsed, ...]
    unreadable_train: tuple[NotUsed, ...]
    unplaced: tuple[NotUsed, ...]
    missing_masks: tuple[Path, ...]
    unmatched_masks: tuple[Path, ...]
    ambiguous_masks: tuple[NotUsed, ...]
    misfit_masks: tuple[Path, ...]
    headers: Mapping[Path, Header]
    links: tuple[Path, ...]
    other: tuple[NotUsed, ...]
    hidden: int
    sizes: Mapping[tuple[int, int], int]
    channels: Mapping[int, int]
    modes: Mapping[str, int]
    bits: Mapping[int, int]

    @property
    def not_used(self) -> tuple[NotUsed, ...]:
        """Everything below the root that is not used, each with the reason; hidden files are only counted."""
        return (
            *self.unreadable,
            *self.unplaced,
            *((path, "a mask that belongs to no image of a defect") for path in self.unmatched_masks),
            *self.ambiguous_masks,
            *((path, "a mask of another size than its image") for path in self.misfit_masks),
            *((path, "a link to a folder, which is not followed") for path in self.links),
            *self.other,
        )

    def name(self, path: Path) -> str:
        """A path below the root, in POSIX form."""
        return path.relative_to(self.root).as_posix()


def odd_masks(found: Survey) -> list[NotUsed]:
    """Masks that cannot be those of their images, as their pixels show, each with the reason.

    Those of another size, and those whose header cannot be read, are known without.
    """
    odd = []
    for item in found.test:
        header = found.headers[item.path]
        if item.masks and not set(item.masks) & set(found.misfit_masks):
            mask = mask_of(item.masks, (header.height, header.width))
            if isinstance(mask, str):
                odd.append((item.masks[0], mask))
    return odd


def survey(
    root: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    judging: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Survey:
    """Find the images of a folder, what each is, and what is not used.

    Headers are read; no pixel is decoded but those of masks where nothing else says which images are of defects.
    Files are taken as images by their extension and may be links, wherever those lead.

    Args:
      root: the folder of one set, in one of the layouts of `jaxad.datasets.layouts`.
      labels: a table that says what each image is; see `jaxad.datasets.labels`. Then names of folders say nothing.
      judging: whether the images are only to be judged: then a folder without normal images is taken too.
      max_pixels: height times width beyond which a file counts as unreadable; see `read_photograph`.

    Raises:
      InputError: no such folder, one that cannot be listed, no image in it, several sets in it, folders of known
        names without the normal images of any layout, names that leave open which images are good, or labels that
        cannot be used.
    """
    root = Path(root)
    tree = walk(root)
    if not tree.images:
        others = len(tree.other) + tree.hidden
        raise InputError(
            f"folder {str(root)!r} must hold images ({', '.join(sorted(EXTENSIONS))}), got none"
            f"{f' among {others} entries' if others else ''}{_what_else(root, tree)}"
        )
    if labels is not None:
        # The table itself may lie in the folder.
        table = Path(labels).resolve()
        tree = tree._replace(other=[pair for pair in tree.other if pair[0].resolve() != table])
        found = sort_by_table(root, tree, read_labels(labels, root, tree.images))
    else:
        found = sort_by_folders(root, tree, judging=judging)
    masks = [*dict.fromkeys(path for paths in found.pairs.masks.values() for path in paths), *found.pairs.unmatched]
    headers, unreadable = _read_headers((*found.train, *found.test, *masks), max_pixels)
    unreadable += [(path, reason) for path, reason in found.unread_masks if path in headers]

    def items(which: Mapping[Path, str]) -> tuple[Item, ...]:
        pairs = {image: tuple(path for path in paths if path in headers) for image, paths in found.pairs.masks.items()}
        return tuple(
            Item(path, defect, pairs.get(path, ()) if defect != GOOD else ())
            for path, defect in which.items()
            if path in headers
        )

    train, test = items(found.train), items(found.test)
    used = {item.path: headers[item.path] for item in (*train, *test)}
    return Survey(
        root=root,
        layout=found.layout,
        split=found.split,
        train=train,
        test=test,
        to_judge=_in_order(root, found.judged()),
        unreadable=_in_order(root, unreadable),
        unreadable_train=_in_order(root, (pair for pair in unreadable if pair[0] in found.train)),
        unplaced=_in_order(root, {**found.unplaced, **found.unlearned}.items()),
        missing_masks=tuple(
            item.path for item in test if any(one.masks for one in test) and item.defect != GOOD and not item.masks
        ),
        unmatched_masks=tuple(mask for mask in found.pairs.unmatched if mask in headers),
        ambiguous_masks=_in_order(root, found.pairs.ambiguous),
        misfit_masks=tuple(mask for item in test for mask in item.masks if _misfit(headers[item.path], headers[mask])),
        headers=used,
        links=tuple(tree.links),
        other=tuple(tree.other),
        hidden=tree.hidden,
        sizes=_counted((header.height, header.width) for header in used.values()),
        channels=_counted(header.channels for header in used.values()),
        modes=_counted(header.mode for header in used.values()),
        bits=_counted(header.bits for header in used.values()),
    )


def _what_else(root: Path, tree: Tree) -> str:
    own = [path for path, reason in tree.other if reason.startswith("what jaxad wrote itself")]
    words = f"; links to folders are not followed: {name_below(root, tree.links)}" if tree.links else ""
    return words + (f"; jaxad wrote itself: {name_below(root, own)}" if own else "")


def _read_headers(paths: Iterable[Path], max_pixels: int) -> tuple[dict[Path, Header], list[NotUsed]]:
    headers, unreadable = {}, []
    for path, found in read_headers(paths, max_pixels=max_pixels):
        if isinstance(found, UnreadableError):
            unreadable.append((path, UNREAD_EXTENSIONS.get(path.suffix.lower(), found.reason)))
        else:
            headers[path] = found
    return headers, unreadable


def _in_order(root: Path, pairs: Iterable[tuple[Path, str]]) -> tuple[NotUsed, ...]:
    return tuple(sorted(pairs, key=lambda pair: pair[0].relative_to(root).as_posix()))


def _misfit(image: Header, mask: Header) -> bool:
    return (image.height, image.width) != (mask.height, mask.width)


def _counted(values: Iterable[Value]) -> dict[Value, int]:
    """How often each value comes, the most frequent first."""
    return dict(Counter(values).most_common())
