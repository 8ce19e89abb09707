"""EfficientNet-Lite: a small network for ImageNet made of depthwise convolutions."""

from collections.abc import Iterator, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxad._types import Pixels
from jaxad.models.channels_last import Convolution, DepthwiseConvolution
from jaxad.models.network import Stage, as_colour, choose

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
    def __call__(self, images: Pixels, stages: Sequence[str]) -> dict[str, Array]:
        """The outputs of these stages for images `[n, h, w, c]`: maps `[n, h2, w2, channels]` and rows `[n, channels]`.

        Images are grey or RGB, uint8 or float in [0, 1], with sides of 32 pixels or more. A map has
        `ceil(side / stride)` places along a side.
        """
        return choose(_outputs(self, images), stages, self.stages)


def _outputs(network: EfficientNetLite, images: Pixels) -> Iterator[tuple[str, Array]]:
    x = (255.0 * as_colour(images, least=network.least) - 127.0) / 128.0
    x = nn.relu6(Convolution(network.stem, 3, 2, "SAME", name="stem")(x))
    for i, (size, stride, expansion, channels) in enumerate(network.rows()):
        inner = x
        if expansion > 1:
            inner = nn.relu6(Convolution(x.shape[-1] * expansion, name=f"block_{i}_expand")(x))
        inner = nn.relu6(DepthwiseConvolution(size, stride, "SAME", name=f"block_{i}_depthwise")(inner))
        yield f"depthwise_{i}", inner
        y = Convolution(channels, name=f"block_{i}_project")(inner)
        x = x + y if x.shape == y.shape else y
        yield f"block_{i}", x
    pooled = jnp.mean(nn.relu6(Convolution(network.head, name="head")(x)), (1, 2))
    yield "pooled", pooled
    if network.classes:
        yield "logits", nn.Dense(network.classes, name="classifier")(pooled)
