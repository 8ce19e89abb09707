"""Bring the pictures of the five published systems into their pages: `python -m benchmarks.systems RUNS`.

RUNS holds what `jaxad recipe run NAME --out RUNS/NAME` left, one folder a system.
"""

import argparse
from pathlib import Path

from PIL import Image

from benchmarks.measure import run_script

PLACE = Path(__file__).parents[1] / "docs" / "images" / "systems"
PICTURES = {
    "conv-ae": ("reconstructions", "errors", "roc"),
    "ssim-ae": ("triples", "roc"),
    "patch-vae": ("heatmap_unregularised", "heatmap_regularised", "roc"),
    "latent-ocsvm": ("codes", "roc"),
    "dense-ae": ("reconstructions_160", "errors", "loss"),
}
WIDEST = 1000


def main() -> None:
    """Copy each picture, made smaller where it is wider than a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    runs = parser.parse_args().runs
    PLACE.mkdir(parents=True, exist_ok=True)
    for name, pictures in PICTURES.items():
        for picture in pictures:
            image = Image.open(runs / name / f"{picture}.png").convert("RGB")
            image.thumbnail((WIDEST, WIDEST))
            image.quantize(128).save(PLACE / f"{name}_{picture}.png", optimize=True)
            print(PLACE / f"{name}_{picture}.png")


if __name__ == "__main__":
    run_script(main)
