"""What networks for photographs have in common: their input, where it ends, and the outputs that are asked of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxad._check import InputError, need_one_of
from jaxad._types import AnyArray, Pixels

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1], as torchvision and timm take them."""

Rest = tuple[Int[AnyArray, ""] | int, Int[AnyArray, ""] | int]
"""How many rows and columns of images, from the first on, show photographs; beyond them the images mean nothing."""


@dataclass(frozen=True)
class Stage:
    """An output of a network.

    Attributes:
        channels: numbers at each place.
        stride: pixels from one place to the next; 0 where there are no places, one row an image.
    """

    channels: int
    stride: int


def as_colour(images: Pixels, *, least: int) -> Float[Array, "n h w 3"]:
    """Red, green and blue in [0, 1] of images `[n, h, w, c]`, uint8, uint16 or float in [0, 1]; grey is all three.

    Raises:
        InputError: neither one channel nor three, or a side of less than `least` pixels.
    """
    x = jnp.asarray(images)
    if x.ndim != 4:
        raise InputError(f"images must have four axes [n, h, w, c], got shape {x.shape}; reshape them")
    _, height, width, channels = x.shape
    if channels not in (1, 3):
        raise InputError(f"a backbone takes images of 1 or 3 channels, got {channels}; drop alpha: x[..., :3]")
    if min(height, width) < least:
        raise InputError(
            f"a backbone takes images of at least {least} x {least} pixels, got {height} x {width}; enlarge them"
        )
    white = jnp.iinfo(x.dtype).max if jnp.issubdtype(x.dtype, jnp.integer) else 1
    return jnp.broadcast_to(x.astype(jnp.float32) / np.float32(white), (*x.shape[:3], 3))


def standardise(x: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Colours `[n, h, w, 3]` less the mean of ImageNet, in its deviations."""
    mean, deviation = (
        jnp.asarray(values, x.dtype).reshape(1, 1, 1, 3) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION)
    )
    return (x - mean) / deviation


def clear(x: Float[Array, "n h w c"], rest: Rest | None) -> Float[Array, "n h w c"]:
    """Images `[n, h, w, c]` with zeros beyond the photographs' last row and column, as a convolution pads them."""
    if rest is None:
        return x
    rows, columns = (jnp.arange(length) < end for length, end in zip(x.shape[1:3], rest, strict=True))
    return jnp.where((rows[:, None] & columns[None, :])[None, ..., None], x, jnp.zeros((), x.dtype))


def reduce_rest(rest: Rest | None, stride: int) -> Rest | None:
    """What is left of `rest` in the outputs of a layer of this stride."""
    return rest and (-(-rest[0] // stride), -(-rest[1] // stride))


def mean_of_places(x: Float[Array, "n h w c"], rest: Rest | None) -> Float[Array, "n c"]:
    """The mean of maps `[n, h, w, c]` over the photographs' places: `[n, c]`."""
    if rest is None:
        return jnp.mean(x, (1, 2))
    return jnp.sum(clear(x, rest), (1, 2)) / (rest[0] * rest[1])


def choose(outputs: Iterator[tuple[str, Array]], names: Sequence[str], known: Mapping[str, Stage]) -> dict[str, Array]:
    """The outputs `[n, ...]` of these names, in their order; what comes after the last of them is not computed.

    Raises:
        InputError: a name that is not `known`.
    """
    for name in names:
        need_one_of(name, known, what="stage")
    wanted, found = set(names), {}
    for name, output in outputs:
        if name in wanted:
            found[name] = output
        if len(found) == len(wanted):
            break
    return {name: found[name] for name in names}
