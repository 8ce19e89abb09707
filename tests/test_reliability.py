"""docs/reliability.md names a test for each promise, and each test is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def unkept(page: str) -> list[str]:
    """Rows of the page's first table without a test that exists; tables further down say what was seen."""
    promises = [row for row in page.split("\n## ")[0].splitlines() if row.startswith("| ")][1:]
    assert promises
    problems = []
    for row in promises:
        tests = row.removesuffix(" |").rsplit(" | ", 1)[1].split(", ")
        if not all(_is_there(test) for test in tests):
            problems.append(row)
    return problems


def _is_there(test: str) -> bool:
    found = re.fullmatch(r"`(tests/\w+\.py)::(test_\w+)`", test)
    return bool(found) and (ROOT / found[1]).is_file() and f"def {found[2]}(" in (ROOT / found[1]).read_text()


def test_every_promise_has_its_test() -> None:
    assert unkept((ROOT / "docs" / "reliability.md").read_text()) == []


@pytest.mark.parametrize("test", ["", "`tests/none.py::test_a`", "`tests/test_reliability.py::test_none`"])
def test_a_promise_without_a_test_is_noticed(test: str) -> None:
    row = f"| It holds. | {test} |"
    assert unkept(f"| promise | test |\n|---|---|\n{row}\n") == [row]
