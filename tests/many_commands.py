"""Commands, each in a process of its own, forked from one that has imported already what all need.

Reads a JSON list of [arguments, folder, environment] and writes one of [exit code, standard output, standard error].
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import jax  # noqa: F401  (imported, not started: nothing that a fork would break runs yet)

from jaxad.cli import main
from tests import garbage, kept_context
from tests.quick_command import trace_few


def run(arguments: list[str], folder: str, environment: dict[str, str]) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as place:
        written = [Path(place) / name for name in ("out", "err")]
        child = os.fork()
        if child == 0:
            os.environ.update(environment)
            os._exit(_end(arguments, folder, written))
        _, status = os.waitpid(child, 0)
        out, err = (path.read_text() for path in written)
        return os.waitstatus_to_exitcode(status), out, err


def _end(arguments: list[str], folder: str, written: list[Path]) -> int:
    """Run the command where its output goes to files; the exit code that Python would end with."""
    for number, path in enumerate(written, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    sys.argv = ["jaxad", *arguments]
    trace_few(arguments)
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    garbage.collect_seldom()
    kept_context.keep()
    json.dump([run(*one) for one in json.load(sys.stdin)], sys.stdout)
