"""Programs compiled in a fraction of the time, which run slower: for tests of what jaxad computes, not of how fast.

jax's own switch leaves half of the time that compiling takes, and with the older emitters of XLA's CPU compiler a fifth
is left. Where XLA no longer has these, its newer ones are taken. `tests.conftest` imports it, so that nothing here may
import jaxad.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
from jax._src import compiler

OPTIONS = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
"""XLA's older emitters; and one piece of code a program, for these are small and workers have a core each."""


@functools.cache
def options_there() -> dict[str, bool | int]:
    """Those of `OPTIONS` that this XLA has."""
    return {name: value for name, value in OPTIONS.items() if _has({name: value})}


def _has(option: dict[str, bool | int]) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options=option).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True


@contextlib.contextmanager
def used() -> Iterator[None]:
    """In this process, whatever is compiled meanwhile."""
    ordinary, chosen = compiler.get_compile_options, options_there()

    def options(*arguments: Any, env_options_overrides: dict[str, Any] | None = None, **more: Any) -> Any:
        return ordinary(*arguments, env_options_overrides={**chosen, **(env_options_overrides or {})}, **more)

    jax.config.update("jax_disable_most_optimizations", True)
    try:
        with mock.patch.object(compiler, "get_compile_options", options):
            yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def environment() -> dict[str, str]:
    """The same for a process that a test starts."""
    flags = [f"--{name}={str(value).lower()}" for name, value in options_there().items()]
    flags = [*os.environ.get("XLA_FLAGS", "").split(), *flags]
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": " ".join(flags)}
