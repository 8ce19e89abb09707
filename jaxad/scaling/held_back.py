"""What Ray writes to standard error from below Python, where no setting of Python's reaches.

Its level can be set by an environment variable alone, which writes a line itself, hides errors, and goes on to all that
Ray starts.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_LINE = re.compile(r"\[[^]]* [A-Z] \d+ \d+\] \S+: (.*)")
_HARMLESS = "has constructor arguments in the object store and max_restarts > 0"
"""On a danger that there is not: what workers are made of lies in this process, which lasts as long as they do."""


class HeldBack:
    """What was written since."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def lines(self) -> list[str]:
        """Each line but those that mean nothing."""
        self._file.seek(0)
        text = self._file.read().decode(errors="backslashreplace")
        return [line for line in text.splitlines(keepends=True) if _HARMLESS not in line]

    def take_reason(self) -> str:
        """What the last line says, "" where there is none; none of those until now will follow the block."""
        said = [found[1] for line in self.lines() if (found := _LINE.match(line))]
        self._file.truncate(0)
        return said[-1] if said else ""


@contextlib.contextmanager
def held_back() -> Iterator[HeldBack]:
    """Hold back what is written below Python; the lines that mean something follow when the block ends."""
    with tempfile.TemporaryFile("a+b", buffering=0) as file, contextlib.ExitStack() as stack:
        held = HeldBack(file)
        with contextlib.suppress(OSError):  # there may be no standard error
            real = os.dup(2)
            stack.callback(os.close, real)
            # Python's own goes on as it did: progress is shown meanwhile.
            own = stack.enter_context(open(real, "w", buffering=1, errors="backslashreplace", closefd=False))
            # A bar on a terminal puts something of its own around the stream.
            if getattr(sys.stderr, "rich_proxied_file", sys.stderr) is sys.__stderr__:
                stack.enter_context(contextlib.redirect_stderr(own))
            os.dup2(file.fileno(), 2)
            stack.callback(_restore, held, real)
        yield held


def _restore(held: HeldBack, real: int) -> None:
    os.dup2(real, 2)
    for line in held.lines():
        os.write(real, line.encode())
