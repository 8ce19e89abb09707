"""How one part lies in an image, found by its edges; images brought upright by that, and their maps back.

For parts that lie anyhow before a calm background, such as screws: once they are upright, each place of the part is
judged by what is usual there. Images are float32 `[n, h, w, c]` in [0, 1], all of one size.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxad._check import InputError, need_floats
from jaxad._floats import at_least_single
from jaxad._types import AnyArray, Images, Maps

SIDE = 128
"""Pixels of the longer side at which poses are found, at most."""
REACH = 3.0
"""Deviations of the edges along an axis within which the part lies surely: an even bar ends at the root of 3."""
LEAST_EDGE = 0.02
"""Of the strongest edge of the mean part: where the part ends."""
FILLED = 0.85
"""Share of the frame that the part fills, along the axis in which it fills more."""
ROUND = 0.2
"""How much more edges vary along one axis than along the other, of both together, at least: else there is no axis."""
FAINT = 1e-8
"""What rounding makes of an image of one light; an edge of one step of 8 bits has a thousand times as much."""
ROUNDS = 10
BATCH = 64
TINY = 1e-12


class Pose(NamedTuple):
    """How the parts of n images lie; a pytree. A part upright has its long axis along the image's longer side."""

    row: Float[Array, " n"]
    """Its middle, in pixels from the first row's."""
    column: Float[Array, " n"]
    cosine: Float[Array, " n"]
    """Of the angle by which it is turned from being upright."""
    sine: Float[Array, " n"]


class Frame(NamedTuple):
    """What upright parts have in common; a pytree."""

    template: Float[Array, "rows columns"]
    """Their mean, small and grey: by it a part is told from one that lies the other way round."""
    zoom: Float[Array, ""]
    """How many times larger parts are shown than they are: so that they fill most of the frame."""
    left: Float[Array, ""]
    """Of the share of their variance that their mean does not explain as they are, what is left when upright."""


def fit_frame(images: Images) -> Frame:
    """What parts in images `[n, h, w, c]` have in common once they are upright; on the host, in batches.

    Each part with an axis is turned the way that is more like the mean of all, which begins as the first, until none
    changes. How large parts are shown is found by the edges of that mean, where specks beside single ones do not
    count.

    Raises:
        InputError: no float images, or none at all.
    """
    need_floats(images, "n h w c", what="images")
    small = jnp.concatenate([_small(jnp.asarray(images[i : i + BATCH])) for i in range(0, len(images), BATCH)])
    pose, spread, lies = _pose_of_edges(small)
    half = np.maximum(np.array(small.shape[1:]) - 1, 1) / 2
    wide = jnp.float32(min(1.0, np.min(half / (REACH * np.max(spread, axis=0) + TINY))))
    upright = np.asarray(_sampled(small, pose, wide))
    turned, template = upright[:, ::-1, ::-1], upright[0]
    for _ in range(ROUNDS):
        other_way = np.asarray(lies & _nearer(turned, upright, template))
        chosen = np.where(other_way[:, None, None], turned, upright)
        template, before = chosen.mean(axis=0), template
        if np.array_equal(template, before):
            break
    edges = np.asarray(_edges(template[None])[0])
    furthest = np.max(np.abs(np.argwhere(~(edges < LEAST_EDGE * edges.max())) - half), axis=0)
    zoom = jnp.float32(wide * FILLED * np.min(half / np.maximum(furthest, 1.0)))
    pose = _turned_round(pose, other_way)
    as_they_are = _unexplained(np.asarray(small))
    # Images that are all the same are no more alike once upright.
    left = _unexplained(chosen) / as_they_are if as_they_are > FAINT else 1.0
    return Frame(jnp.mean(_sampled(small, pose, zoom), axis=0), zoom, jnp.float32(left))


