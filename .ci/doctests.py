"""For mkdocstrings: examples that stand at the end of a docstring, `>>> ...`, are shown as a section of their own."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"\n\n(>>> .*)\Z", re.S)


class Doctests(griffe.Extension):
    """Indents them under the heading that the parser of Google's style looks for."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every name that is documented."""
        if obj.docstring is not None and (found := EXAMPLE.search(obj.docstring.value)):
            indented = found[1].replace("\n", "\n    ")
            obj.docstring.value = f"{obj.docstring.value[: found.start()]}\n\nExamples:\n    {indented}"
