"""What every benchmark does: take turns with peers, know the machine's peak, keep the result with its circumstances."""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxad import InputError
from jaxad.protocols.output import environment

RESULTS = Path(__file__).parent / "results"
SERVE = Path(__file__).parent / "peers" / "serve.py"
ROUNDS = 7
PEAK_SIZE = 2048


class PeerError(Exception):
    """A peer that is not installed, or whose process has died."""


class Peer:
    """One framework in a process of its own: two of them in one have been seen to crash."""

    def __init__(self, python: str, script: Path = SERVE, *arguments: str) -> None:
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  (as long as the process)
        command, pipe = [python, str(script), *arguments], subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.said, text=True)

    def ask(self, line: str) -> dict[str, Any]:
        """What it answers to a line, see `peers/serve.py`: a rate and versions.

        Raises:
            PeerError: it is not installed, or has died; with what it said.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            # Frameworks may write lines of their own.
            answer = next((line for line in self.process.stdout if line.startswith("{")), "")
        except BrokenPipeError:
            answer = ""
        if not answer:
            code = self.process.wait()
            self.said.seek(0)
            raise PeerError(f"its process ended with code {code} and said:\n{self.said.read()[-2000:].strip()}")
        found: dict[str, Any] = json.loads(answer)
        if "absent" in found:
            raise PeerError(f"is not installed: {found['absent']}")
        if "failed" in found:
            raise PeerError(f"failed:\n{found['failed']}")
        return found

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.said.close()


class Peers:
    """Keras, PyTorch and scikit-learn in their own environment, each behind a pipe; none without an interpreter."""

    def __init__(self, python: str | None) -> None:
        self.python = python
        self.running: dict[str, Peer] = {}
        self.versions: dict[str, str] = {}
        """Of the packages that have answered."""

    def contestants(self, jobs: Mapping[str, str], times: int) -> dict[str, Callable[[], float]]:
        """Those that can do their job, by name; the others are named on standard error with the reason.

        A job is a line for `peers/serve.py` without its count, and begins with the framework.
        """
        ready: dict[str, Callable[[], float]] = {}
        for name, job in jobs.items() if self.python else ():
            try:
                self._ask(f"{job} {times}")
            except PeerError as error:
                print(f"{name} is left out of {job!r}: {error}", file=sys.stderr)
            else:
                ready[name] = partial(self._ask, f"{job} {times}")
        return ready

    def _ask(self, line: str) -> float:
        assert self.python is not None
        framework = line.split()[0]
        if framework not in self.running:
            self.running[framework] = Peer(self.python)
        try:
            found = self.running[framework].ask(line)
        except PeerError:
            self.running.pop(framework).close()  # the next job gets a new process
            raise
        self.versions.update(found["versions"])
        return float(found["rate"])


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
    """Write a result to `results/NAME.json` with its date, commit and machine, and say so.

    Raises:
        InputError: there is NaN or infinity in it, which no JSON holds; what lay there stays.
    """
    try:
        text = json.dumps({**result, **stamp(), "environment": environment()}, indent=1, allow_nan=False)
    except ValueError:
        raise InputError(f"what was measured holds NaN or infinity, so {name}.json stays what it was") from None
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(f"{text}\n")
    print(f"wrote {path}", file=sys.stderr)


def parser(text: str | None, *, peers: bool = True) -> argparse.ArgumentParser:
    """Arguments of a benchmark that keeps its result."""
    said = f"What is measured takes the place of what {RESULTS} keeps of it, which the docs show; git diff says how."
    made = argparse.ArgumentParser(description=text, epilog=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    if peers:
        words = "interpreter with benchmarks/peers/requirements.txt installed; without it no peer is kept"
        made.add_argument("--peers", metavar="PYTHON", help=words)
    return made


def run_script(main: Callable[[], None]) -> None:
    """Run a script: what it cannot take is one sentence and exit code 2."""
    try:
        main()
    except (InputError, FileNotFoundError, NotADirectoryError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        raise SystemExit(2) from None