def find_poses(images: Images, frame: Frame) -> Pose:
    """How the parts in images `[n, h, w, c]` lie, n numbers each, by the moments of their edges.

    Edges are squared differences of the neighbours at either side, as far as they pass the image's mean. The long axis
    is that along which they vary most; of its two directions that is taken whose upright part is more like the frame's
    template. What has no long axis, as it varies hardly more along it, is not turned.

    Raises:
        InputError: no float images, or of another size than those that the frame was fitted on.
    """
    need_floats(images, "n h w c", what="images")
    small = _small(jnp.asarray(images))
    if small.shape[1:] != frame.template.shape:
        raise InputError(
            f"images must be those of the frame, {' x '.join(map(str, frame.template.shape))} pixels when small, got "
            f"{' x '.join(map(str, small.shape[1:]))}; resize them"
        )
    pose, _, lies = _pose_of_edges(small)
    upright = _sampled(small, pose, frame.zoom)
    pose = _turned_round(pose, lies & _nearer(upright[:, ::-1, ::-1], upright, frame.template))
    down, across = (full / less for full, less in zip(images.shape[1:3], small.shape[1:], strict=True))
    row, column = (pose.row + 0.5) * down - 0.5, (pose.column + 0.5) * across - 0.5
    return pose._replace(row=_in_steps(row, 4), column=_in_steps(column, 4))


def bring_upright(images: Images, pose: Pose, frame: Frame) -> Float[Array, "n h w c"]:
    """Images `[n, h, w, c]` with their parts upright in the middle, of the same shape, pixels between linearly.

    What comes in from outside is the pixel at the border that is nearest.

    Raises:
        InputError: no float images, or not as many as poses.
    """
    need_floats(images, "n h w c", what="images")
    _need_one_each(pose, images, "an image")
    return jnp.stack([_sampled(jnp.asarray(images[..., i]), pose, frame.zoom) for i in range(images.shape[3])], axis=-1)


def put_back(maps: Maps, pose: Pose, frame: Frame) -> Float[Array, "n h w"]:
    """Maps `[n, h, w]` of upright images, back on the images themselves: `[n, h, w]`.

    What an image shows beyond the frame of its upright part has the score of the frame's border there.

    Raises:
        InputError: no float maps, or not as many as poses.
    """
    need_floats(maps, "n h w", what="maps")
    _need_one_each(pose, maps, "a map")
    maps = jnp.asarray(maps)
    middle_row, middle_column = ((length - 1) / 2 for length in maps.shape[1:])
    row, column, cosine, sine = (each[:, None, None] for each in pose)
    rows, columns = (places[None] for places in _grid(maps.shape[1:]))
    down, across = rows + middle_row - row, columns + middle_column - column
    return _at(
        maps,
        middle_row + frame.zoom * (down * cosine - across * sine),
        middle_column + frame.zoom * (across * cosine + down * sine),
    )


def _need_one_each(pose: Pose, arrays: AnyArray, what: str) -> None:
    if len(pose.row) != len(arrays):
        raise InputError(f"there must be one pose {what}, got {len(pose.row)} for {len(arrays)}")


@jax.jit
def _small(images: Images) -> Float[Array, "n rows columns"]:
    """Small and grey, less what varies over a quarter of the image and more, such as a slope of light."""
    grey = jnp.mean(at_least_single(images), axis=-1)
    factor = min(1.0, SIDE / max(grey.shape[1:]))
    shape = (grey.shape[0], *(max(1, round(length * factor)) for length in grey.shape[1:]))
    small = jax.image.resize(grey, shape, "linear")
    return small - jax.image.resize(jax.image.resize(small, (shape[0], 4, 4), "linear"), shape, "linear")


@jax.jit
def _pose_of_edges(small: Float[Array, "n rows columns"]) -> tuple[Pose, Float[Array, "n 2"], Bool[Array, " n"]]:
    """The poses, up to a half turn; deviations of the edges along rows and columns once upright; which have an axis."""
    weights = _edges(small)
    weights = weights / (jnp.sum(weights, axis=(1, 2), keepdims=True) + TINY)

    def mean(values: Array) -> Array:
        return jnp.sum(weights * values, axis=(1, 2))

    rows, columns = (places[None] for places in _grid(small.shape[1:]))
    row, column = mean(rows), mean(columns)
    down, across = rows - row[:, None, None], columns - column[:, None, None]
    along, beside, both = mean(across**2), mean(down**2), mean(across * down)
    length = jnp.sqrt((along - beside) ** 2 + 4 * both**2)
    lies = length > ROUND * (along + beside) + TINY
    double = jnp.where(lies, (along - beside) / jnp.maximum(length, TINY), 1.0)
    cosine = jnp.sqrt(jnp.maximum(0.0, 1 + double) / 2)
    sine = jnp.where(lies & (both < 0), -1.0, 1.0) * jnp.sqrt(jnp.maximum(0.0, 1 - double) / 2)
    # In steps, so that rounding moves no pixel.
    half = _in_steps(sine / (1 + cosine), 1024)
    cosine, sine = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
    longer, shorter = (jnp.sqrt(jnp.maximum(0.0, along + beside + sign * length) / 2) for sign in (1, -1))
    spread = jnp.stack([shorter, longer], axis=1)
    if small.shape[1] > small.shape[2]:
        cosine, sine, spread = sine, -cosine, spread[:, ::-1]
        cosine, sine = jnp.where(lies, cosine, 1.0), jnp.where(lies, sine, 0.0)
    middle_row, middle_column = ((count - 1) / 2 for count in small.shape[1:])
    return Pose(row + middle_row, column + middle_column, cosine, sine), spread, lies


