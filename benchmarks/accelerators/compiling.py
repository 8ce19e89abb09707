"""Programs compiled for devices that are not there, each target in a process of its own.

python -m benchmarks.accelerators.compiling TARGET    names of programs on standard input, a line of JSON out for each
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.accelerators.reading import Program, cycles, microseconds
from benchmarks.accelerators.targets import TARGETS, Target, TargetError

DEAREST = 5


def compile_all(target: Target, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What each of the programs costs, as `describe` says, or under `failed` why it does not compile.

    Raises:
        TargetError: nothing can be compiled for it here.
    """
    target.need_compiler()
    waiting = list(names)
    while waiting:
        command = [sys.executable, "-m", "benchmarks.accelerators.compiling", target.name]
        # What XLA is told already stays: it may say how many threads to use.
        flags = f"{os.environ.get('XLA_FLAGS', '')} {target.environment.get('XLA_FLAGS', '')}".strip()
        environment = {**os.environ, **target.environment, "XLA_FLAGS": flags}
        pipe = subprocess.PIPE
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=said, text=True)
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("".join(f"{name}\n" for name in waiting))
                process.stdin.close()
            for line in process.stdout:
                if line.startswith('{"program"'):
                    found = json.loads(line)
                    waiting.remove(found["program"])
                    yield found
                elif line.startswith('{"refused"'):
                    raise TargetError(json.loads(line)["refused"])
            code = process.wait()
            said.seek(0)
            if waiting:
                # A compiler that ends its process takes one program with it, not all.
                ended = f"its process ended with code {code}: {said.read()[-1500:].strip()}"
                yield {"program": waiting.pop(0), "failed": ended}


def describe(target: Target, compiled: Any, seconds: float) -> dict[str, Any]:
    """What a compiled program costs by the compiler's own model; where it says nothing of a step, by its bound.

    The bound is the longer of two times: its operations at the device's peak, its bytes at the memory's. That of all
    steps without a model is kept apart.
    """

    def bound(operations: float, moved: float) -> float:
        return 1e6 * max(operations / target.products, moved / target.bandwidth) if target.products else 0.0

    read = microseconds if target.unit == "us" else cycles
    steps = Program(compiled.as_text()).steps(read)
    costs = {step: bound(step.operations, step.bytes) if step.modelled is None else step.modelled for step in steps}
    memory = compiled.memory_analysis()
    dearest = sorted(steps, key=lambda step: -costs[step])[:DEAREST]
    return {
        "unit": target.unit,
        "modelled": sum(step.modelled or 0.0 for step in steps),
        "bound_of_the_rest": sum(costs[step] for step in steps if step.modelled is None),
        "operations": sum(step.operations for step in steps),
        "bytes": sum(step.bytes for step in steps),
        "temporary_bytes": memory.temp_size_in_bytes,
        "launches": sum(step.times for step in steps),
        "compile_seconds": seconds,
        "dearest": [
            {"cost": costs[step], "times": step.times, "what": step.kind, "name": step.name, "origin": step.origin}
            for step in dearest
        ],
    }


def compile_one(target: Target, device: Any, program: Any) -> dict[str, Any]:
    """Compile a program for a device and say what it costs."""
    import jax
    import numpy as np
    from jax.sharding import SingleDeviceSharding

    place = SingleDeviceSharding(device)
    function, arguments = program.make("float32")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=place), arguments)
    began = time.perf_counter()
    compiled = jax.jit(function).lower(*shapes).compile()
    return describe(target, compiled, time.perf_counter() - began)


def all_programs() -> dict[str, Any]:
    """Every program by name: the kernel, scoring, training."""
    from benchmarks.accelerators import programs

    return {one.name: one for one in (programs.kernel(), *programs.scoring(), *programs.trainings())}


def main(name: str) -> None:
    """Compile what is named on standard input; see `compile_all`, which runs this."""
    target = TARGETS[name]
    names = sys.stdin.read().splitlines()
    try:
        device = target.device()
    except TargetError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
        return
    programs = all_programs()
    for one in names:
        try:
            found = compile_one(target, device, programs[one])
        except Exception as error:
            found = {"failed": f"{type(error).__name__}: {str(error)[:1500]}"}
        print(json.dumps({"program": one, **found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
