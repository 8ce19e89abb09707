"""The heatmap kernel against the published loop, on the same images and the same weights.

    python benchmarks/heatmap.py [--images 200] [--loop-windows 121]

The loop calls the same compiled model once a window and adds each score to its pixels one by one, as the
public code does. Rounds alternate between the two; medians are printed and written as JSON to
benchmarks/results/heatmap.json.
"""

import argparse
import json
import statistics
import subprocess
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jaxad
from jaxad.detector import Detector
from jaxad.detector.systems import WindowScorer, make_system
from jaxad.protocols.output import environment

ROUNDS = 5
RESULTS = Path(__file__).parent / "results" / "heatmap.json"


def looped_heatmap(score, image: np.ndarray, *, window: int, stride: int, limit: int) -> int:
    """Score up to `limit` windows of one image, one call a window; return how many."""
    heatmap = np.zeros(image.shape[:2])
    done = 0
    for y in range(0, image.shape[0] - window + 1, stride):
        for x in range(0, image.shape[1] - window + 1, stride):
            if done == limit:
                return done
            value = float(score(image[None, y : y + window, x : x + window])["unregularised"][0])
            for row in range(y, y + window):
                for column in range(x, x + window):
                    heatmap[row, column] += value
            done += 1
    return done


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--loop-windows", type=int, default=121)
    arguments = parser.parse_args()

    recipe = jaxad.RECIPES["patch-vae"]
    system = make_system(recipe, (28, 28, 1))
    variables = system.make_model().init(jax.random.key(0), jnp.zeros((1, *recipe.window, 1)))
    detector = Detector(recipe, (28, 28, 1), variables)
    images = np.random.default_rng(0).uniform(size=(arguments.images, 28, 28, 1)).astype(np.float32)
    windows = len(images) * len(jaxad.patches.starts(28, recipe.window[0], recipe.stride[0])) ** 2

    kernel = jax.jit(detector.apply)
    one_window = partial(jax.jit(WindowScorer.__call__), WindowScorer(system, variables))
    jax.block_until_ready(kernel(images))
    jax.block_until_ready(one_window(images[:1, :8, :8]))
    rates: dict[str, list[float]] = {"kernel": [], "loop": []}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        jax.block_until_ready(kernel(images))
        rates["kernel"].append(windows / (time.perf_counter() - began))
        began = time.perf_counter()
        done = looped_heatmap(one_window, images[0], window=8, stride=2, limit=arguments.loop_windows)
        rates["loop"].append(done / (time.perf_counter() - began))

    medians = {name: statistics.median(values) for name, values in rates.items()}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    result = {
        "windows_per_second": medians,
        "ratio": medians["kernel"] / medians["loop"],
        "rounds": ROUNDS,
        "images": arguments.images,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit,
        "environment": environment(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for name, rate in medians.items():
        print(f"{name:8} {rate:12,.0f} windows/s")
    print(f"ratio    {result['ratio']:12,.0f}")


if __name__ == "__main__":
    main()
