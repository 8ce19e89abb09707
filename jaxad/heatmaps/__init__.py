"""From windows to heatmaps: every window of a whole batch of images scored by one compiled computation."""

from jaxad.heatmaps.chunks import ScoreWindows, Sharing
from jaxad.heatmaps.folds import fold_scores
from jaxad.heatmaps.heatmap import heatmap, window_scores

__all__ = ["ScoreWindows", "Sharing", "fold_scores", "heatmap", "window_scores"]
