"""Python's garbage collector, set for processes that trace: these make many small objects that live on.

As it comes, it goes through all of them again and again, for a twelfth of the time.
"""

import gc


def collect_seldom() -> None:
    """Leave alone what is there, such as imported modules, and look through the rest more seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
