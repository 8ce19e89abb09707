"""The files below a folder: images, and everything else with the reason why it is not taken for one.

What jaxad wrote itself is told by what is in it, never by the name of its folder, and is left aside.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxad._addresses import at
from jaxad._addresses import walk as walk_folders
from jaxad._check import InputError, name_some
from jaxad.images.photograph import EXTENSIONS, UNREAD_EXTENSIONS

NotUsed = tuple[Path, str]
"""A file or a folder, and why it is not used."""

RESULTS = (
    "results.csv",
    "regions.jsonl",
    "errors.csv",
    "started.json",
    "photographs.json",
    "run.json",
    "report.html",
)
"""Files of a folder of results, see `jaxad.results.writing`; its pictures and maps are numbered."""
RESULTS_HEAD = b"file,defect,score,calibrated,decision,milliseconds"
_NUMBERED = {"pictures": re.compile(r"\d{6,}\.jpg"), "maps": re.compile(r"\d{6,}\.(npy|png)")}
_FIGURE = re.compile(
    r"(detections|roc|loss|errors|codes|confusion|triples|reconstructions(_\d+)?|heatmap_\w+)\.png|results\.json"
)
_OF_SYSTEMS = {
    "@eadir": "thumbnails of a Synology station",
    "__macosx": "what macOS adds to an archive",
    "#recycle": "a waste bin",
    "@recycle": "a waste bin",
    "$recycle.bin": "a waste bin",
}
"""Folders that hold images and no photographs, by their names in small letters."""
_BUNDLES = frozenset({".jaxad", ".part"})
_CHECKPOINT = "_CHECKPOINT_METADATA"


class Tree(NamedTuple):
    """What lies below a root, each sorted by the POSIX form of the path below it."""

    images: list[Path]
    """Files that are images by their extension, those of kinds that cannot be read among them."""
    folders: list[Path]
    links: list[Path]
    """Links to folders, which are not followed."""
    other: list[NotUsed]
    """What is no image, what systems leave in folders, and what jaxad wrote itself."""
    hidden: int
    """How many files and folders are hidden; they are not looked at."""


def walk(root: Path, *, leave_closed: bool = False) -> Tree:
    """Find what lies below the folder `root`; with `leave_closed` folders in it that may not be listed are left aside.

    Raises:
        InputError: no such folder, or one that cannot be listed.
    """
    there = at(root)
    if not there.is_dir():
        what = "is a file" if there.exists() else "there is no such folder"
        raise InputError(f"{str(root)!r} must be a folder of images, and {what}")
    tree = Tree([], [], [], [], 0)
    hidden = 0

    def on_unlisted(error: OSError) -> None:
        path = Path(error.filename)
        if not (leave_closed and isinstance(error, PermissionError) and root in path.parents):
            raise InputError(f"folder {str(error.filename)!r} cannot be listed: {error.strerror}")
        tree.other.append((path, f"a folder that cannot be listed: {error.strerror}"))

    for here, names, files in walk_folders(root, onerror=on_unlisted):
        folder = Path(here)
        shown = [name for name in names if not name.startswith(".")]
        hidden += len(names) - len(shown)
        own = [*_of_systems(folder, shown), *_own(folder, shown, files)]
        left_aside = {path for path, _ in own}
        tree.other.extend(own)
        names[:] = [name for name in shown if folder / name not in left_aside]
        for path in (folder / name for name in names):
            (tree.links if path.is_symlink() else tree.folders).append(path)
        for name in files:
            path = folder / name
            if name.startswith("."):
                hidden += 1
            elif path.suffix.lower() in EXTENSIONS | UNREAD_EXTENSIONS.keys():
                if path not in left_aside:
                    tree.images.append(path)
            elif path not in left_aside:
                tree.other.append((path, _no_image(path)))
    for paths in (tree.images, tree.folders, tree.links):
        paths.sort(key=lambda path: path.relative_to(root).as_posix())
    tree.other.sort(key=lambda pair: pair[0].relative_to(root).as_posix())
    return tree._replace(hidden=hidden)


def name_below(root: Path, paths: Iterable[Path]) -> str:
    """The first of the paths below a root, for a sentence."""
    return name_some([repr(path.relative_to(root).as_posix()) for path in paths])


def _no_image(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _BUNDLES:
        return f"what jaxad wrote itself: a {suffix} file"
    return f"no image by its extension {suffix}" if suffix else "no image: its name has no extension"


def _of_systems(folder: Path, names: Sequence[str]) -> list[NotUsed]:
    reasons = {name: _OF_SYSTEMS.get(name.lower()) for name in names}
    return [(folder / name, f"no photographs: {reason}") for name, reason in reasons.items() if reason]


def _own(folder: Path, names: Sequence[str], files: Sequence[str]) -> list[NotUsed]:
    """What jaxad wrote into a folder: files in it, or folders where nothing else is in them."""
    # Unlike Path.is_file this is false in a folder that may not be entered, which is said when it is listed.
    kept = [name for name in names if os.path.isfile(folder / name / _CHECKPOINT)]
    if kept:
        return [(folder / name, "what jaxad wrote itself: a checkpoint of a training") for name in kept]
    reason = "what jaxad wrote itself: results of `jaxad score`"
    if _holds_results(folder, files):
        return [
            *((folder / name, reason) for name in files if name in RESULTS),
            *((folder / name, reason) for name in names if name in _NUMBERED and _all_numbered(folder / name)),
        ]
    kind = _NUMBERED.get(folder.name)
    if kind and _holds_results(folder.parent, RESULTS):
        return [(folder / name, reason) for name in files if kind.fullmatch(name)]
    if "results.json" in files and "environment" in _json_keys(folder / "results.json"):
        what = "what jaxad wrote itself: results of `jaxad demo` or `jaxad recipe run`"
        return [(folder / name, what) for name in files if _FIGURE.fullmatch(name)]
    return []


def _holds_results(folder: Path, files: Sequence[str]) -> bool:
    if "started.json" in files and {"part", "threshold", "maps"} <= _json_keys(folder / "started.json"):
        return True
    if "run.json" in files and {"jaxad", "threshold", "counts"} <= _json_keys(folder / "run.json"):
        return True
    try:
        with at(folder / "results.csv").open("rb") as table:
            return "results.csv" in files and table.read(len(RESULTS_HEAD)) == RESULTS_HEAD
    except OSError:
        return False


def _all_numbered(folder: Path) -> bool:
    return all(_NUMBERED[folder.name].fullmatch(name) for name in os.listdir(folder) if not name.startswith("."))


def _json_keys(path: Path) -> set[str]:
    try:
        found = json.loads(at(path).read_bytes())
    except (OSError, ValueError):
        return set()
    return set(found) if isinstance(found, dict) else set()
