"""ONNX by `jax2onnx`, after what it cannot convert is said in other words."""

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array

from jaxad._check import InputError
from jaxad._types import AnyArray
from jaxad.export.computation import Computation

INLINED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Calls that become part of their caller, and the parameter that holds what they do."""
TERMS = 128
"""Of a sum, at most; see `_sum_in_steps`."""


def to_onnx(computation: Computation) -> bytes:
    """The computation as an ONNX model of one image or more, scored one after another.

    Raises:
        InputError: jax2onnx or onnxruntime is not installed, or jax2onnx does not know an operation of the model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They speak to the authors of converters.
        try:
            import jax2onnx
            import onnxruntime  # noqa: F401  (the check needs it, in a process of its own)
        except ImportError as error:
            raise InputError(
                f"ONNX takes jax2onnx and onnxruntime ({error.name} is not installed): pip install 'jaxad[export]'"
            ) from None
        (count,) = jax.export.symbolic_shape("n")
        images = jax.ShapeDtypeStruct((count, *computation.shape), jnp.uint8)
        # Traced before jax2onnx puts its own operations in the place of those of jax, not all of which can be mapped.
        traced = jax.make_jaxpr(lambda x: jax.lax.map(computation.score, x))(images)
        quiet = logging.getLogger("onnx_ir")
        before = quiet.level
        quiet.setLevel(logging.ERROR)
        try:
            model = jax2onnx.to_onnx(
                in_plain_operations(traced), [images], input_names=["images"], output_names=["image", "map"]
            )
        except Exception as error:  # whatever jax2onnx and the packages below it raise
            raise InputError(
                f"jax2onnx cannot convert recipe {computation.detector.recipe.name!r} ({_first_line(error)}); "
                "export it to stablehlo"
            ) from error
        finally:
            quiet.setLevel(before)
    # Its notes on shapes inside of loops are wrong; onnxruntime finds them out itself.
    del model.graph.value_info[:]
    _drop_unused(model.graph)
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "n"
    return bytes(model.SerializeToString())


def _drop_unused(graph: Any) -> set[str]:
    """Arrays that no operation reads are taken out, here and in graphs inside, else onnxruntime warns of each.

    Gives the names of all that is read, for a graph inside reads what lies around it.
    """
    read = {output.name for output in graph.output}
    for node in graph.node:
        read.update(node.input)
        for attribute in node.attribute:
            for inside in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                read |= _drop_unused(inside)
    kept = [array for array in graph.initializer if array.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return read


def in_plain_operations(traced: core.ClosedJaxpr) -> Callable[..., tuple[Any, ...]]:
    """A function that does the same without choosing by platform, and without what onnxruntime lacks or rounds.

    That is zeros between the numbers of an array, parts without numbers that are joined, and long sums.
    Of the choices it takes the default, which is what GPU and TPU take.
    """

    def run(*inputs: Any) -> tuple[Any, ...]:
        return tuple(_evaluate(traced, inputs))

    return run


def _evaluate(traced: core.ClosedJaxpr, inputs: Sequence[Any]) -> list[Any]:
    jaxpr = traced.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*traced.consts, *inputs], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        found = _perform(equation, [None if _is_platform(atom, values) else read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _is_platform(atom: Any, values: dict[Any, Any]) -> bool:
    return not isinstance(atom, core.Literal) and values[atom] is None


def _perform(equation: Any, inputs: list[Any]) -> Sequence[Any]:
    name, settings = equation.primitive.name, dict(equation.params)
    if name == "platform_index":
        return [None]
    if name == "cond" and settings.get("branches_platforms"):
        return _evaluate(settings["branches"][settings["branches_platforms"].index(None)], inputs[1:])
    if name in INLINED:
        return _evaluate(settings[INLINED[name]], inputs)
    if name == "pad" and any(gap for _, _, gap in settings["padding_config"]):
        x, fill = inputs
        return [_pad_with_gaps(x, fill, settings["padding_config"])]
    if name == "reduce_sum" and jnp.issubdtype(inputs[0].dtype, jnp.floating):
        return [_sum_in_steps(inputs[0], settings["axes"])]
    if name == "concatenate":  # onnxruntime joins no part without numbers, such as a border of no pixels.
        inputs = [part for part in inputs if part.shape[settings["dimension"]] != 0] or inputs
    if name == "scan":
        body = settings["jaxpr"]
        settings["jaxpr"] = jax.make_jaxpr(lambda *parts: _evaluate(body, parts))(*body.in_avals)
    found = equation.primitive.bind(*inputs, **settings)
    return found if equation.primitive.multiple_results else [found]


def _pad_with_gaps(x: AnyArray, fill: AnyArray, config: Sequence[Any]) -> Array:
    """`jax.lax.pad`, where ONNX has no gaps: each number gets an axis of its own, which is padded and flattened."""
    for axis, (_, _, gap) in enumerate(config):
        if gap:
            apart = jnp.expand_dims(x, axis + 1)
            apart = jax.lax.pad(apart, fill, [(0, gap if i == axis + 1 else 0, 0) for i in range(apart.ndim)])
            x = apart.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
    return jax.lax.pad(x, fill, [(low, high - gap, 0) for low, high, gap in config])


def _sum_in_steps(x: AnyArray, axes: Sequence[int]) -> Array:
    """The sum of an array over axes, in steps of `TERMS` at most.

    onnxruntime adds numbers one after another, so rounding grows with their count: of the sum of a megapixel of the
    same number 3e-4 is lost.
    """
    for axis in sorted(axes, reverse=True):
        while (length := x.shape[axis]) > TERMS:
            gaps = [(0, 0)] * x.ndim
            gaps[axis] = (0, -length % TERMS)
            x = jnp.pad(x, gaps)
            x = jnp.sum(x.reshape(*x.shape[:axis], -1, TERMS, *x.shape[axis + 1 :]), axis=axis + 1)
        x = jnp.sum(x, axis=axis)
    return jnp.asarray(x)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
