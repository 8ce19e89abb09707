"""The command that scores photographs as they arrive: watch."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxad._check import need_one_of
from jaxad.cli.folders import MAPS
from jaxad.cli.process import import_modules
from jaxad.cli.terminal import Imports, MaxPixels, app, end_by_failures, show_left_out, show_run

if TYPE_CHECKING:
    from jaxad.folders.arrivals import Watched


@app.command()
def watch(
    path: Annotated[Path, typer.Argument(metavar="PIPELINE", help="The pipeline that `jaxad fit` wrote.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder where photographs arrive.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; what was begun there goes on.")],
    until_idle: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="End when nothing new came for so long; 0: when all is scored."),
    ] = None,
    poll: Annotated[float, typer.Option(metavar="SECONDS", min=0.01, help="Time between two looks.")] = 1.0,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for a file that cannot be read.")
    ] = 10.0,
    threshold: Annotated[float | None, typer.Option(help="Decide by score > threshold.")] = None,
    fpr: Annotated[float | None, typer.Option(help="Decide for this false-positive rate.")] = None,
    maps: Annotated[str | None, typer.Option(help="Write every map too: npy or png16.")] = None,
    max_pixels: MaxPixels = 2**30,
    modules: Imports = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a photograph and nothing else.")
    ] = False,
) -> None:
    """Score photographs as they arrive, a line each, and keep OUT/report.html current.

    Folders in DIR are watched too; hidden files and links to folders are not. The same command goes on where it was
    stopped, without --resume. Exit code 1 where some in OUT were flagged as anomalous; else 3 where some could not be
    scored, 2 where none could or none came.
    """
    if maps is not None:
        need_one_of(maps, MAPS, what="kind of maps")
    import_modules(modules)

    from jaxad import folders, pipeline

    def show(one: "Watched") -> None:
        # At once, for who reads them acts on them.
        print(_json_line(one) if as_json else _line(one), flush=True)

    def end(run: Mapping[str, Any]) -> None:
        show_left_out(run, out)
        if not as_json:
            show_run(run)

    run = folders.watch_folder(
        pipeline.load_pipeline(path),
        folder,
        out,
        name=path.name,
        threshold=threshold,
        rate=fpr,
        maps=MAPS.get(maps or ""),
        max_pixels=max_pixels,
        poll=poll,
        patience=patience,
        until_idle=until_idle,
        on_photograph=show,
        on_trouble=lambda sentence: print(f"jaxad: {sentence}", file=sys.stderr, flush=True),
        on_end=end,
    )
    counts = run["counts"]
    if not counts["scored"] + counts["failed"]:
        print(f"jaxad: no photograph came to {str(folder)!r}; check the path", file=sys.stderr)
        raise typer.Exit(2)
    if counts["anomalous"]:
        raise typer.Exit(1)
    end_by_failures(counts)


def _line(one: "Watched") -> str:
    file = one.file if one.file.isprintable() else repr(one.file)
    if one.score is None:
        return f"{file}: not scored: {one.reason}"
    return f"{file}: {one.score:.6g} {'ANOMALOUS' if one.anomalous else 'normal'}"


def _json_line(one: "Watched") -> str:
    if one.score is None:
        return json.dumps({"file": one.file, "reason": one.reason})
    return json.dumps({"file": one.file, "score": one.score, "anomalous": one.anomalous})
