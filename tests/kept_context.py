"""Programs lowered in one MLIR context after another, each for many of them.

jax makes a context for every program, into which all dialects are loaded: a twentieth of the time of tests that lower
thousands of small ones. `tests.conftest` imports it, so that nothing here may import jaxad.
"""

import threading
from typing import Any

from jax._src.interpreters import mlir

PROGRAMS = 64
"""That one context serves: it holds whatever constants they have, for as long as it is there."""

make = mlir.make_ir_context


class _Kept(threading.local):
    context: Any = None
    used = 0


_kept = _Kept()


def _context() -> Any:
    if _kept.used % PROGRAMS == 0:
        _kept.context = make()
    _kept.used += 1
    return _kept.context


def keep() -> None:
    """From now on, in this process; every thread has its own."""
    mlir.make_ir_context = _context
