"""Flax models: pure `init` and `apply`, no losses, no optimisers. The only room that imports `flax.linen`."""

from jaxad.models.conv_ae import AutoencoderOutput, ConvAE
from jaxad.models.dense_ae import ACTIVATIONS, DenseAE
from jaxad.models.dense_vae import DenseVAE
from jaxad.models.patch_vae import PatchVAE, PatchVAEOutput, with_decoder_table
from jaxad.models.segmenter import Segmenter

__all__ = [
    "ACTIVATIONS",
    "AutoencoderOutput",
    "ConvAE",
    "DenseAE",
    "DenseVAE",
    "PatchVAE",
    "PatchVAEOutput",
    "Segmenter",
    "with_decoder_table",
]
