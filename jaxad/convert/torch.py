"""PyTorch state dictionaries: names such as `encoder.0.weight`, Linear weights as [out, in]."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxad._check import InputError, needing
from jaxad.convert.layer import Layer, NamedArrays, describe, is_weight, natural_order, part_order

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
    """The layers of a state dictionary, encoder first, then by name with numbers counted (`dec.2` before `dec.10`)."""
    groups: dict[str, dict[str, Any]] = {}
    for key in sorted(state, key=lambda key: (part_order(key), natural_order(key))):
        owner, _, name = key.rpartition(".")
        value = np.asarray(state[key])
        if is_weight(value):
            groups.setdefault(owner, {})[name] = value
    return [_layer(name, arrays) for name, arrays in groups.items()]


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
