"""What a compiled program does, read off its text: steps, their modelled cost, operations of products, bytes moved.

The text is XLA's HLO after all optimisations. A step is an instruction of the entry computation, or of what it loops
over, calls or chooses, that the device is asked to do: a fusion, a call of a library, a copy. Loops count as often as
they run; of a choice the dearest branch counts.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

FREE = {
    *("parameter", "constant", "bitcast", "get-tuple-element", "tuple", "after-all", "partition-id", "iota"),
    *("copy-done", "async-done", "async-update", "slice-done", "dynamic-slice-done", "opt-barrier", "add-dependency"),
}
SLICED = ("dynamic-slice", "slice", "gather")
SHAPE = re.compile(r"\b(pred|[a-z]\d+[a-z0-9]*|bf16|token)\[([\d,]*)\]")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
BITS = {"pred": 8, "bf16": 16, "token": 0}


@dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    shape: str
    opcode: str
    rest: str
    """Operands, then attributes."""

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """Names."""
        return tuple(re.findall(r"%([^\s,()]+)", self.rest.split(")", 1)[0]))

    def called(self, attribute: str) -> str:
        """The computation that an attribute names; empty where it names none."""
        found = re.search(rf"\b{attribute}=%?([^\s,}}]+)", self.rest)
        return found[1] if found else ""

    @property
    def origin(self) -> str:
        """The function of jax, or of the model, that it comes from."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""

    @property
    def target(self) -> str:
        """Of a custom call: what is called."""
        found = re.search(r'custom_call_target="([^"]*)"', self.rest)
        return found[1] if found else ""


class Step(NamedTuple):
    """What the device is asked to do at one place of a program, and how often."""

    name: str
    kind: str
    origin: str
    times: int
    operations: float
    """Multiplications and additions of products, of all times together; zeros of padding count."""
    bytes: float
    """Read and written, of all times together."""
    modelled: float | None
    """By the compiler's own cost model, of all times together; None where it says nothing."""


