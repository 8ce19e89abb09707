"""Programs traced for the platform that tests run on, where jaxad has a way of its own for each.

`jax.lax.platform_dependent` traces all ways and lowers one, which takes a quarter of the time of tests that fit many
networks. Modules that ask what is lowered for others use the fixture `every_platform`. `tests.conftest` imports it, so
that nothing here may import jaxad.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

EVERY = jax.lax.platform_dependent


def _way(platform: str, *arguments: Any, default: Callable[..., Any] | None = None, **ways: Callable[..., Any]) -> Any:
    return ways.get(platform, default)(*jax.tree.map(jnp.asarray, arguments))


def _here(*arguments: Any, **ways: Any) -> Any:
    traced = partial(_way, "cpu") if jax.default_backend() == "cpu" else EVERY
    return traced(*arguments, **ways)


def trace_one() -> None:
    """From now on, in this process."""
    jax.lax.platform_dependent = _here


@contextlib.contextmanager
def every() -> Iterator[None]:
    """All ways again meanwhile; what was traced before is forgotten."""
    jax.clear_caches()
    with mock.patch.object(jax.lax, "platform_dependent", EVERY):
        yield


@contextlib.contextmanager
def used(platform: str) -> Iterator[None]:
    """Trace meanwhile for a platform such as "cuda", which need not be here; what was traced before is forgotten."""
    jax.clear_caches()
    with mock.patch.object(jax.lax, "platform_dependent", partial(_way, platform)):
        yield
    jax.clear_caches()
