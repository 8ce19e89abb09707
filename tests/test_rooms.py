"""Guards of the tree: which room may import what. Each guard takes a tree, and each is shown to fail on a bad one."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOST_PACKAGES = {"matplotlib", "tensorflow_datasets", "sklearn", "skimage", "orbax"}
MAX_LINES = 320
CHOSEN_BY = re.compile(r"(recipe\.(kind|name|pool)|\.(loss_name|score_name)) (==|!=|in) ['\"(\[]")


class Room(NamedTuple):
    level: int
    planned: bool
    device: bool


def read_rooms(tree: Path) -> dict[str, Room]:
    """Read the rooms' table of docs/design.md."""
    row = re.compile(r"^\| (\d+) \| `(\w+)`( \(planned\))? \| (device|host) \|", re.MULTILINE)
    found = row.findall((tree / "docs" / "design.md").read_text())
    return {name: Room(int(level), bool(planned), runs == "device") for level, name, planned, runs in found}


def source_files(tree: Path) -> list[Path]:
    return sorted(path for path in (tree / "jaxad").rglob("*.py*") if path.suffix in {".py", ".pyi"})


def room_of(tree: Path, file: Path) -> str:
    return file.relative_to(tree / "jaxad").parts[0].split(".")[0]


def imports(tree: Path, file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted name) of every import, wherever it stands; `from a import b` gives a.b."""
    package = file.relative_to(tree).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            yield from ((node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def at(tree: Path, file: Path, line: int = 1) -> str:
    return f"{file.relative_to(tree)}:{line}"


def wrong_levels(tree: Path) -> list[str]:
    """Imports that do not go to a lower level. `jaxad.x` is the room x, any other name of jaxad is `__init__`."""
    rooms, problems = read_rooms(tree), []
    for file in source_files(tree):
        here = room_of(tree, file)
        for line, name in imports(tree, file):
            top, *rest = name.split(".")
            there = rest[0] if rest and rest[0] in rooms else "__init__"
            if top != "jaxad" or here not in rooms or here == there:
                continue
            if rooms[there].level >= rooms[here].level:
                levels = f"{here} is on level {rooms[here].level}, {there} on level {rooms[there].level}"
                problems.append(f"{at(tree, file, line)}: imports {name}; {levels}")
    return problems


def wrong_table(tree: Path) -> list[str]:
    """Rooms that the table and the tree do not agree on."""
    rooms, there = read_rooms(tree), {room_of(tree, file) for file in source_files(tree)}
    return [
        *(f"jaxad/{name} is not in the table of docs/design.md" for name in sorted(there - set(rooms))),
        *(f"{name} exists; drop '(planned)'" for name in sorted(there) if name in rooms and rooms[name].planned),
        *(f"{name} is in the table and not in the tree" for name in rooms if name not in there | planned(rooms)),
    ]


def planned(rooms: dict[str, Room]) -> set[str]:
    return {name for name, room in rooms.items() if room.planned}


def stray_flax(tree: Path) -> list[str]:
    """Uses of flax.linen outside models/."""
    problems = []
    for file in source_files(tree):
        if room_of(tree, file) == "models":
            continue
        lines = [line for line, name in imports(tree, file) if f"{name}.".startswith("flax.linen.")]
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "flax.linen":
                lines.append(node.lineno)
        problems += [f"{at(tree, file, line)}: flax.linen belongs in models/" for line in lines]
    return problems


def host_imports(tree: Path) -> list[str]:
    """Imports of host packages in rooms whose code runs on the device."""
    rooms, forbidden = read_rooms(tree), HOST_PACKAGES | {"pathlib"}
    return [
        f"{at(tree, file, line)}: device code imports {name}"
        for file in source_files(tree)
        if (room := rooms.get(room_of(tree, file))) and room.device
        for line, name in imports(tree, file)
        if name.split(".")[0] in forbidden
    ]


def vague_names(tree: Path) -> list[str]:
    """Files and folders named after nothing."""
    vague = {"utils", "util", "common", "helpers"}
    return [at(tree, path) for path in (tree / "jaxad").rglob("*") if path.stem.strip("_") in vague]


def long_files(tree: Path) -> list[str]:
    counts = {file: len(file.read_text().splitlines()) for file in source_files(tree)}
    return [f"{at(tree, file, n)}: over {MAX_LINES} lines" for file, n in counts.items() if n > MAX_LINES]


def known_methods(tree: Path) -> list[str]:
    """Rooms that know one method from another: that import its class, or ask for the name of it, its loss or score.

    Each recipe answers for itself, so that a method of one's own is as good as jaxad's.
    """
    own = {
        node.name
        for file in sorted((tree / "jaxad" / "methods").rglob("*.py"))
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    problems = []
    for file in source_files(tree):
        if room_of(tree, file) == "methods":
            continue
        names = {(line, name.split(".")[-1]) for line, name in imports(tree, file)}
        problems += [
            f"{at(tree, file, line)}: imports the method {name}" for line, name in sorted(names) if name in own
        ]
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare) and CHOSEN_BY.search(ast.unparse(node)):
                problems.append(f"{at(tree, file, node.lineno)}: chooses by the name of a method, a loss or a score")
    return problems


def chosen_backends(tree: Path) -> list[str]:
    """Choices by the backend of this process outside a method's own file: what is lowered for another is then wrong."""
    return [
        f"{at(tree, file, node.lineno)}: chooses by default_backend(); use jax.lax.platform_dependent"
        for file in source_files(tree)
        if room_of(tree, file) != "methods"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Compare) and "default_backend" in ast.unparse(node)
    ]


