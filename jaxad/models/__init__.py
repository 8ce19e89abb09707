"""Flax models: pure `init` and `apply`, no losses, no optimisers. The only room that imports `flax.linen`."""

from jaxad.models.conv_ae import AutoencoderOutput, ConvAE
from jaxad.models.dense_ae import ACTIVATIONS, DenseAE
from jaxad.models.dense_vae import DenseVAE
from jaxad.models.efficientnet import LITE1, EfficientNetLite
from jaxad.models.network import Rest, Stage
from jaxad.models.patch_vae import PatchVAE, PatchVAEOutput, with_decoder_table
from jaxad.models.resnet import ResNet
from jaxad.models.segmenter import Segmenter
from jaxad.models.side_by_side import SideBySide
from jaxad.models.vision_transformer import VisionTransformer

__all__ = [
    "ACTIVATIONS",
    "LITE1",
    "AutoencoderOutput",
    "ConvAE",
    "DenseAE",
    "DenseVAE",
    "EfficientNetLite",
    "PatchVAE",
    "PatchVAEOutput",
    "ResNet",
    "Rest",
    "Segmenter",
    "SideBySide",
    "Stage",
    "VisionTransformer",
    "with_decoder_table",
]
