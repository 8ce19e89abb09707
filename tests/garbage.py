"""Python's garbage collector, set for processes that trace: these make many small objects that live on.

As it comes, it goes through all of them again and again, for a twelfth of the time.
"""

import gc


def collect_seldom() -> None:
    """Look through all of them a hundred times more seldom.

    Nothing is frozen: hypothesis asks the collector who holds its generator, and a frozen module is not named.
    """
    gc.set_threshold(100_000, 50, 50)
