"""Recipes: every published system as frozen data, with the figures it was published with.

`dataclasses.replace` gives variants. What the names mean is decided in `jaxad.detector`.
"""

from jaxad.recipes.finding import import_kinds, named
from jaxad.recipes.kinds import (
    AutoRecipe,
    ClosedFormRecipe,
    ConvAERecipe,
    DenseAERecipe,
    DenseVAERecipe,
    DrawnDefectsRecipe,
    FusionRecipe,
    NamedRecipe,
    PatchComponentsRecipe,
    PatchVAERecipe,
    Protocol,
)
from jaxad.recipes.methods import MethodRecipe, NetworkRecipe, SolvedRecipe, TrainedRecipe
from jaxad.recipes.recipe import KINDS, Recipe
from jaxad.recipes.rows import (
    AUTO,
    CLOSED_FORM,
    CONV_AE,
    DENSE_AE,
    GRADIENT_NEIGHBOURS,
    LATENT_OCSVM,
    PATCH_VAE,
    RECIPES,
    SSIM_AE,
    SURFACE,
    TEXTURE_VAE,
    VARIANTS,
)
from jaxad.recipes.settings import count_epochs, from_document, published_variant, to_document, with_settings

__all__ = [
    "AUTO",
    "CLOSED_FORM",
    "CONV_AE",
    "DENSE_AE",
    "GRADIENT_NEIGHBOURS",
    "KINDS",
    "LATENT_OCSVM",
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
    "FusionRecipe",
    "MethodRecipe",
    "NamedRecipe",
    "NetworkRecipe",
    "PatchComponentsRecipe",
    "PatchVAERecipe",
    "Protocol",
    "Recipe",
    "SolvedRecipe",
    "TrainedRecipe",
    "count_epochs",
    "from_document",
    "import_kinds",
    "named",
    "published_variant",
    "to_document",
    "with_settings",
]
