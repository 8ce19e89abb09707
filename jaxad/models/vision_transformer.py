"""DINOv2: a vision transformer whose patches are features of the image."""

from collections.abc import Iterator, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._check import InputError
from jaxad._types import Pixels
from jaxad.models.channels_last import Convolution
from jaxad.models.network import Rest, Stage, as_colour, choose, standardise

EPSILON = 1e-6
"""Added to the variance by every LayerNorm."""


class VisionTransformer(nn.Module):
    """Vision transformer of DINOv2 (Oquab et al., arXiv:2304.07193) without registers, for inference.

    The scale behind each attention and each pair of dense layers is part of the layer before it; `backbones` folds them
    in. Stages: `block_0` to `block_11`, the patches behind each block; `patches`, the last of them behind the final
    LayerNorm; and `class`, the class token behind it.

    Attributes:
        width: numbers a token.
        depth: blocks.
        heads: of attention.
        patch: pixels of a patch's side.
        grid: patches along a side of the images that the network was trained on.
    """

    width: int = 384
    depth: int = 12
    heads: int = 6
    patch: int = 14
    grid: int = 37

    least = 14
    """Fewest pixels that a side may have."""

    @property
    def stages(self) -> dict[str, Stage]:
        """What the network can be asked for, in the order of its layers."""
        names = [*(f"block_{i}" for i in range(self.depth)), "patches"]
        return {name: Stage(self.width, self.patch) for name in names} | {"class": Stage(self.width, 0)}

    @nn.compact
    def __call__(self, images: Pixels, stages: Sequence[str], rest: Rest | None = None) -> dict[str, Array]:
        """The outputs of these stages for images `[n, h, w, c]`: maps `[n, h2, w2, channels]` and rows `[n, channels]`.

        Images are grey or RGB, uint8 or float in [0, 1], with sides of 14 pixels or more. A map has `ceil(side / 14)`
        places along a side; beyond the image the last of them see the mean colour.

        `rest` must be None: every patch sees every other, so photographs are scored each at its own size.
        """
        if rest is not None:
            raise InputError("a vision transformer takes whole photographs, got canvases; give each its own size")
        return choose(_outputs(self, images), stages, self.stages)


def _outputs(network: VisionTransformer, images: Pixels) -> Iterator[tuple[str, Array]]:
    x = standardise(as_colour(images, least=network.least))
    beyond = [(0, -length % network.patch) for length in x.shape[1:3]]
    x = jnp.pad(x, [(0, 0), *beyond, (0, 0)])
    x = Convolution(network.width, network.patch, network.patch, name="patch_embed")(x)
    n, rows, columns, width = x.shape
    first = network.param("cls_token", nn.initializers.zeros, (width,))
    places = network.param("pos_embed", nn.initializers.zeros, (1 + network.grid**2, width))
    x = x.reshape(n, rows * columns, width) + stretch(places[1:], network.grid, (rows, columns))[None]
    x = jnp.concatenate([jnp.broadcast_to(first + places[0], (n, 1, width)), x], 1)

    def as_map(tokens: Array) -> Array:
        return tokens[:, 1:].reshape(n, rows, columns, width)

    for i in range(network.depth):
        x = x + _attention(network, _norm(f"block_{i}_norm1")(x), f"block_{i}")
        y = nn.Dense(4 * width, name=f"block_{i}_fc1")(_norm(f"block_{i}_norm2")(x))
        x = x + nn.Dense(width, name=f"block_{i}_fc2")(nn.gelu(y, approximate=False))
        yield f"block_{i}", as_map(x)
    x = _norm("norm")(x)
    yield "patches", as_map(x)
    yield "class", x[:, 0]


def stretch(places: Float[Array, "k d"], grid: int, shape: tuple[int, int]) -> Float[Array, "m d"]:
    """What is learnt at each place of a square grid `[grid grid, d]`, for a grid of another shape: `[h w, d]`.

    Cubic with antialiasing, as timm does it.
    """
    if shape == (grid, grid):
        return places
    square = places.reshape(grid, grid, -1)
    return jax.image.resize(square, (*shape, square.shape[-1]), "cubic").reshape(shape[0] * shape[1], -1)


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(EPSILON, use_fast_variance=False, name=name)


def _attention(network: VisionTransformer, x: Array, name: str) -> Array:
    n, count, width = x.shape
    each = width // network.heads
    triple = nn.Dense(3 * width, name=f"{name}_qkv")(x).reshape(n, count, 3, network.heads, each)
    queries, keys, values = (triple[:, :, i] for i in range(3))
    likeness = jnp.einsum("nqhd,nkhd->nhqk", queries * each**-0.5, keys)
    seen = jnp.einsum("nhqk,nkhd->nqhd", nn.softmax(likeness), values)
    return nn.Dense(width, name=f"{name}_proj")(seen.reshape(n, count, width))
