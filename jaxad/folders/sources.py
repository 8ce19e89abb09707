"""Which photographs are to be scored, under which name each is reported, and what is known of it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxad._addresses import AnyPath, at, is_address, shown, whole
from jaxad._check import InputError, name_some, raise_problems
from jaxad.datasets import Survey, survey
from jaxad.images.photograph import MAX_PIXELS


class Source(NamedTuple):
    """One file: its path, the name it is reported under, and its defect: "good", another name, or "" if unknown."""

    path: Path
    name: str
    defect: str


class Sources(NamedTuple):
    """What is to be scored, and what lies beside it, by name, with the reason why it is not."""

    images: list[Source]
    not_used: list[tuple[str, str]]
    hidden: int
    """How many hidden files and folders there are; they are not looked at."""


def find_sources(
    source: AnyPath | Sequence[AnyPath], *, labels: AnyPath | None = None, max_pixels: int = MAX_PIXELS
) -> Sources:
    """The photographs of a folder, or the given files, each once.

    Of a folder that says which images are to train on, these are all others, else all images, reported under their
    path below it; images that the layout has no place for are scored too, as unknown. Files are reported as they were
    given. Images that cannot be read are among them: reading says why. For `labels` see `jaxad.datasets.labels`.

    Raises:
        InputError: the folder cannot be surveyed or has nothing to score, folders stand among several files, or there
            are labels and no folder.
    """
    given = (
        [os.fspath(source)]
        if isinstance(source, str | os.PathLike)
        else list(dict.fromkeys(os.fspath(path) for path in source))
    )
    try:
        folders = [path for path in given if at(path).is_dir()]
    except OSError as error:
        raise InputError(f"{error.filename!r} cannot be looked at: {error.strerror}") from None
    if folders and len(given) == 1:
        return _in_folder(survey(given[0], labels=labels, judging=True, max_pixels=max_pixels))
    raise_problems(f"{path!r} is a folder; score one folder, or several files" for path in folders)
    if not given:
        raise InputError("images to score must be a folder or at least one file, got none")
    if not any(at(path).exists() or Path(path).is_symlink() for path in given):
        raise InputError(
            f"there is no folder or file {name_some([repr(shown(path)) for path in given])}; check the path"
        )
    if labels is not None:
        raise InputError(f"labels {str(labels)!r} go with a folder, got {len(given)} files; name their folder")
    return Sources([Source(Path(path), as_utf8(path), "") for path in given], [], 0)


def need_apart(source: AnyPath | Sequence[AnyPath], out: AnyPath) -> None:
    """Refuse to write results among the photographs of a folder; into a folder below it they may go."""
    if not isinstance(source, str | os.PathLike):
        return
    where = [whole(path) if is_address(path) else os.path.realpath(path) for path in (source, out)]
    if where[0] == where[1]:
        raise InputError(
            f"results must lie apart from the photographs, got {shown(out)!r} for both; "
            "choose another folder with --out"
        )


def as_utf8(name: str) -> str:
    """The bytes of a name as UTF-8, which results are written in, whatever this process takes file names to be in."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _in_folder(found: Survey) -> Sources:
    if not found.to_judge:
        raise InputError(
            f"folder {str(found.root)!r} has images to train on and none to score; to score them, name "
            f"{str(found.train[0].path.parent)!r}"
        )
    images = [Source(path, as_utf8(found.name(path)), as_utf8(defect)) for path, defect in found.to_judge]
    taken = {path for path, _ in found.to_judge}
    aside = [(path, reason) for path, reason in found.not_used if path not in taken]
    if found.split:
        aside += [(item.path, "an image to train on; to score it, name its folder") for item in found.train]
    return Sources(images, sorted((as_utf8(found.name(path)), reason) for path, reason in aside), found.hidden)
