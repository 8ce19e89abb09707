"""Codes of two dimensions as points. Codes are `[n, 2]`, groups integers `[n]` that count from 0."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Integer

from jaxad._check import InputError, need_finite
from jaxad.plots.grid import INCHES, chart_row, fit_title, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Codes = Float[np.ndarray, "n 2"]
Groups = Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"]
MARKERS = "ox^+sDv*<>"
WIDTH = 1.7


def code_scatter(codes: Codes, groups: Groups, *, title: str, names: Sequence[str]) -> "Figure":
    """Codes as points, coloured by group; the legend names each group and counts its points.

    Args:
        codes: finite, `[n, 2]`.
        groups: `[n]`, from 0 (or False) to one less than there are names.
        title: of the figure.
        names: one a group; a group may have no points.

    Raises:
        InputError: there is no code, the shapes do not fit, a code is not finite, or a group has no name.
    """
    _need_groups(codes, groups, names)
    figure, (axis,) = chart_row(1, width=WIDTH)
    _scatter(axis, codes, groups, title=title, names=names)
    return figure


def code_scatters(
    codes: Codes,
    truth: Groups,
    prediction: Groups,
    *,
    truth_names: Sequence[str],
    prediction_names: Sequence[str],
) -> "Figure":
    """The same codes twice, within the same limits: coloured by truth on the left, by prediction on the right.

    Args:
        codes: finite, `[n, 2]`.
        truth: `[n]`, from 0 (or False) to one less than there are names.
        prediction: `[n]`, likewise.
        truth_names: one a group of the truth.
        prediction_names: one a group of the prediction.

    Raises:
        InputError: there is no code, the shapes do not fit, a code is not finite, or a group has no name.
    """
    _need_groups(codes, truth, truth_names)
    _need_groups(codes, prediction, prediction_names)
    figure, axes = chart_row(2, width=WIDTH)
    _scatter(axes[0], codes, truth, title="truth", names=truth_names)
    _scatter(axes[1], codes, prediction, title="prediction", names=prediction_names)
    return figure


def _scatter(axis: "Axes", codes: Codes, groups: Groups, *, title: str, names: Sequence[str]) -> None:
    """Draw the points; the limits depend on the codes alone."""
    entries = []
    for group, name in enumerate(names):
        points = codes[groups == group]
        entries.append(f"{name} ({len(points):,})")
        color, marker = f"C{group % 10}", MARKERS[group % len(MARKERS)]
        axis.scatter(
            points[:, 0], points[:, 1], s=14, alpha=0.6, linewidths=0.8, color=color, marker=marker, label=entries[-1]
        )
    low, high = codes.min(axis=0).astype(float), codes.max(axis=0).astype(float)
    pad = np.where(high > low, 0.05 * (high - low), 0.5)
    axis.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
    axis.set(xlabel="first code unit", ylabel="second code unit")
    axis.set_title(fit_title(title, inches=WIDTH * INCHES))
    legend_below(axis, entries)


def _need_groups(codes: Codes, groups: Groups, names: Sequence[str]) -> None:
    if codes.ndim != 2 or codes.shape[1] != 2 or not len(codes):
        raise InputError(f"codes to draw must be [n, 2] with at least one code, got shape {codes.shape}")
    if groups.shape != codes.shape[:1]:
        raise InputError(f"groups must be one a code, shape {codes.shape[:1]}, got {groups.shape}")
    need_finite(codes, what="codes")
    low, high = int(groups.min()), int(groups.max())
    if low < 0 or high >= len(names):
        raise InputError(f"groups must be from 0 to {len(names) - 1}, one name each, got {low} to {high}")
