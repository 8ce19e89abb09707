"""What every benchmark does: take turns with peers, know the machine's peak, keep the result with its circumstances."""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxad.protocols.output import environment

RESULTS = Path(__file__).parent / "results"
SERVE = Path(__file__).parent / "peers" / "serve.py"
ROUNDS = 7
PEAK_SIZE = 2048


class Peers:
    """Keras, PyTorch and scikit-learn in their own environment, behind a pipe; none without an interpreter."""

    def __init__(self, python: str | None) -> None:
        pipe = subprocess.PIPE
        command = [python, str(SERVE)]
        self.process = (
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) if python else None
        )

    def contestants(self, jobs: Mapping[str, str], times: int) -> dict[str, Callable[[], float]]:
        """Those that are installed, by name; a job is a line for `peers/serve.py` without its count."""
        if self.process is None:
            return {}
        ready = {name: lambda job=job: self._ask(f"{job} {times}") for name, job in jobs.items()}
        return {name: run for name, run in ready.items() if run() > 0}

    def _ask(self, line: str) -> float:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        return 0.0 if answer in ("", "absent") else float(answer)


def matrix_product_peak() -> float:
    """GFLOP/s of a float32 product of 2048 x 2048, which bounds everything else."""
    a = jax.random.normal(jax.random.key(0), (PEAK_SIZE, PEAK_SIZE))
    multiply = jax.jit(jax.numpy.matmul)
    jax.block_until_ready(multiply(a, a))
    began = time.perf_counter()
    for _ in range(5):
        jax.block_until_ready(multiply(a, a))
    return 5 * 2 * PEAK_SIZE**3 / (time.perf_counter() - began) / 1e9


def alternate(contestants: Mapping[str, Callable[[], float]]) -> dict[str, dict[str, float]]:
    """Median, least and greatest rate of every contestant; in each round each has one turn."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            rates[name].append(run())
    return {
        name: {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
        for name, values in rates.items()
    }


def ratio_to_peers(rates: Mapping[str, Mapping[str, float]], peers: Mapping[str, Any]) -> float | None:
    """How many times the fastest peer's median ours is."""
    return rates["jaxad"]["median"] / max(rates[name]["median"] for name in peers) if peers else None


def stamp() -> dict[str, str]:
    """Today's date and the commit that is measured."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit}


def keep(name: str, result: Mapping[str, Any]) -> None:
    """Write a result to `results/NAME.json` with its date, commit and machine."""
    RESULTS.mkdir(exist_ok=True)
    kept = {**result, **stamp(), "environment": environment()}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def parser(text: str | None) -> argparse.ArgumentParser:
    """Arguments that every benchmark with peers has."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--peers", metavar="PYTHON", help="interpreter with benchmarks/peers/requirements.txt installed")
    return made
