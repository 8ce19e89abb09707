"""Words that options take, and numbers that hold, in several rooms. Nothing here loads jax."""

from typing import Literal

Cover = Literal["full", "seed"]
Reduce = Literal["mean", "sum"]

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""What red, green and blue count in grey: ITU-R 601-2, as Pillow does it."""
