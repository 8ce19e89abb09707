"""Scoring a folder beside its two halves: decoding the same files alone, and the detector alone on decoded images.

    python -m benchmarks.folder [--recipe NAME] [--count 1000]
    python -m benchmarks.folder [--recipe NAME] --sizes 500

The goal is that the folder, with pictures and tables written, runs at 80 % of the slower half at least. All three share
the machine's cores, so on few cores the halves cannot overlap for nothing.

With `--sizes`, two folders are scored in turns: so many photographs of as many sizes, and as many of one size, with
about as many pixels in all. The goal is that those of many sizes run at 70 % of the pixels a second. The first turn
compiles, with no cache, and its programs are counted; the others do not.
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from benchmarks.measure import RESULTS, keep, run_script, stamp
from jaxad import fitting, folders, pipeline
from jaxad.datasets import textures
from jaxad.images import photographs, read_photographs
from jaxad.methods import RECIPES
from jaxad.preparation import Preparation
from jaxad.recipes import NetworkRecipe, Recipe
from jaxad.thresholds import for_false_positive_rate

SIDE = 512
SPREAD = 112
"""Of many sizes, height and width are that much smaller or larger than SIDE at most."""
GOAL = 0.8
SIZES_GOAL = 0.7
TURNS = 3
"""That each folder is scored in once its programs are compiled."""
SETTLED = 100
"""Photographs after which memory should be flat."""
KERNEL_IMAGES = 50
"""Images that the detector alone is timed on; they are decoded before."""


def write_photographs(folder: Path, *, sizes: Sequence[tuple[int, int]]) -> list[Path]:
    """JPEG files of these heights and widths: crops of bricks side by side, each file another."""
    side = SIDE // 4
    crops = textures("brick", "train", size=side, count=64).images[..., 0]
    rng = np.random.default_rng(0)
    folder.mkdir()
    paths = []
    for index, (height, width) in enumerate(sizes):
        down, across = -(-height // side), -(-width // side)
        chosen = crops[rng.integers(len(crops), size=(down, across))]
        pixels = chosen.transpose(0, 2, 1, 3).reshape(down * side, across * side)[:height, :width]
        paths.append(folder / f"{index:05d}.jpg")
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def many_sizes(count: int) -> list[tuple[int, int]]:
    """So many heights and widths, no two alike."""
    span = 2 * SPREAD + 1
    places = np.random.default_rng(1).permutation(span * span)[:count]
    return [(SIDE - SPREAD + int(place // span), SIDE - SPREAD + int(place % span)) for place in places]


def make_part(recipe: Recipe) -> pipeline.Pipeline:
    """A part trained for a moment: its speed does not depend on what it has learned."""
    images = textures("brick", "train", count=16).images
    quick = dataclasses.replace(recipe, epochs=1) if isinstance(recipe, NetworkRecipe) else recipe
    fitted, _ = fitting.fit(jax.random.key(0), quick, images)
    scores = fitted.score(images)
    low, high = np.quantile(scores.map, (0.5, 0.999))
    return pipeline.Pipeline(
        detector=fitted,
        preparation=Preparation(1),
        threshold=for_false_positive_rate(scores.score, rate=0.1),
        rate=0.1,
        normal_scores=scores.score,
        colour_limits=(float(low), float(high)),
        pixel_limit=float(high),
        golden=(),
        golden_scores=np.zeros(0, np.float32),
        provenance={},
    )


def measure(paths: list[Path], made: pipeline.Pipeline, out: Path, *, workers: int) -> dict[str, float]:
    """Images per second of the three, after each has run once on a few."""
    list(read_photographs(paths[:8], workers=workers))
    began = time.perf_counter()
    decoded = sum(1 for _ in read_photographs(paths, workers=workers))
    decoding = decoded / (time.perf_counter() - began)

    images = list(photographs(paths[:KERNEL_IMAGES]))
    made.detector.score(images[:2])
    began = time.perf_counter()
    made.detector.score(images)
    kernel = len(images) / (time.perf_counter() - began)

    run = folders.score_folder(made, paths[0].parent, out, workers=workers)
    slower = min(decoding, kernel)
    return {
        "decoding": decoding,
        "kernel": kernel,
        "folder": run["images_per_second"],
        "share": run["images_per_second"] / slower,
    }


class Compilations:
    """Counts the programs that jax compiles in this process, none of them found in a cache."""

    def __init__(self) -> None:
        self.count = 0
        jax.config.update("jax_enable_compilation_cache", False)
        jax.monitoring.register_event_duration_secs_listener(self._add)

    def _add(self, event: str, seconds: float, **_: Any) -> None:
        self.count += event == "/jax/core/compile/backend_compile_duration"


def resident() -> float:
    """MiB of this process in memory. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def measure_sizes(recipe: Recipe, where: Path, *, count: int, workers: int) -> dict[str, Any]:
    """Speed, programs and memory of photographs of many sizes and of one, and how many times as fast the former are."""
    compilations = Compilations()
    sizes = {"many sizes": many_sizes(count), "one size": [(SIDE, SIDE)] * count}
    megapixels = {name: sum(height * width for height, width in some) / 1e6 for name, some in sizes.items()}
    for name, some in sizes.items():
        write_photographs(where / name, sizes=some)
    parts = {name: make_part(recipe) for name in sizes}
    found: dict[str, Any] = {}

    def turn(name: str, number: int) -> tuple[float, dict[int, float]]:
        """Seconds, and MiB by the photographs done."""
        memory: dict[int, float] = {}
        run = folders.score_folder(
            parts[name],
            where / name,
            where / f"{name} {number}",
            workers=workers,
            on_image=lambda done, *_: memory.update({done: resident()}),
        )
        return run["seconds"], memory

    for name in sizes:
        before = compilations.count
        seconds, memory = turn(name, 0)
        found[name] = {
            "megapixels": megapixels[name],
            "with compilation": _rates(count, megapixels[name], seconds),
            "programs": compilations.count - before,
            "mebibytes": {
                f"after {SETTLED}": next((mib for done, mib in memory.items() if done >= SETTLED), None),
                "at the end": memory[count],
                "at most": max(memory.values()),
            },
        }
    seconds_of: dict[str, list[float]] = {name: [] for name in sizes}
    before = compilations.count
    for number in range(1, TURNS + 1):
        for name in sizes:
            seconds_of[name].append(turn(name, number)[0])
    for name in sizes:
        found[name]["compiled before"] = _rates(count, megapixels[name], statistics.median(seconds_of[name]))
    found["programs of later turns"] = compilations.count - before
    for label in ("with compilation", "compiled before"):
        many, one = (found[name][label]["megapixels_per_second"] for name in ("many sizes", "one size"))
        found[f"ratio, {label}"] = many / one
    return found


