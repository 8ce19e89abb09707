"""The command on a folder of results: report."""

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxad.cli.terminal import SHOWN, Json, app, warn


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
