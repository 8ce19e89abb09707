"""A recipe's published protocol: train on one class, tell another from it, draw what the paper draws."""

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxad import datasets, detector, metrics, patches, plots
from jaxad._check import InputError, need_output_folder
from jaxad.protocols.output import environment, save_figure, save_results
from jaxad.recipes import PatchVAERecipe

SCORES = {"unregularised": "unregularised score M", "regularised": "regularised score D + A + M"}


def run_recipe(
    recipe: PatchVAERecipe,
    *,
    out: str | os.PathLike[str],
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Run a recipe's protocol on its data and write figures and `results.json` to the folder `out`.

    Writes `heatmap_unregularised.png` and `heatmap_regularised.png` (the first normal and the first anomalous
    test image beside their heatmaps), `roc.png` (both scores) and `results.json`.

    Args:
        recipe: with the protocol to run; change it by `dataclasses.replace`.
        out: folder for the results; made if need be.
        seed: of all random choices.
        data_dir: where TFDS has its sets; its own rule where None.
        on_epoch: called with the epochs done and the means of that epoch's loss terms.

    Returns:
        What `results.json` holds: AUROC of both scores by mean and by maximum of the map, seconds, environment.

    Raises:
        InputError: the data is not there, a label is unknown, or the folder cannot be written.
    """
    protocol = recipe.protocol
    if protocol is None:
        raise InputError(f"recipe {recipe.name!r} has no published protocol to run; fit it on images of your own")
    if protocol.normal == protocol.anomaly:
        raise InputError(f"normal and anomaly must be different classes, got {protocol.normal} for both")
    folder = need_output_folder(out)

    began = time.perf_counter()
    train = datasets.tfds(protocol.dataset, "train", labels=[protocol.normal], data_dir=data_dir)
    test = datasets.tfds(protocol.dataset, "test", labels=[protocol.normal, protocol.anomaly], data_dir=data_dir)
    anomalous = test.labels == protocol.anomaly
    loaded = time.perf_counter() - began

    fitted, history = detector.fit(jax.random.key(seed), recipe, train.images, on_epoch=on_epoch)
    # The first pass compiles; the second one shows what scoring costs.
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        maps = fitted.score_maps(test.images)
        seconds.append(time.perf_counter() - began)
    rows, columns = patches.grid(test.images.shape[1:3], recipe.window, recipe.stride, cover=recipe.cover)

    first = [int(np.argmax(~anomalous)), int(np.argmax(anomalous))]
    titles = [f"{kind}: {test.names[i]}" for kind, i in zip(("normal", "anomaly"), first, strict=True)]
    for name, label in SCORES.items():
        figure = plots.heatmap_pairs(test.images[first], maps[name][first], titles, label=label)
        save_figure(folder, f"heatmap_{name}.png", figure)
    image_scores = {label: detector.POOLS[recipe.pool](maps[name]) for name, label in SCORES.items()}
    title = f"{protocol.dataset}: {protocol.normal} normal, {protocol.anomaly} anomalous"
    save_figure(folder, "roc.png", plots.roc(anomalous, image_scores, title=title))

    results = {
        "recipe": recipe.name,
        "dataset": protocol.dataset,
        "normal": protocol.normal,
        "anomaly": protocol.anomaly,
        "seed": seed,
        "auroc": {
            f"{name}_{pool}": metrics.auroc(anomalous, reduce(maps[name]))
            for name in SCORES
            for pool, reduce in detector.POOLS.items()
        },
        "seconds": {
            "load": loaded,
            "compile": history.compile_seconds + max(0.0, seconds[0] - seconds[1]),
            "train": history.seconds,
            "score": seconds[1],
        },
        "windows_per_second": len(test) * len(rows) * len(columns) / seconds[1],
        "settings": dataclasses.asdict(recipe),
        "history": {name: values.tolist() for name, values in history.terms.items()},
        "environment": environment(),
    }
    save_results(folder, results)
    return results
