"""Time and memory of one heatmap against the size of the image, 28 to 4096 pixels square.

    python -m benchmarks.memory [--size N]

Each size runs in a process of its own: the peak of its resident memory, less what it had once the library was
imported and had scored one image of 28 x 28.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIZES = (28, 64, 128, 256, 512, 1024, 2048, 4096)


def one_size(size: int) -> dict[str, float]:
    """Score one image in this process."""
    import numpy as np

    from benchmarks.drawn import drawn_detector
    from jaxad.patches import starts

    def peak() -> float:
        # Not `getrusage`, whose peak a process inherits from the one that started it. Linux only.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    detector = drawn_detector()
    detector.score(np.zeros((1, 28, 28, 1), np.float32))
    before = peak()
    image = np.random.default_rng(0).random((1, size, size, 1), dtype=np.float32)
    detector.score(image)
    began = time.perf_counter()
    detector.score(image)
    windows = len(starts(size, detector.recipe.window[0], detector.recipe.stride[0])) ** 2
    return {"size": size, "windows": windows, "seconds": time.perf_counter() - began, "mebibytes": peak() - before}


def run() -> dict[str, Any]:
    """Measure every size and keep; returns what was kept."""
    from benchmarks.measure import keep

    rows = []
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.memory", "--size", str(size)]
        rows.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    keep("memory", {"sizes": rows})
    return {"sizes": rows}


def main() -> None:
    """Measure, print and keep."""
    arguments_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments_of.add_argument("--size", type=int, help="this size only, as JSON")
    arguments = arguments_of.parse_args()
    if arguments.size:
        print(json.dumps(one_size(arguments.size)))
        return
    print("| pixels | windows | s | windows/s | MiB |\n|---|---|---|---|---|")
    for row in run()["sizes"]:
        rate = row["windows"] / row["seconds"]
        print(f"| {row['size']} | {row['windows']:,} | {row['seconds']:.4f} | {rate:,.0f} | {row['mebibytes']:.0f} |")


if __name__ == "__main__":
    main()
