"""What a folder of results holds."""

import csv
from pathlib import Path


def rows_of(folder: Path, name: str = "results.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", errors="surrogateescape", newline="") as table:
        return list(csv.DictReader(table))


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file but those that hold times."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in ("run.json", "x")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
