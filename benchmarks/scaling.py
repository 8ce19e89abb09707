"""Scoring a folder by one process beside the same by the workers of a Ray cluster on this machine.

    python -m benchmarks.scaling [--count 1000] [--rounds 3] [--recipe NAME]

Whole commands take turns, each with a cluster of its own that begins and ends with it, as a user would run them. All
share the cores of one machine, so what is told is what a cluster costs. Times are those of the command from its start
to its end, and rates those of the run, from the moment that the cluster is there. Each way scores a few photographs
before, so that what it compiles is found in the cache. That all write the same rows is checked.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.folder import SIDE, make_part, write_photographs
from benchmarks.measure import keep, run_script
from jaxad.methods import RECIPES

FEW = 64
"""Photographs of the first turn, which is not counted."""


def ways(cores: int) -> dict[str, list[str]]:
    """Options of `jaxad score` by what they are called: as many workers of a cluster share all cores."""
    return {
        "one process": [],
        "Ray, 1 worker": ["--ray", "local", "--cpus", f"{cores}"],
        "Ray, 2 workers": ["--ray", "local", "--cpus", f"{cores / 2:g}"],
    }


def score(part: Path, folder: Path, out: Path, options: list[str]) -> dict[str, float]:
    """Seconds of the command, and photographs per second of the run."""
    words = [sys.executable, "-m", "jaxad", "score", part, folder, "-o", out, *options]
    began = time.perf_counter()
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "images_per_second": json.loads((out / "run.json").read_text())["images_per_second"],
    }


def scored(out: Path) -> list[list[str]]:
    """The rows of a folder of results, without times."""
    with (out / "results.csv").open(newline="") as table:
        return [row[:-1] for row in csv.reader(table)]


def measure(where: Path, *, recipe: str, count: int, rounds: int) -> dict[str, Any]:
    """What each turn of each way took, and their medians."""
    write_photographs(where / "photographs", sizes=[(SIDE, SIDE)] * count)
    write_photographs(where / "few", sizes=[(SIDE, SIDE)] * min(FEW, count))
    part = where / "part.jaxad"
    make_part(RECIPES[recipe]).save(part)
    options = ways(os.cpu_count() or 1)
    for number, (name, words) in enumerate(options.items()):
        score(part, where / "few", where / f"few {number}", words)
        print(f"{name}: ready", file=sys.stderr)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in options}
    for turn in range(rounds):
        outs = {name: where / f"{name} {turn}" for name in options}
        for name, words in options.items():
            turns[name].append(score(part, where / "photographs", outs[name], words))
            print(f"{name}: {turns[name][-1]}", file=sys.stderr)
        first, *others = (scored(out) for out in outs.values())
        if any(other != first for other in others):
            raise SystemExit("a cluster has written other rows than one process")
    return {
        name: {
            key: {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
            for key in found[0]
            for values in [[turn[key] for turn in found]]
        }
        for name, found in turns.items()
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="surface-gradients", help="one that takes images of any size")
    parser.add_argument("--count", type=int, default=1000, help="photographs")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), recipe=given.recipe, count=given.count, rounds=given.rounds)
    for way, row in found.items():
        seconds, rate = row["seconds"]["median"], row["images_per_second"]["median"]
        print(f"{way:16} {seconds:7.1f} s {rate:7.1f} images/s")
    keep("scaling", {**vars(given), "side": SIDE, "ways": found})


if __name__ == "__main__":
    run_script(main)
