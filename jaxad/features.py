"""Fixed transforms of images, to put in front of a model; nothing here is fitted.

Images are float32 `[n, h, w, c]` in [0, 1]; lengths are in pixels. Every function is differentiable and takes any size.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._barriers import apart
from jaxad._check import need_at_least, need_floats, need_images, raise_problems
from jaxad._types import Images
from jaxad.extents import Axis, Extent, axes_of
from jaxad.patches import map_tiles

TINY = 1e-8
"""Keeps roots differentiable where an image is flat."""
REACH = 6
"""Deviations beyond which a Gaussian is nothing: what lies there weighs less than float32 resolves."""
TILE = 64
"""Points of the grid, down and across, whose surroundings are looked at together."""
ENERGIES_REACH = 48
"""Pixels to the furthest that counts in a cell of `gradient_energies`, or in a pixel that it is spread over."""
MARGIN = 1.0
"""Deviations of the Gaussian around a point between it and the border, at least, where surfaces are looked at."""
ARCTANGENT = (
    1.0,
    -0.3333314528,
    0.1999355085,
    -0.1420889944,
    0.1065626393,
    -0.0752896400,
    0.0429096138,
    -0.0161657367,
    0.0028662257,
)[::-1]
"""Coefficients of arctan(x) / x in x^2, the highest power first, for x in [-1, 1]: to 2e-8.