def wrong_tests(tree: Path) -> list[str]:
    """Rooms and files of tests that CONTRIBUTING.md's table of what to run lacks, or names and are not there."""
    row = re.compile(r"^\| ([^|]+) \| `tests/test_\{?([\w,]+)\}?\.py` \|", re.MULTILINE)
    found = row.findall((tree / "CONTRIBUTING.md").read_text())
    rooms = {name for left, _ in found for name in re.findall(r"`(\w+)`", left)}
    files = {name for _, right in found for name in right.split(",")}
    known = read_rooms(tree)
    wanted = set(known) - planned(known)
    there = {path.stem.removeprefix("test_") for path in (tree / "tests").glob("test_*.py")}
    return [
        *(f"CONTRIBUTING.md does not say what to run for {name}" for name in sorted(wanted - rooms)),
        *(f"CONTRIBUTING.md names a room {name}, which is none" for name in sorted(rooms - wanted)),
        *(f"CONTRIBUTING.md does not say when to run tests/test_{name}.py" for name in sorted(there - files)),
        *(f"CONTRIBUTING.md names tests/test_{name}.py, which is not there" for name in sorted(files - there)),
    ]


def imported_tests(tree: Path) -> list[str]:
    """Tests that import from files of tests, which then run, and fail, with them."""
    return [
        f"{at(tree, file, line)}: imports {name}; move what both need into a file of its own"
        for file in sorted((tree / "tests").rglob("*.py"))
        for line, name in imports(tree, file)
        if re.match(r"(tests\.)?test_", name)
    ]


def loaded(tree: Path, code: str, packages: set[str]) -> list[str]:
    """Which of the packages a fresh Python has loaded after running the code beside the tree."""
    env = {**os.environ, "PYTHONPATH": str(tree)}
    probe = f"import sys\n{code}\nprint(*(p for p in {sorted(packages)!r} if p in sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], env=env, cwd=tree, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def loaded_by_library(tree: Path) -> list[str]:
    return loaded(tree, "import jaxad; jaxad.fit", HOST_PACKAGES)


def loaded_by_cli(tree: Path) -> list[str]:
    return loaded(tree, "import jaxad.cli", {"jax", *HOST_PACKAGES})


GUARDS: list[Callable[[Path], list[str]]] = [
    wrong_levels,
    wrong_table,
    stray_flax,
    host_imports,
    vague_names,
    long_files,
    known_methods,
    chosen_backends,
    wrong_tests,
    imported_tests,
    loaded_by_library,
    loaded_by_cli,
]

SOUND = {
    "docs/design.md": (
        "| level | room | runs | what lives there | what does not |\n|---|---|---|---|---|\n"
        "| 0 | `_check` | host | a | b |\n| 1 | `patches` | device | a | b |\n| 1 | `models` | device | a | b |\n"
        "| 1 | `ssim` (planned) | device | a | b |\n| 2 | `losses` | device | a | b |\n| 7 | `cli` | host | a | b |\n"
        "| 7 | `__init__` | host | a | b |\n"
    ),
    "CONTRIBUTING.md": (
        "| `_check`, `patches` | `tests/test_patches.py` | seconds |\n"
        "| `models`, `losses`, `cli`, `__init__` | `tests/test_{losses,patches}.py` | seconds |\n"
    ),
    "tests/test_patches.py": "from tests.grids import draw\n",
    "tests/test_losses.py": "",
    "jaxad/__init__.py": "from jaxad.losses import fit\n",
    "jaxad/__init__.pyi": "from . import losses as losses\nfrom .losses import fit as fit\n",
    "jaxad/_check.py": "from pathlib import Path\n",
    "jaxad/patches.py": "from . import _check\n",
    "jaxad/models/__init__.py": "from jaxad.models import layers\n",
    "jaxad/models/layers.py": "import json as linen\n",
    "jaxad/losses.py": "from .patches import _check\nfit = 1\n",
    "jaxad/cli.py": "import jaxad.losses\n",
    "jax.py": "",
    "sklearn.py": "",
}

