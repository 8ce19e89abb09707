"""Write the tables of README and docs/ again from what benchmarks kept in `results/`, so that no figure is outdated.

    python -m benchmarks.pages [--check]

A page has `<!-- table: NAME -->` above a table and `<!-- end -->` below it. `--check` writes nothing and ends with 1
where a page would change.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxad
from benchmarks.__main__ import PARTS
from benchmarks.__main__ import rows as speed_rows
from benchmarks.measure import RESULTS
from benchmarks.recipes import cell
from jaxad.protocols import PROTOCOLS

ROOT = Path(__file__).parents[1]
Row = tuple[str, str, list[tuple[str, tuple[str, ...]]]]
"""A figure, its name among the published ones, and for each column the run and the path to its number."""
MARK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
PUBLISHED_ONE_CLASS = ("published without pretraining (ESAD; GOAD)", "98.5", "94.1", "")
ONE_CLASS_NOTES = {
    "image-vae": "autoencoders on pixels alone",
    "auto": "closed forms, chosen class by class without a label",
    "patch-vae-calibrated": "windows know no shapes, so most other digits pass",
}


def read(name: str) -> Any:
    """A file of `results/`."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Rows in Markdown."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def one_class() -> str:
    """One class normal, nine to tell from it: AUROC in %, mean over the classes."""
    found: dict[str, dict[str, Any]] = {}
    for row in read("one_class")["rows"]:
        found.setdefault(row["recipe"], {})[row["dataset"]] = row
    rows = []
    for recipe in sorted(found, key=lambda name: -found[name]["mnist"]["mean"]):
        sets = [found[recipe][name] for name in ("mnist", "fashion_mnist")]
        note = f": {ONE_CLASS_NOTES[recipe]}" if recipe in ONE_CLASS_NOTES else ""
        seconds = " to ".join(f"{value:.3g}" for value in sorted({float(f"{row['seconds']:.2g}") for row in sets}))
        rows.append((f"`{recipe}`{note}", *(_percent(row) for row in sets), seconds))
    return table(("recipe", "MNIST", "Fashion-MNIST", "s to fit and score a class"), [*rows, PUBLISHED_ONE_CLASS])


def defects() -> str:
    """Textures with drawn defects: mean over three of them."""
    rows = [
        (
            f"`{row['recipe']}`",
            *(_three(row["mean"][key], row["std"][key]) for key in _DEFECTS),
            f"{row['seconds']:.2g}",
        )
        for row in sorted(read("defects")["rows"], key=lambda row: -row["mean"]["image_auroc"])
    ]
    return table(("recipe", "image AUROC", "pixel AUROC", "AUPRO (to .3)", "s to fit and score 64 + 160 crops"), rows)


def photos() -> str:
    """Sets of real photographs."""
    rows = [
        (name, f"`{recipe}`", *(_plain(row[key]) for key in _PHOTOS), f"{row['seconds_to_fit']:.0f}")
        for name, recipes in read("photos")["sets"].items()
        for recipe, row in recipes.items()
    ]
    heads = ("set", "recipe", "image AUROC", "pixel AUROC", "AUPRO", "recall", "false alarms", "s to fit")
    return table(heads, rows)


def speed() -> str:
    """Beside peers, against goals."""
    rows = [
        (what, measured, beside, goal, "-" if met is None else "yes" if met else "no")
        for what, measured, beside, goal, met in speed_rows(*map(read, PARTS))
    ]
    return table(("what", "jaxad", "beside it", "goal", "met"), rows)


def published_loop() -> str:
    """What one Keras call a window makes, beside the kernel; the ratio to two digits."""
    rates = {name: row["median"] for name, row in read("heatmap")["windows_per_second"].items()}
    loop, kernel = rates["Keras, published loop"], rates["jaxad"]
    times = float(f"{kernel / loop:.2g}")
    made = f"The published loop, one Keras `predict` a window, makes {loop:.0f} windows/s"
    return f"{made}: the kernel is {times:,.0f} times as fast.\n"


def scaling() -> str:
    """One process beside the workers of a Ray cluster on the same machine."""
    kept = read("scaling")
    alone = kept["ways"]["one process"]["seconds"]["median"]
    rows = [
        (
            name,
            *(_range(row[key]) for key in ("seconds", "images_per_second")),
            f"{row['seconds']['median'] / alone:.2f}",
        )
        for name, row in kept["ways"].items()
    ]
    what = f"{kept['count']:,} photographs of {kept['side']} x {kept['side']}, {kept['environment']['cores']} cores"
    return table((f"{what}, {kept['date']}", "whole command, s", "images/s once connected", "times as long"), rows)


