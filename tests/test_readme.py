"""README keeps its word: its Python runs, and its marked shell commands are the ones `.ci/run` runs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CI_NAMES = ("install", "demo", "test")
FENCE = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    line: int
    language: str
    mark: str
    text: str


def blocks(page: str) -> list[Block]:
    """Find the fenced blocks; `mark` is the HTML comment on the line above, `line` that of the first line within."""
    return [
        Block(page.count("\n", 0, match.start("text")) + 1, match["language"], match["mark"] or "", match["text"])
        for match in FENCE.finditer(page)
    ]


def python_script(page: str) -> str:
    """Join the Python blocks in their order, padded so that a traceback names README's own lines."""
    script = ""
    for block in blocks(page):
        if block.language == "python" and block.mark != "no-test":
            script += "\n" * (block.line - 1 - script.count("\n")) + block.text
    return script


def shown_by_ci(name: str) -> list[str]:
    command = ["bash", str(ROOT / ".ci" / "run"), "--show", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def run_python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in an empty folder, as a reader would, with this checkout importable and figures off screen."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    runner = f"exec(compile({script!r}, 'README.md', 'exec'), {{'__name__': '__main__'}})"
    return subprocess.run(
        [sys.executable, "-c", runner], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="session")
def page() -> str:
    return (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_python_blocks_run(page: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch) -> None:
    script = python_script(page)
    assert script.strip(), "README.md shows no Python that is tested"
    if re.search(r"\btfds\(", script):
        monkeypatch.setenv("TFDS_DATA_DIR", request.getfixturevalue("tfds_dir"))
    run = run_python(script, tmp_path)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", CI_NAMES)
def test_ci_runs_what_the_page_says(page: str, name: str) -> None:
    marked = [block for block in blocks(page) if block.mark == f"ci: {name}"]
    assert marked, f"README.md has no block under <!-- ci: {name} -->"
    assert all(block.language in {"bash", "sh"} for block in marked)
    text = "".join(block.text for block in marked).replace("\\\n", "")
    assert shown_by_ci(name) == [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_every_mark_is_known(page: str) -> None:
    known = {"no-test", *(f"ci: {name}" for name in CI_NAMES)}
    comments = re.findall(r"<!-- ?((?:ci|no-test)[^\n]*?) ?-->", page)
    assert set(comments) <= known
    assert sum(block.mark in known for block in blocks(page)) == len(comments), "a mark without a block right below"


PAGE = """# A page

<!-- ci: test -->
```bash
pytest \\
  -q
```
```python
x = 1
```
<!-- no-test -->
```python
raise SystemExit(3)
```

```python
assert x == {value}, __name__
```
"""


def test_blocks_are_found() -> None:
    assert [(block.line, block.language, block.mark) for block in blocks(PAGE)] == [
        (5, "bash", "ci: test"), (9, "python", ""), (13, "python", "no-test"), (17, "python", "")
    ]  # fmt: skip


def test_a_failing_block_is_noticed(tmp_path: Path) -> None:
    assert run_python(python_script(PAGE.format(value=1)), tmp_path).returncode == 0
    failed = run_python(python_script(PAGE.format(value=2)), tmp_path)
    assert failed.returncode == 1
    assert '"README.md", line 17' in failed.stderr
