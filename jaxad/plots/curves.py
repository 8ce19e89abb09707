"""Lines and histograms: receiver operating characteristics, losses over the epochs, scores of several sets.

Curves and scores are `[n]`.
"""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jaxad import metrics
from jaxad._check import InputError, need_finite
from jaxad.plots.grid import INCHES, chart_row, fit_title, legend_below

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 60
WIDE = 100.0
"""A histogram's axis is logarithmic where the largest score is more than this many times the median of a set."""
CHART_INCHES = 1.9 * INCHES


def roc(labels: np.ndarray, scores: Mapping[str, np.ndarray], *, title: str) -> "Figure":
    """Receiver operating characteristics of several scores in one figure, with their areas in the legend.

    Args:
        labels: 1 or True where anomalous, `[n]`.
        scores: name to scores `[n]`.
        title: of the figure.

    Raises:
        InputError: there are no scores, or as `metrics.auroc`.
    """
    if not scores:
        raise InputError("scores to draw must be at least one set, got none")
    figure, (axis,) = chart_row(1)
    for name, values in scores.items():
        false_positives, found, _ = metrics.roc(labels, values)
        axis.plot(false_positives, found, label=f"{name}, AUC {metrics.auroc(labels, values):.3f}")
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance, AUC 0.500")
    axis.set(xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal")
    axis.set_title(fit_title(title, inches=CHART_INCHES))
    axis.legend(loc="lower right", fontsize="small")
    return figure


def loss_curves(
    history_terms: Mapping[str, ArrayLike],
    *,
    title: str,
    labels: Mapping[str, str] | None = None,
    log: bool = False,
) -> "Figure":
    """Losses over the epochs, counted from 1, as lines of one axis. A loss that is not finite leaves a gap.

    Args:
        history_terms: name to losses `[epochs]`; the numbers of epochs may differ.
        title: of the figure.
        labels: name to what the legend calls it; a name that is not in it stands for itself.
        log: draw the losses on a logarithmic axis, if any of them is finite.

    Raises:
        InputError: there is no curve, one has no epoch or more than one axis, or one has a loss that is zero or
            less and is to be drawn on a logarithmic axis.
    """
    curves = _vectors(history_terms, what="losses to draw")
    for name, values in curves.items():
        if log and (values <= 0).any():
            low = float(np.nanmin(values))
            raise InputError(f"losses on a logarithmic axis must be above 0, got {low:g} in {name!r}; use log=False")
    from matplotlib.ticker import MaxNLocator

    figure, (axis,) = chart_row(1, height=1.7)
    names = [(labels or {}).get(name, name) for name in curves]
    for name, values in zip(names, curves.values(), strict=True):
        marker = "o" if len(values) <= 40 else ""
        axis.plot(np.arange(1, len(values) + 1), values, label=name, marker=marker, markersize=3)
    epochs = max(len(values) for values in curves.values())
    pad = max(0.5, 0.03 * epochs)
    scale = "log" if log and any(np.isfinite(values).any() for values in curves.values()) else "linear"
    axis.set(xlim=(1 - pad, epochs + pad), xlabel="epoch", ylabel="loss", yscale=scale)
    axis.set_title(fit_title(title, inches=CHART_INCHES))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    legend_below(axis, names)
    return figure


def error_histogram(
    scores: Mapping[str, ArrayLike],
    *,
    title: str,
    label: str,
    thresholds: Mapping[str, int | float] | None = None,
) -> "Figure":
    """Histograms of the scores of several sets over each other, in common bins, each as shares of its set.

    Where the largest score is more than 100 times the median of a set, half of that set would lie in a hundredth
    of the axis; then, if all scores and thresholds are above 0, the bins and the axis are logarithmic.

    Args:
        scores: name to finite scores `[n]`; the sets may differ in size, which the legend tells.
        title: of the figure.
        label: what the scores are, for their axis.
        thresholds: name to score, each a vertical line.

    Raises:
        InputError: there is no set, one is empty or has more than one axis, or a score or threshold is not finite.
    """
    sets, limits = _vectors(scores, what="scores to draw"), dict(thresholds or {})
    for name, values in sets.items():
        need_finite(values, what=f"scores of {name!r}")
    need_finite(np.array(list(limits.values())), what="thresholds")
    edges, log = _bins(sets, limits)
    figure, (axis,) = chart_row(1, height=1.7)
    names = [f"{name} ({len(values):,})" for name, values in sets.items()]
    for index, (name, values) in enumerate(zip(names, sets.values(), strict=True)):
        shares = np.full(len(values), 1.0 / len(values))
        color = f"C{index % 10}"
        axis.hist(values, bins=edges, weights=shares, color=color, alpha=0.4, label=name)
        axis.hist(values, bins=edges, weights=shares, color=color, histtype="step")
    for (name, value), style in zip(limits.items(), cycle(["--", ":", "-.", "-"])):
        names.append(f"{name}: {value:.4g}")
        axis.axvline(value, color="black", linestyle=style, label=names[-1])
    axis.set(xlabel=label, ylabel="share of the set", xscale="log" if log else "linear")
    axis.set_title(fit_title(title, inches=CHART_INCHES))
    legend_below(axis, names)
    return figure


def _bins(sets: Mapping[str, Float[np.ndarray, " n"]], limits: Mapping[str, int | float]) -> tuple[list[float], bool]:
    """Common edges for all sets, and whether they are logarithmic."""
    everything = np.concatenate(list(sets.values()))
    positive = min(float(everything.min()), *limits.values(), np.inf) > 0
    if positive and everything.max() > WIDE * min(float(np.median(values)) for values in sets.values()):
        return np.geomspace(everything.min(), everything.max(), BINS + 1).tolist(), True
    low, high = float(everything.min()), float(everything.max())
    # Scores that are the same, or nearly, are drawn in bins that are as wide as floats allow.
    margin = 0.0
    if high - low < (least := BINS * float(np.spacing(np.abs(everything).max()))):
        margin = max(least, 0.5 * (low == high))
    return np.linspace(low - margin, high + margin, BINS + 1).tolist(), False


def _vectors(named: Mapping[str, ArrayLike], *, what: str) -> dict[str, Float[np.ndarray, " n"]]:
    if not named:
        raise InputError(f"{what} must be at least one set, got none")
    arrays = {name: np.asarray(values, np.float64) for name, values in named.items()}
    for name, values in arrays.items():
        if values.ndim != 1 or not values.size:
            raise InputError(f"{what} must have one axis [n] that is not empty, got shape {values.shape} in {name!r}")
    return arrays
