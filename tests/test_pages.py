"""Pages keep their word: their code runs, their figures are those of the results, README's commands are `.ci/run`'s."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import fast_compilation
from tests.run_page import RUN_AS, blocks, runnable

ROOT = Path(__file__).resolve().parent.parent
CI_NAMES = ("install", "demo", "test")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = [path for path in PAGES if path.parent.name == "reference"]
WITH_CODE = [path for path in PAGES if path not in REFERENCE and runnable(path.read_text())]


def shown_by_ci(name: str) -> list[str]:
    command = ["bash", str(ROOT / ".ci" / "run"), "--show", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def run_page(*pages: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run each page in an empty folder, as a reader would, with this checkout importable and figures off screen."""
    folder.mkdir(exist_ok=True)
    env = {**os.environ, **fast_compilation.environment(), "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "tests.run_page", *map(str, pages)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def page() -> str:
    return (ROOT / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "pages", [*([path] for path in WITH_CODE), REFERENCE[::2], REFERENCE[1::2]], ids=lambda pages: pages[0].stem
)
def test_code_runs(pages: list[Path], tmp_path: Path, request: pytest.FixtureRequest, monkeypatch) -> None:
    text = "".join(path.read_text() for path in pages)
    if re.search(r"\btfds\(", text):
        monkeypatch.setenv("TFDS_DATA_DIR", request.getfixturevalue("tfds_dir"))
    for package in re.findall(r"<!-- needs (\w+) -->", text):
        pytest.importorskip(package)
    run = run_page(*pages, folder=tmp_path)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


def test_readme_is_short(page: str) -> None:
    assert len(page.split()) < 800


def test_one_version_is_cited_and_packaged() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)[1] == packaged


def test_figures_are_those_of_the_results() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pages", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", CI_NAMES)
def test_ci_runs_what_the_page_says(page: str, name: str) -> None:
    marked = [block for block in blocks(page) if block.mark == f"ci: {name}"]
    assert marked, f"README.md has no block under <!-- ci: {name} -->"
    assert all(block.language in {"bash", "sh"} for block in marked)
    text = "".join(block.text for block in marked).replace("\\\n", "")
    assert shown_by_ci(name) == [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_mark_is_known(path: Path) -> None:
    """`no-test` needs a reason, `ci` is for README alone, and each stands right above a block."""
    text = path.read_text()
    others = {"setup", "needs", "table", "end", "ci", "no-test", "run"}
    assert set(re.findall(r"<!-- ?([\w-]+)", text)) <= others
    comments = re.findall(r"<!-- ?((?:ci|no-test|run)[^\n]*?) ?-->", text)
    known = [mark for mark in comments if mark.startswith(("no-test: ", RUN_AS))]
    if path.name == "README.md":
        known += [mark for mark in comments if mark.removeprefix("ci: ") in CI_NAMES]
    assert sorted(comments) == sorted(known)
    assert sum(block.mark in known for block in blocks(text)) == len(comments), "a mark without a block right below"


PAGE = """# A page

<!-- ci: test -->
```bash
pytest \\
  -q
```
<!-- setup
echo 1 > made
-->
```python
x = 1
```
<!-- no-test: it ends -->
```python
raise SystemExit(3)
```
<!-- run as: nothing -> made -->
```bash
test -s nothing
jaxad --help > help
```

```python
assert x == {value}, __name__
```
"""


def test_blocks_are_found() -> None:
    assert [(block.line, block.language, block.mark) for block in blocks(PAGE)] == [
        (5, "bash", "ci: test"), (9, "bash", "setup"), (12, "python", ""), (16, "python", "no-test: it ends"),
        (20, "bash", "run as: nothing -> made"), (25, "python", ""),
    ]  # fmt: skip


def test_a_failing_block_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE.format(value=1))
    assert run_page(path, folder=tmp_path / "whole").returncode == 0
    path.write_text(PAGE.format(value=2))
    failed = run_page(path, folder=tmp_path / "value")
    assert failed.returncode == 1
    assert 'page.md", line 25' in failed.stderr
    path.write_text(PAGE.format(value=1).replace("-> made", "-> missing"))
    failed = run_page(path, folder=tmp_path / "shell")
    assert failed.returncode == 1
    assert "page.md, line 20: ended with 1" in failed.stderr
