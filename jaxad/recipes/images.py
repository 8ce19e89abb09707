"""What the images of a recipe must be."""

from jaxad.recipes.kinds import (
    AutoRecipe,
    ClosedFormRecipe,
    ConvAERecipe,
    DenseAERecipe,
    DenseVAERecipe,
    FusionRecipe,
    PatchComponentsRecipe,
    Recipe,
)

EDGES = 4
"""Pixels of a side from which on a recipe of gradients sees edges: the distance of the points that it looks around."""


def compares_positions(recipe: Recipe) -> bool:
    """Whether a pixel is judged by what normal images show at its place, so that all must be aligned and of one size.

    False for `auto`, which chooses what the images allow.
    """
    if isinstance(recipe, FusionRecipe):
        return any(compares_positions(part) for part in recipe.parts)
    if isinstance(recipe, ClosedFormRecipe):
        return not recipe.local
    calibrated = bool(recipe.holdout) and not isinstance(recipe, AutoRecipe)
    return calibrated or isinstance(recipe, ConvAERecipe | DenseAERecipe | DenseVAERecipe)


def window_of(recipe: Recipe) -> tuple[int, int]:
    """The least height and width that the recipe's model can read."""
    if isinstance(recipe, FusionRecipe):
        heights, widths = zip(*map(window_of, recipe.parts), strict=True)
        return max(heights), max(widths)
    if isinstance(recipe, PatchComponentsRecipe):
        side = max(side for side, _, _ in recipe.scales)
        return side, side
    if isinstance(recipe, ClosedFormRecipe) and recipe.transform != "none":
        return EDGES, EDGES
    return getattr(recipe, "window", (1, 1))
