"""The command `jaxad`: arguments in, a table or JSON out.

Rooms that load jax are imported inside the commands, so that `--help` answers at once.
"""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from jaxad._check import InputError, need_one_of
from jaxad._files import cache_folder

if TYPE_CHECKING:
    from jaxad.recipes import Protocol

app = typer.Typer(
    help="Image anomaly detection in JAX: fit on normal images, score new ones, see where they differ.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
recipe_app = typer.Typer(help="Published systems: list them, run their protocols.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")

SHOWN = 20
"""Files of one kind that a table names before it counts the rest."""

Json = Annotated[bool, typer.Option("--json", help="Print the results as one JSON object and nothing else.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random choices.")]


def main() -> None:
    """Run the command; an `InputError` becomes one sentence on standard error and exit code 2."""
    _keep_compilations()
    try:
        app()
    except (InputError, OSError) as error:
        print(f"jaxad: {error}", file=sys.stderr)
        sys.exit(2)


def _keep_compilations() -> None:
    """Let the next process find what this one compiles; jax reads these when it is imported, later."""
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        import importlib.metadata

        print(importlib.metadata.version("jaxad"))
        raise typer.Exit


@app.command()
def demo(
    texture: Annotated[str, typer.Option(help="Texture to learn: brick, grass or gravel.")] = "brick",
    out: Annotated[Path, typer.Option(help="Folder for the figure and results.json.")] = Path("jaxad-demo"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn a texture, find the defects drawn on it, draw where they are. Needs no data and no network."""
    from jaxad.protocols import demo as protocol
    from jaxad.recipes import TEXTURE_VAE

    with _progress(f"training on {texture}", TEXTURE_VAE.epochs) as on_epoch:
        results = protocol.run_demo(texture=texture, out=out, seed=seed, on_epoch=on_epoch)
    rows = {"image AUROC": "image_auroc", "pixel AUROC": "pixel_auroc", "AUPRO (to 0.3)": "aupro"}
    _show(results, {label: results[name] for label, name in rows.items()}, out / "detections.png", as_json=as_json)


@app.command("inspect")
def inspect_folder(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of photographs of one set.")],
    as_json: Json = False,
) -> None:
    """Say what is in a folder and what fitting would do with it; nothing is fitted and nothing written."""
    from jaxad import folders

    found = folders.inspect_folder(folder)
    for sentence in found["warnings"]:
        print(f"jaxad: warning: {sentence}", file=sys.stderr)
    if as_json:
        print(json.dumps(found))
        return
    counts = Table("split", "defect", "images")
    for split, defects in found["images"].items():
        for defect, count in defects.items():
            counts.add_row(split, _printable(defect), str(count))
    Console().print(counts, _facts(found))
    troubles = _troubles(found)
    if troubles.row_count:
        Console().print(troubles)


@app.command()
def convert(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe that the weights belong to.")],
    weights: Annotated[Path, typer.Argument(help="A Keras .h5, .weights.h5 or .keras, or a PyTorch .safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The detector to write.")],
    shape: Annotated[str, typer.Option(help="Height, width and channels of the images.")] = "28,28,1",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Turn trained Keras or PyTorch weights into a detector that scores."""
    from jaxad import recipes

    need_one_of(name, recipes.RECIPES, what="recipe")
    recipe = recipes.with_settings(recipes.RECIPES[name], settings or ())
    sizes = shape.split(",")
    if len(sizes) != 3 or not all(size.strip().isdecimal() and int(size) for size in sizes):
        raise InputError(f"shape must be height,width,channels such as 28,28,1, got {shape!r}")
    if not weights.is_file():
        raise InputError(f"weights must be a file, got {str(weights)!r}, which is none")
    height, width, channels = map(int, sizes)

    from jaxad.convert import to_detector

    detector = to_detector(weights, recipe, shape=(height, width, channels))
    detector.save(out)
    if as_json:
        print(
            json.dumps({"recipe": name, "weights": str(weights), "detector": str(out), "score": detector.recipe.score})
        )
    else:
        print(f"{out} scores by {detector.recipe.score}; load it with jaxad.load({str(out)!r})")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that `jaxad score -o OUT` wrote.")],
    as_json: Json = False,
) -> None:
    """Turn a folder of results into OUT/report.html: one page to look at them, without a network."""
    from jaxad.report import write_report

    page = write_report(folder)
    size = page.stat().st_size
    if as_json:
        print(json.dumps({"report": str(page), "bytes": size}))
    else:
        print(f"open {page} in a browser ({size / 1e6:.1f} MB)")


@recipe_app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """Show every recipe with its published figures."""
    from jaxad.recipes import RECIPES

    if as_json:
        print(json.dumps({name: dataclasses.asdict(recipe) for name, recipe in RECIPES.items()}, indent=2))
        return
    table = Table("recipe", "what it is", "data", "published figures", "source")
    for recipe in RECIPES.values():
        figures = "\n".join(f"{name} {value:g}" for name, value in recipe.published)
        table.add_row(recipe.name, recipe.summary, _data(recipe.protocol), figures, recipe.source)
    Console().print(table)


@recipe_app.command("run")
def run_recipe(
    name: Annotated[str, typer.Argument(help="A recipe from `jaxad recipe list`.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the results; by default jaxad-NAME.")] = None,
    dataset: Annotated[str | None, typer.Option(help="mnist or fashion_mnist; by default the published one.")] = None,
    normal: Annotated[int | None, typer.Option(help="Label to train on.")] = None,
    anomaly: Annotated[int | None, typer.Option(help="Label to tell from it.")] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Keep the loss weighting, grid and crops of the published code.")
    ] = False,
    settings: Settings = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Members to train at once; reports mean and spread.")] = 1,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of prepared TFDS sets; by default TFDS_DATA_DIR.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the protocol of a published system: data, training, figures, results.json."""
    from jaxad import recipes

    need_one_of(name, recipes.RECIPES, what="recipe")
    recipe = recipes.RECIPES[name]
    if as_published:
        recipe = recipes.published_variant(recipe)
    recipe = recipes.with_settings(recipe, settings or ())
    if recipe.protocol is not None:
        given = {"dataset": dataset, "normal": normal, "anomaly": anomaly}
        changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
        recipe = dataclasses.replace(recipe, protocol=dataclasses.replace(recipe.protocol, **changes))
    out = out or Path(f"jaxad-{name}")

    # Loads jax, so it waits until the arguments are known to be good.
    from jaxad.protocols import run

    with _progress(f"training {name}", recipe.epochs) as on_epoch:
        results = run.run_recipe(recipe, out=out, seed=seed, seeds=seeds, data_dir=data_dir, on_epoch=on_epoch)
    rows = {f"AUROC, {label.replace('_', ' ')}": value for label, value in results["auroc"].items()}
    for sentence in results["warnings"]:
        print(f"jaxad: warning: {sentence}", file=sys.stderr)
    _show(results, rows, out, as_json=as_json)


def _facts(found: Mapping[str, Any]) -> Table:
    """What holds for the whole folder, and the plan."""
    plan, rate = found["plan"], found["plan"]["false_positive_rate"]
    sizes = {f"{size['height']} x {size['width']}": size["count"] for size in found["sizes"]}
    table = Table("what", "found")
    table.add_row("layout", found["layout"])
    for label, counts in (("height x width", sizes), ("mode", found["modes"]), ("bits", found["bits"])):
        shown = [f"{value} ({count})" for value, count in counts.items()]
        table.add_row(label, ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else ""))
    table.add_row("masks", str(found["masks"]["paired"]))
    table.add_row("ignored entries", str(found["ignored"]))
    table.add_row("would train on", f"{plan['train']}")
    table.add_row("would hold out", f"{plan['holdout']}")
    table.add_row("recipes", ", ".join(plan["recipes"]) or "none")
    table.add_row("false-positive rate", "no threshold" if rate is None else f"{rate:.2%} at best")
    return table


def _troubles(found: Mapping[str, Any]) -> Table:
    """Every file that needs a look, the first of each kind."""
    masks = found["masks"]
    kinds = {
        "unreadable": [(row["path"], row["reason"]) for row in found["unreadable"]],
        "no mask": [(path, "") for path in masks["missing"]],
        "mask without image": [(path, "") for path in masks["unmatched"]],
        "mask of another size": [(path, "") for path in masks["misfit"]],
        "not used": [(path, "") for path in found["unused"]],
        "link, not followed": [(path, "") for path in found["links"]],
    }
    table = Table("trouble", "file", "reason")
    for kind, rows in kinds.items():
        for path, reason in rows[:SHOWN]:
            table.add_row(kind, _printable(path), _printable(reason))
        if len(rows) > SHOWN:
            table.add_row(kind, f"and {len(rows) - SHOWN} more: --json lists all", "")
    return table


def _printable(text: str) -> str:
    """Text from outside, which may hold control characters, bytes of no alphabet or rich's own markup."""
    return escape(text if text.isprintable() else repr(text))


def _data(protocol: "Protocol | None") -> str:
    """The protocol in a few words."""
    if protocol is None:
        return "your own"
    if protocol.anomaly_dataset:
        return f"{protocol.dataset} against {protocol.anomaly_dataset}"
    if protocol.anomaly is None:
        return f"{protocol.dataset} against noise"
    return f"{protocol.dataset}: {protocol.normal} normal, {protocol.anomaly} anomalous"


@contextlib.contextmanager
def _progress(text: str, epochs: int) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A bar on standard error, shown on a terminal and silent in a pipe; yields what reports an epoch."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, *times, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=epochs)

        def on_epoch(done: int, terms: Mapping[str, float]) -> None:
            progress.update(task, completed=done, description=f"{text}, loss {terms['loss']:.4g}")

        yield on_epoch


def _show(results: Mapping[str, Any], rows: Mapping[str, float], where: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(results))
        return
    table = Table("figure", "value")
    for label, value in rows.items():
        table.add_row(label, f"{value:.4f}")
    for label, seconds in results["seconds"].items():
        table.add_row(f"seconds to {label}", f"{seconds:.1f}")
    Console().print(table)
    print(f"look at {where}")
