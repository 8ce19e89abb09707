"""jaxad's command as tests call it, `python -m tests.quick_command`: it traces for this platform alone."""

import sys

from jaxad.cli import main
from tests import garbage, kept_context, one_platform


def trace_few(arguments: list[str]) -> None:
    """Trace for one platform, but for what is exported, which holds the ways of all."""
    if arguments[:1] != ["export"]:
        one_platform.trace_one()


if __name__ == "__main__":
    garbage.collect_seldom()
    kept_context.keep()
    trace_few(sys.argv[1:])
    main()
