"""Where files go, and writing them so that none is ever half there."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be made again: the environment variable JAXAD_CACHE_DIR, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("JAXAD_CACHE_DIR") or platformdirs.user_cache_dir("jaxad"))


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


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
