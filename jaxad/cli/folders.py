"""Commands on folders of photographs: fit, score, evaluate; and verify."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from jaxad._addresses import is_address, shown
from jaxad._check import InputError, need_one_of
from jaxad.cli.process import ANY_RAY, import_modules, start_jax
from jaxad.cli.terminal import (
    Devices,
    Every,
    Imports,
    Json,
    Kept,
    Labels,
    MaxPixels,
    Resume,
    Seed,
    Settings,
    app,
    command_line,
    counting,
    end_by_failures,
    fitting,
    print_rows,
    print_tables,
    printable,
    show_left_out,
    show_not_used,
    show_run,
    warn,
)

MAPS: dict[str, Literal["npy", "png"]] = {"npy": "npy", "png16": "png"}
"""Kinds of maps and the endings of their files."""


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with normal images, as `inspect` finds them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The pipeline to write, such as bottles.jaxad.")],
    labels: Labels = None,
    recipe: Annotated[str, typer.Option(help="One from `jaxad recipe list`, or your own: module:Class.")] = "auto",
    backbone: Annotated[
        str | None,
        typer.Option(metavar="FILE|hub:NAME", help="Weights of another frozen network."),
    ] = None,
    resize: Annotated[int | None, typer.Option(min=1, help="Shorter side, or both for whole images.")] = None,
    scale: Annotated[float | None, typer.Option(help="Factor for both sides.")] = None,
    native: Annotated[bool, typer.Option("--native", help="Sizes as they are.")] = False,
    grey: Annotated[bool, typer.Option("--grey", help="Turn colour into grey.")] = False,
    holdout: Annotated[float, typer.Option(help="Share of the normal images to set the threshold by.")] = 0.2,
    fpr: Annotated[float, typer.Option(help="False-positive rate to aim at.")] = 0.01,
    roi: Annotated[Path | None, typer.Option(help="A mask: look only where it is white.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's own, and those of all its parts.")
    ] = None,
    checkpoints: Kept = None,
    every: Every = 1,
    resume: Resume = False,
    devices: Devices = 1,
    settings: Settings = None,
    modules: Imports = None,
    max_pixels: MaxPixels = 2**30,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn the normal images of a folder and write a pipeline: detector, threshold and all that scoring needs.

    Exit code 3 where some of them could not be read or taken.
    """
    own, colon, _ = recipe.partition(":")
    imported = [*(modules or ()), *([own] if colon else [])]
    if imported:
        import_modules(imported)
    start_jax()

    from jaxad import folders
    from jaxad.methods import named, with_backbone
    from jaxad.recipes import count_epochs, setting_wherever, with_settings
    from jaxad.sharding import make_mesh

    asked = named(recipe)
    given = [*(settings or ()), *([] if epochs is None else setting_wherever(asked, "epochs", epochs))]
    chosen = with_settings(asked if backbone is None else with_backbone(asked, backbone), given)

    with fitting(count_epochs(chosen)) as (on_step, on_epoch):
        done = folders.fit_folder(
            folder,
            out,
            labels=labels,
            recipe=chosen,
            resize=resize,
            scale=scale,
            native=native,
            grey=grey,
            holdout=holdout,
            rate=fpr,
            roi=roi,
            max_pixels=max_pixels,
            seed=seed,
            checkpoints=checkpoints,
            every=every,
            resume=resume,
            mesh=make_mesh(count=devices),
            on_epoch=on_epoch,
            on_step=on_step,
        )
    warn(done["warnings"])
    show_not_used(done["images"]["left_out"])
    if as_json:
        print(json.dumps(done))
    else:
        _print_fit(done, out, imported)
    if done["images"]["failed"]:
        print(f"jaxad: {len(done['images']['failed'])} images to fit on could not be used, as said", file=sys.stderr)
        raise typer.Exit(3)


def _print_fit(done: Mapping[str, Any], out: Path, imported: Sequence[str]) -> None:
    if done["comparison"]:
        _print_comparison(done["comparison"], done["plan"]["left_aside"], done["recipe"])
    low, high = done["threshold"]["interval"]
    left_out, after = done["images"]["judged_left_out"], done["images"]["learned_after"]
    rows = {
        "trained on": f"{done['images']['train']} images",
        **({"settled by them": _settings(done["settled"])} if done["settled"] else {}),
        **(
            {"of them held out first": f"{after} images"}
            if after
            else {"held out": f"{done['images']['holdout']} images"}
        ),
        **({"left out in turn": f"{left_out} images"} if left_out else {}),
        "threshold": f"{done['threshold']['value']:.6g}",
        "false-positive rate": f"between {low:.1%} and {high:.1%}",
        **({"whole photographs": done["plan"]["grid_reason"]} if done["plan"]["grid_reason"] else {}),
        **{f"seconds to {label}": f"{seconds:.1f}" for label, seconds in done["seconds"].items()},
    }
    print_rows(rows)
    again = [word for module in dict.fromkeys(imported) for word in ("--import", module)]
    print(f"wrote {out}; go on with: {command_line('jaxad', 'score', out, 'FOLDER', '-o', 'OUT', *again)}")


def _settings(fields: Mapping[str, Any]) -> str:
    from jaxad.recipes import as_text

    return ", ".join(f"{name}={as_text(value)}" for name, value in fields.items())


def _print_comparison(comparison: Sequence[Mapping[str, Any]], left_aside: Mapping[str, str], chosen: str) -> None:
    table = Table("recipe", "tells wrong images", "seconds", "why not")
    for row in comparison:
        separation = "" if row["separation"] is None else f"{row['separation']:.3f}"
        name = f"{row['name']} (chosen)" if row["name"] == chosen else row["name"]
        table.add_row(name, separation, f"{row['seconds']:.1f}", printable(row["reason"]))
    for name, reason in left_aside.items():
        table.add_row(name, "", "", printable(reason))
    print_tables(table)


