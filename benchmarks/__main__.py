"""Every benchmark in one run: one table against the goals, JSON and two figures in `results/`.

python -m benchmarks [--peers PYTHON]
"""

from collections.abc import Iterator
from typing import Any

from benchmarks import backbone, closed_form, figures, heatmap, memory, startup, training
from benchmarks.measure import Peers, parser

Row = tuple[str, str, str, str, bool | None]
"""What, measured, the fastest peer or the reference, goal, met (None where no peer was there)."""
PARTS = ("startup", "heatmap", "training", "closed_form", "memory", "backbone")
"""Names of the results that the table is made of."""
TRAINING_GOALS = {"conv-ae": 2.0, "ssim-ae": 2.0, "patch-vae": 4.0, "latent-ocsvm": 2.0, "dense-ae": 2.0}


def _ratio_row(what: str, rates: dict[str, dict[str, float]], peers: list[str], goal: float, unit: str) -> Row:
    ours, found = rates["jaxad"]["median"], {name: rates[name]["median"] for name in peers if name in rates}
    if not found:
        return what, f"{ours:,.0f} {unit}", "-", f"{goal:g} x", None
    best = max(found, key=lambda name: found[name])
    ratio = ours / found[best]
    return what, f"{ours:,.0f} {unit} = {ratio:.2f} x", f"{best}: {found[best]:,.0f}", f"{goal:g} x", ratio >= goal


def rows(starts: Any, maps: Any, trained: Any, closed: Any, sizes: Any, network: Any) -> Iterator[Row]:
    """The table's lines."""
    yield _ratio_row("heatmap", maps["windows_per_second"], list(heatmap.JOBS), 20.0, "windows/s")
    share, peak = maps["share_of_peak"], maps["peak_gflops"]
    what = "heatmap, share of the peak that the decoder itself would need"
    yield what, f"{share:.2f}", f"matrix product: {peak:.0f} GFLOP/s", "0.5", share >= 0.5
    largest = sizes["sizes"][-1]
    name = f"memory, {largest['size']} x {largest['size']}"
    yield name, f"{largest['mebibytes']:.0f} MiB", "-", "1024 MiB", largest["mebibytes"] <= 1024
    for system, row in trained["systems"].items():
        goal = TRAINING_GOALS[system]
        yield _ratio_row(f"training {system}", row["samples_per_second"], ["Keras", "PyTorch"], goal, "samples/s")
    for task, row in closed["tasks"].items():
        yield _ratio_row(closed_form.TASKS[task], row["rows_per_second"], ["scikit-learn"], 1.0, "rows/s")
    for count, row in network["at_once"].items():
        what = f"EfficientNet-Lite0, {network['side']} x {network['side']}, {count} at once"
        yield _ratio_row(what, row["images_per_second"], ["PyTorch"], 0.5, "images/s")
    taken = starts["seconds"]
    extra = max(taken["import jax, jaxad"] - taken["import jax"], 0.0)  # below zero it is noise
    yield (
        "import jaxad, over jax",
        f"{extra:.2f} s",
        f"import jax: {taken['import jax']:.2f} s",
        "0.15 s",
        extra <= 0.15,
    )
    helped = taken["jaxad --help"]
    yield "jaxad --help", f"{helped:.2f} s", f"python: {taken['python']:.2f} s", "0.5 s", helped < 0.5
    second, first = taken["first heatmap, second process"], taken["first heatmap"]
    yield "first heatmap, second process", f"{second:.2f} s", f"first process: {first:.2f} s", "3 s", second < 3


def main() -> None:
    """Measure everything, print the table, draw the figures."""
    peers = Peers(parser(__doc__).parse_args().peers)
    starts, maps, trained, closed = startup.run(), heatmap.run(peers), training.run(peers), closed_form.run(peers)
    sizes, network = memory.run(), backbone.run(peers)
    print("| what | jaxad | beside it | goal | met |\n|---|---|---|---|---|")
    for what, measured, beside, goal, met in rows(starts, maps, trained, closed, sizes, network):
        print(f"| {what} | {measured} | {beside} | {goal} | {'-' if met is None else 'yes' if met else 'no'} |")
    figures.draw(maps, trained, sizes)


if __name__ == "__main__":
    main()
