"""Names of a package that load their module when they are first touched."""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path


def attach_stub(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, from the stub beside its `__init__.py`.

    Type checkers and readers see the stub, so it is the one list of names: `from . import room` gives a module and
    `from .room import name` what is in one.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname or alias.name: (node.module, alias.name) for node in imports for alias in node.names}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, own = homes[name]
        found = importlib.import_module(f"{package}.{module or own}")
        value = getattr(found, own) if module else found
        # Importing a module puts it into its package; where a name in it is called the same, the name is meant.
        vars(sys.modules[package])[name] = value
        return value

    return get, lambda: sorted(homes), sorted(homes)
