"""Runs the code of pages as a reader would, each in a new folder: `python -m tests.run_page PAGE...`.

Blocks run in their order: Python blocks share their names, and languages other than these and bash are left alone. So
are blocks under
`<!-- ci: NAME -->`, which `.ci/run` runs, and under `<!-- no-test: reason -->`. A block with a title is kept as that
file too. What a reader has already, such as a folder of photographs, is made by `<!-- setup ... -->`, in bash, or
`<!-- setup python ... -->`; no page shows it. Under `<!-- run as: OLD -> NEW -->` a block runs with NEW in
place of the one OLD that it shows, and with more of these behind semicolons: the same commands over fewer photographs,
or by a recipe that is fitted sooner.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests import garbage, kept_context, one_platform

SETUP = re.compile(r"^<!-- setup(?: (?P<hidden>python))?\n(?P<made>.*?)^-->$", re.M | re.S)
FENCE = re.compile(
    r"""(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)(?: title="(?P<title>[^"\n]*)")?\n(?P<text>.*?)^```$""",
    re.M | re.S,
)
RUN_AS = "run as: "
EITHER = re.compile(f"{SETUP.pattern}|{FENCE.pattern}", re.M | re.S)


class Block(NamedTuple):
    line: int
    language: str
    mark: str
    text: str
    title: str = ""


def blocks(page: str) -> list[Block]:
    """Find the fenced blocks and what sets them up; `line` is that of the first line within."""
    found = []
    for match in EITHER.finditer(page):
        if match["made"] is not None:
            start = match.start("made")
            block = (match["hidden"] or "bash", "setup", match["made"], "")
        else:
            start = match.start("text")
            block = (match["language"], match["mark"] or "", match["text"], match["title"] or "")
        found.append(Block(page.count("\n", 0, start) + 1, *block))
    return found


def as_run(block: Block) -> Block:
    if not block.mark.startswith(RUN_AS):
        return block
    text = block.text
    for change in block.mark.removeprefix(RUN_AS).split("; "):
        shown, run = change.split(" -> ")
        before, after = text.split(shown)
        text = before + run + after
    return block._replace(text=text)


def runnable(page: str) -> list[Block]:
    return [
        as_run(block)
        for block in blocks(page)
        if block.language in {"python", "bash"} and not block.mark.startswith(("ci: ", "no-test: "))
    ]


def run(path: Path) -> None:
    """Run them, with a `jaxad` that is this checkout's; a traceback names the page's own lines."""
    with TemporaryDirectory() as folder:
        command = Path(folder, "jaxad")
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.quick_command "$@"\n')
        command.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        names = {"__name__": "__main__"}
        for block in runnable(path.read_text(encoding="utf-8")):
            if block.title:
                Path(block.title).write_text(block.text, encoding="utf-8")
            if block.language == "bash":
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], check=False)
                if done.returncode:
                    sys.exit(f"{path}, line {block.line}: ended with {done.returncode}")
            else:
                exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), names)


if __name__ == "__main__":
    garbage.collect_seldom()
    kept_context.keep()
    one_platform.trace_one()
    here = Path.cwd()
    for page in sys.argv[1:]:  # each in a folder of its own
        place = here / Path(page).stem
        place.mkdir()
        os.chdir(place)
        run(Path(page))
