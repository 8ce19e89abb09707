"""Images beside their heatmaps. Images are `[n, h, w, c]` in [0, 1] and maps `[n, h, w]`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from jaxad.plots.grid import ImageStack, MapStack, need_as_many, picture_grid, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def heatmap_pairs(
    images: ImageStack,
    maps: MapStack,
    titles: Sequence[str],
    *,
    label: str,
    limits: tuple[float, float] | None = None,
) -> "Figure":
    """The published figure: each image in grey beside its heatmap, all heatmaps on one scale.

    The maps are scaled together to 1..10 and coloured logarithmically, as in the public code of
    Matsubara et al., arXiv:1807.05800.

    Args:
        images: `[n, h, w, c]`, one a row of the figure.
        maps: `[n, h, w]`, the heatmap of each image.
        titles: one an image.
        label: what the heatmaps show.
        limits: scores shown by the lowest and the highest colour, on a linear scale, for maps that have a unit.

    Raises:
        InputError: there is no image, or not as many maps and titles.
    """
    need_as_many(images, maps=maps, titles=titles)
    from matplotlib.colors import LogNorm

    maps = np.asarray(maps, np.float64)
    low, high = float(maps.min()), float(maps.max())
    figure, axes = picture_grid(len(images), 2, width=1.35)
    for row, image, score_map, title in zip(axes, images, maps, titles, strict=True):
        shown = show_image(row[0], image)
        row[0].set_title(title)
        figure.colorbar(shown, ax=row[0], shrink=0.8)
        row[1].set_title(label)
        if limits is not None:
            shown = row[1].imshow(score_map, cmap="Blues", vmin=limits[0], vmax=limits[1])
            figure.colorbar(shown, ax=row[1], shrink=0.8, extend="both")
            continue
        scaled = 1.0 + 9.0 * (score_map - low) / (high - low or 1.0)
        shown = row[1].imshow(scaled, cmap="Blues", norm=LogNorm(1.0, 10.0))
        bar = figure.colorbar(shown, ax=row[1], shrink=0.8, ticks=[1, 2, 3, 5, 10])
        bar.ax.minorticks_off()
        bar.ax.set_yticklabels(["1", "2", "3", "5", "10"])
    return figure


def detections(
    images: ImageStack,
    maps: MapStack,
    masks: Bool[np.ndarray, "n h w"],
    titles: Sequence[str],
    *,
    limits: tuple[float, float],
    label: str,
) -> "Figure":
    """Columns of image, heatmap and true mask; one colour scale for all, with one colour bar.

    Args:
        images: `[n, h, w, c]`, one a column.
        maps: `[n, h, w]`.
        masks: `[n, h, w]`, True on the defect.
        titles: one an image.
        limits: scores shown by the lowest and the highest colour, chosen from normal images.
        label: what the heatmaps show.

    Raises:
        InputError: there is no image, or not as many maps, masks and titles.
    """
    need_as_many(images, maps=maps, masks=masks, titles=titles)
    figure, axes = picture_grid(3, len(images), width=0.8, height=0.8)
    for column, (image, score_map, mask, title) in enumerate(zip(images, maps, masks, titles, strict=True)):
        show_image(axes[0][column], image)
        axes[0][column].set_title(title)
        shown = axes[1][column].imshow(score_map, cmap="inferno", vmin=limits[0], vmax=limits[1])
        axes[2][column].imshow(mask, cmap="gray", vmin=0, vmax=1)
    for row, name in zip(axes, ("image", "heatmap", "mask"), strict=True):
        row[0].set_ylabel(name)
    figure.colorbar(shown, ax=list(axes.ravel()), label=label, shrink=0.7, pad=0.01, extend="both")
    return figure