def _in_steps(values: Array, steps: int) -> Array:
    return jnp.round(values * steps) / steps


def _edges(small: Float[AnyArray, "n rows columns"]) -> Float[Array, "n rows columns"]:
    """Squared differences of the neighbours at either side, as far as they pass the mean of the image."""
    x = jnp.asarray(small)
    energy = jnp.zeros_like(x)
    for axis in (1, 2):
        if (length := x.shape[axis]) > 2:
            before, after = (jax.lax.slice_in_dim(x, i, length - 2 + i, axis=axis) for i in (0, 2))
            inside = [(1, 1) if i == axis else (0, 0) for i in range(3)]
            energy += jnp.pad((after - before) ** 2, inside)
    return jax.nn.relu(energy - jnp.mean(energy, axis=(1, 2), keepdims=True) - FAINT)


def _turned_round(pose: Pose, where: Bool[AnyArray, " n"]) -> Pose:
    way = jnp.where(where, -1.0, 1.0)
    return pose._replace(cosine=way * pose.cosine, sine=way * pose.sine)


@jax.jit
def _sampled(maps: Maps, pose: Pose, zoom: Float[AnyArray, ""]) -> Float[Array, "n h w"]:
    """Maps `[n, h, w]` as they are when their parts are upright."""
    rows, columns = (places[None] for places in _grid(maps.shape[1:]))
    row, column, cosine, sine = (each[:, None, None] for each in pose)
    # In steps that make sums of products exact, up to frames of 512 pixels: rounding would move noise.
    cosine, sine = _in_steps(cosine / zoom, 4096), _in_steps(sine / zoom, 4096)
    return _at(maps, row + rows * cosine + columns * sine, column + columns * cosine - rows * sine)


def _grid(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """How far each pixel lies below the middle, and right of it."""
    middle_row, middle_column = ((count - 1) / 2 for count in shape)
    rows, columns = jnp.meshgrid(jnp.arange(shape[0]), jnp.arange(shape[1]), indexing="ij")
    return rows - middle_row, columns - middle_column


def _at(maps: Maps, rows: Float[Array, "n h w"], columns: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """Each of the maps `[n, h, w]` at places between its pixels, linearly; beyond its border as at it."""
    count, height, width = maps.shape
    rows, columns = jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)
    top, left = jnp.floor(rows).astype(jnp.int32), jnp.floor(columns).astype(jnp.int32)
    down, across = rows - top, columns - left
    first = (jnp.arange(count) * height * width)[:, None, None]

    def pixels(i: int, j: int) -> Array:
        row, column = jnp.minimum(top + i, height - 1), jnp.minimum(left + j, width - 1)
        return jnp.take(maps.ravel(), first + row * width + column, mode="clip")

    upper, lower = ((1 - across) * pixels(i, 0) + across * pixels(i, 1) for i in (0, 1))
    return (1 - down) * upper + down * lower


def _unexplained(images: Float[np.ndarray, "n rows columns"]) -> float:
    """Share of the variance of images, each less its own mean, that the mean of all does not explain."""
    about = images - images.mean(axis=(1, 2), keepdims=True)
    return float(about.var(axis=0).mean() / max((about**2).mean(), TINY))


def _nearer(maps: AnyArray, others: AnyArray, template: AnyArray) -> AnyArray:
    """Which of maps `[n, h, w]` are nearer to the template than those of the others at their place."""
    near, far = (((each - template[None]) ** 2).mean(axis=(1, 2)) for each in (maps, others))
    return near < far
