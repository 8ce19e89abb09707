"""Images and what a model makes of them. Images are `[n, h, w, c]`; 0 is black and 1 is white in every picture."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxad._check import need_at_least, need_images, need_same_shape
from jaxad.plots.grid import INCHES, ImageStack, fit_title, picture_grid, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = 0.45
"""Width of one small picture, in units of `INCHES`."""


def reconstruction_rows(images: ImageStack, reconstructions: ImageStack, *, rows: int = 10) -> "Figure":
    """One image a row: the original on the left, its reconstruction on the right.

    Args:
        images: `[n, h, w, c]`.
        reconstructions: of each image, `[n, h, w, c]`.
        rows: how many are drawn, the first ones; all where there are fewer.

    Raises:
        InputError: there is no image, the shapes differ, or the images have neither one channel nor three.
    """
    need_at_least(rows, 1, what="rows")
    _need_alike(images, reconstructions)
    count = min(rows, len(images))
    figure, axes = picture_grid(count, 2, width=SMALL, height=_height(images), layout="compressed")
    for row, *pictures in zip(axes, images[:count], reconstructions[:count], strict=True):
        for axis, picture in zip(row, pictures, strict=True):
            show_image(axis, picture)
    for axis, name in zip(axes[0], ("original", "reconstruction"), strict=True):
        axis.set_title(name, fontsize="small")
    return figure


def reconstruction_columns(images: ImageStack, reconstructions: ImageStack, *, columns: int = 10) -> "Figure":
    """One image a column: the original above, its reconstruction below.

    Args:
        images: `[n, h, w, c]`.
        reconstructions: of each image, `[n, h, w, c]`.
        columns: how many are drawn, the first ones; all where there are fewer.

    Raises:
        InputError: there is no image, the shapes differ, or the images have neither one channel nor three.
    """
    need_at_least(columns, 1, what="columns")
    _need_alike(images, reconstructions)
    return _stacked({"original": images[:columns], "reconstruction": reconstructions[:columns]})[0]


def reconstruction_triples(
    originals: ImageStack,
    reconstructions: ImageStack,
    anomalous_reconstructions: ImageStack,
    losses: Float[np.ndarray, "3 n"],
    *,
    loss_name: str = "1 - SSIM",
) -> "Figure":
    """Three rows: originals, their reconstructions, and what the model makes of anomalous images.

    Args:
        originals: normal images, one a column, `[n, h, w, c]`.
        reconstructions: of each original, `[n, h, w, c]`.
        anomalous_reconstructions: of as many anomalous images, `[n, h, w, c]`.
        losses: `[3, n]`, the number over each picture: a row of losses for each row of pictures.
        loss_name: what the numbers are; stands once over the figure.

    Raises:
        InputError: there is no image, the shapes differ, or the images have neither one channel nor three.
    """
    _need_alike(originals, reconstructions)
    need_same_shape(originals, anomalous_reconstructions, what="originals and anomalous reconstructions")
    need_same_shape(losses, np.empty((3, len(originals))), what="losses and three rows of images")
    rows = {
        "original": originals,
        "reconstruction": reconstructions,
        "reconstruction\nof an anomaly": anomalous_reconstructions,
    }
    figure, axes = _stacked(rows, title_inches=0.25)
    for axis, loss in zip(axes.ravel(), losses.ravel(), strict=True):
        axis.set_title(f"{loss:.3g}", fontsize="small", pad=3)
    figure.suptitle(fit_title(f"over each picture: {loss_name}", inches=figure.get_figwidth()), fontsize="medium")
    return figure


def _stacked(rows: dict[str, ImageStack], *, title_inches: float = 0.0) -> tuple["Figure", np.ndarray]:
    """A named row of pictures for each stack."""
    first = next(iter(rows.values()))
    height = _height(first) + title_inches / INCHES
    figure, axes = picture_grid(len(rows), len(first), width=SMALL, height=height, layout="compressed")
    figure.set_figwidth(figure.get_figwidth() + 0.5)
    for row, (name, images) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(name, rotation="horizontal", ha="right", va="center", fontsize="small")
        for axis, image in zip(row, images, strict=True):
            show_image(axis, image)
    return figure, axes


def _height(images: ImageStack) -> float:
    """Height of a small picture, in units of `INCHES`: that of the images, within reason."""
    return SMALL * float(np.clip(images.shape[1] / images.shape[2], 0.4, 2.5))


def _need_alike(images: ImageStack, reconstructions: ImageStack) -> None:
    need_images(images)
    need_images(reconstructions, what="reconstructions")
    need_same_shape(images, reconstructions, what="images and reconstructions")
