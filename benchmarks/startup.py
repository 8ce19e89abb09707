"""How long jaxad takes to be there: the import, `--help`, and the first heatmap of a first and a second process.

python -m benchmarks.startup
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.drawn import drawn_detector
from benchmarks.measure import keep, parser, run_script

ROUNDS = 5
FIRST_HEATMAP = """
import sys, jaxad, numpy
print(jaxad.load(sys.argv[1]).score(numpy.zeros((1, 28, 28, 1), numpy.float32)).map.sum())
"""


def seconds(arguments: list[str], **variables: str) -> float:
    """Wall time of a Python process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env={**os.environ, **variables}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def run() -> dict[str, Any]:
    """Measure and keep; returns what was kept."""
    commands = {
        "python": ["-c", "pass"],
        "import jax": ["-c", "import jax"],
        "import jax, jaxad": ["-c", "import jax, jaxad"],
        "import jax, jaxad, and fit at hand": ["-c", "import jax, jaxad; jaxad.fit"],
        "jaxad --help": ["-m", "jaxad", "--help"],
    }
    taken: dict[str, list[float]] = {name: [] for name in (*commands, "first heatmap", "first heatmap, second process")}
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "detector.jaxad"
        drawn_detector().save(bundle)
        for i in range(ROUNDS):
            for name, command in commands.items():
                taken[name].append(seconds(command))
            cache = {
                "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / f"cache{i}"),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
            }
            for name in ("first heatmap", "first heatmap, second process"):
                taken[name].append(seconds(["-c", FIRST_HEATMAP, str(bundle)], **cache))
    result = {"seconds": {name: statistics.median(values) for name, values in taken.items()}}
    keep("startup", result)
    return result


def main() -> None:
    """Measure, print and keep."""
    parser(__doc__, peers=False).parse_args()
    for name, value in run()["seconds"].items():
        print(f"{name:36} {value:6.2f} s")


if __name__ == "__main__":
    run_script(main)
