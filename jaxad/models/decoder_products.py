"""The decoder of the patch VAE as matrix products of one layout, for fast scoring where reading a table is slow.

Up to the heads every layer keeps the pixels of the decoder's first image apart, see `jaxad.models.decoder_table`, and
those that come of each, so a layer is a product over channels and nothing has to be put in rows and columns between
layers. Several pixels beside each other fill a matrix unit, one block a pixel. The heads of a small window are one
dense matrix: most of it is zeros, but two outputs a pixel would leave a matrix unit nearly idle.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad.models.decoder_table import reach_of_heads, without_norm

LARGEST = 2**22
"""Numbers in a matrix of the heads that is worth having."""
WIDTH = 128
"""Rows of a matrix unit."""

Matrix = Float[Array | np.ndarray, "m o"]
Bias = Float[Array | np.ndarray, " o"]


class DecoderProducts(NamedTuple):
    """Matrix and bias of every product; a pytree.

    Of a layer both take some pixels, each by itself, and give the four that come of each.
    """

    layers: tuple[tuple[Matrix, Bias], ...]
    heads: tuple[Matrix, Bias]
    """From all that the last layer gives to all pixels and channels of a window, means first."""

    def multiply(self, first: Float[Array, "n s"]) -> list[Float[Array, "n o"]]:
        """The inputs of the heads' sigmoids, `[n, o]` a head, for first images `[n, s]`, in the type of these."""
        products: DecoderProducts = jax.tree.map(lambda x: jnp.asarray(x, first.dtype), self)
        # Parts stay apart: none has to be moved to lie beside another.
        parts = [first[:, i : i + 1] for i in range(first.shape[1])]
        for matrix, bias in products.layers:
            parts = [one for part in parts for one in _double(part, matrix, bias)]
        matrix, bias = products.heads
        begins = np.cumsum([0, *(part.shape[1] for part in parts)]).tolist()
        added = [part @ matrix[begin : begin + part.shape[1]] for begin, part in zip(begins, parts, strict=False)]
        return jnp.split(sum(added[1:], added[0]) + bias[None], 2, -1)


def make_decoder_products(
    variables: Mapping[str, Any], *, window: tuple[int, int], depth: int
) -> DecoderProducts | None:
    """The products of a `PatchVAE` with these variables; None where the matrix of its heads would be too large.

    Args:
        variables: of the model, with `params` and `batch_stats`.
        window: height and width of a window.
        depth: how many layers double the first image.
    """
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), dict(variables))
    kernel, bias = without_norm(variables, "heads", "heads_norm")
    pixels, (features, outputs) = window[0] * window[1], kernel.shape[2:]
    if pixels**2 * features * outputs > LARGEST:
        return None
    # Pixels of one part, which no product leaves.
    layers, count = [], 1
    for i in range(depth):
        taps, added = without_norm(variables, f"decoder_{i}", f"decoder_norm_{i}")
        channels = taps.shape[2]
        # A transposed convolution turns its kernel.
        matrix = taps[::-1, ::-1].transpose(2, 0, 1, 3).reshape(channels, -1)
        beside = math.gcd(count, max(1, WIDTH // channels))
        layers.append((np.kron(np.eye(beside), matrix), np.tile(added, 4 * beside)))
        count = 4 * beside
    # What one number before the heads becomes after them. Pixels stand in the order in which layers double them.
    images = np.eye(4**depth * features).reshape(-1, *(2,) * (2 * depth), features)
    rows, columns = (range(i + 1, 2 * depth + 1, 2) for i in (0, 1))
    images = images.transpose(0, *rows, *columns, 2 * depth + 1).reshape(-1, 1 << depth, 1 << depth, features)
    reached = np.stack(np.split(reach_of_heads(images, kernel, window), 2, axis=-1), axis=2)
    heads = reached.reshape(-1, pixels * outputs), np.concatenate([np.tile(one, pixels) for one in np.split(bias, 2)])
    found: DecoderProducts = jax.tree.map(lambda x: x.astype(np.float32), DecoderProducts(tuple(layers), heads))
    return found


def _double(x: Float[Array, "n inputs"], matrix: Matrix, bias: Bias) -> list[Float[Array, "n o"]]:
    """What a layer makes of pixels side by side, as many of them at once as its matrix takes."""
    width = matrix.shape[0]
    parts = [x[:, begin : begin + width] for begin in range(0, x.shape[1], width)]
    return [jax.nn.relu((part * matrix if width == 1 else part @ matrix) + bias[None]) for part in parts]
