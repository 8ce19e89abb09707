"""The checker of annotated shapes that `pyproject.toml` puts around the functions of jaxad."""

from collections.abc import Callable
from typing import Any

import beartype


def of_lasting_functions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check every call, but of functions within others: these are made, and would be compiled, again in every call."""
    within = "<locals>" in getattr(function, "__qualname__", "")
    return function if within else beartype.beartype(function)
