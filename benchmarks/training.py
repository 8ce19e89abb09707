"""Training speed of the five systems beside Keras and PyTorch, in samples per second.

python -m benchmarks.training [SYSTEM ...] [--peers PYTHON]
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

import jaxad
from benchmarks.measure import Peers, alternate, keep, parser, ratio_to_peers, run_script
from jaxad import training
from jaxad.fitting import make_loss, start

UPDATES = {"conv-ae": 30, "ssim-ae": 4, "patch-vae": 60, "latent-ocsvm": 200, "dense-ae": 100}
"""Of one round, which is an epoch over as many examples: jaxad shuffles them all, its peers draw as they go."""


def jaxad_epoch(name: str) -> Callable[[], float]:
    """A function that makes the updates of one round and returns samples per second."""
    recipe = jaxad.RECIPES[name]
    shape = (28, 28, 1)
    images = np.random.default_rng(0).uniform(size=(8192, 28, 28, 1)).astype(np.float32)
    drawn = recipe.examples(jax.random.key(1), images)
    examples = (images if drawn is None else drawn)[: UPDATES[name] * recipe.batch_size]
    optimizer = recipe.optimizer(updates=UPDATES[name])
    state = training.make_state(start(jax.random.key(0), recipe, shape), optimizer)
    steps = UPDATES[name]
    epoch = training.make_epoch(make_loss(recipe, shape), optimizer, steps=steps, batch_size=recipe.batch_size)
    compiled = jax.jit(epoch).lower(jax.random.key(0), state, examples).compile()
    jax.block_until_ready(compiled(jax.random.key(0), state, examples))

    def run() -> float:
        began = time.perf_counter()
        jax.block_until_ready(compiled(jax.random.key(0), state, examples))
        return steps * recipe.batch_size / (time.perf_counter() - began)

    return run


def run(peers: Peers, names: Iterable[str] = UPDATES) -> dict[str, Any]:
    """Measure and keep; returns what was kept."""
    systems = {}
    for name in names:
        others = peers.contestants({"Keras": f"keras train {name}", "PyTorch": f"torch train {name}"}, UPDATES[name])
        rates = alternate({"jaxad": jaxad_epoch(name), **others})
        systems[name] = {"samples_per_second": rates, "ratio_to_fastest_peer": ratio_to_peers(rates, others)}
    keep("training", {"systems": systems, "peers": peers.versions})
    return {"systems": systems}


def main() -> None:
    """Measure, print and keep."""
    arguments_of = parser(__doc__)
    arguments_of.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(UPDATES))
    arguments = arguments_of.parse_args()
    print("| system | jaxad | Keras | PyTorch | jaxad / fastest peer |\n|---|---|---|---|---|")
    for name, row in run(Peers(arguments.peers), arguments.systems or UPDATES)["systems"].items():
        rates, ratio = row["samples_per_second"], row["ratio_to_fastest_peer"]
        cells = [f"{rates[peer]['median']:,.0f}" if peer in rates else "-" for peer in ("jaxad", "Keras", "PyTorch")]
        print(f"| {name} | {' | '.join(cells)} | {f'{ratio:.2f}' if ratio else '-'} |")


if __name__ == "__main__":
    run_script(main)
