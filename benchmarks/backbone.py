"""EfficientNet-Lite0 beside PyTorch: the same weights and photographs, from pixels to the last output, in turns.

    python -m benchmarks.backbone --peers PYTHON

PyTorch is eager, channels-last, with each BatchNorm folded into its convolution as jaxad does. One photograph at a
time, as `jaxad` scores a camera's, and eight, as it fits.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.measure import Peers, alternate, keep, parser, ratio_to_peers, run_script
from jaxad import backbones
from jaxad.backbones.files import INSTALLED

SIDE = 320
TIMES = 5
BATCHES = (1, 8)


def ours(count: int) -> Callable[[], float]:
    """Photographs a second of jaxad, `count` at once."""
    backbone = backbones.open_default()
    images = np.random.default_rng(0).random((count, SIDE, SIDE, 3), np.float32)

    def run() -> float:
        began = time.perf_counter()
        for _ in range(TIMES):
            found = backbone.outputs(images, ["logits"])
        jax.block_until_ready(found)
        return TIMES * count / (time.perf_counter() - began)

    for _ in range(2):  # the first compiles
        run()
    return run


def run(peers: Peers) -> dict[str, Any]:
    """Rates of both, by how many photographs are seen at once."""
    found: dict[str, Any] = {}
    for count in BATCHES:
        contestants = peers.contestants(
            {"PyTorch": f"torch backbone {INSTALLED[backbones.DEFAULT].find()}:{SIDE}:{count}"}, TIMES
        )
        rates = alternate({"jaxad": ours(count), **contestants})
        found[str(count)] = {"images_per_second": rates, "ratio_to_fastest_peer": ratio_to_peers(rates, contestants)}
    result = {"side": SIDE, "at_once": found, "versions": peers.versions}
    keep("backbone", result)
    return result


def main() -> None:
    """Measure, print and keep."""
    arguments = parser(__doc__).parse_args()
    result = run(Peers(arguments.peers))
    for count, row in result["at_once"].items():
        for name, rate in row["images_per_second"].items():
            print(f"{count} at once, {name:8} {rate['median']:8.1f} photographs/s")
        if row["ratio_to_fastest_peer"]:
            print(f"{count} at once, times the fastest peer {row['ratio_to_fastest_peer']:.2f}")


if __name__ == "__main__":
    run_script(main)