class Program:
    """A compiled program's text, taken apart."""

    def __init__(self, text: str) -> None:
        self.computations: dict[str, dict[str, Instruction]] = {}
        self.entry = ""
        inside: dict[str, Instruction] = {}
        for line in text.splitlines():
            if line and not line[0].isspace() and line.endswith("{"):
                name = line.removeprefix("ENTRY ").split(" ", 1)[0].split("(", 1)[0].lstrip("%")
                inside = self.computations.setdefault(name, {})
                if line.startswith("ENTRY "):
                    self.entry = name
            elif found := INSTRUCTION.match(line):
                inside[found[1]] = Instruction(*found.groups())

    def steps(self, modelled: Callable[[Instruction], float | None]) -> list[Step]:
        """Every step, the dearest first; `modelled` reads the cost of one off its instruction."""
        found = list(self._steps(self.entry, 1, modelled))
        return sorted(found, key=lambda step: -(step.modelled or 0))

    def _steps(self, name: str, times: int, modelled: Callable[[Instruction], float | None]) -> Iterator[Step]:
        computation = self.computations[name]
        for one in computation.values():
            if one.opcode in FREE:
                continue
            if one.opcode == "while":
                yield from self._steps(one.called("body"), times * self._trips(one), modelled)
            elif one.opcode == "conditional":
                names = re.search(r"branch_computations=\{([^}]*)\}", one.rest)
                branches = (
                    re.findall(r"[^\s,%]+", names[1])
                    if names
                    else [one.called("true_computation"), one.called("false_computation")]
                )
                each = [list(self._steps(branch, times, modelled)) for branch in branches]
                yield from max(each, key=lambda steps: sum(step.modelled or step.bytes for step in steps))
            elif one.opcode == "call":
                yield from self._steps(one.called("to_apply"), times, modelled)
            else:
                cost = modelled(one)
                yield Step(
                    name=one.name,
                    kind=one.target or one.opcode,
                    origin=one.origin,
                    times=times,
                    operations=times * self._operations(one, computation),
                    bytes=float(times * self._bytes(one, computation)),
                    modelled=None if cost is None else times * cost,
                )

    def _trips(self, loop: Instruction) -> int:
        """How often a loop runs: as the compiler says, or the one number that its condition compares with."""
        found = re.search(r'known_trip_count":\{"n":"(\d+)"', loop.rest)
        if found:
            return int(found[1])
        condition = self.computations.get(loop.called("condition"), {})
        numbers = [one.rest.split(")")[0] for one in condition.values() if one.opcode == "constant"]
        return int(numbers[0]) if len(numbers) == 1 and numbers[0].isdigit() else 1

    def _operations(self, one: Instruction, inside: Mapping[str, Instruction]) -> float:
        """Of products: those of a call of cuDNN or cuBLAS, of a dot, of a convolution, or of all in a fusion."""
        if one.opcode == "fusion":
            computation = self.computations[one.called("calls")]
            return sum(self._operations(each, computation) for each in computation.values())
        shapes = [_shapes(inside[name].shape) for name in one.operands if name in inside]
        if one.opcode == "convolution" or "__cudnn$conv" in one.target:
            return _convolved(one, shapes)
        if one.opcode == "dot" or "gemm" in one.target or "__cublas" in one.target:
            found = re.search(r'lhs_contracting_dim(?:ension)?s"?[=:][{\[]"?([\d,"]*)', one.rest)
            dims = [int(n) for n in re.findall(r"\d+", found[1])] if found else []
            return 2.0 * math.prod(_shapes(one.shape)[0][1]) * math.prod(shapes[0][0][1][dim] for dim in dims)
        return 0.0

    def _bytes(self, one: Instruction, inside: Mapping[str, Instruction]) -> int:
        """Of what it reads and writes; of an operand that is only sliced, the slices."""
        total = _size(one.shape)
        called = self.computations.get(one.called("calls"), {}) if one.opcode == "fusion" else {}
        parameters = {int(each.rest.split(")")[0]): each.name for each in called.values() if each.opcode == "parameter"}
        for number, name in enumerate(one.operands):
            if name not in inside:
                continue
            users = [each for each in called.values() if parameters.get(number) in each.operands]
            if users and all(each.opcode in SLICED for each in users):
                total += sum(_size(each.shape) for each in users)
            elif any(each.opcode == "dynamic-update-slice" for each in users):
                continue  # written in place
            elif one.opcode in SLICED and number == 0:
                total += _size(one.shape)
            else:
                total += _size(inside[name].shape)
        for each in called.values():
            if each.opcode == "dynamic-update-slice" and len(each.operands) > 1 and each.operands[1] in called:
                total += 2 * _size(called[each.operands[1]].shape) - _size(each.shape)
        return max(total, 0)


def microseconds(one: Instruction) -> float | None:
    """What XLA's model for GPUs says of a step, in microseconds."""
    found = re.search(r'"reification_cost":\[\{[^}]*?"exec_time_us":([\d.e+-]+)', one.rest)
    return float(found[1]) if found else None


def cycles(one: Instruction) -> float | None:
    """What libtpu's model says of a step, in cycles."""
    found = re.search(r'"estimated_cycles":"(\d+)"', one.rest)
    return float(found[1]) if found else None


def _convolved(one: Instruction, shapes: list[list[tuple[str, list[int]]]]) -> float:
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", one.rest)
    if labels is None or len(shapes) < 2:
        return 0.0
    images, kernel, result = shapes[0][0][1], shapes[1][0][1], _shapes(one.shape)[0][1]
    # Whichever of the three is the kernel's gradient or the input's, the product is over the same numbers.
    if "BackwardFilter" in one.target:
        kernel, result = result, kernel
    elif "BackwardInput" in one.target:
        result = images
    return 2.0 * math.prod(result) * math.prod(kernel) / max(1, kernel[labels[2].index("o")])


def _shapes(text: str) -> list[tuple[str, list[int]]]:
    return [(kind, [int(n) for n in dims.split(",") if n]) for kind, dims in SHAPE.findall(text)]


def _size(text: str) -> int:
    return sum(math.prod(dims) * _bits(kind) // 8 for kind, dims in _shapes(text))


def _bits(kind: str) -> int:
    found = re.search(r"\d+", kind)
    return BITS[kind] if kind in BITS else int(found[0]) if found else 0
