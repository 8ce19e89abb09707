"""Several networks for photographs as one."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array

from jaxad._check import need_one_of
from jaxad._types import Pixels
from jaxad.models.network import Rest, Stage


class SideBySide(nn.Module):
    """Networks that see the same images, each for itself; a stage is called by its network's name and its own.

    Attributes:
        names: of the networks.
        networks: as many, whose stages are `name.stage`.
    """

    names: tuple[str, ...]
    networks: tuple[Any, ...]

    @property
    def stages(self) -> dict[str, Stage]:
        """What the networks can be asked for, one network after the other."""
        return {
            f"{name}.{stage}": kind
            for name, network in zip(self.names, self.networks, strict=True)
            for stage, kind in network.stages.items()
        }

    @nn.compact
    def __call__(self, images: Pixels, stages: Sequence[str], rest: Rest | None = None) -> dict[str, Array]:
        """The outputs of these stages for images `[n, h, w, c]`; see `EfficientNetLite`."""
        for stage in stages:
            need_one_of(stage, self.stages, what="stage")
        found: dict[str, Array] = {}
        for name, network in zip(self.names, self.networks, strict=True):
            own = [stage.removeprefix(f"{name}.") for stage in stages if stage.startswith(f"{name}.")]
            if own:
                found |= {f"{name}.{stage}": output for stage, output in network(images, own, rest).items()}
        return {stage: found[stage] for stage in stages}
