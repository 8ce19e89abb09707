"""The heatmap kernel beside Keras, PyTorch and the published loop: 200 images of 28 x 28, 8x8 windows, stride 2.

    python -m benchmarks.heatmap [--peers PYTHON]

jaxad extracts, scores and folds; its peers extract and score, each at the chunk that suits it best. The loop calls
the model once a window, as the public code does.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.drawn import drawn_detector
from benchmarks.measure import Peers, alternate, keep, matrix_product_peak, parser, ratio_to_peers, run_script
from jaxad.methods.patch_vae import WindowScorer

IMAGES, LOOP_WINDOWS = 200, 121
FLOP_A_WINDOW = 152e3
JOBS = {
    "Keras, tf.function": "keras heatmap batched",
    "PyTorch, eager": "torch heatmap eager",
    "PyTorch, torch.compile": "torch heatmap compiled",
}
LOOP_JOB = {"Keras, published loop": "keras heatmap loop"}


def looped_heatmap(score: Callable[..., Any], image: np.ndarray, *, window: int, stride: int) -> int:
    """Score every window of one image, one call a window, one addition a pixel; return how many."""
    heatmap = np.zeros(image.shape[:2])
    done = 0
    for y in range(0, image.shape[0] - window + 1, stride):
        for x in range(0, image.shape[1] - window + 1, stride):
            value = float(score(image[None, y : y + window, x : x + window])["unregularised"][0])
            for row in range(y, y + window):
                for column in range(x, x + window):
                    heatmap[row, column] += value
            done += 1
    return done


def run(peers: Peers) -> dict[str, Any]:
    """Measure and keep; returns what was kept."""
    detector = drawn_detector()
    images = np.random.default_rng(0).uniform(size=(IMAGES, 28, 28, 1)).astype(np.float32)
    windows = IMAGES * LOOP_WINDOWS

    def scored(dtype: str) -> Callable[[], Any]:
        # What `Detector.score` runs: the named score alone, of the detector made ready for this backend.
        kernel = jax.jit(lambda detector, images: detector.apply(images, dtype=dtype)[detector.recipe.score_name])
        on_device = jnp.asarray(images)
        ready = detector.for_scoring if dtype == "float32" else detector
        return lambda: jax.block_until_ready(kernel(ready, on_device))

    def rate(function: Callable[[], Any], count: int) -> Callable[[], float]:
        function()

        def measured() -> float:
            began = time.perf_counter()
            function()
            return count / (time.perf_counter() - began)

        return measured

    one_window = partial(
        jax.jit(WindowScorer.__call__), WindowScorer(detector.recipe.model(detector.shape), detector.variables)
    )
    loop = partial(looped_heatmap, one_window, images[0], window=8, stride=2)
    others = peers.contestants(JOBS, 1)
    slow = peers.contestants(LOOP_JOB, 1)
    rates = alternate(
        {
            "jaxad": rate(scored("float32"), windows),
            **others,
            **slow,
            "jaxad's model, published loop": rate(loop, LOOP_WINDOWS),
            "matrix product, GFLOP/s": matrix_product_peak,
        }
    )
    peak = rates.pop("matrix product, GFLOP/s")["median"]
    exact, rounded = scored("float32")().score, scored("bfloat16")().score
    result = {
        "windows_per_second": rates,
        "ratio_to_fastest_peer": ratio_to_peers(rates, others),
        "peak_gflops": peak,
        "share_of_peak": rates["jaxad"]["median"] * FLOP_A_WINDOW / peak / 1e9,
        "bfloat16_largest_relative_error": float(np.max(np.abs(exact - rounded)) / np.max(np.abs(exact))),
        "peers": peers.versions,
    }
    keep("heatmap", result)
    return result


def main() -> None:
    """Measure, print and keep."""
    arguments = parser(__doc__).parse_args()
    result = run(Peers(arguments.peers))
    for name, rate in result["windows_per_second"].items():
        print(f"{name:32} {rate['median']:12,.0f} windows/s")
    if result["ratio_to_fastest_peer"]:
        print(f"times the fastest peer           {result['ratio_to_fastest_peer']:12.1f}")
    print(f"share of the matrix product peak {result['share_of_peak']:12.2f} of {result['peak_gflops']:.0f} GFLOP/s")
    print(f"bfloat16, largest error          {result['bfloat16_largest_relative_error']:12.4f} of the largest score")


if __name__ == "__main__":
    run_script(main)
