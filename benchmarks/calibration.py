"""Draw heatmaps before and after calibration.

    python -m benchmarks.calibration DETECTOR --dataset fashion_mnist --normal 7 --anomaly 9 [--data-dir DIR]

DETECTOR is what `jaxad recipe run patch-vae-calibrated` left as `detector.jaxad`. Each kind of map has one colour
scale, from the median of test images of the normal class to the highest pixel of 95 % of them.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jaxad
from benchmarks.measure import run_script
from jaxad.detector import CALIBRATED

PLACE = Path(__file__).parents[1] / "docs" / "images" / "calibration.png"
SHOWN = 5


def main() -> None:
    """Score both classes, draw the first images of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", type=Path)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--normal", type=int, default=7)
    parser.add_argument("--anomaly", type=int, default=9)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    loaded = jaxad.load(arguments.detector)
    detector = loaded.detector if isinstance(loaded, jaxad.Pipeline) else loaded
    test = jaxad.datasets.tfds(arguments.dataset, "test", data_dir=arguments.data_dir)
    normal, anomalous = (test.images[test.labels == label] for label in (arguments.normal, arguments.anomaly))
    scored = detector.score_all(normal)
    shown = np.concatenate([normal[:SHOWN], anomalous[:SHOWN]])
    maps = detector.score_all(shown)
    rows = {"before": detector.recipe.score_name, "after": CALIBRATED}

    figure, axes = plt.subplots(3, 2 * SHOWN, figsize=(12, 4.2), layout="constrained")
    for i, image in enumerate(shown):
        axes[0, i].imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        axes[0, i].set_title("normal" if i < SHOWN else "anomalous", fontsize=9)
    for row, (when, name) in zip(axes[1:], rows.items(), strict=True):
        usual = scored[name].map
        limits = float(np.median(usual)), float(np.quantile(usual.max(axis=(1, 2)), 0.95))
        for panel, score_map in zip(row, maps[name].map, strict=True):
            drawn = panel.imshow(score_map, cmap="inferno", vmin=limits[0], vmax=limits[1])
        unit = "deviations" if name == CALIBRATED else "nats a window"
        row[0].set_ylabel(when)
        figure.colorbar(drawn, ax=list(row), label=unit, extend="both", pad=0.01)
    for panel in axes.ravel():
        panel.set(xticks=[], yticks=[])
    figure.savefig(PLACE, dpi=110)
    print(f"look at {PLACE}")


if __name__ == "__main__":
    run_script(main)
