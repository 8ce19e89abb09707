"""Scoring a folder beside its two halves: decoding the same files alone, and the detector alone on decoded images.

    python -m benchmarks.folder [--recipe NAME] [--count 1000]

The goal is that the folder, with pictures and tables written, runs at 80 % of the slower half at least. All three share
the machine's cores, so on few cores the halves cannot overlap for nothing.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from benchmarks.measure import RESULTS, keep
from jaxad import datasets, detector, folders, part
from jaxad.datasets import read_photographs, textures
from jaxad.preparation import Preparation
from jaxad.recipes import RECIPES, Recipe
from jaxad.thresholds import for_false_positive_rate

SIDE = 512
GOAL = 0.8
KERNEL_IMAGES = 50
"""Images that the detector alone is timed on; they are decoded before."""


def write_photographs(folder: Path, *, count: int) -> list[Path]:
    """JPEG files of SIDE x SIDE pixels: sixteen crops of bricks, each file another."""
    crops = textures("brick", "train", size=SIDE // 4, count=64).images[..., 0]
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        chosen = crops[rng.integers(len(crops), size=(4, 4))]
        pixels = chosen.transpose(0, 2, 1, 3).reshape(SIDE, SIDE)
        paths.append(folder / f"{index:05d}.jpg")
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def make_part(recipe: Recipe) -> part.Part:
    """A part trained for a moment: its speed does not depend on what it has learned."""
    images = textures("brick", "train", count=16).images
    fitted, _ = detector.fit(jax.random.key(0), dataclasses.replace(recipe, epochs=1), images)
    scores = fitted.score(images)
    low, high = np.quantile(scores.map, (0.5, 0.999))
    return part.Part(
        detector=fitted,
        preparation=Preparation(1),
        threshold=for_false_positive_rate(scores.image, rate=0.1),
        rate=0.1,
        normal_scores=scores.image,
        colour_limits=(float(low), float(high)),
        pixel_limit=float(high),
        golden=(),
        golden_scores=np.zeros(0, np.float32),
        provenance={},
    )


def measure(paths: list[Path], made: part.Part, out: Path, *, workers: int) -> dict[str, float]:
    """Images per second of the three, after each has run once on a few."""
    list(read_photographs(paths[:8], workers=workers))
    began = time.perf_counter()
    decoded = sum(1 for _ in read_photographs(paths, workers=workers))
    decoding = decoded / (time.perf_counter() - began)

    photographs = datasets.photographs(paths[:KERNEL_IMAGES])
    batches = [
        np.stack([pixels for _, pixels in batch])
        for batch in datasets.batches((None, pixels) for pixels in photographs)
    ]
    made.detector.score(batches[0])
    began = time.perf_counter()
    scored = sum(len(made.detector.score(batch).image) for batch in batches)
    kernel = scored / (time.perf_counter() - began)

    run = folders.score_folder(made, paths[0].parent, out, workers=workers)
    slower = min(decoding, kernel)
    return {
        "decoding": decoding,
        "kernel": kernel,
        "folder": run["images_per_second"],
        "share": run["images_per_second"] / slower,
    }


def main() -> None:
    """Measure, print and keep the three rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="surface-gradients", help="one that takes images of any size")
    parser.add_argument("--count", type=int, default=1000, help="photographs")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode, and as many that score")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "photographs")
        source.mkdir()
        paths = write_photographs(source, count=given.count)
        rates = measure(paths, make_part(RECIPES[given.recipe]), Path(name, "out"), workers=given.workers)
    result = {"side": SIDE, "goal": GOAL, **vars(given), "images_per_second": rates}
    print(json.dumps(result, indent=1))
    path = RESULTS / "folder.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    keep("folder", {"rows": [row for row in kept if row["recipe"] != given.recipe] + [result]})


if __name__ == "__main__":
    main()
