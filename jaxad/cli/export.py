"""The command that writes models for other run times."""

import json
from pathlib import Path
from typing import Annotated

import typer

from jaxad._check import InputError
from jaxad.cli.process import import_modules
from jaxad.cli.terminal import Imports, Json, app


@app.command()
def export(
    path: Annotated[Path, typer.Argument(metavar="PIPELINE", help="A pipeline or a detector.")],
    to: Annotated[str, typer.Option(help="stablehlo, onnx or safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model and its description.")],
    size: Annotated[
        str | None, typer.Option(metavar="HEIGHT,WIDTH", help="Of the images; by default as it was fitted.")
    ] = None,
    modules: Imports = None,
    as_json: Json = False,
) -> None:
    """Write a pipeline for programs without jaxad: one file that scores images, checked before it is kept."""
    sides = [] if size is None else size.split(",")
    if size is not None and not (len(sides) == 2 and all(side.strip().isdecimal() and int(side) for side in sides)):
        raise InputError(f"size must be height,width such as 480,640, got {size!r}")
    import_modules(modules)

    from jaxad.export import export_model

    facts = export_model(path, out, to=to, size=(int(sides[0]), int(sides[1])) if sides else None)
    if as_json:
        print(json.dumps(facts))
    else:
        print(f"wrote {out / facts['file']}; {facts['file']}.json beside it says what goes in and what comes out")