@app.command()
def score(
    path: Annotated[Path, typer.Argument(metavar="PIPELINE", help="The pipeline that `jaxad fit` wrote.")],
    sources: Annotated[list[Path], typer.Argument(metavar="DIR|FILES...", help="A folder of photographs, or files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    labels: Labels = None,
    threshold: Annotated[float | None, typer.Option(help="Decide by score > threshold.")] = None,
    fpr: Annotated[float | None, typer.Option(help="Decide for this false-positive rate.")] = None,
    maps: Annotated[str | None, typer.Option(help="Write every map too: npy or png16.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode, and as many that score.")] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="[ADDRESS]", help="Let a Ray cluster score: at HOST:PORT, else one here."),
    ] = None,
    cpus: Annotated[float | None, typer.Option(min=0, help="With --ray: CPUs of each worker.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="With --ray: GPUs of each worker.")] = None,
    max_pixels: MaxPixels = 2**30,
    devices: Devices = 1,
    modules: Imports = None,
    as_json: Json = False,
) -> None:
    """Score photographs: results.csv, regions.jsonl, errors.csv, pictures, run.json.

    Exit code 3 where some photographs could not be scored, 2 where none could.
    """
    if maps is not None:
        need_one_of(maps, MAPS, what="kind of maps")
    if ray is None and (cpus is not None or gpus is not None):
        raise InputError("--cpus and --gpus are of the workers that --ray tells what to do; add --ray, or drop them")
    if ray is not None and devices != 1:
        raise InputError(f"with --ray every worker shares batches among its GPUs; say --gpus {devices}, not --devices")
    import_modules(modules)

    from jaxad import folders, pipeline, scaling
    from jaxad.sharding import make_mesh

    made = pipeline.load_pipeline(path).on_mesh(make_mesh(count=devices))
    score_them: Callable[..., dict[str, Any]] = folders.score_folder
    if ray is not None:
        known = None if ray == ANY_RAY else ray
        score_them = partial(scaling.score_on_ray, address=known, cpus=cpus, gpus=gpus, modules=modules or ())
    with counting("scoring") as on_image:
        run = score_them(
            made,
            sources[0] if len(sources) == 1 else sources,
            out,
            labels=labels,
            name=path.name,
            threshold=threshold,
            rate=fpr,
            maps=MAPS.get(maps or ""),
            workers=workers,
            max_pixels=max_pixels,
            resume=resume,
            on_image=on_image,
        )
    show_left_out(run, out)
    if as_json:
        print(json.dumps(run))
    else:
        show_run(run)
        after = f"look at {out}, or go on with: {command_line('jaxad', 'report', out)}"
        print(f"look at {shown(out)}; a copy on a disk goes into `jaxad report`" if is_address(out) else after)
    end_by_failures(run["counts"])


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(metavar="PIPELINE", help="The pipeline that `jaxad fit` wrote.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A labelled folder, as `inspect` finds it.")],
    max_pixels: MaxPixels = 2**30,
    labels: Labels = None,
    modules: Imports = None,
    as_json: Json = False,
) -> None:
    """Measure a pipeline on labelled photographs: AUROC, precision, recall, and AUPRO where there are masks.

    Exit code 3 where some photographs could not be scored.
    """
    import_modules(modules)

    from jaxad import folders, pipeline

    made = pipeline.load_pipeline(path)
    with counting("judging") as on_image:
        found = folders.evaluate_folder(made, folder, labels=labels, max_pixels=max_pixels, on_image=on_image)
    warn(found["warnings"])
    warn(f"{row['file']!r} was left out: {row['reason']}" for row in found["errors"])
    show_not_used(found["not_used"])
    if as_json:
        print(json.dumps(found))
    else:
        _print_metrics(found)
    if found["errors"]:
        raise typer.Exit(3)


def _print_metrics(found: Mapping[str, Any]) -> None:
    at_threshold = {name: value for name, value in found["at_threshold"].items() if name != "threshold"}
    figures = {
        "image AUROC": found["auroc"],
        "average precision": found["average_precision"],
        "best F1 (chosen by the labels)": found["best_f1"] and found["best_f1"]["f1"],
        **{f"{name.replace('_', ' ')} at the threshold": x for name, x in at_threshold.items()},
        "pixel AUROC": found["pixels"]["auroc"],
        "AUPRO (to 0.3)": found["pixels"]["aupro"],
    }
    print_rows({label: _shown(value) for label, value in figures.items()})
    table = Table("defect", "images", "AUROC", "recall at the threshold")
    for name, row in found["defects"].items():
        table.add_row(printable(name), str(row["count"]), _shown(row["auroc"]), _shown(row["recall"]))
    print_tables(table)
    for note in found["pixels"]["notes"]:
        print(note)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="PIPELINE", help="The pipeline that `jaxad fit` wrote.")],
    modules: Imports = None,
    as_json: Json = False,
) -> None:
    """Score the golden images in a pipeline again; exit code 1 where they no longer score as when it was fitted."""
    import_modules(modules)

    from jaxad import pipeline

    made = pipeline.load_pipeline(path)
    differences = made.verify()
    if as_json:
        print(json.dumps({"part": str(path), "golden": len(made.golden), "differences": differences}))
    else:
        print("\n".join(differences) or f"{path} scores its {len(made.golden)} golden images as when it was fitted")
    if differences:
        raise typer.Exit(1)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
