"""A network's parameters from a state dictionary of PyTorch, with what only scales folded into the layer before it."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxad.backbones.layouts import NORM, Kind, Layout, Network, Row, State


def layer_shapes(network: Network) -> dict[str, Any]:
    """Shape and type of every parameter, by the names of the network's layers."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    every = list(network.stages)[-1:]
    return jax.eval_shape(lambda key, x: network.init(key, x, every), jax.random.key(0), image)["params"]


@cache
def array_shapes(network: Network, layout: Layout) -> dict[str, tuple[int, ...]]:
    """The shape that each array of a state dictionary must have, in the order of the network's layers."""
    layers = layer_shapes(network)
    shapes: dict[str, tuple[int, ...]] = {}
    for row in layout.rows(network):
        first, *others = row.arrays()
        if row.kind == "array":
            whole = layers[row.layer].shape
            shapes[first] = (1,) * (3 - len(whole)) + whole
        else:
            kernel = layers[row.layer]["scale" if row.kind == "layer norm" else "kernel"].shape
            shapes[first] = lay_out(kernel, row.kind)
            shapes |= dict.fromkeys(others, kernel[-1:])
    return shapes


def lay_out(kernel: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    """The shape that PyTorch gives to a kernel of shape `[p, q, c, f]`, `[p, q, c]`, `[in, out]` or `[c]`."""
    if kind == "depthwise":
        return kernel[2], 1, *kernel[:2]
    return (*kernel[:1:-1], *kernel[:2]) if kind == "convolution" else kernel[::-1]


def to_parameters(network: Network, layout: Layout, state: State) -> dict[str, Any]:
    """The network's parameters from a state dictionary that has every array of `array_shapes`.

    What scales the outputs of a layer is folded into it, in float64: of a BatchNorm in inference
    `(y - mean) gain + bias` with `gain = weight / sqrt(variance + epsilon)`.
    """
    parameters: dict[str, Any] = {}
    for row in layout.rows(network):
        if row.kind == "array":
            found: Any = np.squeeze(state[row.weight])
        elif row.kind == "layer norm":
            found = {"scale": state[f"{row.weight}.weight"], "bias": state[f"{row.weight}.bias"]}
        else:
            found = fold(row, state, epsilon=layout.epsilon)
        parameters[row.layer] = jax.tree.map(lambda array: jax.device_put(np.asarray(array, np.float32)), found)
    return {"params": parameters}


def fold(row: Row, state: State, *, epsilon: float) -> dict[str, np.ndarray]:
    """Kernel `[p, q, c, f]`, `[p, q, c]` or `[in, out]` of a row, and bias, times what scales its outputs."""
    weight = state[f"{row.weight}.weight"].astype(np.float64)
    if row.kind == "depthwise":
        kernel = weight[:, 0].transpose(1, 2, 0)
    else:
        kernel = weight.transpose(2, 3, 1, 0) if row.kind == "convolution" else weight.T
    if row.norm:
        gain, shift, mean, variance = (state[f"{row.norm}.{name}"].astype(np.float64) for name in NORM)
        gain /= np.sqrt(variance + epsilon)
        return {"kernel": kernel * gain, "bias": shift - mean * gain}
    bias = state[f"{row.weight}.bias"]
    if row.gain:
        gain = state[row.gain].astype(np.float64)
        return {"kernel": kernel * gain, "bias": bias * gain}
    return {"kernel": kernel, "bias": bias}
