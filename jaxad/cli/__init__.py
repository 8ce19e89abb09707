"""The command `jaxad`: arguments in, a table or JSON out.

Rooms that load jax are imported inside the commands, so that `--help` answers at once.
"""

import os

try:
    from jaxad.cli import export, folders, inspection, process, results, systems, watching
    from jaxad.cli.terminal import app
except KeyboardInterrupt:
    # Ctrl-C before there is a command that could be interrupted; nothing was begun.
    os.write(2, b"jaxad: interrupted\n")
    os._exit(128 + 2)

__all__ = ["export", "folders", "inspection", "main", "process", "results", "systems", "watching"]


def main() -> None:
    """Run the command; an `InputError` becomes one sentence on standard error and exit code 2."""
    process.run(app)
