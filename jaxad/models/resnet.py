"""Residual networks as torchvision and timm build them."""

from collections.abc import Iterator, Sequence

import flax.linen as nn
from jaxtyping import Array

from jaxad._types import Pixels
from jaxad.models.channels_last import Convolution, max_pool
from jaxad.models.network import Rest, Stage, as_colour, choose, clear, mean_of_places, reduce_rest, standardise


class ResNet(nn.Module):
    """ResNet (He et al., arXiv:1512.03385) for inference, with the stride in the 3x3 convolution of a bottleneck.

    Each BatchNorm is part of the convolution before it; `backbones` folds them in. Stages: `layer1` to `layer4`, the
    output of each row of blocks; `pooled`, its mean over places, which the classifier sees; and its `logits`.

    Attributes:
        blocks: in each of the four rows.
        bottleneck: blocks of 1x1, 3x3 and 1x1 convolutions rather than of two 3x3 ones.
        width: channels inside the first row's blocks; each row doubles them. A wide network has twice the usual 64.
        classes: of the classifier; 0 is a network without one.
    """

    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    bottleneck: bool = False
    width: int = 64
    classes: int = 1000

    least = 32
    """Fewest pixels that a side may have."""

    @property
    def stages(self) -> dict[str, Stage]:
        """What the network can be asked for, in the order of its layers."""
        known = {f"layer{i + 1}": Stage(self.channels(i), 4 << i) for i in range(4)}
        known["pooled"] = Stage(self.channels(3), 0)
        return known | ({"logits": Stage(self.classes, 0)} if self.classes else {})

    def channels(self, row: int) -> int:
        """Channels of a row's output."""
        return (256 if self.bottleneck else 64) << row

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


def _outputs(network: ResNet, images: Pixels, rest: Rest | None) -> Iterator[tuple[str, Array]]:
    x = clear(standardise(as_colour(images, least=network.least)), rest)
    x = nn.relu(Convolution(64, 7, 2, 3, name="conv1")(x))
    rest = reduce_rest(rest, 2)
    x = max_pool(clear(x, rest), size=3, stride=2, padding=1)  # Nothing is below zero, so zeros win nowhere.
    rest = reduce_rest(rest, 2)
    for row, count in enumerate(network.blocks):
        for i in range(count):
            stride = 2 if row and i == 0 else 1
            x = _block(network, clear(x, rest), f"layer{row + 1}_{i}", row, stride, rest)
            rest = reduce_rest(rest, stride)
        yield f"layer{row + 1}", x
    pooled = mean_of_places(x, rest)
    yield "pooled", pooled
    if network.classes:
        yield "logits", nn.Dense(network.classes, name="fc")(pooled)


def _block(network: ResNet, x: Array, name: str, row: int, stride: int, rest: Rest | None) -> Array:
    inner, channels = network.width << row, network.channels(row)
    if network.bottleneck:
        y = nn.relu(Convolution(inner, name=f"{name}_conv1")(x))
        y = nn.relu(Convolution(inner, 3, stride, 1, name=f"{name}_conv2")(clear(y, rest)))
        y = Convolution(channels, name=f"{name}_conv3")(y)
    else:
        y = nn.relu(Convolution(inner, 3, stride, 1, name=f"{name}_conv1")(x))
        y = Convolution(channels, 3, 1, 1, name=f"{name}_conv2")(clear(y, reduce_rest(rest, stride)))
    if x.shape[-1] != channels or stride > 1:
        x = Convolution(channels, 1, stride, name=f"{name}_downsample")(x)
    return nn.relu(x + y)
