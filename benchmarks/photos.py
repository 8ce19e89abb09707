"""Every recipe for photographs over sets of real ones: fitted, evaluated and timed as the command line does it.

    python -m benchmarks.photos --data DIR [RECIPE ...]

DIR holds sets in the layout of MVTec AD: `train/good`, `test/good`, `test/<defect>` and, where there are masks,
`ground_truth/<defect>`. `auto` is what `jaxad fit DIR` does without options. The threshold comes from good images
alone; no label of a test image is seen before it is judged. Images a second are of whole photographs, decoded and
scored one after the other once everything is compiled. With `--figures OUT` the worst misses and false alarms of each
set are drawn there, to be looked at and not to be passed on: the photographs are others'. What was kept of others stays
in `results/photos.json`.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS, keep, parser, run_script
from benchmarks.misses import draw_worst, judge_set
from jaxad import load_pipeline
from jaxad.folders import evaluate_folder, fit_folder

NAMES = ("auto", "patchcore", "padim", "surface-gradients", "patch-components", "surface", "gradient-components")
TIMED = 16
"""Photographs that scoring is timed on; there are as many before them, which compile."""
COLUMNS = ("set", "recipe", "image AUROC", "pixel AUROC", "AUPRO", "recall", "false alarms", "fit, s", "images/s", "MB")


def run(root: Path, name: str, figures: Path | None = None) -> dict[str, Any]:
    """Figures of one recipe on one set; pictures of its worst errors go to the folder `figures`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "fitted.jaxad"
        began = time.perf_counter()
        fitted = fit_folder(root, out, recipe=name)
        seconds, size = time.perf_counter() - began, out.stat().st_size
        pipeline = load_pipeline(out)
    found = evaluate_folder(pipeline, root)
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        draw_worst(judge_set(pipeline, root), root, pipeline).savefig(figures / f"{root.name}-{name}.png")
    paths = sorted(path for path in (root / "test" / "good").iterdir() if path.is_file())[: 2 * TIMED]
    warm, timed = paths[: len(paths) // 2], paths[len(paths) // 2 :]
    for some in (warm, timed):
        began = time.perf_counter()
        for path in some:
            pipeline.score(path)
        rate = len(some) / (time.perf_counter() - began)
    return {
        "fitted": fitted["recipe"],
        "settled": fitted["settled"],
        "auroc": found["auroc"],
        "pixel_auroc": found["pixels"]["auroc"],
        "aupro": found["pixels"]["aupro"],
        "recall": found["at_threshold"]["recall"],
        "false_alarms": found["at_threshold"]["false_positive_rate"],
        "judged_by": fitted["threshold"]["count"],
        "promised": list(fitted["threshold"]["interval"]),
        "seconds_to_fit": seconds,
        "images_per_second": rate,
        "bytes": size,
    }


def print_table(sets: dict[str, dict[str, Any]]) -> None:
    """All that is kept, as Markdown."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for root, recipes in sets.items():
        for name, row in recipes.items():
            recipe = name if row["fitted"] == name else f"{name} ({row['fitted']})"
            shares = (_share(row[key]) for key in ("auroc", "pixel_auroc", "aupro", "recall", "false_alarms"))
            costs = f"{row['seconds_to_fit']:.0f} | {row['images_per_second']:.1f} | {row['bytes'] / 1e6:.1f}"
            print(f"| {root} | {recipe} | {' | '.join(shares)} | {costs} |")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    """Run the recipes asked for on every set, keep them, print the table of all that are kept."""
    arguments_of = parser(__doc__, peers=False)
    arguments_of.add_argument("names", nargs="*", metavar="RECIPE", help=f"by default {', '.join(NAMES)}")
    arguments_of.add_argument("--data", type=Path, required=True, help="a folder of sets")
    arguments_of.add_argument("--sets", nargs="*", help="by default all of them")
    arguments_of.add_argument("--figures", type=Path, help="a folder for pictures of the worst misses and false alarms")
    arguments_of.add_argument("--note", default="", help="what else ran on the machine")
    arguments = arguments_of.parse_args()
    path = RESULTS / "photos.json"
    kept: dict[str, dict[str, Any]] = json.loads(path.read_text())["sets"] if path.exists() else {}
    roots = sorted(one for one in arguments.data.iterdir() if (one / "train" / "good").is_dir())
    for root in roots:
        if arguments.sets and root.name not in arguments.sets:
            continue
        for name in arguments.names or NAMES:
            kept.setdefault(root.name, {})[name] = run(root, name, arguments.figures)
            keep("photos", {"note": arguments.note, "sets": kept})
            print(f"{root.name} {name}: {kept[root.name][name]}", flush=True)
    print_table(kept)


if __name__ == "__main__":
    run_script(main)
