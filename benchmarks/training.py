"""Training speed of the five systems beside Keras and PyTorch, in samples per second.

    python benchmarks/training.py [SYSTEM ...] [--peers PYTHON]

PYTHON is the interpreter of a virtual environment with benchmarks/peers/requirements.txt; without it jaxad runs
alone. In every round jaxad and its peers take turns; medians are printed and kept in benchmarks/results/training.json.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

import jaxad
from jaxad import training
from jaxad.detector.fitting import make_optimizer
from jaxad.detector.systems import make_system
from jaxad.protocols.output import environment

ROUNDS = 5
UPDATES = {"conv-ae": 30, "ssim-ae": 4, "patch-vae": 60, "latent-ocsvm": 200, "dense-ae": 100}
RESULTS = Path(__file__).parent / "results" / "training.json"
PEERS = Path(__file__).parent / "peers" / "training.py"


def jaxad_epoch(name: str) -> Callable[[], float]:
    """A function that makes the updates of one round and returns samples per second."""
    recipe = jaxad.RECIPES[name]
    system = make_system(recipe, (28, 28, 1))
    images = np.random.default_rng(0).uniform(size=(8192, 28, 28, 1)).astype(np.float32)
    examples = system.make_examples(jax.random.key(1), images)
    optimizer = make_optimizer(recipe)
    variables = jax.jit(system.make_model().init)(jax.random.key(0), system.example())
    state = training.make_state(variables, optimizer)
    steps = UPDATES[name]
    epoch = training.make_epoch(system.make_loss(), optimizer, steps=steps, batch_size=recipe.batch_size)
    compiled = jax.jit(epoch).lower(jax.random.key(0), state, examples).compile()
    jax.block_until_ready(compiled(jax.random.key(0), state, examples))

    def run() -> float:
        began = time.perf_counter()
        jax.block_until_ready(compiled(jax.random.key(0), state, examples))
        return steps * recipe.batch_size / (time.perf_counter() - began)

    return run


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(UPDATES))
    parser.add_argument("--peers", help="Python of the environment with Keras and PyTorch")
    arguments = parser.parse_args()
    peers = None
    if arguments.peers:
        pipe = subprocess.PIPE
        peers = subprocess.Popen(
            [arguments.peers, str(PEERS)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def ask(framework: str, system: str) -> float | None:
        if peers is None or peers.stdin is None or peers.stdout is None:
            return None
        peers.stdin.write(f"{framework} {system} {UPDATES[system]}\n")
        peers.stdin.flush()
        answer = peers.stdout.readline().strip()
        return None if answer in ("", "absent") else float(answer)

    results = {}
    print("| system | jaxad | Keras | PyTorch | jaxad / fastest peer |\n|---|---|---|---|---|")
    for system in arguments.systems or UPDATES:
        run = jaxad_epoch(system)
        rates: dict[str, list[float]] = {"jaxad": [], "keras": [], "torch": []}
        for _ in range(ROUNDS):
            rates["jaxad"].append(run())
            for framework in ("keras", "torch") if peers else ():
                rate = ask(framework, system)
                if rate is not None:
                    rates[framework].append(rate)
        medians = {name: statistics.median(values) for name, values in rates.items() if values}
        others = [value for name, value in medians.items() if name != "jaxad"]
        ratio = medians["jaxad"] / max(others) if others else None
        results[system] = {"samples_per_second": medians, "ratio": ratio}
        cells = [f"{medians[name]:,.0f}" if name in medians else "-" for name in rates]
        print(f"| {system} | {' | '.join(cells)} | {f'{ratio:.2f}' if ratio else '-'} |", flush=True)
    if peers:
        peers.terminate()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    RESULTS.parent.mkdir(exist_ok=True)
    kept = {"systems": results, "rounds": ROUNDS, "date": time.strftime("%Y-%m-%d"), "commit": commit}
    RESULTS.write_text(json.dumps({**kept, "environment": environment()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
