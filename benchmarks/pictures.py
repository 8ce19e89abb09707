"""Draw what each recipe sees: `python -m benchmarks.pictures [--data-dir DIR]` writes two pictures of docs/recipes.md.

One picture is of textures with drawn defects, one of digits. Each row has one colour scale, from the median pixel of
good test images to the highest pixel of 95 % of them.
"""

import argparse
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxad
from jaxad.datasets import ImageSet

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SURFACES = ("patch-components", "surface-gradients", "surface", "patch-vae-texture", "patchcore")
ALIGNED = ("gradient-neighbours", "gradient-components", "pixel-components", "image-vae", "patch-vae-calibrated")


def draw(train: ImageSet, usual: ImageSet, shown: ImageSet, recipes: tuple[str, ...], place: Path) -> None:
    """Fit each recipe on `train`, scale its maps by `usual`, and draw those of `shown`, one row a recipe."""
    count, rows = len(shown.images), len(recipes) + 1
    figure, axes = plt.subplots(rows, count, figsize=(1.5 * count + 1.5, 1.55 * rows), layout="constrained")
    for panel, image, name in zip(axes[0], shown.images, shown.names, strict=True):
        panel.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        panel.set_title(name.replace("_", " "), fontsize=9)
    for row, name in zip(axes[1:], recipes, strict=True):
        detector, _ = jaxad.fit(jax.random.key(0), jaxad.RECIPES[name], train.images)
        good = np.asarray(detector.score(usual.images).map)
        limits = float(np.median(good)), float(np.quantile(good.max(axis=(1, 2)), 0.95))
        for panel, score_map in zip(row, np.asarray(detector.score(shown.images).map), strict=True):
            panel.imshow(score_map, cmap="inferno", vmin=limits[0], vmax=max(limits[1], limits[0] + 1e-9))
        row[0].set_ylabel(name, fontsize=8)
        print(name, limits, flush=True)
    for panel in axes.ravel():
        panel.set(xticks=[], yticks=[])
    figure.savefig(place, dpi=100)
    plt.close(figure)
    print(f"look at {place}")


def textures() -> None:
    """Bricks with one defect of each kind."""
    test = jaxad.datasets.textures("brick", "test", count=60)
    good = np.flatnonzero(test.labels == 0)
    kinds = [test.names.index(name) for name in dict.fromkeys(test.names)]
    train = jaxad.datasets.textures("brick", "train", count=64)
    draw(train, _some(test, good[1:]), _some(test, kinds), SURFACES, IMAGES / "recipes_surface.png")


def digits(data_dir: Path | None) -> None:
    """One of each of a few digits, beside a 1."""
    test = jaxad.datasets.tfds("mnist", "test", data_dir=data_dir)
    train = jaxad.datasets.tfds("mnist", "train", labels=[1], data_dir=data_dir)
    ones = np.flatnonzero(test.labels == 1)
    named = ImageSet(test.images, test.labels, names=tuple(str(label) for label in test.labels))
    chosen = [int(np.flatnonzero(test.labels == label)[5]) for label in (1, 7, 9, 4, 3, 0)]
    draw(train, _some(named, ones[10:410]), _some(named, chosen), ALIGNED, IMAGES / "recipes_digits.png")


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    textures()
    digits(arguments.data_dir)


def _some(images: ImageSet, places: list[int] | np.ndarray) -> ImageSet:
    names = tuple(images.names[place] for place in places)
    return ImageSet(images.images[places], images.labels[places], names=names)


if __name__ == "__main__":
    main()
