"""The demo: learn a texture that comes with scikit-image, then find the defects drawn on it."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from jaxad import datasets, fitting, metrics, plots
from jaxad._check import InputError, need_output_folder
from jaxad.methods import TEXTURE_VAE
from jaxad.protocols.output import environment, save_figure, save_results

TRAIN_COUNT = 64
TEST_COUNT = 80


def run_demo(
    *,
    texture: str = "brick",
    out: str | os.PathLike[str] = "jaxad-demo",
    seed: int = 0,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Train the texture recipe on good crops of a photograph and score crops with drawn defects.

    Writes `detections.png` (image, heatmap and mask of a good crop and of one crop a kind of defect) and
    `results.json` to the folder `out`.

    Args:
        texture: see `jaxad.datasets.textures`.
        out: folder for the results; made if need be.
        seed: of training, crops and defects.
        on_epoch: called with the epochs done and the means of that epoch's loss terms.

    Returns:
        What `results.json` holds: image AUROC, pixel AUROC, AUPRO, seconds and environment.

    Raises:
        InputError: the texture is unknown, or the folder cannot be written.
    """
    train = datasets.textures(texture, "train", seed=seed, count=TRAIN_COUNT)
    test = datasets.textures(texture, "test", seed=seed, count=TEST_COUNT)
    assert test.masks is not None
    folder = need_output_folder(out)

    fitted, history = fitting.fit(jax.random.key(seed), TEXTURE_VAE, train.images, on_epoch=on_epoch)
    began = time.perf_counter()
    scores = fitted.score(test.images)
    score_seconds = time.perf_counter() - began

    shown = [test.names.index(name) for name in dict.fromkeys(test.names)]
    normal_pixels = fitted.score(train.images[:16]).map
    figure = plots.detections(
        test.images[shown],
        scores.map[shown],
        test.masks[shown],
        [test.names[i].replace("_", " ") for i in shown],
        limits=(float(np.median(normal_pixels)), 2.0 * float(np.quantile(normal_pixels, 0.999))),
        label="unregularised score M, nats a window",
    )
    save_figure(folder, "detections.png", figure)
    results = {
        "recipe": TEXTURE_VAE.name,
        "texture": texture,
        "seed": seed,
        "image_auroc": metrics.auroc(test.labels, scores.score),
        "pixel_auroc": metrics.pixel_auroc(test.masks, scores.map),
        "aupro": metrics.aupro(test.masks, scores.map),
        "seconds": {"compile": history.compile_seconds, "train": history.seconds, "score": score_seconds},
        "environment": environment(),
    }
    save_results(folder, results)
    return results


def write_textures(
    texture: str, out: str | os.PathLike[str], *, count: int = 100, seed: int = 0
) -> dict[str, dict[str, int]]:
    """Write the demo's photographs as a folder in the layout of MVTec AD: PNG files, masks under ground_truth.

    Each is seen as by hand (see `jaxad.datasets.textures`), so that what `jaxad fit` holds out is as new as what comes.

    Args:
        texture: see `jaxad.datasets.textures`.
        out: a folder that is new or empty.
        count: photographs to train on, and as many to test on.
        seed: of crops and defects.

    Returns:
        How many photographs were written: {"train": {"good": count}, "test": {defect: count}}.

    Raises:
        InputError: the texture is unknown, or the folder holds something or cannot be written.
    """
    sets = {
        split: datasets.textures(texture, split, seed=seed, count=count, by_hand=True) for split in ("train", "test")
    }
    folder = need_output_folder(out)
    if any(folder.iterdir()):
        raise InputError(f"folder {str(folder)!r} must be new or empty, and holds files; choose another")
    for split, found in sets.items():
        for index, (image, name) in enumerate(zip(found.images, found.names, strict=True)):
            _write_png(folder / split / name / f"{index:03d}.png", image[..., 0])
            if name != "good" and found.masks is not None:
                _write_png(folder / "ground_truth" / name / f"{index:03d}_mask.png", found.masks[index])
    return {split: dict(Counter(found.names)) for split, found in sets.items()}


def _write_png(path: Path, values: np.ndarray) -> None:
    """Write values [h, w] in [0, 1] in 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(values * np.float32(255)).astype(np.uint8)).save(path)
