"""A function as accelerators compute it: products round their operands where the highest precision is not asked for."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from tests import one_platform

ACCELERATORS = {"TF32": ("cuda", 10), "bfloat16": ("tpu", 7)}
"""Whose way is taken where jaxad has one for each platform, and bits behind the leading one of an operand."""
PRODUCTS = ("dot_general", "conv_general_dilated")


def found_by_rounding(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What a function makes of arrays here, "float32", and by the names of `ACCELERATORS`.

    Products that are asked for at `jax.lax.Precision.HIGHEST` are not rounded.
    """
    found = {"float32": jax.jit(function)(*arguments)}
    leaves, structure = jax.tree.flatten(arguments)
    for kind, (platform, bits) in ACCELERATORS.items():
        with one_platform.used(platform):
            traced = jax.make_jaxpr(lambda *leaves: function(*structure.unflatten(leaves)), return_shape=True)
            closed, shapes = traced(*leaves)
            outputs = jax.jit(partial(_evaluate, closed, bits=bits))(leaves)
        found[kind] = jax.tree.unflatten(jax.tree.structure(shapes), outputs)
    return found


def _evaluate(closed: core.ClosedJaxpr, arguments: Sequence[Any], bits: int) -> list[Any]:
    jaxpr = closed.jaxpr
    values: dict[Any, Any] = {}
    values.update(zip(jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        name, options = equation.primitive.name, equation.params
        if name in PRODUCTS:
            if not _is_highest(options["precision"]):
                inputs = [_round(value, bits) for value in inputs]
            outputs = [equation.primitive.bind(*inputs, **options)]
        elif name.startswith(("custom_jvp_call", "custom_vjp_call")):
            # No gradient is taken of it, so it is what it calls.
            outputs = _evaluate(options["call_jaxpr"], inputs, bits)
        else:
            options = {key: _inside(value, bits) for key, value in options.items()}
            found = equation.primitive.bind(*inputs, **options)
            outputs = list(found) if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _inside(value: Any, bits: int) -> Any:
    """The same, where it is a program or several, with products that round."""
    if isinstance(value, core.ClosedJaxpr):
        shapes = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in value.in_avals]
        return jax.make_jaxpr(lambda *arguments: _evaluate(value, arguments, bits))(*shapes)
    if isinstance(value, tuple) and any(isinstance(one, core.ClosedJaxpr) for one in value):
        return tuple(_inside(one, bits) for one in value)
    return value


def _is_highest(precision: Any) -> bool:
    each = precision if isinstance(precision, tuple) else (precision,)
    return all(one == jax.lax.Precision.HIGHEST for one in each)


def _round(value: Any, bits: int) -> Any:
    return jax.lax.reduce_precision(value, 8, bits) if value.dtype == jnp.float32 else value
