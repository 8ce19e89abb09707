"""Putting the layers of a file into the variables of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxad._check import raise_problems
from jaxad.convert.layer import Kind, Layer, describe

Row = tuple[str, Kind | tuple[Kind, ...]]
"""(path of the module in the model, kind): "the next unused layer of this kind goes here".

Layers of a kind are taken in forward order, encoder first. A tuple of kinds takes that many layers and concatenates
their arrays along the last axis (output features): `("decoder/heads", ("ConvTranspose", "ConvTranspose"))` puts the
heads of mean and variance into one layer.
"""

STATISTICS = ("mean", "var")


def to_variables(
    layers: Sequence[Layer],
    template: Mapping[str, Any],
    rows: Sequence[Row],
    *,
    epsilons: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Any]:
    """Fill the variables of a model with the arrays of `layers`.

    `template` is the model's {"params": ..., "batch_stats": ...}, of arrays or of `jax.ShapeDtypeStruct`; the result
    has its structure, shapes and dtypes. `rows` names for every module the layers that fill it (see `Row`). `epsilons`
    says what a BatchNorm of the model adds to its variance, by path: where a layer's own `epsilon` is another, the
    difference goes into its variance.
    Raises one InputError that lists everything missing, surplus, misshaped or not finite, with path and both shapes.
    """
    found, problems = _place(layers, rows, epsilons)

    def fill(keys: tuple[Any, ...], leaf: Any) -> Any:
        path = "/".join(str(key.key) for key in keys)
        value = found.pop(path, None)
        if value is None:
            problems.append(f"{path}: model has {describe(leaf)}, file has nothing")
            return leaf
        if value.shape != leaf.shape:
            problems.append(f"{path}: model has {describe(leaf)}, file has {describe(value)}")
        with np.errstate(over="ignore"):
            filled = jnp.asarray(value, leaf.dtype)
        if not jnp.isfinite(filled).all():
            problems.append(f"{path}: file has NaN, infinity or numbers beyond {leaf.dtype}")
        return filled

    filled = jax.tree_util.tree_map_with_path(fill, dict(template))
    problems += [f"{path}: model has nothing, file has {describe(value)}" for path, value in found.items()]
    if problems:
        raise_problems(["weights do not fit this model:\n  " + "\n  ".join(problems)])
    return filled


def _place(
    layers: Sequence[Layer], rows: Sequence[Row], epsilons: Mapping[str, float]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays by path of their leaf, and what went wrong on the way."""
    found: dict[str, np.ndarray] = {}
    problems: list[str] = []
    unused = list(layers)
    for path, wanted in rows:
        taken = []
        for kind in (wanted,) if isinstance(wanted, str) else wanted:
            at = next((i for i, layer in enumerate(unused) if layer.kind == kind), None)
            if at is None:
                problems.append(f"{path}: file has no {kind} layer left for it")
            else:
                taken.append(_with_epsilon(unused.pop(at), epsilons.get(path)))
        for name in sorted({name for layer in taken for name in layer.arrays}):
            leaf = f"{'batch_stats' if name in STATISTICS else 'params'}/{path}/{name}"
            parts = [layer.arrays[name] for layer in taken if name in layer.arrays]
            if len(parts) < len(taken) or len({part.shape[:-1] for part in parts}) > 1:
                shapes = ", ".join(
                    f"{layer.name} {describe(layer.arrays[name])}" for layer in taken if name in layer.arrays
                )
                problems.append(f"{leaf}: arrays cannot be joined along the last axis: file has {shapes}")
            else:
                found[leaf] = np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
    for layer in unused:
        arrays = ", ".join(f"{name} {describe(value)}" for name, value in layer.arrays.items())
        problems.append(f"{layer.name} ({layer.kind}): model has nothing, file has {arrays}")
    return found, problems


def _with_epsilon(layer: Layer, epsilon: float | None) -> Layer:
    if epsilon is None or layer.epsilon is None or "var" not in layer.arrays:
        return layer
    variance = layer.arrays["var"] + np.float32(layer.epsilon - epsilon)
    return replace(layer, arrays={**layer.arrays, "var": variance}, epsilon=epsilon)
