"""Figures, drawn by matplotlib, which is imported when the first one is drawn.

Images are `[n, h, w, c]` in [0, 1] and maps `[n, h, w]`. Every function returns a `matplotlib.figure.Figure`
that belongs to no window and no global state; `figure.savefig(path)` writes it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from jaxad import metrics
from jaxad._check import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

ImageStack = Float[np.ndarray, "n h w c"]
MapStack = Float[np.ndarray, "n h w"]
INCHES = 2.6
"""Width and height of one picture in a grid."""


def heatmap_pairs(images: ImageStack, maps: MapStack, titles: Sequence[str], *, label: str) -> "Figure":
    """The published figure: each image in grey beside its heatmap, all heatmaps on one scale.

    The maps are scaled together to 1..10 and coloured logarithmically, as in the public code of
    Matsubara et al., arXiv:1807.05800.

    Args:
        images: `[n, h, w, c]`, one a row of the figure.
        maps: `[n, h, w]`, the heatmap of each image.
        titles: one an image.
        label: what the heatmaps show.
    """
    from matplotlib.colors import LogNorm

    low, high = float(maps.min()), float(maps.max())
    figure, axes = _grid(len(images), 2, width=1.35)
    for row, image, score_map, title in zip(axes, images, maps, titles, strict=True):
        shown = _show(row[0], image)
        row[0].set_title(title)
        figure.colorbar(shown, ax=row[0], shrink=0.8)
        scaled = 1.0 + 9.0 * (score_map - low) / (high - low or 1.0)
        shown = row[1].imshow(scaled, cmap="Blues", norm=LogNorm(1.0, 10.0))
        row[1].set_title(label)
        bar = figure.colorbar(shown, ax=row[1], shrink=0.8, ticks=[1, 2, 3, 5, 10])
        bar.ax.minorticks_off()
        bar.ax.set_yticklabels(["1", "2", "3", "5", "10"])
    return figure


def roc(labels: np.ndarray, scores: Mapping[str, np.ndarray], *, title: str) -> "Figure":
    """Receiver operating characteristics of several scores in one figure, with their areas in the legend.

    Args:
        labels: 1 or True where anomalous, `[n]`.
        scores: name to scores `[n]`.
        title: of the figure.
    """
    figure, axes = _grid(1, 1, width=1.9, height=1.9)
    axis = axes[0][0]
    for name, values in scores.items():
        false_positives, found, _ = metrics.roc(labels, values)
        axis.plot(false_positives, found, label=f"{name}, AUC {metrics.auroc(labels, values):.3f}")
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance, AUC 0.500")
    axis.set(xlabel="false-positive rate", ylabel="true-positive rate", title=title, aspect="equal")
    axis.legend(loc="lower right", fontsize="small")
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
        InputError: there is no image.
    """
    if not len(images):
        raise InputError("images to draw must be at least one, got none")
    figure, axes = _grid(3, len(images), width=0.8, height=0.8)
    for column, (image, score_map, mask, title) in enumerate(zip(images, maps, masks, titles, strict=True)):
        _show(axes[0][column], image)
        axes[0][column].set_title(title)
        shown = axes[1][column].imshow(score_map, cmap="inferno", vmin=limits[0], vmax=limits[1])
        axes[2][column].imshow(mask, cmap="gray", vmin=0, vmax=1)
    for row, name in zip(axes, ("image", "heatmap", "mask"), strict=True):
        row[0].set_ylabel(name)
    figure.colorbar(shown, ax=list(axes.ravel()), label=label, shrink=0.7, pad=0.01, extend="both")
    return figure


def _grid(rows: int, columns: int, *, width: float = 1.0, height: float = 1.0) -> tuple["Figure", np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCHES * columns * width + 0.8, INCHES * rows * height), dpi=120, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    if rows * columns > 1:
        for axis in axes.ravel():
            axis.set(xticks=[], yticks=[])
    return figure, axes


def _show(axis: "Axes", image: Float[np.ndarray, "h w c"]) -> "AxesImage":
    if image.shape[-1] == 3:
        return axis.imshow(image)
    return axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
