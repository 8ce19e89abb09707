"""Scoring and training timed on the device that jax sees, with PyTorch beside it."""

import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.accelerators import PRECISIONS, programs
from benchmarks.accelerators.programs import Program
from benchmarks.drawn import drawn_detector
from benchmarks.measure import ROUNDS, SERVE, Peer, PeerError, stamp
from jaxad.protocols.output import environment

Rate = Callable[[int], float]
"""How many images, windows or samples a second, of so many calls one after the other."""

TORCH = SERVE.parent / "torch_device.py"
KERNEL_MODES, TRAINING_MODES = ("eager", "compiled", "graph", "compiled-graph"), ("graph", "compiled-graph", "eager")
LAYOUTS = ("last", "first")
DENSE = ("latent-ocsvm", "dense-ae")
END_TO_END = 10_000
"""Images of 28 x 28 that `Detector.score` takes at once."""
PATIENCE = 150
"""Seconds after which no further variant of PyTorch is made ready for a measurement."""
PEERS_SHARE = 0.4
"""Of the time that is left, which making PyTorch ready may take."""
AT_ONCE = 4
"""Programs compiled at the same time, when there is no time for all."""
DISTRIBUTIONS = ("jax-cuda", "libtpu", "nvidia-cudnn", "nvidia-cublas", "nvidia-cuda-nvcc", "torch")


