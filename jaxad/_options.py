"""Words that options take in several rooms. Nothing here loads jax."""

from typing import Literal

Cover = Literal["full", "seed"]
Reduce = Literal["mean", "sum"]
