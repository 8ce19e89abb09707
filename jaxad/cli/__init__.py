"""The command `jaxad`: arguments in, a table or JSON out.

Rooms that load jax are imported inside the commands, so that `--help` answers at once.
"""

from jaxad.cli import export, folders, inspection, process, results, systems
from jaxad.cli.terminal import app

__all__ = ["export", "folders", "inspection", "main", "process", "results", "systems"]


def main() -> None:
    """Run the command; an `InputError` becomes one sentence on standard error and exit code 2."""
    process.run(app)
