"""A folder as `jaxad score -o` leaves it, made of photographed textures with made-up heatmaps and scores."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from jaxad.datasets import textures

THRESHOLD = 2.0
EVIL_NAMES = (
    "<img src=x onerror=alert(1)>.png",
    "</script><script>alert(2)</script>.png",
    "</template><b id=broken>.png",
    "quote\" and 'quote' & amp &lt;.png",
    "<!-- data --><!--<script>.png",
    "line\nbreak, comma.png",
    "not\udcff text.png",
    "separator\u2028here.png",
)


def strips(count: int) -> list[tuple[bytes, str]]:
    """Pictures [image | heatmap | overlay] as JPEG, each with its defect's name."""
    found = textures("brick", "test", count=count)
    rng = np.random.default_rng(0)
    made = []
    for image, mask, name in zip(found.images[..., 0], found.masks, found.names, strict=True):
        heat = np.clip(0.9 * mask + rng.gamma(2, 0.05, mask.shape), 0, 1)
        heat = sum(np.roll(heat, shift, axis) for shift in range(-4, 5) for axis in (0, 1)) / 18
        colours = matplotlib.colormaps["inferno"](heat)[..., :3]
        grey = np.repeat(image[..., None], 3, axis=-1)
        strip = np.concatenate([grey, colours, 0.5 * grey + 0.5 * colours], axis=1)
        stream = io.BytesIO()
        Image.fromarray((strip * 255).astype(np.uint8)).save(stream, "jpeg", quality=80)
        made.append((stream.getvalue(), name))
    return made


def write_folder(
    folder: Path, *, count: int = 12, names: Sequence[str] = (), labelled: bool = True, missing: Sequence[int] = ()
) -> Path:
    """Write `count` results, the first ones under the given names; `missing` pictures are left out."""
    (folder / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(1)
    made = strips(min(max(count, 1), 40))
    rows, regions = [], []
    for row in range(count):
        picture, defect = made[row % len(made)]
        calibrated = float(rng.gamma(9, 0.12) if defect == "good" else rng.gamma(5, 0.5))
        file = names[row] if row < len(names) else f"test/{defect}/IMG_{row:05d}.png"
        decision = "anomalous" if calibrated > THRESHOLD else "normal"
        rows.append([file, defect if labelled else "", calibrated * 7.5, calibrated, decision, 3.25])
        if decision == "anomalous":
            left, top = (int(edge) for edge in rng.integers(0, 80, 2))
            box = [left, top, left + 31, top + 24]
            regions.append({"file": file, "box": box, "area": 512, "peak": calibrated * 9, "mean": calibrated * 5})
        if row not in missing:
            (folder / "pictures" / f"{row:06d}.jpg").write_bytes(picture)
    _write_table(folder / "results.csv", ["file", "defect", "score", "calibrated", "decision", "milliseconds"], rows)
    (folder / "regions.jsonl").write_text("".join(f"{json.dumps(region)}\n" for region in regions))
    anomalous = sum(row[4] == "anomalous" for row in rows)
    (folder / "run.json").write_text(json.dumps(_run(scored=count, anomalous=anomalous)))
    return folder


def write_errors(folder: Path, errors: Sequence[Sequence[str]]) -> None:
    """Add the files that could not be scored, as pairs of file and reason."""
    _write_table(folder / "errors.csv", ["file", "reason"], errors)


def _run(*, scored: int, anomalous: int) -> dict[str, object]:
    return {
        "jaxad": "0.1.0",
        "bundle": "bricks.jaxad",
        "source": "/data/bricks",
        "recipe": {"name": "patch-vae-calibrated", "window": [16, 16], "stride": [4, 4], "epochs": 20},
        "judged_by": "calibrated",
        "threshold": {
            "value": THRESHOLD,
            "rate_asked": 0.01,
            "rate": 0.008,
            "interval": [0.003, 0.021],
            "count": 375,
            "enough": True,
        },
        "colour_limits": [0.0, 18.5],
        "counts": {"scored": scored, "anomalous": anomalous, "failed": 0},
        "images_per_second": 123.4,
        "provenance": {"numpy": np.__version__, "seed": 0},
        "seconds": 40.5,
    }


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows(rows)
