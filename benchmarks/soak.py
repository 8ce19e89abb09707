"""Many small photographs of as many sizes through the command line, with all that lies about in real folders.

    python -m benchmarks.soak [--count 5000] [--recipe surface-gradients]

What `tests/test_soak.py` does with few of them. Prints what was seen of each command, and ends with exit code 1 where
something is not as it should be.
"""

import argparse
import tempfile
from pathlib import Path

from tests.soak_folder import write_folder
from tests.soak_run import soak


def main() -> None:
    """Write the photographs, run every command, print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="photographs")
    parser.add_argument("--recipe", default="surface-gradients", help="one that takes images of any size")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = write_folder(Path(name, "photographs"), count=given.count)
        print(
            f"{len(folder.scored)} photographs to score, {len(folder.unreadable)} files that cannot be read, "
            f"{len(folder.aside)} to train on or no photographs"
        )
        seen = soak(folder, Path(name), recipe=given.recipe, settings=tuple(given.set))
    print("| command | exit code | seconds | MiB at most | programs |\n|---|---|---|---|---|")
    for command, ran in seen.commands.items():
        print(f"| {command} | {ran.code} | {ran.seconds:.0f} | {ran.mebibytes:.0f} | {ran.programs} |")
    for command, ran in seen.commands.items():
        if ran.course:
            course = ", ".join(
                f"{mebibytes:.0f} ({rows})" for rows, mebibytes in ran.course[:: max(1, len(ran.course) // 8)]
            )
            print(f"{command}: MiB resident (rows written): {course}")
    for problem in seen.problems:
        print(problem)
    raise SystemExit(1 if seen.problems else 0)


if __name__ == "__main__":
    main()