Abramowitz & Stegun, "Handbook of mathematical functions", 1964, eq. 4.4.49. XLA's own calls a scalar function
for every pixel on CPU.
"""


def oriented_gradients(
    images: Images,
    *,
    blur: float = 0.5,
    orientations: int = 12,
    spread: float = 2.0,
    step: int = 4,
    power: float = 1 / 3,
) -> Float[Array, "n rows columns o"]:
    """How strong the edges of each direction are around each point of a coarse grid.

    After Dalal & Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, with signed directions,
    Gaussian cells in place of square ones, and one norm for the whole image: blur, central differences, magnitude
    shared between the two nearest directions, Gaussian mean around the grid's points, a power below 1 so that faint
    edges count, and length 1.

    Args:
        images: `[n, h, w, c]`.
        blur: deviation of the Gaussian before the differences.
        orientations: directions in a full turn.
        spread: deviation of the Gaussian around each point.
        step: pixels between the points; the grid is centred.
        power: exponent of the strengths.

    Returns:
        `[n, rows, columns, c orientations]`, with `rows = ceil(h / step)`; a flat image has equal entries.

    Raises:
        InputError: wrong images, or an option that is not positive.

    >>> oriented_gradients(jnp.zeros((1, 28, 28, 1))).shape
    (1, 7, 7, 12)
    """
    need_images(images)
    options = {"blur": blur, "spread": spread, "power": power}
    raise_problems(f"{name} must be positive, got {value}" for name, value in options.items() if not value > 0)
    need_at_least(orientations, 2, what="orientations")
    need_at_least(step, 1, what="step")
    _, means = _cells(
        images, blurs=(blur,), orientations=orientations, signed=True, spread=spread, step=step, margin=0.0, tile=TILE
    )
    raised = (means + TINY) ** power
    return raised / jnp.sqrt(jnp.sum(raised**2, axis=(1, 2, 3), keepdims=True))


def gradient_energies(
    images: Images,
    *,
    blurs: tuple[float, ...] = (0.5, 1.5, 3.0),
    orientations: int = 6,
    spread: float = 4.0,
    step: int = 4,
    floor: float = 0.003,
    extent: Extent | None = None,
) -> Float[Array, "n rows columns o"]:
    """What a surface is like around each point of a coarse grid: its brightness, and how rough it is at several scales.

    The logarithm of the mean strength of the edges of each direction, without regard to their sign; a spot that is
    smoother than usual differs from it as much as one that is rougher.

    Args:
        images: `[n, h, w, c]`.
        blurs: deviations of the Gaussian before the differences, one a scale.
        orientations: directions in half a turn.
        spread: deviation of the Gaussian around each point.
        step: pixels between the points; the grid is centred, and points within one `spread` of the border move inwards
            to there: else their means would be of half as many pixels as others, and vary more.
        floor: added to the strengths, in units of the pixel, so that noise below it does not count.
        extent: where all of the images lie in photographs of another size, as scalars; see `jaxad.extents`. The grid is
            that of the photographs, and `[n, rows, columns, ...]` are its points on and next to the canvas.

    Returns:
        `[n, rows, columns, c (1 + scales x orientations)]`, brightness first, with `rows = ceil(h / step)`.

    Raises:
        InputError: wrong images, no scale, or an option that is not positive.

    >>> gradient_energies(jnp.zeros((1, 28, 28, 1))).shape
    (1, 7, 7, 19)
    """
    need_images(images)
    need_at_least(len(blurs), 1, what="number of blurs")
    options = [*(("blur", blur) for blur in blurs), ("spread", spread), ("floor", floor)]
    raise_problems(f"{name} must be positive, got {value}" for name, value in options if not value > 0)
    need_at_least(orientations, 2, what="orientations")
    need_at_least(step, 1, what="step")
    brightness, means = _cells(
        images,
        blurs=tuple(blurs),
        orientations=orientations,
        signed=False,
        spread=spread,
        step=step,
        margin=MARGIN * spread,
        tile=TILE,
        extent=extent,
    )
    return jnp.concatenate([brightness, jnp.log(means + floor)], axis=-1)


def spread_cells(
    cells: Float[Array, "n rows columns"], shape: tuple[int, int], *, step: int = 4, extent: Extent | None = None
) -> Float[Array, "n h w"]:
    """Numbers of the grid's cells spread over the pixels, linearly between the middles of cells: `[n, h, w]`.

    `cells` are `[n, rows, columns]` of images of height and width `shape`, as `gradient_energies` lays them; `step`
    and `extent` are as there.

    Raises:
        InputError: no float cells `[n, rows, columns]`.
    """
    need_floats(cells, "n rows columns", what="cells")
    if extent is None:
        return jax.image.resize(cells, (cells.shape[0], *shape), "linear")
    down, across = (_between_cells(axis, step) for axis in axes_of(shape, extent=extent))
    return jnp.einsum("hr,nrc,wc->nhw", down, cells, across, precision=jax.lax.Precision.HIGHEST)


def _between_cells(axis: Axis, step: int) -> Float[Array, "h rows"]:
    """How much each cell of the grid counts at each pixel of a canvas; rows sum to 1."""
    grid = _grid_along(axis, step)
    pixels = _cell_of(axis, axis.first + jnp.arange(axis.canvas), grid)
    numbers = grid.first + jnp.arange(grid.most)
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(pixels[:, None] - numbers[None])) * (numbers < grid.count)[None]
    return weights / jnp.maximum(weights.sum(axis=1, keepdims=True), TINY)


@dataclass(frozen=True)
class _Grid:
    """The points along one axis of a photograph, `count` in all, and which of them a canvas shows."""

    count: Any
    first: Any
    most: int


def _grid_along(axis: Axis, step: int) -> _Grid:
    count = -(-axis.length // step)
    if isinstance(axis.length, int):
        return _Grid(count, 0, int(count))
    # One more at either end than the canvas is long, for the pixels between its own points and their neighbours.
    most = -(-axis.canvas // step) + 2
    first = jnp.floor(_cell_of(axis, axis.first, _Grid(count, 0, most))).astype(int)
    # Never before the canvas, where a mean has no pixel to be of; beyond the last point that one is repeated.
    return _Grid(count, jnp.maximum(first, 0), most)


def _cell_of(axis: Axis, pixels: Any, grid: _Grid) -> Array:
    """Where pixels of the photograph lie among the middles of its cells, which share its length evenly."""
    return (pixels + 0.5) * grid.count / axis.length - 0.5


class _Line(NamedTuple):
    """One axis of a tile: points, and the run of pixels that counts in Gaussian means around them."""

    points: Float[Array, " m"]
    begin: Array
    size: int
    axis: Axis


@partial(jax.jit, static_argnames=("blurs", "orientations", "signed", "spread", "step", "margin", "tile"))
def _cells(
    images: Images,
    *,
    blurs: tuple[float, ...],
    orientations: int,
    signed: bool,
    spread: float,
    step: int,
    margin: float,
    tile: int,
    extent: Extent | None = None,
) -> tuple[Float[Array, "n rows columns c"], Float[Array, "n rows columns k"]]:
    """Gaussian means around the points of the grid: of brightness, and of the strengths of edges at every scale.

    The grid is centred; points nearer to the border than `margin` move inwards. Directions divide a full turn where
    they are `signed`, else half of one.
    """
    # Rows first and columns last, so that every mean is a plain product of matrices.
    x = jnp.asarray(images).transpose(1, 0, 3, 2)
    axes = axes_of(images.shape[1:3], extent=extent)
    grids = [_grid_along(axis, step) for axis in axes]

    def make_tile(row: Array, column: Array, p: int, q: int) -> tuple[Array, Array]:
        lines = []
        for axis, grid, first, some in zip(axes, grids, (row, column), (p, q), strict=True):
            numbers = grid.first + first + jnp.arange(some)
            points = (axis.length - 1) / 2 + step * (numbers - (grid.count - 1) / 2)
            border = jnp.minimum(margin, (axis.length - 1) / 2)
            points = jnp.clip(points, border, axis.length - 1 - border) - axis.first
            lines.append(_line(points, axis, span=step * (some - 1) + 2, deviation=spread))
        brightness = _means(_cut(x, lines)[None], lines, spread)[0]
        strengths = [
            _means(_strengths(x, lines, blur=blur, orientations=orientations, signed=signed), lines, spread)
            for blur in blurs
        ]
        # From [scales, o, rows, n, c, columns] to [n, rows, columns, scales, c, o].
        together = jnp.stack(strengths).transpose(3, 2, 5, 0, 4, 1)
        return brightness.transpose(1, 0, 3, 2), together.reshape(*together.shape[:3], -1)

    return map_tiles(make_tile, shape=(grids[0].most, grids[1].most), most=tile)


def _strengths(
    x: Float[Array, "h n c w"], lines: list[_Line], *, blur: float, orientations: int, signed: bool
) -> Float[Array, "o p n c q"]:
    """Magnitudes of the gradients, each shared between the two nearest directions."""
    wide = []
    for line in lines:
        # One more on each side, to take differences; the last pixel goes on beyond the border.
        points = line.begin - 1.0 + jnp.arange(line.size + 2)
        points = jnp.clip(points, -line.axis.first, line.axis.rest - 1)
        wide.append(_line(points, line.axis, span=line.size + 2, deviation=blur))
    soft = _means(_cut(x, wide)[None], wide, blur)[0]
    down, across = (soft[2:] - soft[:-2])[..., 1:-1] / 2, (soft[..., 2:] - soft[..., :-2])[1:-1] / 2
    # The small number moves the angle of a flat spot off the point where it has no gradient.
    shape, down, across = down.shape, down.reshape(len(down), -1), across.reshape(len(across), -1) + TINY
    magnitude = jnp.sqrt(across**2 + down**2 + TINY**2)
    # The tangent of half the angle to the horizontal: its arctangent needs no second case.
    tangent = jnp.where(across < 0, -down, down) / (magnitude + jnp.abs(across))
    angle = 2 * tangent * jnp.polyval(jnp.asarray(ARCTANGENT), tangent**2)
    if signed:
        angle = jnp.where(across < 0, angle + math.pi, angle)
    turn = angle * (orientations / (2 * math.pi if signed else math.pi))
    apart = turn[None] - jnp.arange(orientations).reshape(-1, 1, 1)
    apart = jnp.abs(apart - orientations * jnp.round(apart / orientations))
    return (magnitude[None] * jnp.maximum(0.0, 1.0 - apart)).reshape(orientations, *shape)


def _line(points: Float[Array, " m"], axis: Axis, *, span: int, deviation: float) -> _Line:
    """The pixels around points that lie within `span` pixels of an axis; both are counted from the canvas's first."""
    reach = math.ceil(REACH * deviation)
    size = min(axis.canvas, span + 2 * reach)
    begin = jnp.clip(jnp.floor(points[0]).astype(int) - reach, 0, axis.canvas - size)
    return _Line(points, begin, size, axis)


