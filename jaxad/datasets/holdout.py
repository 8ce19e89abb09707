"""How many normal images to keep from training."""

FEWEST = 2
"""Held-out images: a spread needs two."""


def count_held_out(count: int, *, share: float) -> int:
    """How many of `count` images a share of them is, rounded; 0 where that is fewer than two, or all of them.

    >>> count_held_out(12, share=0.2), count_held_out(12, share=0.1), count_held_out(12, share=1.0)
    (2, 0, 0)
    """
    held = round(share * count)
    return held if FEWEST <= held < count else 0
