"""The decoder of the patch VAE as matrix products of one layout, for fast scoring where reading a table is slow.

Up to the heads every layer keeps the pixels of the decoder's first image apart, see `jaxad.models.decoder_table`, so
each is a product over the channels of every position by itself, and nothing has to be put in rows and columns between
layers. The heads of a small window are one dense matrix: most of it is zeros, but two outputs a pixel would leave a
matrix unit nearly idle.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad.models.decoder_table import without_norm
from jaxad.models.layers import ConvTranspose

LARGEST = 2**22
"""Numbers in a matrix of the heads that is worth having."""


def products_fit(window: tuple[int, int], *, features: int, outputs: int) -> bool:
    """Whether the matrix of the heads is small enough to be fast, for so many channels before them and after."""
    pixels = window[0] * window[1]
    return pixels**2 * features * outputs <= LARGEST


def decode_by_products(
    first: Float[Array, "n s"], variables: Mapping[str, Any], *, window: tuple[int, int], depth: int
) -> list[Float[Array, "n o"]]:
    """The inputs of the heads' sigmoids, `[n, o]` a head, for first images `[n, s]`.

    Args:
        first: the decoder's first images, row by row.
        variables: of the model, with `params` and `batch_stats`.
        window: height and width of a window.
        depth: how many layers double the first image.
    """
    n = first.shape[0]
    x = first[..., None]
    for i in range(depth):
        kernel, bias = without_norm(variables, f"decoder_{i}", f"decoder_norm_{i}")
        channels = kernel.shape[2]
        # A transposed convolution turns its kernel.
        matrix = kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(channels, -1)
        product = x * matrix[None] if channels == 1 else x @ matrix
        x = jax.nn.relu(product + jnp.tile(bias, 4)[None, None]).reshape(n, -1, kernel.shape[-1])
    matrix, bias = _heads(variables, window, depth=depth, features=x.shape[-1])
    outputs = x.reshape(n, -1) @ matrix + bias[None]
    return jnp.split(outputs, 2, -1)


def _heads(
    variables: Mapping[str, Any], window: tuple[int, int], *, depth: int, features: int
) -> tuple[Float[Array, "m o"], Float[Array, " o"]]:
    """The heads as a dense matrix and bias, from what lies in the order of `decode_by_products`; means first."""
    params = variables["params"]["heads"]
    outputs = params["bias"].shape[0]
    places = (window[0] >> depth, window[1] >> depth)
    count = window[0] * window[1] * features
    # What one number before the heads becomes after them. Positions stand in the order in which layers double them.
    halvings = (2,) * (2 * depth)
    kernel, bias = without_norm(variables, "heads", "heads_norm")
    images = jnp.eye(count, dtype=kernel.dtype).reshape(count, *places, *halvings, features)
    rows, columns = (range(i + 1, 2 * depth + 3, 2) for i in (0, 1))
    images = images.transpose(0, *rows, *columns, 2 * depth + 3).reshape(count, *window, features)
    layer = ConvTranspose(outputs, (kernel.shape[0], kernel.shape[1]), parent=None)
    reached = layer.apply({"params": {"kernel": kernel, "bias": jnp.zeros_like(bias)}}, images)
    by_head = jnp.stack(jnp.split(jnp.asarray(reached), 2, -1), 1)
    pixels = window[0] * window[1]
    return by_head.reshape(count, -1), jnp.concatenate([jnp.tile(half, pixels) for half in jnp.split(bias, 2)])
