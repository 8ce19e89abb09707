"""What the figures share: the figure with its axes, a picture in one of them, titles and legends that fit.

Images are `[h, w, c]` in [0, 1].
"""

import textwrap
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from jaxad._check import InputError, raise_problems

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

ImageStack = Float[np.ndarray, "n h w c"]
MapStack = Float[np.ndarray, "n h w"]
INCHES = 2.6
"""Width and height of one picture in a grid."""
LETTERS_PER_INCH = 10
"""How many letters of a title fit beside each other."""
BELOW = 0.55
"""Inches that an axis has below it for the numbers at its ticks and its name."""


def need_as_many(images: Sized, **others: Sized) -> None:
    """Refuse to draw no image, or another number of what goes with each image, named by its argument."""
    if not len(images):
        raise InputError("images to draw must be at least one, got none")
    raise_problems(
        f"{name} must be as many as the images, {len(images)}, got {len(found)}"
        for name, found in others.items()
        if len(found) != len(images)
    )


def picture_grid(
    rows: int,
    columns: int,
    *,
    width: float = 1.0,
    height: float = 1.0,
    layout: Literal["constrained", "compressed"] = "constrained",
) -> tuple["Figure", np.ndarray]:
    """A figure for pictures and its axes `[rows, columns]`, without ticks.

    Args:
        rows: of pictures.
        columns: of pictures.
        width: of one picture, in units of `INCHES`.
        height: of one picture, in units of `INCHES`.
        layout: of matplotlib; "compressed" moves pictures of one shape close together.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCHES * columns * width + 0.8, INCHES * rows * height), dpi=120, layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    return figure, axes


def chart_row(columns: int, *, width: float = 1.9, height: float = 1.9) -> tuple["Figure", list["Axes"]]:
    """A figure for charts with ticks, and its axes beside each other.

    Args:
        columns: number of charts.
        width: of one chart, in units of `INCHES`.
        height: of one chart, in units of `INCHES`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCHES * columns * width + 0.8, INCHES * height), dpi=120, layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def show_image(axis: "Axes", image: Float[np.ndarray, "h w c"]) -> "AxesImage":
    """Show an image `[h, w, c]` in grey or in colour; 0 is always black and 1 white, and so is what lies beyond.

    Raises:
        InputError: it has neither one channel nor three.
    """
    if image.shape[-1] == 3:
        return axis.imshow(np.clip(image, 0, 1))
    if image.shape[-1] != 1:
        raise InputError(f"images to draw must have 1 channel or 3, got {image.shape[-1]}; choose some of them")
    return axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)


def fit_title(title: str, *, inches: float) -> str:
    """The title, broken into lines that fit a width."""
    return "\n".join(textwrap.fill(line, max(12, int(inches * LETTERS_PER_INCH))) for line in title.splitlines())


def legend_below(axis: "Axes", names: Sequence[str]) -> None:
    """Put the legend under the axis, where it hides nothing: in two columns where the names are short."""
    from matplotlib.transforms import ScaledTranslation

    assert axis.figure is not None
    below = axis.transAxes + ScaledTranslation(0, -BELOW, axis.figure.dpi_scale_trans)
    axis.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=below,
        borderaxespad=0,
        ncols=2 if max(len(name) for name in names) <= 26 else 1,
        fontsize="small",
    )
