"""Commands on folders of results: merge, report."""

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxad.cli.terminal import SHOWN, Json, app, command_line, show_run, warn


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
    print(f"look at {out}, or go on with: {command_line('jaxad', 'report', out)}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that `jaxad score -o OUT` wrote.")],
    as_json: Json = False,
) -> None:
    """Turn a folder of results into OUT/report.html: one page to look at them, without a network.

    Exit code 3 where pictures are missing.
    """
    from jaxad.report import write_report

    missing: dict[str, Path] = {}
    page = write_report(folder, on_missing=missing.__setitem__)
    size = page.stat().st_size
    warn(
        f"no picture of {name!r}: {picture.relative_to(folder)} is missing or empty; score again with --resume"
        for name, picture in itertools.islice(missing.items(), SHOWN)
    )
    if missing:
        print(f"jaxad: {len(missing)} images have no picture in the report, as it says", file=sys.stderr)
    if as_json:
        print(json.dumps({"report": str(page), "bytes": size, "missing": list(missing)}))
    else:
        print(f"open {page} in a browser ({size / 1e6:.1f} MB)")
    if missing:
        raise typer.Exit(3)
