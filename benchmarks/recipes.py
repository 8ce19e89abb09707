"""Run the published systems and their improved variants on the full data; print the table of all kept results.

    python -m benchmarks.recipes [NAME ...] [--seeds 5] [--data-dir D] [--out DIR]

A row is a recipe with its settings; NAME picks rows. Each run is kept in benchmarks/results/recipes.json as soon
as it is done, beside those of earlier calls, with its seeds, its machine and its date.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import jaxad
from benchmarks.measure import run_script, stamp
from jaxad.protocols import PROTOCOLS, Protocol, as_published

RESULTS = Path(__file__).parent / "results" / "recipes.json"


def rows() -> dict[str, tuple[jaxad.recipes.Recipe, Protocol]]:
    """Every row of the table by name."""
    found = {name: (jaxad.RECIPES[name], protocol) for name, protocol in PROTOCOLS.items()}
    (vae, mnist), (calibrated, _) = found.pop("patch-vae"), found.pop("patch-vae-calibrated")
    fashion = dataclasses.replace(mnist, dataset="fashion_mnist", normal=7, anomaly=9)
    for label, protocol in {"mnist": mnist, "fashion": fashion}.items():
        found[f"patch-vae-as-published {label}"] = as_published(vae), protocol
        found[f"patch-vae {label}"] = vae, protocol
        found[f"patch-vae-calibrated {label}"] = calibrated, protocol
    return found


def run(name: str, *, seeds: int, data_dir: Path | None, out: Path) -> dict[str, Any]:
    """Run one row and return what is kept of it."""
    recipe, protocol = rows()[name]
    folder = out / name.replace(" ", "-")
    results = jaxad.protocols.run_recipe(recipe, out=folder, protocol=protocol, seed=0, seeds=seeds, data_dir=data_dir)
    left_out = ("history", "members", "settings")
    kept = {key: value for key, value in results.items() if key not in left_out}
    return {**kept, "seeds": seeds, **stamp()}


def cell(result: dict[str, Any], *path: str) -> str:
    """A number of a run, with its spread where several seeds ran."""
    if result["seeds"] == 1:
        return f"{_at(result, path):.3f}"
    return f"{_at(result['mean'], path):.3f} ± {_at(result['spread'], path):.3f}"


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print every AUROC of every run as a Markdown table."""
    print("| recipe | seeds | AUROC | s to train |\n|---|---|---|---|")
    for name, result in results.items():
        figures = ", ".join(f"{key} {cell(result, 'auroc', key)}" for key in result["auroc"])
        print(f"| {name} | {result['seeds']} | {figures} | {result['seconds']['train']:.0f} |")


def main() -> None:
    """Run the rows asked for, keep them, print the table of all that are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*rows(), []], metavar="NAME", help=", ".join(rows()))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("jaxad-recipes"))
    arguments = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.names or rows():
        kept[name] = run(name, seeds=arguments.seeds, data_dir=arguments.data_dir, out=arguments.out)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"{name} done", flush=True)
    print_table(kept)


def _at(numbers: dict[str, Any], path: tuple[str, ...]) -> Any:
    for key in path:
        numbers = numbers[key]
    return numbers


if __name__ == "__main__":
    run_script(main)
