"""Figures, drawn by matplotlib, which is imported when the first one is drawn.

Images are `[n, h, w, c]` in [0, 1] and maps `[n, h, w]`. Every function returns a `matplotlib.figure.Figure`
that belongs to no window and no global state; `figure.savefig(path)` writes it.
"""

from jaxad.plots.codes import code_scatter, code_scatters
from jaxad.plots.confusion import confusion_matrix
from jaxad.plots.curves import error_histogram, loss_curves, roc
from jaxad.plots.heatmaps import detections, heatmap_pairs
from jaxad.plots.reconstructions import reconstruction_columns, reconstruction_rows, reconstruction_triples

__all__ = [
    "code_scatter",
    "code_scatters",
    "confusion_matrix",
    "detections",
    "error_histogram",
    "heatmap_pairs",
    "loss_curves",
    "reconstruction_columns",
    "reconstruction_rows",
    "reconstruction_triples",
    "roc",
]
