"""EfficientNet-Lite: a small network for ImageNet made of depthwise convolutions."""

from collections.abc import Iterator, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxad._types import Pixels
from jaxad.models.channels_last import Convolution, DepthwiseConvolution, Padding
from jaxad.models.network import Rest, Stage, as_colour, choose, clear, mean_of_places, reduce_rest

Blocks = tuple[tuple[int, int, int, int, int], ...]
"""Repeats, kernel, stride of the first, expansion and channels of each row of blocks."""

LITE0: Blocks = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LITE1: Blocks = (LITE0[0], *((row[0] + 1, *row[1:]) for row in LITE0[1:-1]), LITE0[-1])
"""A block more in each row but the first and the last."""


class EfficientNetLite(nn.Module):
    """EfficientNet (Tan & Le, arXiv:1905.11946) with ReLU6 and without squeeze-and-excitation, for inference.

    It pads as TensorFlow does. Each BatchNorm is part of the convolution before it; `backbones` folds them in. Stages:
    `depthwise_0` to `depthwise_15`, the rectified output of each block's depthwise convolution; `block_0` to
    `block_15`, what the block ends in; `pooled`, the mean over places that the classifier sees; and its `logits`.

    Attributes:
        blocks: see `Blocks`.
        stem: channels of the first convolution.
        head: channels of the last.
        classes: of the classifier; 0 is a network without one.
    """

    blocks: Blocks = LITE0
    stem: int = 32
    head: int = 1280
    classes: int = 1000

    least = 32
    """Fewest pixels that a side may have."""

    @property
    def stages(self) -> dict[str, Stage]:
        """What the network can be asked for, in the order of its layers."""
        known, inputs, step = {}, self.stem, 2
        for i, (_, stride, expansion, channels) in enumerate(self.rows()):
            step *= stride
            known[f"depthwise_{i}"] = Stage(inputs * expansion, step)
            known[f"block_{i}"] = Stage(channels, step)
            inputs = channels
        known["pooled"] = Stage(self.head, 0)
        return known | ({"logits": Stage(self.classes, 0)} if self.classes else {})

    def rows(self) -> list[tuple[int, int, int, int]]:
        """Kernel, stride, expansion and channels of every block."""
        return [
            (size, stride if i == 0 else 1, expansion, channels)
            for repeats, size, stride, expansion, channels in self.blocks
            for i in range(repeats)
        ]

    @nn.compact
    def __call__(self, images: Pixels, stages: Sequence[str], rest: Rest | None = None) -> dict[str, Array]:
        """The outputs of these stages for images `[n, h, w, c]`: maps `[n, h2, w2, channels]` and rows `[n, channels]`.

        Images are grey or RGB, uint8 or float in [0, 1], with sides of 32 pixels or more. A map has
        `ceil(side / stride)` places along a side.

        `rest` says how many rows and columns of the images, from the first on, show photographs, where that is not all;
        sides are then multiples of 32. The outputs are those of the photographs alone, and mean nothing beyond
        `ceil(rest / stride)` places.
        """
        return choose(_outputs(self, images, rest), stages, self.stages)


def _outputs(network: EfficientNetLite, images: Pixels, rest: Rest | None) -> Iterator[tuple[str, Array]]:
    x = (255.0 * as_colour(images, least=network.least) - 127.0) / 128.0
    x, padding = _padded(x, 3, 2, rest)
    x = nn.relu6(Convolution(network.stem, 3, 2, padding, name="stem")(x))
    rest = reduce_rest(rest, 2)
    for i, (size, stride, expansion, channels) in enumerate(network.rows()):
        inner = x
        if expansion > 1:
            inner = nn.relu6(Convolution(x.shape[-1] * expansion, name=f"block_{i}_expand")(x))
        inner, padding = _padded(inner, size, stride, rest)
        inner = nn.relu6(DepthwiseConvolution(size, stride, padding, name=f"block_{i}_depthwise")(inner))
        rest = reduce_rest(rest, stride)
        yield f"depthwise_{i}", inner
        y = Convolution(channels, name=f"block_{i}_project")(inner)
        x = x + y if x.shape == y.shape else y
        yield f"block_{i}", x
    pooled = mean_of_places(nn.relu6(Convolution(network.head, name="head")(x)), rest)
    yield "pooled", pooled
    if network.classes:
        yield "logits", nn.Dense(network.classes, name="classifier")(pooled)


def _padded(x: Array, size: int, stride: int, rest: Rest | None) -> tuple[Array, Padding]:
    """What a layer of "same" padding sees, and the padding that it has yet to do.

    With stride 2 that padding begins a pixel earlier along an axis whose length is odd.
    """
    x = clear(x, rest)
    if rest is None or stride == 1:
        return x, "SAME"
    n, height, width, c = x.shape
    edge = (size - 1) // 2
    padded = jnp.pad(x, [(0, 0), (edge, edge), (edge, edge), (0, 0)])
    begin = (0, 1 - rest[0] % 2, 1 - rest[1] % 2, 0)
    return jax.lax.dynamic_slice(padded, begin, (n, height + size - 2, width + size - 2, c)), 0