PLANTED: list[tuple[Callable[[Path], list[str]], dict[str, str]]] = [
    (wrong_levels, {"jaxad/patches.py": "import jaxad.losses\n"}),
    (wrong_levels, {"jaxad/patches.py": "from jaxad import losses\n"}),
    (wrong_levels, {"jaxad/patches.py": "from .losses import fit\n"}),
    (wrong_levels, {"jaxad/patches.py": "from . import losses\n"}),
    (wrong_levels, {"jaxad/patches.py": "from .models import layers\n"}),
    (wrong_levels, {"jaxad/models/layers.py": "from .. import patches\n"}),
    (wrong_levels, {"jaxad/patches.py": "def f():\n    import jaxad\n"}),
    (wrong_levels, {"jaxad/patches.py": "import importlib\nimportlib.import_module('jaxad.losses')\n"}),
    (wrong_levels, {"jaxad/patches.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import jaxad.cli\n"}),
    (wrong_levels, {"jaxad/__init__.pyi": "from .cli import main\n"}),
    (wrong_table, {"jaxad/extra.py": ""}),
    (wrong_table, {"jaxad/extra/deep.py": ""}),
    (wrong_table, {"jaxad/ssim.py": ""}),
    (wrong_table, {"docs/design.md": SOUND["docs/design.md"] + "| 3 | `training` | device | a | b |\n"}),
    (stray_flax, {"jaxad/losses.py": "import flax.linen as nn\n"}),
    (stray_flax, {"jaxad/losses.py": "from flax import linen\n"}),
    (stray_flax, {"jaxad/losses.py": "from flax.linen import Dense\n"}),
    (stray_flax, {"jaxad/losses.py": "import flax\nflax.linen.Dense\n"}),
    (host_imports, {"jaxad/losses.py": "from pathlib import Path\n"}),
    (host_imports, {"jaxad/models/layers.py": "def f():\n    import matplotlib.pyplot\n"}),
    (vague_names, {"jaxad/utils.py": ""}),
    (vague_names, {"jaxad/models/_helpers.py": ""}),
    (vague_names, {"jaxad/common/__init__.py": ""}),
    (long_files, {"jaxad/losses.py": "\n" * (MAX_LINES + 1)}),
    (
        known_methods,
        {"jaxad/methods/mine.py": "class Mine: pass\n", "jaxad/cli.py": "from jaxad.methods import Mine\n"},
    ),
    (
        known_methods,
        {"jaxad/methods/mine.py": "class Mine: pass\n", "jaxad/cli.py": "from .methods.mine import Mine\n"},
    ),
    (known_methods, {"jaxad/cli.py": "def f(recipe): return recipe.kind == 'mine'\n"}),
    (known_methods, {"jaxad/cli.py": "def f(recipe): return recipe.pool in ('mean', 'max')\n"}),
    (known_methods, {"jaxad/cli.py": "def f(recipe): return 0 if recipe.score_name != 'residual' else 1\n"}),
    (chosen_backends, {"jaxad/losses.py": "import jax\nfit = 1 if jax.default_backend() == 'cpu' else 2\n"}),
    (wrong_tests, {"CONTRIBUTING.md": SOUND["CONTRIBUTING.md"].replace("`models`, ", "")}),
    (wrong_tests, {"CONTRIBUTING.md": SOUND["CONTRIBUTING.md"].replace("`models`", "`model`, `models`")}),
    (wrong_tests, {"tests/test_models.py": ""}),
    (wrong_tests, {"CONTRIBUTING.md": SOUND["CONTRIBUTING.md"].replace("{losses", "{models,losses")}),
    (imported_tests, {"tests/test_losses.py": "from tests.test_patches import draw\n"}),
    (imported_tests, {"tests/test_losses.py": "def test():\n    from test_patches import draw\n"}),
    (loaded_by_library, {"jaxad/losses.py": "import sklearn\nfit = 1\n"}),
    (loaded_by_cli, {"jaxad/cli.py": "import jax\n"}),
]


def plant(tree: Path, files: dict[str, str]) -> Path:
    for name, text in {**SOUND, **files}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


@pytest.mark.parametrize("guard", GUARDS)
def test_tree_keeps_the_rules(guard: Callable[[Path], list[str]]) -> None:
    problems = guard(ROOT)
    assert not problems, "\n".join(problems)


def test_table_is_read() -> None:
    rooms = read_rooms(ROOT)
    rows = [line for line in (ROOT / "docs" / "design.md").read_text().splitlines() if re.match(r"\|\s*\d", line)]
    assert len(rooms) == len(rows) >= 15
    assert rooms["patches"].level < rooms["heatmaps"].level < rooms["detector"].level < rooms["cli"].level


@pytest.mark.parametrize("guard", GUARDS)
def test_guard_accepts_a_sound_tree(guard: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert guard(plant(tmp_path, {})) == []


@pytest.mark.parametrize(("guard", "files"), PLANTED)
def test_guard_refuses(guard: Callable[[Path], list[str]], files: dict[str, str], tmp_path: Path) -> None:
    assert guard(plant(tmp_path, files))


def test_every_guard_has_a_planted_violation() -> None:
    assert {guard for guard, _ in PLANTED} == set(GUARDS)
