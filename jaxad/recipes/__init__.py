"""Recipes: every published system as frozen data, with the figures it was published with.

`dataclasses.replace` gives variants. What the names mean is decided in `jaxad.detector`.
"""

from jaxad.recipes.kinds import ClosedFormRecipe, ConvAERecipe, DenseAERecipe, PatchVAERecipe, Protocol, Recipe
from jaxad.recipes.rows import CONV_AE, DENSE_AE, LATENT_OCSVM, PATCH_VAE, RECIPES, SSIM_AE, TEXTURE_VAE, VARIANTS
from jaxad.recipes.settings import from_document, published_variant, to_document, with_settings

__all__ = [
    "CONV_AE",
    "DENSE_AE",
    "LATENT_OCSVM",
    "PATCH_VAE",
    "RECIPES",
    "SSIM_AE",
    "TEXTURE_VAE",
    "VARIANTS",
    "ClosedFormRecipe",
    "ConvAERecipe",
    "DenseAERecipe",
    "PatchVAERecipe",
    "Protocol",
    "Recipe",
    "from_document",
    "published_variant",
    "to_document",
    "with_settings",
]
