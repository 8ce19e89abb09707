"""The command in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import fast_compilation

ROOT = str(Path(__file__).resolve().parents[1])


def jaxad(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.quick_command", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **fast_compilation.environment(), "PYTHONPATH": ROOT, "COLUMNS": "200", **environment},
        check=False,
    )


def run_all(
    commands: Mapping[str, Sequence[str]], root: Path, **environment: str
) -> dict[str, subprocess.CompletedProcess[str]]:
    """Each command in an empty folder of its own, called as the command is here; see `tests.many_commands`."""
    for name in commands:
        (root / name).mkdir()
    done = run_each(*((words, root / name, {}) for name, words in commands.items()), **environment)
    return dict(zip(commands, done, strict=True))


def run_in_turn(*commands: Sequence[str], cwd: Path, **environment: str) -> list[subprocess.CompletedProcess[str]]:
    """One command after the other in one folder, each in a process of its own; see `tests.many_commands`."""
    return run_each(*((words, cwd, {}) for words in commands), **fast_compilation.environment(), **environment)


def run_each(
    *commands: tuple[Sequence[str], Path, Mapping[str, str]], **environment: str
) -> list[subprocess.CompletedProcess[str]]:
    """One command after the other, each in a process of its own, a folder, and what its environment has beside all."""
    if not hasattr(os, "fork"):
        return [jaxad(*words, cwd=folder, **{**environment, **own}) for words, folder, own in commands]
    done = subprocess.run(
        [sys.executable, "-m", "tests.many_commands"],
        input=json.dumps([[words, str(folder), own] for words, folder, own in commands]),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
        check=True,
    )
    return [
        subprocess.CompletedProcess(words, *found)
        for (words, *_), found in zip(commands, json.loads(done.stdout), strict=True)
    ]


def need_refusal(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
