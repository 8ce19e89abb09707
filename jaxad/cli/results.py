"""Commands on folders of results: merge, report."""

import json
from pathlib import Path
from typing import Annotated

import typer

from jaxad.cli.terminal import Json, app, show_run


@app.command()
def merge(
    shares: Annotated[list[Path], typer.Argument(metavar="SHARE...", help="What `jaxad score --share I/N` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results of all.")],
    as_json: Json = False,
) -> None:
    """Join the results of all shares of one source as if one run had scored it."""
    from jaxad import folders

    run = folders.merge_folders(shares, out)
    if as_json:
        print(json.dumps(run))
        return
    show_run(run)
    print(f"look at {out}, or go on with: jaxad report {out}")


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
