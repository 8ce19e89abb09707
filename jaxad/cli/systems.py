"""Commands on published systems: the demo, the recipes, weights of other frameworks."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from jaxad._check import InputError
from jaxad.cli.process import start_jax
from jaxad.cli.terminal import (
    Every,
    Json,
    Kept,
    Resume,
    Seed,
    Settings,
    app,
    command_line,
    print_tables,
    progress,
    show,
    warn,
)

if TYPE_CHECKING:
    from jaxad.protocols import Protocol

recipe_app = typer.Typer(help="Published systems: list them, run their protocols.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")


@app.command()
def demo(
    texture: Annotated[str, typer.Option(help="Texture to learn: brick, grass or gravel.")] = "brick",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figure and results.json; by default jaxad-demo.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the photographs to a folder instead, as files.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="With --write: photographs to train on, and to test on; by default 100.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn a texture, find the defects drawn on it, draw where they are. Needs no data and no network."""
    if count is not None and write is None:
        raise InputError("--count is of the photographs that --write DIR writes; add that, or leave --count out")
    if out is not None and write is not None:
        raise InputError("--write DIR writes photographs and nothing into --out; leave one of them out")
    start_jax()

    from jaxad.protocols import demo as protocol

    if write is not None:
        written = protocol.write_textures(texture, write, count=count or 100, seed=seed)
        print(
            json.dumps(written) if as_json else f"look at {write}, then run: {command_line('jaxad', 'inspect', write)}"
        )
        return

    from jaxad.methods import TEXTURE_VAE

    out = out or Path("jaxad-demo")
    with progress(f"training on {texture}", TEXTURE_VAE.epochs) as on_epoch:
        results = protocol.run_demo(texture=texture, out=out, seed=seed, on_epoch=on_epoch)
    rows = {"image AUROC": "image_auroc", "pixel AUROC": "pixel_auroc", "AUPRO (to 0.3)": "aupro"}
    show(results, {label: results[name] for label, name in rows.items()}, out / "detections.png", as_json=as_json)


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
    sizes = shape.split(",")
    if len(sizes) != 3 or not all(size.strip().isdecimal() and int(size) for size in sizes):
        raise InputError(f"shape must be height,width,channels such as 28,28,1, got {shape!r}")
    if not weights.is_file():
        raise InputError(f"weights must be a file, got {str(weights)!r}, which is none")
    height, width, channels = map(int, sizes)
    start_jax()

    from jaxad.convert import to_detector
    from jaxad.methods import named
    from jaxad.recipes import with_settings

    recipe = with_settings(named(name), settings or ())
    detector = to_detector(weights, recipe, shape=(height, width, channels))
    detector.save(out)
    if as_json:
        print(json.dumps({"recipe": name, "weights": str(weights), "detector": str(out), "score": detector.score_name}))
    else:
        print(f"{out} scores by {detector.score_name}; load it with jaxad.load({str(out)!r})")


@recipe_app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """Show every recipe with its published figures."""
    start_jax()

    from jaxad.methods import RECIPES, offered
    from jaxad.protocols import PROTOCOLS
    from jaxad.recipes import to_document

    if as_json:
        print(json.dumps({name: to_document(recipe) for name, recipe in RECIPES.items()}, indent=2))
        return
    table = Table("recipe", "what it is", "data", "published figures", "source")
    for recipe in RECIPES.values():
        protocol = PROTOCOLS.get(recipe.name)
        figures = "\n".join(f"{name} {value:g}" for name, value in protocol.published) if protocol else ""
        table.add_row(recipe.name, recipe.summary, _data(protocol), figures, recipe.source)
    for name, place in offered().items():
        table.add_row(name, place, _data(None), "", "an installed package")
    print_tables(table)


@recipe_app.command("run")
def run_recipe(
    name: Annotated[str, typer.Argument(help="A recipe from `jaxad recipe list`.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the results; by default jaxad-NAME.")] = None,
    dataset: Annotated[str | None, typer.Option(help="mnist or fashion_mnist; by default the published one.")] = None,
    normal: Annotated[int | None, typer.Option(help="Label to train on.")] = None,
    anomaly: Annotated[int | None, typer.Option(help="Label to tell from it.")] = None,
    published: Annotated[
        bool, typer.Option("--as-published", help="Keep the loss weighting, grid and crops of the published code.")
    ] = False,
    settings: Settings = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Members to train at once; reports mean and spread.")] = 1,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of prepared TFDS sets; by default TFDS_DATA_DIR.")
    ] = None,
    checkpoints: Kept = None,
    every: Every = 1,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Run the protocol of a published system: data, training, figures, results.json."""
    start_jax()

    from jaxad import protocols
    from jaxad.methods import named
    from jaxad.recipes import count_epochs, with_settings

    recipe = named(name)
    protocol, others = protocols.with_protocol_settings(protocols.need_protocol(recipe), settings or ())
    given = {"dataset": dataset, "normal": normal, "anomaly": anomaly}
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    protocol = dataclasses.replace(protocol, **changes)
    recipe = with_settings(protocols.as_published(recipe) if published else recipe, others)
    out = out or Path(f"jaxad-{name}")
    with progress(f"training {name}", count_epochs(recipe)) as on_epoch:
        results = protocols.run_recipe(
            recipe,
            out=out,
            protocol=protocol,
            seed=seed,
            seeds=seeds,
            data_dir=data_dir,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            every=every,
            resume=resume,
        )
    of_members = {f", mean of {seeds}": "mean", f", spread of {seeds}": "spread"} if seeds > 1 else {}
    rows = {
        f"AUROC, {label.replace('_', ' ')}{more}": value
        for more, which in (of_members or {"": ""}).items()
        for label, value in (results[which] if which else results)["auroc"].items()
    }
    warn(results["warnings"])
    show(results, rows, out, as_json=as_json)


def _data(protocol: "Protocol | None") -> str:
    """The protocol in a few words."""
    if protocol is None:
        return "your own"
    if protocol.anomaly_dataset:
        return f"{protocol.dataset} against {protocol.anomaly_dataset}"
    if protocol.anomaly is None:
        return f"{protocol.dataset} against noise"
    return f"{protocol.dataset}: {protocol.normal} normal, {protocol.anomaly} anomalous"
