"""Where files go, and writing them so that none is ever half there."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be made again: the environment variable JAXAD_CACHE_DIR, or the user's cache folder.

    That is where the system wants it: `~/.cache` or XDG_CACHE_HOME, macOS's `~/Library/Caches`, Windows' LOCALAPPDATA.
    """
    if said := os.environ.get("JAXAD_CACHE_DIR"):
        return Path(said)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "jaxad" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "jaxad"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxad"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new path beside `path` to write to; it takes the name `path` when the block ends without an error.

    A reader sees the old file or the whole new one, after a crash too: the bytes reach the disk before the name does.
    """
    final = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{final.stem}-", suffix=final.suffix, dir=final.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        # mkstemp makes files that only their owner reads; a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        _sync(beside, os.O_RDONLY)
        beside.replace(final)
        # The rename itself must reach the disk; where folders cannot be opened (Windows) the system sees to it.
        if hasattr(os, "O_DIRECTORY"):
            _sync(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        beside.unlink(missing_ok=True)


def hold(folder: str | os.PathLike[str]) -> int | None:
    """Hold a folder until the number that is given back is closed, or the process ends in whatever way.

    None where the system or the disk has no such locks (Windows, some network disks).

    Raises BlockingIOError where it is held already.
    """
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return handle


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
