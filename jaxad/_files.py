"""Writing files so that none is ever half there."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new path beside `path` to write to; it takes the name `path` when the block ends without an error."""
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
        beside.replace(final)
    finally:
        beside.unlink(missing_ok=True)