@dataclass
class Run:
    """What is measured, and written again after every measurement."""

    output: Path
    small: bool
    seconds: float
    peers: str | None
    precisions: Sequence[str]
    began: float = field(default_factory=time.perf_counter)
    results: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds until nothing new is begun."""
        return self.seconds - (time.perf_counter() - self.began)

    def fail(self, what: str, error: BaseException) -> None:
        """Show and keep why a contestant takes no part."""
        said = str(error) if isinstance(error, PeerError) else "".join(traceback.format_exception(error)[-3:])
        self.failures[what] = said[-3000:]
        print(f"{what} is left out: {said.strip()[-1500:]}", file=sys.stderr, flush=True)

    def begin(self, what: str) -> bool:
        """Whether there is time for one more measurement."""
        if self.left > 0:
            return True
        self.left_out.append(what)
        return False

    def measure(self, program: str, count: int, unit: str, contestants: Mapping[str, Rate], **more: Any) -> None:
        """Let contestants take turns, print and keep their medians."""
        rates = self._alternated(program, count, contestants)
        if not rates:
            return
        rows = {
            name: {"median": statistics.median(every), "least": min(every), "greatest": max(every)}
            for name, every in rates.items()
        }
        best = max(rows[name]["median"] for name in rows)
        for name, row in sorted(rows.items(), key=lambda item: -item[1]["median"]):
            rate = row["median"]
            print(
                f"{program:46} {name:36} {rate:16,.0f} {unit}/s {1e6 * count / rate:12,.1f} us {rate / best:6.2f}",
                flush=True,
            )
        self.results.append({"program": program, "count": count, "unit": unit, "rates": rows, **more})
        self.save()

    def save(self) -> None:
        """Write all that is known so far."""
        document = {
            "device": device(),
            "seconds": time.perf_counter() - self.began,
            "results": self.results,
            "failures": self.failures,
            "left_out": self.left_out,
            "peers": self.versions,
            **stamp(),
            "environment": environment(),
        }
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.output.write_text(json.dumps(document, indent=1) + "\n")

    def _alternated(self, program: str, count: int, contestants: Mapping[str, Rate]) -> dict[str, list[float]]:
        turn, rounds = (0.005, 2) if self.small else (0.1, ROUNDS)
        calls: dict[str, int] = {}
        rates: dict[str, list[float]] = {}
        for number in range(rounds + 1):
            for name, rate in contestants.items():
                if number and name not in calls:
                    continue
                try:
                    if not number:
                        rate(1)
                        calls[name] = max(1, int(turn * rate(3) / count))
                        continue
                    rates.setdefault(name, []).append(rate(calls[name]))
                except Exception as error:
                    self.fail(f"{program}: {name}", error)
                    calls.pop(name, None)
                    rates.pop(name, None)
        return rates


def run(
    output: Path,
    *,
    tasks: Iterable[str],
    small: bool,
    seconds: float,
    peers: str | None,
    precisions: Sequence[str],
) -> None:
    """Measure, most important first, and write what was measured, what failed and what there was no time for."""
    measured = Run(output, small, seconds, peers, precisions)
    print(json.dumps(device()), flush=True)
    if "kernel" in tasks:
        _measure_kernel(measured)
    if "training" in tasks:
        _measure_systems(measured)
    if "kernel" in tasks:
        _measure_end_to_end(measured)
    rest = [
        *(programs.scoring(small=small) if "scoring" in tasks else ()),
        *([one for one in programs.trainings(small=small) if not _is_system(one)] if "training" in tasks else ()),
    ]
    for first in range(0, len(rest), AT_ONCE):
        _measure(measured, [one for one in rest[first : first + AT_ONCE] if measured.begin(one.name)], {})
    measured.save()
    if measured.left_out:
        print(f"no time was left for: {'; '.join(measured.left_out)}", flush=True)


def device() -> dict[str, Any]:
    """What jax computes on, and what drives it."""
    first = jax.devices()[0]
    found: dict[str, Any] = {"platform": first.platform, "kind": first.device_kind, "count": len(jax.devices())}
    found["versions"] = {
        each.name: each.version
        for each in importlib.metadata.distributions()
        if each.name and each.name.startswith(DISTRIBUTIONS)
    }
    if first.platform == "gpu":
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"]
        try:
            found["driver"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            found["driver"] = f"unknown: {error}"
    return found


def torch_here() -> str | None:
    """This interpreter, where it has PyTorch."""
    return sys.executable if importlib.util.find_spec("torch") else None


def _measure_kernel(measured: Run) -> None:
    program = programs.kernel(images=20 if measured.small else programs.KERNEL_IMAGES)
    jobs = {
        f"PyTorch {mode}, channels {layout}, {precision}": (
            f"{mode} {precision}",
            f"torch kernel {mode}/{layout}/{precision}",
        )
        for mode in KERNEL_MODES
        for precision in measured.precisions
        for layout in LAYOUTS
    }
    if measured.begin(program.name):
        with _Torch(measured, program.count // 121) as torch:
            _measure(measured, [program], {program.name: torch.ready(jobs)})


def _measure_systems(measured: Run) -> None:
    systems = [one for one in programs.trainings(small=measured.small) if _is_system(one)]
    jobs = {
        (one.name, f"PyTorch {mode}, channels {layout}, {precision}"): (
            f"{one.recipe.name} {mode} {layout + precision if mode.startswith('compiled') else ''}",
            f"torch train {one.recipe.name}/{mode}/{layout}/{precision}",
        )
        for one in systems
        for mode in TRAINING_MODES
        for layout in LAYOUTS[: 1 if one.recipe.name in DENSE or mode == "eager" else 2]
        for precision in measured.precisions
    }
    if measured.begin("training of the systems"):
        with _Torch(measured, 0) as torch:
            ready = torch.ready(jobs)
            own = {
                one.name: {name: rate for (whose, name), rate in ready.items() if whose == one.name} for one in systems
            }
            _measure(measured, systems, own)


def _measure_end_to_end(measured: Run) -> None:
    what = "Detector.score patch-vae, 28 x 28"
    if not measured.begin(what):
        return
    count = 50 if measured.small else END_TO_END
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    detector = drawn_detector("patch-vae")

    def rate(dtype: str, times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            detector.score(pixels, dtype=dtype)
        return times * count / (time.perf_counter() - began)

    measured.measure(what, count, "images", {f"jaxad {dtype}": partial(rate, dtype) for dtype in programs.DTYPES})


def _measure(measured: Run, some: Sequence[Program], others: Mapping[str, Mapping[str, Rate]]) -> None:
    """Compile few programs at once, then time them one after the other, each beside the others of its name."""

    def ready(pair: tuple[Program, str]) -> tuple[Rate, dict[str, float]] | None:
        program, precision = pair
        try:
            return compiled(program, precision)
        except Exception as error:
            measured.fail(f"{program.name}: jaxad {precision}", error)
            return None

    pairs = [(program, precision) for program in some for precision in measured.precisions]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(((one.name, precision) for one, precision in pairs), pool.map(ready, pairs), strict=True))
    for program in some:
        ours = {precision: found[program.name, precision] for precision in measured.precisions}
        rates = {f"jaxad {precision}": one[0] for precision, one in ours.items() if one}
        facts = {precision: one[1] for precision, one in ours.items() if one}
        more = others.get(program.name, {})
        measured.measure(program.name, program.count, program.unit, {**rates, **more}, compiled=facts)


def compiled(program: Program, precision: str) -> tuple[Rate, dict[str, float]]:
    """A program ready to be timed on jax's device, and what compiling it took and gave."""
    products, dtype = PRECISIONS[precision]
    # On the host: what is drawn op by op would be compiled op by op for the device.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        function, arguments = program.make(dtype)
    arguments = jax.device_put(arguments, jax.local_devices()[0])
    began = time.perf_counter()
    with jax.default_matmul_precision(products):
        ready = jax.jit(function).lower(*arguments).compile()
    facts = {"compile_seconds": time.perf_counter() - began}
    memory = ready.memory_analysis()
    if memory is not None:
        facts["temporary_bytes"] = memory.temp_size_in_bytes

    def rate(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            last = ready(*arguments)
        jax.block_until_ready(last)
        return times * program.count / (time.perf_counter() - began)

    return rate, facts


class _Torch:
    """PyTorch on the same device, several processes, since each compiles on one core; none without an interpreter."""

    def __init__(self, measured: Run, images: int) -> None:
        self.measured = measured
        self.arguments = "cuda" if jax.devices()[0].platform == "gpu" else "cpu", str(images)
        self.running: dict[str, Peer] = {}

    def ready(self, jobs: Mapping[Any, tuple[str, str]]) -> dict[Any, Rate]:
        """Those that can do their job, by name; a job is the process that does it, and a line without its count."""
        if self.measured.peers is None:
            return {}
        if self.arguments[0] != "cuda":
            jobs = {name: job for name, job in jobs.items() if "graph" not in job[1]}
        self.running = {process: self._start() for process, _ in jobs.values()}
        found: dict[Any, Rate] = {}
        patience = min(PATIENCE, PEERS_SHARE * self.measured.left)
        until = time.perf_counter() + patience
        preparing = set(self.running)

        def give_up() -> None:
            for process in preparing & set(self.running):
                self.running[process].process.kill()

        def prepare(process: str) -> None:
            for name, (where, line) in jobs.items():
                if where != process:
                    continue
                if time.perf_counter() > until:
                    self.measured.left_out.append(line)
                    continue
                try:
                    self._ask(process, line, 0)
                    found[name] = partial(self._ask, process, line)
                except PeerError as error:
                    self.measured.fail(line, error)
            preparing.discard(process)

        # A compiler that has begun may take minutes.
        timer = threading.Timer(1.3 * patience, give_up)
        timer.start()
        with ThreadPoolExecutor(len(self.running) or 1) as pool:
            list(pool.map(prepare, list(self.running)))
        timer.cancel()
        return {name: found[name] for name in jobs if name in found}

    def _start(self) -> Peer:
        assert self.measured.peers is not None
        return Peer(self.measured.peers, TORCH, *self.arguments)

    def _ask(self, process: str, line: str, times: int) -> float:
        if process not in self.running:
            self.running[process] = self._start()
        try:
            answer = self.running[process].ask(f"{line} {times}")
        except PeerError:
            if self.running[process].process.poll() is not None:
                self.running.pop(process).close()  # the next job gets a new one
            raise
        self.measured.versions.update(answer["versions"])
        return float(answer["rate"])

    def __enter__(self) -> "_Torch":
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.running.values():
            peer.close()


def _is_system(program: Program) -> bool:
    return program.recipe.name in programs.SYSTEMS
