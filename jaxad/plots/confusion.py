"""Counts of decisions against the truth, as a table."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxad import metrics
from jaxad._check import InputError
from jaxad.plots.grid import picture_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(confusion: metrics.Confusion, *, names: Sequence[str]) -> "Figure":
    """A table of 2 x 2 counts, a row for each truth and a column for each decision; colours are shares of the row.

    Args:
        confusion: from `metrics.confusion`.
        names: of what is normal and of what is anomalous, in this order.

    Raises:
        InputError: nothing was counted, or there are not two names.
    """
    if len(names) != 2:
        raise InputError(f"names must be two, the normal one first, got {len(names)}")
    counts = np.array([[confusion.tn, confusion.fp], [confusion.fn, confusion.tp]])
    if not counts.sum():
        raise InputError("decisions to draw must be at least one, got none")
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    figure, axes = picture_grid(1, 1, width=1.2, height=1.4)
    axis = axes[0][0]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = f"\n{100 * shares[row, column]:.2f} %" if totals[row] else ""
        color = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, f"{count:,}{share}", ha="center", va="center", color=color)
    lines = [textwrap.fill(name, 14) for name in names]
    axis.set_xticks([0, 1], lines)
    axis.set_yticks([0, 1], lines, rotation="vertical", va="center")
    axis.set(xlabel="prediction", ylabel="truth")
    return figure
