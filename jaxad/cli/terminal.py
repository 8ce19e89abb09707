"""What all commands share: the application, common options, and how a terminal shows things."""

import contextlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from jaxad._addresses import shown
from jaxad._check import name_some
from jaxad.cli.process import Commands

SHOWN = 20
"""Files of one kind that are named before the rest is counted."""

app = typer.Typer(
    cls=Commands,
    help="Image anomaly detection in JAX: fit on normal images, score new ones, see where they differ.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

WIDEST = 100_000
"""Letters in a line of a table that goes into a file or another program, at most."""

Json = Annotated[bool, typer.Option("--json", help="Print the results as one JSON object and nothing else.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe.")
]
Labels = Annotated[
    Path | None, typer.Option("--labels", metavar="CSV", help="A table with a label for each file, instead of folders.")
]
Devices = Annotated[int, typer.Option(min=0, help="Devices to share every batch among; 0 takes all.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random choices.")]
Kept = Annotated[
    Path | None, typer.Option("--checkpoints", metavar="DIR", help="Folder to keep what training has reached in.")
]
Every = Annotated[int, typer.Option(min=1, help="Epochs between two checkpoints.")]
MaxPixels = Annotated[
    int, typer.Option(min=1, help="Refuse files of more pixels, height times width, before they are decoded.")
]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="A module with recipes of your own, which files name."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")]


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        import importlib.metadata

        print(importlib.metadata.version("jaxad"))
        raise typer.Exit


def printable(text: str) -> str:
    """Text from outside, which may hold control characters, bytes of no alphabet or rich's own markup."""
    return escape(text if text.isprintable() else repr(text))


@contextlib.contextmanager
def progress(text: str, epochs: int) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A bar on standard error, shown on a terminal and silent in a pipe; yields what reports an epoch."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, *times, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=epochs)

        def on_epoch(done: int, terms: Mapping[str, float]) -> None:
            progress.update(task, completed=done, description=f"{text}, loss {terms['loss']:.4g}")

        yield on_epoch


@contextlib.contextmanager
def fitting(
    epochs: int,
) -> Iterator[tuple[Callable[[str, int, int], None], Callable[[int, Mapping[str, float]], None]]]:
    """As `progress`, a bar for each step of a fit, such as reading: yields what reports a step, and an epoch."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, *times, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int, more: str = "") -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step)
            progress.update(tasks[step], completed=done, total=total, description=f"{step}{more}")

        def on_epoch(done: int, terms: Mapping[str, float]) -> None:
            show("training", done, epochs, f", loss {terms['loss']:.4g}")

        yield show, on_epoch


class _Rate(ProgressColumn):
    """Images a second of late."""

    def render(self, task: Task) -> Text:
        """The rate of one task, empty until it is known."""
        return Text(f"{task.speed:.1f} images/s" if task.speed else "")


@contextlib.contextmanager
def counting(text: str) -> Iterator[Callable[[int, int, int], None]]:
    """As `progress`, for images: yields what reports how many are done, how many there are and how many failed."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=None)

        def on_image(done: int, total: int, failed: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{text}, {failed} failed" if failed else text)

        yield on_image


def warn(sentences: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for sentence in sentences:
        print(f"jaxad: warning: {sentence}", file=sys.stderr)


def by_kind(rows: Iterable[Mapping[str, str]]) -> dict[str, list[Mapping[str, str]]]:
    """Rows of files by their reasons, which are the same but for the names that they quote."""
    kinds: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        kinds.setdefault(re.sub(r"'[^']*'", "...", row["reason"]), []).append(row)
    return kinds


def show_not_used(rows: Iterable[Mapping[str, str]]) -> None:
    """Name files that were not used on standard error, the first of each reason, and how many there are."""
    for reason, group in by_kind(rows).items():
        paths = [repr(row["path"]) for row in group]
        print(f"jaxad: not used: {name_some(paths, most=SHOWN)} ({len(paths)}): {reason}", file=sys.stderr)


def show(results: Mapping[str, Any], rows: Mapping[str, float], where: Path, *, as_json: bool) -> None:
    """Print results as JSON, or their figures as a table."""
    if as_json:
        print(json.dumps(results))
        return
    table = Table("figure", "value")
    for label, value in rows.items():
        table.add_row(label, f"{value:.4f}")
    for label, seconds in results["seconds"].items():
        table.add_row(f"seconds to {label}", f"{seconds:.1f}")
    print_tables(table)
    print(f"look at {where}")


def show_left_out(run: Mapping[str, Any], out: Path) -> None:
    """Say on standard error what a scored folder has no score for, and what is doubtful."""
    show_not_used(run["not_used"])
    if run["hidden"]:
        print(f"jaxad: hidden files and folders, which are not looked at: {run['hidden']}", file=sys.stderr)
    warn(run["warnings"])
    failed = run["counts"]["failed"]
    if failed:
        print(f"jaxad: files that could not be scored: {failed}; {shown(out / 'errors.csv')} says why", file=sys.stderr)


def end_by_failures(counts: Mapping[str, int]) -> None:
    """End with the exit code that tells of photographs that could not be scored: 3 where there are, 2 of all."""
    if counts["failed"]:
        raise typer.Exit(3 if counts["scored"] else 2)


def show_run(run: Mapping[str, Any]) -> None:
    """The counts of a scored folder as a table, and the speed where any was scored now."""
    counts = {label: str(count) for label, count in run["counts"].items()}
    speed = run["images_per_second"]
    print_rows({**counts, **({"speed": f"{speed:.1f} images/s"} if speed else {})})


def command_line(*words: str | Path) -> str:
    """A command that can be pasted into a shell."""
    return shlex.join(map(str, words))


def print_rows(rows: Mapping[str, str]) -> None:
    """A table of what and value."""
    table = Table("what", "value")
    for label, value in rows.items():
        table.add_row(label, value)
    print_tables(table)


def print_tables(*tables: Table) -> None:
    """Tables of text: folded into the width of a terminal, and as wide as they are where none is looked at."""
    for table in tables:
        for column in table.columns:
            column.overflow = "fold"
    _Tables(width=None if sys.stdout.isatty() else WIDEST).print(*tables)


class _Tables(Console):
    """Where tables are printed."""

    def on_broken_pipe(self) -> None:
        """Leave a reader who has gone to `jaxad.cli.process`; rich would end the command by code 1."""
        raise BrokenPipeError
