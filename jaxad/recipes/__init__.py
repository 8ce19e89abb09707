"""Recipes: every published system as frozen data, with the figures it was published with.

`dataclasses.replace` gives variants. What the names mean is decided in `jaxad.detector`.
"""

from jaxad.recipes.images import compares_positions, window_of
from jaxad.recipes.kinds import (
    AutoRecipe,
    ClosedFormRecipe,
    ConvAERecipe,
    DenseAERecipe,
    DenseVAERecipe,
    DrawnDefectsRecipe,
    FusionRecipe,
    PatchComponentsRecipe,
    PatchVAERecipe,
    Protocol,
    Recipe,
)
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
from jaxad.recipes.settings import from_document, named, published_variant, to_document, with_settings

__all__ = [
    "AUTO",
    "CLOSED_FORM",
    "CONV_AE",
    "DENSE_AE",
    "GRADIENT_NEIGHBOURS",
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
    "PatchComponentsRecipe",
    "PatchVAERecipe",
    "Protocol",
    "Recipe",
    "compares_positions",
    "from_document",
    "named",
    "published_variant",
    "to_document",
    "window_of",
    "with_settings",
]
