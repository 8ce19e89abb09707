"""The command `jaxad`: arguments in, a table or JSON out.

Rooms that load jax are imported inside the commands, so that `--help` answers at once.
"""

import os
import sys

from jaxad._check import InputError
from jaxad._files import cache_folder
from jaxad.cli import export, folders, results, systems
from jaxad.cli.terminal import app

__all__ = ["export", "folders", "main", "results", "systems"]


def main() -> None:
    """Run the command; an `InputError` becomes one sentence on standard error and exit code 2."""
    _keep_compilations()
    try:
        app()
    except (InputError, OSError) as error:
        print(f"jaxad: {error}", file=sys.stderr)
        sys.exit(2)


def _keep_compilations() -> None:
    """Let the next process find what this one compiles; jax reads these when it is imported, later."""
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
