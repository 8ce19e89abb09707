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

EMITTERS = "xla_cpu_use_fusion_emitters"


@functools.cache
def emitters() -> dict[str, bool]:
    """The option by which XLA takes its older emitters, where it has it."""
    option = {EMITTERS: False}
    try:
        jax.jit(lambda x: x, compiler_options=option).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return option


@contextlib.contextmanager
def used() -> Iterator[None]:
    """In this process, whatever is compiled meanwhile."""
    ordinary, option = compiler.get_compile_options, emitters()

    def options(*arguments: Any, env_options_overrides: dict[str, Any] | None = None, **more: Any) -> Any:
        return ordinary(*arguments, env_options_overrides={**option, **(env_options_overrides or {})}, **more)

    jax.config.update("jax_disable_most_optimizations", True)
    try:
        with mock.patch.object(compiler, "get_compile_options", options):
            yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def environment() -> dict[str, str]:
    """The same for a process that a test starts."""
    flags = [f"--{name}={str(value).lower()}" for name, value in emitters().items()]
    flags = [*os.environ.get("XLA_FLAGS", "").split(), *flags]
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": " ".join(flags)}
