"""What both kinds of file are turned into, and the order of parts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from jaxad._check import InputError

Kind = Literal["Dense", "Conv", "ConvTranspose", "BatchNorm"]
NamedArrays = Mapping[str, Shaped[np.ndarray, "..."]]


@dataclass(frozen=True)
class Layer:
    """One layer of a file. `arrays` holds float arrays in flax.linen's names and layout.

    Dense kernel [in, out]; Conv and ConvTranspose kernel [kh, kw, in, out]; bias, scale, mean and var [out].
    `kind` is a `Kind`, or the class name in the file where jaxad has no such layer. `epsilon` is what a BatchNorm adds
    to its variance, where the file tells.
    """

    name: str
    kind: str
    arrays: NamedArrays
    epsilon: float | None = None


def is_weight(value: Any) -> bool:
    """Whether an array can be a weight: step counters, metric totals and generator states are integers or scalars."""
    # NumPy does not know bfloat16, whose type another package registers, for a float.
    return value.ndim > 0 and (np.issubdtype(value.dtype, np.floating) or value.dtype.name == "bfloat16")


def describe(value: Any) -> str:
    """Type and shape for an error message, as in float32[3,3,1,32]."""
    return f"{np.dtype(value.dtype).name}[{','.join(map(str, value.shape))}]"


def part_order(path: str) -> int:
    """Encoders come first and decoders last, whatever the alphabet says; the outermost component that tells decides."""
    for component in re.split(r"[./\\_]", path):
        if component.startswith(("enc", "dec")):
            return -1 if component.startswith("enc") else 1
    return 0


def name_order(path: str) -> tuple[tuple[tuple[int, str], ...], ...]:
    """A sorting key by which conv2d < conv2d_5 < conv2d_10: of each component, its letters and its numbers in turn."""
    return tuple(
        tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"[_-]?(\d+)[_-]?", component))
        for component in re.split(r"[./\\]", path)
    )


def in_name_order(layers: Mapping[str, Layer], parts: Mapping[str, int], *, mend: str) -> list[Layer]:
    """Layers of a file that does not keep their order, by path: by `parts`, then by name with numbers counted.

    Raises:
        InputError: two layers of one part could be exchanged, and no number in their names says which comes first.
    """
    paths = sorted(layers, key=lambda path: (parts[path], name_order(path)))
    for first, second in combinations(paths, 2):
        alike = parts[first] == parts[second] and _outline(layers[first]) == _outline(layers[second])
        if alike and not _counted(first, second):
            raise InputError(
                f"layers {first!r} and {second!r} could be exchanged, and nothing says which comes first; {mend}"
            )
    return [layers[path] for path in paths]


def _outline(layer: Layer) -> tuple[str, dict[str, tuple[int, ...]]]:
    return layer.kind, {name: value.shape for name, value in layer.arrays.items()}


def _counted(path: str, other: str) -> bool:
    """Whether two paths differ in a number before they differ in letters."""
    for one, two in zip(name_order(path), name_order(other), strict=False):
        if one != two:
            part = next((a for a, b in zip(one, two, strict=False) if a != b), None)
            return part is None or part[0] >= 0
    return True
