"""One class normal, nine to tell from it: the mean AUROC over the ten classes of a set.

    python -m benchmarks.one_class --dataset mnist|fashion_mnist --recipe NAME [--seeds 3] [--json]

For every class the recipe is fitted on its training images alone and scores the whole test split.
"""

import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxad
from benchmarks.measure import RESULTS, keep, parser, run_script
from jaxad import metrics
from jaxad._check import need_at_least

DATASETS = ("mnist", "fashion_mnist")
CLASSES = 10


def run(dataset: str, recipe: jaxad.recipes.Recipe, *, seeds: int, data_dir: Path | None = None) -> dict[str, Any]:
    """AUROC of every class and seed, and the seconds to fit and score one class once compiled (the median)."""
    train, test = (jaxad.datasets.tfds(dataset, split, data_dir=data_dir) for split in ("train", "test"))
    aurocs, seconds = np.empty((seeds, CLASSES)), []
    for seed in range(seeds):
        for label in range(CLASSES):
            began = time.perf_counter()
            key = jax.random.fold_in(jax.random.key(seed), label)
            detector, _ = jaxad.fit(key, recipe, train.images[train.labels == label])
            scores = detector.score(test.images).score
            seconds.append(time.perf_counter() - began)
            aurocs[seed, label] = metrics.auroc(test.labels != label, scores)
    means = aurocs.mean(axis=1)
    return {
        "dataset": dataset,
        "recipe": recipe.name,
        "seeds": seeds,
        "per_class": aurocs.mean(axis=0).tolist(),
        "mean": float(means.mean()),
        "std": float(means.std(ddof=1)) if seeds > 1 else 0.0,
        "seconds": float(np.median(seconds)),
    }


def main() -> None:
    """Measure one recipe on one set, print, and keep it beside the others."""
    arguments_of = parser(__doc__, peers=False)
    arguments_of.add_argument("--dataset", choices=DATASETS, required=True)
    arguments_of.add_argument("--recipe", choices=sorted(jaxad.RECIPES), required=True)
    arguments_of.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    arguments_of.add_argument("--seeds", type=int, default=1)
    arguments_of.add_argument("--data-dir", type=Path)
    arguments_of.add_argument("--json", action="store_true")
    arguments = arguments_of.parse_args()
    need_at_least(arguments.seeds, 1, what="seeds")
    recipe = jaxad.recipes.with_settings(jaxad.RECIPES[arguments.recipe], arguments.set)
    result = run(arguments.dataset, recipe, seeds=arguments.seeds, data_dir=arguments.data_dir)
    if not arguments.set:
        path = RESULTS / "one_class.json"
        kept = json.loads(path.read_text())["rows"] if path.exists() else []
        same = (result["dataset"], result["recipe"])
        keep("one_class", {"rows": [row for row in kept if (row["dataset"], row["recipe"]) != same] + [result]})
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.dataset}, {arguments.recipe}: {100 * result['mean']:.2f} ± {100 * result['std']:.2f}")
    print("  ".join(f"{label}: {100 * value:.2f}" for label, value in enumerate(result["per_class"])))
    print(f"{result['seconds']:.1f} s to fit and score a class")


if __name__ == "__main__":
    run_script(main)
