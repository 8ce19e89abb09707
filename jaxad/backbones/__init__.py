"""Frozen networks trained on ImageNet, whose outputs are features: opened from files of weights, never trained here.

`open_backbone()` is EfficientNet-Lite0, which is installed with jaxad; `open_backbone("resnet50.safetensors")` tells
the network by its arrays. `backbone.outputs(images, ["depthwise_4", "depthwise_10"])` are maps of features.
"""

from jaxad.backbones.backbone import Backbone, make_backbone, open_backbone, stage_outputs
from jaxad.backbones.layouts import NETWORKS

__all__ = ["NETWORKS", "Backbone", "make_backbone", "open_backbone", "stage_outputs"]
