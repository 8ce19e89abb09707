"""The decoder of the patch VAE as a table, for fast scoring on CPU and GPU.

Its first image has one channel, and up to the heads every layer keeps the pixels of that image apart: the kernels are
their strides. So all that such a pixel adds to the inputs of the last sigmoid is a function of one number; and since
the layers are affine maps and ReLUs, that function is piecewise linear. Its pieces are found once, on the host, in
float64. Then two rows of a table and one multiplication replace two transposed convolutions and the heads, with the
same result to rounding: 0.3 kFLOP a pixel of that image in place of 34, for the published model.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad.models.layers import BatchNorm

LARGEST = 2**23
"""Numbers in a table that is worth having; a larger one falls out of the cache."""

Rows = Float[Array | np.ndarray, "k ..."]


class DecoderTable(NamedTuple):
    """What each of the `s` pixels of the decoder's first image adds, by pieces; a pytree."""

    knots: Float[Array | np.ndarray, " k"]
    """Where pieces begin, ascending from 0; infinite where there are fewer pieces than rows."""
    values: tuple[Float[Array | np.ndarray, "s k o"], ...]
    """At each knot, one array a head; its `o` outputs are the pixels and channels of a window."""
    slopes: tuple[Float[Array | np.ndarray, "s k o"], ...]
    """From each knot to the next."""

    def look_up(self, first: Float[Array, "n s"], *, method: str = "scan") -> list[Float[Array, "n o"]]:
        """The inputs of the heads' sigmoids, `[n, o]` a head, for first images `[n, s]`, which are not negative.

        How pieces are found is a `method` of `jax.numpy.searchsorted`: a loop, or on a GPU all its steps in one launch.
        """
        first = first.astype(self.knots.dtype)
        # Found by themselves: XLA would search again for every number that it looks up.
        pieces = jnp.searchsorted(self.knots, first, side="right", method=method) - 1
        if method != "scan":
            pieces = jax.lax.optimization_barrier(pieces)
        beyond = first - _rows(self.knots, pieces)

        def head(values: Rows, slopes: Rows) -> Array:
            parts = [
                _rows(values[i], pieces[:, i]) + _rows(slopes[i], pieces[:, i]) * beyond[:, i : i + 1]
                for i in range(first.shape[1])
            ]
            return sum(parts[1:], parts[0])

        # One array a head: XLA would not vectorise what follows if it had to slice one that holds both.
        return [head(*tables) for tables in zip(self.values, self.slopes, strict=True)]


def make_decoder_table(variables: Mapping[str, Any], *, window: tuple[int, int], depth: int) -> DecoderTable | None:
    """The table of a `PatchVAE` with these variables; None where it would be too large to be fast.

    Args:
        variables: of the model, with `params` and `batch_stats`.
        window: height and width of a window.
        depth: how many layers double the first image.
    """
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), dict(variables))
    knots = np.zeros(1)
    values, slopes = np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1))
    heads_kernel, heads_bias = without_norm(variables, "heads", "heads_norm")
    places, outputs = (window[0] >> depth) * (window[1] >> depth), window[0] * window[1] * len(heads_bias)
    for i in range(depth):
        kernel, bias = without_norm(variables, f"decoder_{i}", f"decoder_norm_{i}")
        values, slopes = _double(values, kernel) + bias, _double(slopes, kernel)
        finer = _with_crossings(knots, values, slopes)
        rows = _usual_length(len(finer))
        if 2 * places * rows * outputs > LARGEST:
            return None
        values, slopes = _rectify(knots, finer, values, slopes)
        knots = finer

    def tables(block: np.ndarray, bias: np.ndarray | float) -> tuple[np.ndarray, ...]:
        added = reach_of_heads(block, heads_kernel, window)
        added[0] += bias
        filled = np.pad(added, [(0, 0), (0, rows - len(knots)), (0, 0), (0, 0), (0, 0)])
        return tuple(half.reshape(places, rows, -1).astype(np.float32) for half in np.split(filled, 2, axis=-1))

    begins = np.pad(knots, (0, rows - len(knots)), constant_values=np.inf).astype(np.float32)
    return DecoderTable(begins, tables(values, heads_bias), tables(slopes, 0.0))


def _rows(table: Rows, places: Array) -> Array:
    return jnp.asarray(table).at[places].get(mode="promise_in_bounds")


def without_norm(variables: Mapping[str, Any], layer: str, norm: str) -> tuple[Any, Any]:
    """Kernel and bias that give what layer and normalisation give together, in the type of the variables."""
    params, stats = variables["params"], variables["batch_stats"][norm]
    gain = params[norm]["scale"] / (stats["var"] + BatchNorm.epsilon) ** 0.5
    kernel, bias = params[layer]["kernel"], params[layer]["bias"]
    return kernel * gain.reshape(1, 1, 1, -1), (bias - stats["mean"]) * gain + params[norm]["bias"]


def _double(block: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The transposed convolution of `[k, b, b, c]` whose kernel `[2, 2, c, f]` is its stride: `[k, 2b, 2b, f]`."""
    count, side, _, _ = block.shape
    doubled = np.einsum("kyxc,pqcf->kypxqf", block, kernel[::-1, ::-1])
    return doubled.reshape(count, 2 * side, 2 * side, -1)


def _with_crossings(knots: np.ndarray, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The knots of piecewise linear functions `[k, b, b, f]`, and wherever one of them crosses zero."""
    begins = knots.reshape(-1, 1, 1, 1)
    ends = np.append(knots[1:], np.inf).reshape(-1, 1, 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = begins - values / slopes
    return np.union1d(knots, crossings[(crossings > begins) & (crossings < ends)])


def _rectify(
    knots: np.ndarray, finer: np.ndarray, values: np.ndarray, slopes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes of the ReLUs of piecewise linear functions `[k, b, b, f]` at finer knots `[m]`."""
    pieces = np.searchsorted(knots, finer, side="right") - 1
    values = values[pieces] + slopes[pieces] * (finer - knots[pieces]).reshape(-1, 1, 1, 1)
    # A sign is sure in the middle of a piece, not at a crossing.
    middles = np.append(np.diff(finer) / 2, 1.0).reshape(-1, 1, 1, 1)
    negative = values + slopes[pieces] * middles <= 0
    return np.where(negative, 0.0, values), np.where(negative, 0.0, slopes[pieces])


def reach_of_heads(
    block: Float[np.ndarray, "k b b f"], kernel: Float[np.ndarray, "p q f o"], window: Sequence[int]
) -> Float[np.ndarray, "s k h w o"]:
    """What blocks `[k, b, b, f]` give through the heads at each place of the window: `[s, k, h, w, o]`."""
    count, side, size = len(block), block.shape[1], kernel.shape[0]
    around = size - 1
    taps = np.lib.stride_tricks.sliding_window_view(
        np.pad(block, [(0, 0), (around, around), (around, around), (0, 0)]), (size, size), axis=(1, 2)
    )
    reached = np.tensordot(taps, kernel, axes=([4, 5, 3], [0, 1, 2]))
    first = -(-around // 2) + 1  # a padded row, with the padding of the gradient of a convolution
    placed = []
    for top in range(first, first + window[0], side):
        for left in range(first, first + window[1], side):
            image = np.zeros((count, window[0] + 2 * size, window[1] + 2 * size, reached.shape[-1]))
            image[:, top : top + side + around, left : left + side + around] = reached
            placed.append(image[:, size : size + window[0], size : size + window[1]])
    return np.stack(placed)


def _usual_length(count: int) -> int:
    """The next multiple of 128, so that detectors of one recipe mostly share one compiled program."""
    return -(-count // 128) * 128
