"""Surfaces with drawn defects: how well a recipe finds the image, the pixels and every region.

    python -m benchmarks.defects --recipe NAME [--seeds 3] [--json]

A recipe is fitted on good crops of each photographed texture and scores crops of another part of the photograph, half
of them with a scratch, a stain, a foreign texture or a missing piece. What recipes choose or train by are other kinds
of defects (`jaxad.defects`).
"""

import json
import time
from typing import Any

import jax
import numpy as np

import jaxad
from benchmarks.measure import RESULTS, keep, parser, run_script
from jaxad import metrics
from jaxad._check import need_at_least
from jaxad.datasets.textures import PHOTOGRAPHS

TRAIN_COUNT, TEST_COUNT = 64, 160


def run(recipe: jaxad.recipes.Recipe, *, seeds: int) -> dict[str, Any]:
    """Mean figures of every texture, their mean over the textures, and the seconds to fit and score (the median)."""
    figures, seconds = np.empty((seeds, len(PHOTOGRAPHS), 3)), []
    for seed in range(seeds):
        for i, texture in enumerate(PHOTOGRAPHS):
            train = jaxad.datasets.textures(texture, "train", seed=seed, count=TRAIN_COUNT)
            test = jaxad.datasets.textures(texture, "test", seed=seed, count=TEST_COUNT)
            began = time.perf_counter()
            detector, _ = jaxad.fit(jax.random.key(seed), recipe, train.images)
            scores = detector.score(test.images)
            seconds.append(time.perf_counter() - began)
            figures[seed, i] = (
                metrics.auroc(test.labels, scores.score),
                metrics.pixel_auroc(test.masks, scores.map),
                metrics.aupro(test.masks, scores.map),
            )
    names = ("image_auroc", "pixel_auroc", "aupro")
    means = figures.mean(axis=1)
    return {
        "recipe": recipe.name,
        "seeds": seeds,
        "per_texture": {
            texture: dict(zip(names, figures[:, i].mean(axis=0).tolist(), strict=True))
            for i, texture in enumerate(PHOTOGRAPHS)
        },
        "mean": dict(zip(names, means.mean(axis=0).tolist(), strict=True)),
        "std": dict(zip(names, means.std(axis=0, ddof=1 if seeds > 1 else 0).tolist(), strict=True)),
        "seconds": float(np.median(seconds)),
    }


def main() -> None:
    """Measure one recipe, print, and keep it beside the others."""
    arguments_of = parser(__doc__, peers=False)
    arguments_of.add_argument("--recipe", choices=sorted(jaxad.RECIPES), required=True)
    arguments_of.add_argument("--seeds", type=int, default=1)
    arguments_of.add_argument("--json", action="store_true")
    arguments = arguments_of.parse_args()
    need_at_least(arguments.seeds, 1, what="seeds")
    result = run(jaxad.RECIPES[arguments.recipe], seeds=arguments.seeds)
    path = RESULTS / "defects.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    keep("defects", {"rows": [row for row in kept if row["recipe"] != result["recipe"]] + [result]})
    if arguments.json:
        print(json.dumps(result))
        return
    for texture, row in {**result["per_texture"], "mean": result["mean"], "std": result["std"]}.items():
        print(f"{texture:8}", "  ".join(f"{name} {value:.3f}" for name, value in row.items()))
    print(f"{result['seconds']:.1f} s to fit and score a texture")


if __name__ == "__main__":
    run_script(main)
