"""Frozen networks trained on ImageNet, whose outputs are features: opened from files of weights, never trained here.

`open_default()` is EfficientNet-Lite0, which is installed with jaxad; `open_backbone("resnet50.safetensors")` tells
the network by its arrays. `backbone.outputs(images, ["depthwise_4", "depthwise_10"])` are maps of features.
"""

from jaxad.backbones.backbone import DEFAULT, Backbone, make_backbone, open_backbone, open_default, stage_outputs
from jaxad.backbones.files import is_installed
from jaxad.backbones.layouts import NETWORKS, Network
from jaxad.backbones.using import find_network, used_weights

__all__ = [
    "DEFAULT",
    "NETWORKS",
    "Backbone",
    "Network",
    "find_network",
    "is_installed",
    "make_backbone",
    "open_backbone",
    "open_default",
    "stage_outputs",
    "used_weights",
]
