"""Closed-form models beside scikit-learn: rows scored per second by 5 exact neighbours, and fitted by 32 components.

python -m benchmarks.closed_form [--peers PYTHON]
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import Peers, alternate, keep, parser, ratio_to_peers, run_script
from jaxad import linear

TASKS = {"neighbours": "nearest neighbours, 6,000 rows", "components": "principal components, fitted"}


def contestant(task: str) -> Callable[[], float]:
    """A function that does the task once and returns rows per second."""
    draw = np.random.default_rng(0)
    bank, rows = (jnp.asarray(draw.random((count, 588), dtype=np.float32)) for count in (6000, 2000))
    work: Callable[[], Any] = partial(linear.nearest, bank, rows, count=5)
    count = len(rows)
    if task == "components":
        work, count = partial(jax.jit(partial(linear.fit_components, count=32)), bank), len(bank)
    jax.block_until_ready(work())

    def run() -> float:
        began = time.perf_counter()
        jax.block_until_ready(work())
        return count / (time.perf_counter() - began)

    return run


def run(peers: Peers) -> dict[str, Any]:
    """Measure and keep; returns what was kept."""
    tasks = {}
    for task in TASKS:
        others = peers.contestants({"scikit-learn": f"sklearn {task} exact"}, 1)
        rates = alternate({"jaxad": contestant(task), **others})
        tasks[task] = {"rows_per_second": rates, "ratio_to_fastest_peer": ratio_to_peers(rates, others)}
    keep("closed_form", {"tasks": tasks, "peers": peers.versions})
    return {"tasks": tasks}


def main() -> None:
    """Measure, print and keep."""
    for task, found in run(Peers(parser(__doc__).parse_args().peers))["tasks"].items():
        for name, rate in found["rows_per_second"].items():
            print(f"{TASKS[task]:32} {name:14} {rate['median']:10,.0f} rows/s")


if __name__ == "__main__":
    run_script(main)
