"""PyTorch state dictionaries: names such as `encoder.0.weight`, Linear weights as [out, in]."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxad._check import InputError, needing
from jaxad.convert.layer import Layer, NamedArrays, describe, in_name_order, is_weight, part_order

FLAX_NAMES = {"running_mean": "mean", "running_var": "var"}


def read_safetensors(path: Path) -> list[Layer]:
    """The layers of a `.safetensors` file."""
    with needing("torch", what="reading weights of PyTorch"):
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

    try:
        return layers_of_state(load_file(path))
    except SafetensorError as error:
        raise InputError(f"is not a safetensors file, or it is damaged ({error}); save it again") from None


def layers_of_state(state: NamedArrays) -> list[Layer]:
    """The layers of a state dictionary, encoder first, in its own order; what was read from a file has lost that.

    Raises:
        InputError: as `in_name_order`, where the order is lost, and layers of other kinds than Dense and BatchNorm.
    """
    weights = {
        key: value for key, value in ((key, np.asarray(value)) for key, value in state.items()) if is_weight(value)
    }
    groups: dict[str, dict[str, Any]] = {}
    for key, value in weights.items():
        owner, _, name = key.rpartition(".")
        groups.setdefault(owner, {})[name] = value
    layers = {owner: _layer(owner, arrays) for owner, arrays in groups.items()}
    parts = {owner: part_order(owner) for owner in layers}
    # A file of safetensors is sorted by type and name; PyTorch itself puts a weight before its bias.
    of_types: dict[np.dtype, list[str]] = {}
    for key, value in weights.items():
        of_types.setdefault(value.dtype, []).append(key)
    if all(keys == sorted(keys) for keys in of_types.values()):
        return in_name_order(layers, parts, mend="give the state dictionary itself, or number these layers")
    return [layers[owner] for owner in sorted(layers, key=parts.__getitem__)]


def _layer(name: str, arrays: NamedArrays) -> Layer:
    found = {FLAX_NAMES.get(key, key): value for key, value in arrays.items()}
    weight = found.pop("weight", None)
    if "mean" in found and weight is not None:
        return Layer(name, "BatchNorm", {**found, "scale": weight})
    if weight is None or weight.ndim != 2:
        shapes = ", ".join(f"{key} {describe(value)}" for key, value in arrays.items())
        raise InputError(
            f"PyTorch layer {name!r} is neither Linear nor BatchNorm ({shapes}); convolutions are not read, because "
            "PyTorch flattens channels first, so the dense layer behind them would not fit: convert a Keras model"
        )
    return Layer(name, "Dense", {**found, "kernel": weight.T})
