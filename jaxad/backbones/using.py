"""The part of a network that some of its outputs need, so that a fitted detector carries no more."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from jaxad._check import InputError
from jaxad.backbones.backbone import Backbone
from jaxad.backbones.layouts import NETWORKS, PAIRS, Network


def used_weights(backbone: Backbone, stages: Sequence[str]) -> dict[str, Any]:
    """The weights that these stages are computed from: a part of `backbone.variables`.

    Raises:
        InputError: an unknown stage, or none.
    """
    if not stages:
        raise InputError(f"name at least one stage of {backbone.name}: {', '.join(backbone.stages)}")
    return _among(_shapes(backbone.network, tuple(stages)), backbone.variables)


def find_network(weights: Mapping[str, Any], stages: Sequence[str]) -> Network:
    """The network that `used_weights` are of, told by their names and shapes.

    Raises:
        InputError: they are of none of `NETWORKS` and `PAIRS`.
    """
    leaves, structure = jax.tree.flatten(dict(weights))
    return _find(structure, tuple(tuple(leaf.shape) for leaf in leaves), tuple(stages))


@lru_cache(maxsize=64)
def _find(structure: Any, shapes: tuple[tuple[int, ...], ...], stages: tuple[str, ...]) -> Network:
    for network in (*(network for network, _ in NETWORKS.values()), *PAIRS.values()):
        if not set(stages) <= set(network.stages):
            continue
        leaves, wanted = jax.tree.flatten(_shapes(network, stages))
        if wanted == structure and tuple(tuple(leaf.shape) for leaf in leaves) == shapes:
            return network
    raise InputError(
        f"these weights belong to none of {', '.join((*NETWORKS, *PAIRS))} at the stages {', '.join(stages)}"
    )


@lru_cache(maxsize=64)
def _shapes(network: Network, stages: tuple[str, ...]) -> Any:
    """Layers are made as they are used, so `init` makes those alone that come before the last of the stages."""
    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: network.init(key, x, stages), jax.random.key(0), image)


SIDE = 224
"""A size that every network reads."""


def _among(wanted: Any, found: Any) -> Any:
    if isinstance(wanted, Mapping):
        return {name: _among(inside, found[name]) for name, inside in wanted.items()}
    return found
