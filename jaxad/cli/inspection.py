"""The command that says what is in a folder of photographs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from jaxad._check import name_some
from jaxad.cli.terminal import (
    SHOWN,
    Json,
    Labels,
    MaxPixels,
    app,
    by_kind,
    counting,
    print_tables,
    printable,
    warn,
)


@app.command("inspect")
def inspect_folder(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of photographs of one set.")],
    max_pixels: MaxPixels = 2**30,
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Say what is in a folder and what fitting would do with it; every file is decoded, nothing fitted or written."""
    from jaxad import folders

    with counting("looking at") as on_image:
        found = folders.inspect_folder(folder, labels=labels, max_pixels=max_pixels, on_image=on_image)
    warn(found["warnings"])
    if as_json:
        print(json.dumps(found))
        return
    counts = Table("split", "defect", "images")
    for split, defects in found["images"].items():
        for defect, count in defects.items():
            counts.add_row(split, printable(defect), str(count))
    print_tables(counts, _facts(found))
    troubles = _troubles(found)
    if troubles.row_count:
        print_tables(troubles)


def _facts(found: Mapping[str, Any]) -> Table:
    """What holds for the whole folder, and the plan."""
    plan = found["plan"]
    sizes = {f"{size['height']} x {size['width']}": size["count"] for size in found["sizes"]}
    table = Table("what", "found")
    table.add_row("layout", found["layout"])
    for label, counts in (("height x width", sizes), ("mode", found["modes"]), ("bits", found["bits"])):
        shown = [f"{value} ({count})" for value, count in counts.items()]
        table.add_row(label, name_some(shown))
    table.add_row("masks", str(found["masks"]["paired"]))
    table.add_row("hidden entries", str(found["hidden"]))
    if plan is None:
        table.add_row("jaxad fit", "would refuse: see the warning")
        return table
    table.add_row("would train on", str(plan["train"]))
    table.add_row("would hold out", str(plan["holdout"]))
    table.add_row("would take them as", "grey" if plan["preparation"]["channels"] == 1 else "colour")
    if plan["grid"]:
        grid = " x ".join(map(str, plan["grid"]))
        table.add_row("would compare them at", f"{grid}: {plan['grid_reason']}" if plan["grid_reason"] else grid)
    table.add_row("would fit", plan["recipe"])
    if plan["compares"]:
        table.add_row("would choose among", ", ".join(plan["compares"]))
    for reason in sorted(set(plan["left_aside"].values())):
        names = [name for name, why in plan["left_aside"].items() if why == reason]
        table.add_row("not among", f"{', '.join(names)}: {reason}")
    table.add_row("false-positive rate", f"{plan['false_positive_rate']:.2%} at best")
    return table


def _troubles(found: Mapping[str, Any]) -> Table:
    """Every file that needs a look, the first of each kind."""
    unreadable = {row["path"] for row in found["unreadable"]}
    missing = [{"path": path, "reason": "a defect without a mask"} for path in found["masks"]["missing"]]
    table = Table("trouble", "file", "reason")
    for label, rows in (
        ("unreadable", [row for row in found["not_used"] if row["path"] in unreadable]),
        ("not used", [row for row in found["not_used"] if row["path"] not in unreadable]),
        ("no mask", missing),
    ):
        for group in by_kind(rows).values():
            for row in group[:SHOWN]:
                table.add_row(label, printable(row["path"]), printable(row["reason"]))
            if len(group) > SHOWN:
                table.add_row(label, f"and {len(group) - SHOWN} more: --json lists all", "")
    return table
