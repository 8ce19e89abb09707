"""Addresses such as s3://bucket/folder in the place of local paths; what lies there is reached through fsspec.

An address may ride in a `Path`, which keeps one of its two slashes: s3:/bucket/folder. So names, endings and what lies
below one are those of paths, and only where a file is touched does `at` look which kind it is.
"""

import contextlib
import datetime
import errno
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+]+):/+(.*)", re.S)
_HEADER = 2**16
"""Bytes that one request fetches where only the beginning of a file is wanted."""

AnyPath = str | os.PathLike[str]


class Stat(NamedTuple):
    """As of `os.stat`: bytes, and nanoseconds since 1970, -1 where they are not told."""

    st_size: int
    st_mtime_ns: int


class Remote:
    """What lies at an address, with the methods of a `Path` that are needed; what goes wrong is an OSError.

    Attributes:
        address: as it is shown, such as s3://bucket/folder.
        files: fsspec's file system.
        key: the name of it there.
    """

    def __init__(self, protocol: str, rest: str) -> None:
        self.address = f"{protocol}://{rest}"
        if protocol in ("file", "local"):
            raise OSError(errno.EINVAL, f"it lies on a disk; name it without {protocol}://", f"{protocol}:///{rest}")
        with self.told():
            try:
                import fsspec

                self.files, self.key = fsspec.core.url_to_fs(self.address)
            except ImportError as error:
                extra = "s3" if protocol in ("s3", "s3a") else "ray"  # which brings fsspec
                why = f"a package is missing ({error}); do pip install 'jaxad[{extra}]'"
                raise OSError(errno.EIO, why, self.address) from None

    def is_dir(self) -> bool:
        """Whether it is a folder, or something lies below it."""
        return self._kind() == "directory"

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._kind() == "file"

    def exists(self) -> bool:
        """Whether anything lies there."""
        return bool(self._kind())

    def stat(self) -> Stat:
        """How large it is and when it was written."""
        found = self._info
        when = found.get("LastModified") or found.get("mtime") or found.get("created")
        seconds = when.timestamp() if isinstance(when, datetime.datetime) else when
        return Stat(int(found["size"] or 0), -1 if seconds is None else round(seconds * 1e9))

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The file, of which only what is read is fetched."""
        with self.told():
            return self.files.open(self.key, mode, block_size=_HEADER)

    def read_bytes(self) -> bytes:
        """All of the file, by one request."""
        with self.told():
            return self.files.cat_file(self.key)

    def listed(self) -> tuple[list[str], list[str]]:
        """Names of the folders and of the files in a folder."""
        with self.told():
            found = self.files.ls(self.key, detail=True)
        names: tuple[list[str], list[str]] = [], []
        for one in found:
            if one["type"] == "directory" and one["name"].endswith("/"):
                why = "it holds names with nothing between two slashes, which are no paths; rename what lies below them"
                raise OSError(errno.EINVAL, why, self.address)
            name = one["name"].rstrip("/").rpartition("/")[2]
            # A folder made by hand is an empty object with its name.
            if one["name"].strip("/") != self.key.strip("/"):
                names[one["type"] != "directory"].append(name)
        return sorted(names[0]), sorted(names[1])

    @functools.cached_property
    def _info(self) -> dict[str, Any]:
        with self.told():
            return dict(self.files.info(self.key))

    def _kind(self) -> str:
        try:
            return str(self._info["type"])
        except FileNotFoundError:
            return ""

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Whatever goes wrong in the block as an OSError whose `strerror` is a sentence."""
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "there is no such bucket, folder or file", self.address) from None
        except PermissionError as error:
            why = f"it may not be reached with these credentials ({error}); mend them, or ask for leave"
            raise PermissionError(errno.EACCES, why, self.address) from None
        except OSError as error:
            if error.strerror:
                raise
            raise OSError(errno.EIO, f"it cannot be reached: {error}", self.address) from None
        except Exception as error:  # each kind of store has errors of its own, few of which are OSErrors
            why = f"it cannot be reached: {' '.join(str(error).split())}"
            raise OSError(errno.EIO, why, self.address) from None


def at(path: AnyPath) -> Path | Remote:
    """What lies at a path or an address, to be looked at and read."""
    parts = _parts_of(path)
    return Remote(*parts) if parts else Path(path)


def is_address(path: AnyPath) -> bool:
    """Whether it is an address and no local path."""
    return bool(_parts_of(path))


def whole(path: AnyPath) -> str:
    """A path from the root of the file system on, links kept, or an address with both of its slashes."""
    parts = _parts_of(path)
    return "://".join(parts) if parts else os.path.abspath(path)


def _parts_of(path: AnyPath) -> tuple[str, str] | None:
    """Protocol, in small letters, and the rest of an address; None of a local path."""
    found = _ADDRESS.fullmatch(Path(path).as_posix())
    return (found[1].lower(), found[2]) if found else None


def shown(path: AnyPath) -> str:
    """A path as it was given, or an address with both of its slashes."""
    return whole(path) if is_address(path) else os.fspath(path)


def walk(root: AnyPath, *, onerror: Any = None) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, names taken from the list of folders are not entered; below an address likewise."""
    if not is_address(root):
        yield from os.walk(root, onerror=onerror)
        return
    there = at(root)
    assert isinstance(there, Remote)
    try:
        folders, files = there.listed()
    except OSError as error:
        if onerror is not None:
            onerror(error)
        return
    yield os.fspath(root), folders, files
    for name in folders:
        yield from walk(Path(root) / name, onerror=onerror)