def _rates(count: int, megapixels: float, seconds: float) -> dict[str, float]:
    return {"images_per_second": count / seconds, "megapixels_per_second": megapixels / seconds}


def print_sizes(found: dict[str, Any]) -> None:
    """The table that stands in README."""
    names = ("one size", "many sizes")
    print("| | " + " | ".join(names) + " |\n|---|---|---|")
    for label in ("compiled before", "with compilation"):
        for unit, words in (("images_per_second", "images/s"), ("megapixels_per_second", "megapixels/s")):
            print(f"| {words}, {label} | " + " | ".join(f"{found[name][label][unit]:.1f}" for name in names) + " |")
    print("| programs compiled | " + " | ".join(str(found[name]["programs"]) for name in names) + " |")
    for when in found["one size"]["mebibytes"]:
        cells = ["-" if mib is None else f"{mib:.0f}" for mib in (found[name]["mebibytes"][when] for name in names)]
        print(f"| MiB resident, {when} | " + " | ".join(cells) + " |")
    for label in ("compiled before", "with compilation"):
        print(f"{label}: {found[f'ratio, {label}']:.2f} of the megapixels/s of one size")


def keep_row(row: dict[str, Any]) -> None:
    """Put a row in the place of that of the same recipe and kind."""
    path = RESULTS / "folder.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    this = row["recipe"], row["kind"]
    others = [one for one in kept if (one["recipe"], one.get("kind", "halves")) != this]
    keep("folder", {"rows": [*others, {**row, **stamp()}]})


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="surface-gradients", help="one that takes images of any size")
    parser.add_argument("--count", type=int, default=1000, help="photographs of one size")
    parser.add_argument("--sizes", type=int, help="compare so many photographs of as many sizes with as many of one")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode, and as many that score")
    given = parser.parse_args()
    recipe = RECIPES[given.recipe]
    row: dict[str, Any] = {"side": SIDE, "recipe": given.recipe, "workers": given.workers}
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        if given.sizes:
            found = measure_sizes(recipe, where, count=given.sizes, workers=given.workers)
            row |= {"kind": "sizes", "goal": SIZES_GOAL, "count": given.sizes, **found}
            print_sizes(found)
        else:
            paths = write_photographs(where / "photographs", sizes=[(SIDE, SIDE)] * given.count)
            rates = measure(paths, make_part(recipe), where / "out", workers=given.workers)
            row |= {"kind": "halves", "goal": GOAL, "count": given.count, "images_per_second": rates}
            print(json.dumps(row, indent=1))
    keep_row(row)


if __name__ == "__main__":
    run_script(main)
