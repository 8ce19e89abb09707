"""Another frozen network in the place of a recipe's own."""

from collections.abc import Mapping
from types import MappingProxyType

from jaxad._check import InputError
from jaxad.backbones import open_backbone
from jaxad.methods.frozen import FrozenRecipe
from jaxad.methods.stages import BESIDE_STAGES
from jaxad.recipes import ChoiceRecipe, Recipe

MIDDLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "efficientnet-lite0": FrozenRecipe.stages,
        "efficientnet-lite1": ("depthwise_6", "depthwise_10", "depthwise_14"),
        "efficientnet-lite0+efficientnet-lite1": BESIDE_STAGES,
        "resnet18": ("layer2", "layer3"),
        "resnet50": ("layer2", "layer3"),
        "wide-resnet50-2": ("layer2", "layer3"),
        "dinov2-vit-s14": ("patches",),
        "dinov2-vit-b14": ("patches",),
    }
)
"""The stages that are compared: of convolutions those in the middle, as PatchCore's authors do; of
DINOv2 the last patches, as AnomalyDINO's do (arXiv:2405.14529)."""


def with_backbone(recipe: Recipe, source: str) -> Recipe:
    """The recipe on another network, at the stages of `MIDDLE`; for `auto` its recipe for photographs on that network.

    Args:
        recipe: one on features of a frozen network, or a choice whose recipe for photographs is.
        source: see `jaxad.backbones.open_backbone`; it is opened once here, so that what is wrong is said at once.

    Raises:
        InputError: a recipe on no network, or weights that cannot be used.
    """
    found = recipe.photographs[0] if isinstance(recipe, ChoiceRecipe) and recipe.photographs else recipe
    if not isinstance(found, FrozenRecipe):
        raise InputError(
            f"recipe {recipe.name!r} has no backbone to put {source!r} in the place of; name a recipe on features of a "
            "frozen network, such as patchcore or padim"
        )
    return found.on(source, MIDDLE[open_backbone(source).name])
