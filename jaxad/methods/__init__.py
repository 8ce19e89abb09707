"""jaxad's own methods, one a file, written as anyone's: the published systems, their variants, and more.

`RECIPES` has all by name; `dataclasses.replace` gives variants.
"""

from jaxad.methods.auto import AutoRecipe
from jaxad.methods.autoencoders import ConvAERecipe, DenseAERecipe
from jaxad.methods.backbones import with_backbone
from jaxad.methods.closed_form import ClosedFormRecipe
from jaxad.methods.dense_vae import DenseVAERecipe
from jaxad.methods.drawn_defects import DrawnDefectsRecipe
from jaxad.methods.finding import import_kinds, named, offered
from jaxad.methods.frozen import FrozenRecipe
from jaxad.methods.fusion import FusionRecipe
from jaxad.methods.padim import PaDiMRecipe
from jaxad.methods.patch_components import PatchComponentsRecipe
from jaxad.methods.patch_vae import PatchVAERecipe, WindowScorer
from jaxad.methods.patchcore import PatchCoreRecipe
from jaxad.methods.rows import (
    AUTO,
    CLOSED_FORM,
    CONV_AE,
    DENSE_AE,
    FROZEN,
    GRADIENT_NEIGHBOURS,
    LATENT_OCSVM,
    PADIM,
    PATCH_VAE,
    PATCHCORE,
    RECIPES,
    SSIM_AE,
    SURFACE,
    TEXTURE_VAE,
    VARIANTS,
)

__all__ = [
    "AUTO",
    "CLOSED_FORM",
    "CONV_AE",
    "DENSE_AE",
    "FROZEN",
    "GRADIENT_NEIGHBOURS",
    "LATENT_OCSVM",
    "PADIM",
    "PATCHCORE",
    "PATCH_VAE",
    "RECIPES",
    "SSIM_AE",
    "SURFACE",
    "TEXTURE_VAE",
    "VARIANTS",
    "AutoRecipe",
    "ClosedFormRecipe",
    "ConvAERecipe",
    "DenseAERecipe",
    "DenseVAERecipe",
    "DrawnDefectsRecipe",
    "FrozenRecipe",
    "FusionRecipe",
    "PaDiMRecipe",
    "PatchComponentsRecipe",
    "PatchCoreRecipe",
    "PatchVAERecipe",
    "WindowScorer",
    "import_kinds",
    "named",
    "offered",
    "with_backbone",
]