def accelerators() -> str:
    """What compilers say of programs for devices that are not there."""
    kept = read("accelerators")
    rows = []
    for program, gpu in kept["h100"].items():
        tpu = kept["v5e"].get(program)
        cost = gpu["modelled"] + gpu["bound_of_the_rest"]
        cycles = f"{tpu['modelled'] / 1e6:.3g} M" if tpu else "-"
        rows.append((program, f"{cost:,.0f}", str(gpu["launches"]), f"{gpu['temporary_bytes'] / 1e6:,.0f}", cycles))
    return table(("program", "H100, us", "launches", "temporary MB", "TPU v5e, cycles"), rows)


def published(name: str) -> Callable[[], str]:
    """What a system was published with beside what `benchmarks.recipes` found over several seeds."""

    def made() -> str:
        kept, rows = read("recipes"), []
        theirs = dict(PROTOCOLS[name.removesuffix("_fashion").replace("_", "-")].published)
        for what, key, sources in SYSTEMS[name]:
            cells = [_figure(kept[source], path) if source else "" for source, path in sources]
            rows.append((what, _plain(theirs.get(key)) if key else "-", *cells))
        return table(("figure", "published", *HEADS[name]), rows)

    return made


def readme() -> str:
    """Five rows for a first look."""
    classes = {(row["dataset"], row["recipe"]): row for row in read("one_class")["rows"]}
    surface = next(row for row in read("defects")["rows"] if row["recipe"] == "surface")["mean"]
    textures = f"{surface['image_auroc']:.3f}, {surface['aupro']:.3f}"
    found = list(speed_rows(*map(read, PARTS)))
    kept = read("recipes")
    best = [_percent(classes[name, "gradient-neighbours"]) for name in ("mnist", "fashion_mnist")]
    _, heatmap, beside, *_ = found[0]
    calibrated, own = (cell(kept[f"{name} mnist"], "auroc", key) for name, key in _VAE)
    rows = [
        ("one class of MNIST, of Fashion-MNIST: AUROC, %", ", ".join(best), "98.5, 94.1 without pretraining"),
        ("MNIST 1 against 9, patch VAE: AUROC", calibrated, f"{own} by the published method"),
        ("textures with drawn defects, `surface`: AUROC, AUPRO", textures, ""),
        ("anomaly map, sliding window", heatmap, beside),
        ("an image of 4096 x 4096", f"{found[2][1]} over the library", ""),
    ]
    return table(("what", "jaxad", "beside it"), rows)


_DEFECTS = ("image_auroc", "pixel_auroc", "aupro")
_PHOTOS = ("auroc", "pixel_auroc", "aupro", "recall", "false_alarms")
_VAE = (("patch-vae-calibrated", "calibrated"), ("patch-vae-as-published", "regularised_mean"))
_TEST, _INSIDE = ("auroc", "test"), ("auroc", "contaminated")
_TOP = ("quantiles", "0.999")
_OURS = ("jaxad", "jaxad, improved variant")
HEADS = {
    "conv_ae": ("jaxad, `conv-ae`", "`conv-ae-small-code`"),
    "ssim_ae": ("jaxad, `ssim-ae`", "`ssim-ae-bottleneck`"),
    "patch_vae": ("jaxad, `--as-published`", "`patch-vae`", "`patch-vae-calibrated`"),
    "patch_vae_fashion": ("jaxad, `--as-published`", "`patch-vae`", "`patch-vae-calibrated`"),
    "latent_ocsvm": ("jaxad, `latent-ocsvm`", "`latent-ocsvm-linear`"),
    "dense_ae": ("jaxad, `dense-ae`", "`dense-ae-calm`"),
}


VAES = ("patch-vae-as-published", "patch-vae", "patch-vae-calibrated")


def _both(first: str, second: str, *path: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(first, path), (second, path)]


def _vaes(data: str, name: str) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (f"{recipe} {data}", ("auroc", name))
        for recipe in ("patch-vae-as-published", "patch-vae", "patch-vae-calibrated")
    ]


def _calibrated(data: str) -> Row:
    return (
        "AUROC, z-score of the likelihood",
        "",
        [("", ()), ("", ()), (f"patch-vae-calibrated {data}", ("auroc", "calibrated"))],
    )


