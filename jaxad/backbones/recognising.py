"""Which network the arrays of a state dictionary belong to, and all that they lack or have too much."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from jaxad._check import InputError
from jaxad.backbones.folding import array_shapes
from jaxad.backbones.layouts import NETWORKS, Network, State, with_classes

IDLE = ("num_batches_tracked", "mask_token")
"""Last parts of the names of arrays that serve training alone."""


def recognise(state: State, *, what: str) -> tuple[str, Network]:
    """The name of the network, one of `NETWORKS`, whose arrays a state dictionary holds, and the network itself.

    Raises:
        InputError: none, or not exactly, of which all differences are listed; or arrays that are not finite floats.
    """
    state = {name: value for name, value in state.items() if name.rpartition(".")[2] not in IDLE}
    networks = {name: with_classes(network, layout, state) for name, (network, layout) in NETWORKS.items()}
    shares = {name: _shared({*NETWORKS[name][1].arrays(network)}, {*state}) for name, network in networks.items()}
    closest = [name for name, share in shares.items() if share == max(shares.values())]
    if shares[closest[0]] < 0.5:
        some = ", ".join([*list(state)[:3], *(["..."] if len(state) > 3 else [])])
        raise InputError(
            f"{what} must hold the weights of {', '.join(NETWORKS)} under the names of torchvision or timm, got "
            f"{len(state)} arrays of none of them{some and f' ({some})'}"
        )
    # Networks of one depth and several widths have the same names: their shapes tell them apart.
    differences = {name: _differences(state, array_shapes(networks[name], NETWORKS[name][1])) for name in closest}
    best = min(differences, key=lambda name: sum(map(len, differences[name].values())))
    said = [f"{word} {', '.join(names)}" for word, names in differences[best].items() if names]
    if said:
        raise InputError(f"{what} must hold the arrays of {best}, all and no others: {'; '.join(said)}")
    return best, networks[best]


def _shared(wanted: set[str], got: set[str]) -> float:
    """Names in both, as a share of those in either."""
    return len(wanted & got) / len(wanted | got)


def _differences(state: State, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, list[str]]:
    """What a state dictionary lacks, has too much, or has otherwise than in these shapes, under a word for each."""
    both = {name: state[name] for name in shapes if name in state}
    floats = {name: value for name, value in both.items() if jnp.issubdtype(value.dtype, jnp.floating)}
    return {
        "missing": [name for name in shapes if name not in state],
        "surplus": [name for name in state if name not in shapes],
        "of another shape": [
            f"{name} ({_show(value.shape)}, not {_show(shapes[name])})"
            for name, value in both.items()
            if value.shape != shapes[name]
        ],
        "not of floats": [f"{name} ({value.dtype})" for name, value in both.items() if name not in floats],
        "not finite": [name for name, value in floats.items() if not np.isfinite(value).all()],
        "below zero": [name for name, value in floats.items() if name.endswith("running_var") and (value < 0).any()],
    }


def _show(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
