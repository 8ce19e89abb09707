"""Scoring and training on accelerators: compiled for some that are not there, or timed on one that is.

    python -m benchmarks.accelerators [--targets h100 a100 v5e] [--only WORD ...] [--output FILE]
    python -m benchmarks.accelerators --check
    python -m benchmarks.accelerators --run [--output FILE] [--seconds N] [--tasks kernel training scoring] [--small]

Without `--run` the heatmap kernel, scoring of every recipe and an epoch of training of every network are compiled by
the compilers of NVIDIA H100 and A100 and of TPU v5e (extra `accelerators`), and what they say is printed: time or
cycles, operations, bytes, temporary memory, launches, and the dearest steps. Nothing runs. `--check` compiles few of
them, and fails where one no longer compiles, or takes more memory than `benchmarks/targets/bounds.json` allows.

`--run` times them on the device that jax sees, in float32, TF32 and bfloat16, with PyTorch beside it (eager,
`torch.compile`, CUDA graphs, both layouts) where it is installed.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.accelerators import PRECISIONS
from benchmarks.accelerators.compiling import all_programs, compile_all
from benchmarks.accelerators.targets import DESCRIPTIONS, TARGETS, TargetError

TASKS = ("kernel", "training", "scoring")
BOUNDS = DESCRIPTIONS / "bounds.json"
RESULTS = DESCRIPTIONS.parent / "results" / "accelerators.json"


def main() -> int:
    """Read the arguments; compile or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="time on the device that jax sees")
    parser.add_argument("--check", action="store_true", help="compile few programs, and hold their memory to bounds")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--only", nargs="+", metavar="WORD", help="programs whose names have one of these in them")
    parser.add_argument("--output", type=Path, help="where to write what was found, as JSON")
    parser.add_argument("--seconds", type=float, default=600, help="begin no measurement after so many, with --run")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, help="what to time")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=list(PRECISIONS),
        help="of products and models, with --run",
    )
    parser.add_argument("--small", action="store_true", help="time few images, to see that all of it runs")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter with PyTorch; by default this one if it has it")
    arguments = parser.parse_args()
    if arguments.run:
        return _run(arguments)
    # Before jax is imported: nothing runs here but what draws weights.
    os.environ["JAX_PLATFORMS"] = "cpu"
    if arguments.check:
        return _check(arguments.targets)
    return _compile(arguments.targets, arguments.only, arguments.output or RESULTS)


def _run(arguments: argparse.Namespace) -> int:
    # PyTorch computes on the same GPU, and jax would take three quarters of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.4")
    # Late: jax reads that, and --help needs no jax.
    from benchmarks.accelerators import running

    running.run(
        arguments.output or Path("accelerators-run.json"),
        tasks=arguments.tasks,
        small=arguments.small,
        seconds=arguments.seconds,
        peers=arguments.peers or running.torch_here(),
        precisions=arguments.precisions,
    )
    return 0


def _compile(targets: list[str], only: list[str] | None, output: Path) -> int:
    """Compile, print and keep; what was found before of other programs stays in the file."""
    from benchmarks.measure import stamp
    from jaxad.protocols.output import environment

    kept: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    names = [name for name in all_programs() if not only or any(word in name for word in only)]
    failed = 0
    for name in targets:
        print(
            f"\n{name}\n{'program':44} {'modelled':>12} {'of the rest':>12} {'operations':>10} {'bytes':>9} "
            f"{'temporary':>9} {'launches':>8} {'s to compile':>12}"
        )
        try:
            for found in compile_all(TARGETS[name], names):
                failed += "failed" in found
                _show(found)
                kept.setdefault(name, {})[found["program"]] = {**found, **stamp()}
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_text(json.dumps({**kept, "environment": environment()}, indent=1) + "\n")
        except TargetError as error:
            failed += 1
            print(f"Error: {error}", file=sys.stderr)
    return 2 if failed else 0


def _check(targets: list[str]) -> int:
    """Compile those that have a bound, and say which do not, or need more than that."""
    bounds = json.loads(BOUNDS.read_text())
    failed = 0
    for name in targets:
        began = time.perf_counter()
        try:
            for found in compile_all(TARGETS[name], bounds.get(name, {})):
                program, limit = found["program"], bounds[name][found["program"]]
                if "failed" in found:
                    failed += 1
                    print(f"Error: {program} does not compile for {name}: {found['failed']}", file=sys.stderr)
                elif found["temporary_bytes"] > limit:
                    failed += 1
                    print(
                        f"Error: {program} takes {found['temporary_bytes']:,} bytes of temporary memory on {name}, and "
                        f"{limit:,} are allowed; mend it, or raise the bound in {BOUNDS} and say why",
                        file=sys.stderr,
                    )
                else:
                    print(f"{name}: {program} takes {found['temporary_bytes']:,} bytes of {limit:,}")
        except TargetError as error:
            failed += 1
            print(f"Error: {error}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return 2 if failed else 0


def _show(found: dict[str, Any]) -> None:
    if "failed" in found:
        print(f"{found['program']:44} does not compile: {found['failed']}", flush=True)
        return
    print(
        f"{found['program']:44} {found['modelled']:9,.0f} {found['unit'][:3]} {found['bound_of_the_rest']:9,.0f} "
        f"{found['unit'][:3]} {found['operations']:10.2e} {found['bytes']:9.2e} {found['temporary_bytes']:9.2e} "
        f"{found['launches']:8,} {found['compile_seconds']:12.0f}"
    )
    for step in found["dearest"]:
        origin = "/".join(step["origin"].split("/")[-3:])
        print(f"    {step['cost']:12,.1f} {step['times']:6} x {step['what'][:34]:34} {origin}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
