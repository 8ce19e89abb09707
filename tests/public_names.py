"""The public functions, classes and methods of a tree, by reading its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ARRAY = re.compile(r"\b(Array|ArrayLike|ndarray|Images|Windows|Maps|Float|Float32|Int|UInt8|Bool|Num|Real|Shaped)\b")


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Public(NamedTuple):
    """One public name: where it stands, its room, the module's docstring, the node; `owner` is a method's class."""

    place: str
    room: str
    module: str
    node: Function | ast.ClassDef
    owner: ast.ClassDef | None = None

    @property
    def parameters(self) -> list[ast.arg]:
        """Positional parameters, without self or cls."""
        if isinstance(self.node, ast.ClassDef):
            return []
        static = any(ast.unparse(name) == "staticmethod" for name in self.node.decorator_list)
        return [*self.node.args.posonlyargs, *self.node.args.args][1 if self.owner and not static else 0 :]

    @property
    def options(self) -> list[ast.arg]:
        return [] if isinstance(self.node, ast.ClassDef) else self.node.args.kwonlyargs


def public_names(tree: Path) -> Iterator[Public]:
    """Walk the public functions, classes and methods of a tree."""
    for file in sorted((tree / "jaxad").rglob("*.py")):
        room = file.relative_to(tree / "jaxad").parts[0].removesuffix(".py")
        if room.startswith("_"):
            continue
        source = ast.parse(file.read_text())
        module = ast.get_docstring(source) or ""
        for node in source.body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            yield Public(f"{file.relative_to(tree)}:{node.lineno}: {node.name}", room, module, node)
            for part in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(part, Function) and not part.name.startswith("_"):
                    place = f"{file.relative_to(tree)}:{part.lineno}: {node.name}.{part.name}"
                    yield Public(place, room, module, part, node)
