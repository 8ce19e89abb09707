"""Two figures of the last results: `python -m benchmarks.figures` draws them again from the JSON in `results/`."""

import argparse
import json
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.heatmap import FLOP_A_WINDOW, JOBS
from benchmarks.measure import RESULTS, run_script

OURS, THEIRS = "#d1495b", "#8d99ae"


def draw(maps: Any, trained: Any, sizes: Any) -> None:
    """Write `throughput.png` and `size.png` beside the results."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    rates = maps["windows_per_second"]
    names = [name for name in ("jaxad", *JOBS) if name in rates]
    values = [rates[name]["median"] / 1e3 for name in names]
    left.barh(names[::-1], values[::-1], color=[THEIRS] * (len(names) - 1) + [OURS])
    ceiling = maps["peak_gflops"] * 1e9 / FLOP_A_WINDOW / 1e3
    left.axvline(ceiling, color="black", linestyle="--", linewidth=1)
    left.text(ceiling, -0.45, f"ceiling {ceiling:,.0f} ", ha="right", fontsize=8)
    left.set(title="Heatmaps of 200 images, 8x8 windows", xlabel="thousand windows per second")
    systems = trained["systems"]
    for offset, peer, colour in ((-0.27, "jaxad", OURS), (0, "Keras", THEIRS), (0.27, "PyTorch", "#495867")):
        heights = [
            row["samples_per_second"].get(peer, {"median": float("nan")})["median"]
            / row["samples_per_second"]["jaxad"]["median"]
            for row in systems.values()
        ]
        right.bar([i + offset for i in range(len(systems))], heights, 0.25, label=peer, color=colour)
    right.set_xticks(range(len(systems)), list(systems), fontsize=8)
    right.set(title="Training, samples per second relative to jaxad", ylim=(0, 1.25))
    right.legend(ncols=3, frameon=False, fontsize=8, loc="upper center")
    figure.savefig(RESULTS / "throughput.png", dpi=120)
    plt.close(figure)

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    pixels = [row["size"] for row in sizes["sizes"]]
    axes.loglog(pixels, [row["seconds"] for row in sizes["sizes"]], "o-", color=OURS, base=2)
    axes.set_xticks(pixels, [str(size) for size in pixels])
    axes.set_xlabel("height and width of the image, pixels")
    axes.set_ylabel("seconds", color=OURS)
    axes.set_yscale("log")
    memory = axes.twinx()
    memory.plot(pixels, [row["mebibytes"] for row in sizes["sizes"]], "s--", color="#495867")
    memory.set_ylabel("MiB over the library", color="#495867")
    axes.set_title("One heatmap at stride 2 against image size")
    figure.savefig(RESULTS / "size.png", dpi=120)
    plt.close(figure)


def main() -> None:
    """Draw the kept results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    draw(*(json.loads((RESULTS / f"{name}.json").read_text()) for name in ("heatmap", "training", "memory")))


if __name__ == "__main__":
    run_script(main)