_CONV, _DENSE = ("conv-ae", "conv-ae-small-code"), ("dense-ae", "dense-ae-calm")
_SSIM, _SVM = ("ssim-ae", "ssim-ae-bottleneck"), ("latent-ocsvm", "latent-ocsvm-linear")
_VAE_ROWS = (
    ("AUROC, mean of M", "unregularised_mean"),
    ("AUROC, largest of M", "unregularised_max"),
    ("AUROC, mean of D + A + M", "regularised_mean"),
    ("AUROC, largest of D + A + M", "regularised_max"),
)
SYSTEMS: dict[str, list[Row]] = {
    "conv_ae": [
        ("AUROC, test 1 against 3", "auroc", _both(*_CONV, *_TEST)),
        ("AUROC, inside the contaminated set", "auroc_train", _both(*_CONV, *_INSIDE)),
        ("flagged at the 0.999 quantile", "flagged", _both(*_CONV, *_TOP, "flagged")),
        ("of these anomalies", "flagged_anomalies", _both(*_CONV, *_TOP, "anomalies")),
        ("threshold", "threshold", _both(*_CONV, *_TOP, "threshold")),
        ("last loss", "loss", _both(*_CONV, "final", "loss")),
    ],
    "ssim_ae": [
        ("AUROC, 1 - SSIM", "", _both(*_SSIM, "auroc", "ssim_loss")),
        ("AUROC, squared error", "", _both(*_SSIM, "auroc", "squared_error")),
    ],
    "patch_vae": [*((what, name, _vaes("mnist", name)) for what, name in _VAE_ROWS), _calibrated("mnist")],
    "patch_vae_fashion": [*((what, "", _vaes("fashion", name)) for what, name in _VAE_ROWS), _calibrated("fashion")],
    "latent_ocsvm": [
        ("AUROC, SVM on pixels", "auroc_pixels", _both(*_SVM, "auroc", "pixels")),
        ("AUROC, SVM on codes", "auroc", _both(*_SVM, "auroc", "codes")),
        ("AUROC, squared error", "", _both(*_SVM, "auroc", "squared_error")),
    ],
    "dense_ae": [
        ("AUROC", "", _both(*_DENSE, *_TEST)),
        ("largest error of a digit", "largest_normal", _both(*_DENSE, "largest", "normal")),
        ("largest error of noise", "largest_noise", _both(*_DENSE, "largest", "noise")),
        ("threshold, set without labels", "", _both(*_DENSE, "threshold", "value")),
        ("digits flagged, of 10,000", "", _both(*_DENSE, "confusion", "fp")),
        ("noise flagged, of 30,000", "", _both(*_DENSE, "confusion", "tp")),
    ],
}


def catalogue() -> str:
    """Every recipe, with what it is."""
    rows = [(f"`{name}`", recipe.summary, recipe.source) for name, recipe in jaxad.RECIPES.items()]
    return table(("recipe", "what it is", "source"), rows)


TABLES: dict[str, Callable[[], str]] = {
    **{
        made.__name__: made
        for made in (readme, one_class, defects, photos, speed, published_loop, scaling, accelerators, catalogue)
    },
    **{name: published(name) for name in SYSTEMS},
}


def renewed(page: str) -> str:
    """A page with every marked table as the results have it now."""
    return MARK.sub(lambda match: match[1] + TABLES[match[2]]() + match[4], page)


def main() -> None:
    """Renew every page, or tell which ones are outdated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check, outdated = parser.parse_args().check, []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        now = path.read_text()
        if (then := renewed(now)) != now:
            outdated.append(path.relative_to(ROOT))
            if not check:
                path.write_text(then)
    for path in outdated:
        print(f"{path} {'is outdated: run python -m benchmarks.pages' if check else 'written'}")
    sys.exit(bool(outdated) and check)


def _figure(result: dict[str, Any], path: tuple[str, ...]) -> str:
    """A figure with its spread over seeds; of one seed where no mean was kept."""
    try:
        return _spread(*(_follow(result[part], path) for part in ("mean", "spread")))
    except KeyError:
        return _plain(_follow(result, path))


def _follow(numbers: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        numbers = numbers[key]
    return numbers


def _range(row: dict[str, float]) -> str:
    return f"{row['median']:.1f} ({row['least']:.1f} to {row['greatest']:.1f})"


def _percent(row: dict[str, Any]) -> str:
    spread = f" ± {100 * row['std']:.2f} ({row['seeds']} seeds)" if row["seeds"] > 1 else ""
    return f"{100 * row['mean']:.2f}{spread}"


def _spread(mean: float, spread: float) -> str:
    if spread <= 1e-12:
        return _plain(mean)
    return f"{_plain(mean)} ± {_plain(spread) if mean < 1 else f'{spread:.2g}'}"


def _three(mean: float, spread: float) -> str:
    return f"{mean:.3f} ± {spread:.3f}"


def _plain(number: float | None) -> str:
    """Four digits behind the point below one; else as many digits as there are."""
    if number is None:
        return "-"
    if number < 1:
        return f"{number:.4f}".rstrip("0").rstrip(".")
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


if __name__ == "__main__":
    main()