def _cut(x: Float[Array, "h n c w"], lines: list[_Line]) -> Float[Array, "p n c q"]:
    (top, left), (height, width) = ((line.begin for line in lines), (line.size for line in lines))
    return jax.lax.dynamic_slice(x, (top, 0, 0, left), (height, *x.shape[1:3], width))


def _means(x: Float[Array, "o p n c q"], lines: list[_Line], deviation: float) -> Float[Array, "o i n c j"]:
    """Gaussian means of planes that were cut out along two lines, around their points."""
    down, across = (_bells(line, deviation) for line in lines)
    o, p, n, c, q = x.shape
    # One product a plane: side by side in one matrix the planes would not be written by whole rows.
    down = jnp.broadcast_to(down, (o, *down.shape))
    rows = jnp.matmul(down, x.reshape(o, p, -1), precision=jax.lax.Precision.HIGHEST)
    means = jnp.matmul(rows.reshape(-1, q), across.T, precision=jax.lax.Precision.HIGHEST)
    return means.reshape(o, -1, n, c, len(across))


def _bells(line: _Line, deviation: float) -> Float[Array, "m size"]:
    """Rows that weigh the pixels of a line by a Gaussian around each point; each sums to 1."""
    pixels = line.begin + jnp.arange(line.size)
    bells = jnp.exp(-0.5 * ((pixels[None, :] - line.points[:, None]) / deviation) ** 2)
    if not isinstance(line.axis.rest, int):
        bells = bells * (pixels < line.axis.rest)[None]
    # XLA takes a sum and a division by it for a softmax, on GPUs in up to fifteen times the time, by its model.
    return bells / apart(bells.sum(axis=1, keepdims=True))
