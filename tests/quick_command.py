"""jaxad's command as tests call it, `python -m tests.quick_command`: it traces for this platform alone."""

import sys

from jaxad.cli import main
from tests import garbage, one_platform

if __name__ == "__main__":
    garbage.collect_seldom()
    if sys.argv[1:2] != ["export"]:  # What is written holds the ways of all platforms.
        one_platform.trace_one()
    main()
