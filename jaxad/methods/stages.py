"""Stages of the default network, of the one beside it, and of both seen smaller too."""

from collections.abc import Mapping
from types import MappingProxyType

from jaxad.methods.frozen import AT, FrozenRecipe

BESIDE_STAGES = (
    *("efficientnet-lite0.depthwise_4", "efficientnet-lite0.depthwise_7"),
    *("efficientnet-lite1.depthwise_14", "efficientnet-lite1.depthwise_10"),
)
"""Of the default network and the one beside it: what each tells best for what it costs; styles are of the last."""
COARSE = f"{AT}0.65"
COARSE_STAGES = (*FrozenRecipe.stages[:-1], FrozenRecipe.stages[-1] + COARSE, FrozenRecipe.stages[-1])
BESIDE: Mapping[tuple[str, ...], tuple[str, ...]] = MappingProxyType(
    {
        FrozenRecipe.stages: BESIDE_STAGES,
        COARSE_STAGES: (*BESIDE_STAGES[:-1], BESIDE_STAGES[2] + COARSE, BESIDE_STAGES[-1]),
    }
)
"""What stages of the default network become with the one beside it."""
