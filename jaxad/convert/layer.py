"""What both kinds of file are turned into, and the order of parts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

Kind = Literal["Dense", "Conv", "ConvTranspose", "BatchNorm"]
NamedArrays = Mapping[str, Shaped[np.ndarray, "..."]]


@dataclass(frozen=True)
class Layer:
    """One layer of a file. `arrays` holds float arrays in flax.linen's names and layout.

    Dense kernel [in, out]; Conv and ConvTranspose kernel [kh, kw, in, out]; bias, scale, mean and var [out].
    `kind` is a `Kind`, or the class name in the file where jaxad has no such layer.
    """

    name: str
    kind: str
    arrays: NamedArrays


def is_weight(value: Any) -> bool:
    """Whether an array can be a weight: step counters, metric totals and generator states are integers or scalars."""
    return value.ndim > 0 and np.issubdtype(value.dtype, np.floating)


def describe(value: Any) -> str:
    """Type and shape for an error message, as in float32[3,3,1,32]."""
    return f"{np.dtype(value.dtype).name}[{','.join(map(str, value.shape))}]"


def part_order(name: str) -> int:
    """Encoders come first and decoders last, whatever the alphabet says."""
    return -1 if name.startswith("enc") else int(name.startswith("dec"))


def natural_order(text: str) -> tuple[tuple[int, str], ...]:
    """A sorting key by which conv2d < conv2d_5 < conv2d_10."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text))
