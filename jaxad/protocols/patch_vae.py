"""System 3: the VAE on windows, one digit or garment against another."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from jaxad import metrics, plots
from jaxad.detector import CALIBRATED, Detector, Scores
from jaxad.patches import grid
from jaxad.pooling import POOLS
from jaxad.protocols.experiment import Data, Experiment, Numbers
from jaxad.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {"unregularised": "unregularised score M", "regularised": "regularised score D + A + M"}

DEVIATIONS = (0.0, 4.0)
"""Of the colours of a calibrated map."""


class PatchVAEExperiment(Experiment):
    """Heatmaps of both scores, and how well their mean and maximum tell the classes apart."""

    takes = "patch_vae"
    uses = ("normal", "anomaly")

    def load(self) -> Data:
        """See `Experiment`."""
        train, test, anomalous = self.one_against_another()
        return Data(train, test, anomalous)

    def measure(self, detector: Detector, data: Data, scored: dict[str, Scores]) -> Numbers:
        """See `Experiment`."""
        auroc = {
            f"{name}_{pool}": metrics.auroc(data.anomalous, np.asarray(POOLS[pool](scored[name].map)))
            for name in LABELS
            for pool in ("mean", "max")
        }
        if CALIBRATED in scored:
            auroc[CALIBRATED] = metrics.auroc(data.anomalous, scored[CALIBRATED].score)
        return {"auroc": auroc}

    def speeds(self, data: Data, *, seconds: float) -> Numbers:
        """See `Experiment`: windows."""
        recipe = self.recipe
        rows, columns = grid(data.test.images.shape[1:3], recipe.window, recipe.stride, cover=recipe.cover)
        return {"windows_per_second": len(data.test) * len(rows) * len(columns) / seconds}

    def draw(
        self, detector: Detector, data: Data, scored: dict[str, Scores], numbers: Numbers, history: History
    ) -> Iterator[tuple[str, "Figure"]]:
        """See `Experiment`."""
        first = [int(np.argmax(~data.anomalous)), int(np.argmax(data.anomalous))]
        titles = [f"{kind}: {data.test.names[i]}" for kind, i in zip(("normal", "anomaly"), first, strict=True)]
        labels = LABELS | ({CALIBRATED: "deviations above usual"} if CALIBRATED in scored else {})
        for name, label in labels.items():
            limits = DEVIATIONS if name == CALIBRATED else None
            figure = plots.heatmap_pairs(
                data.test.images[first], scored[name].map[first], titles, label=label, limits=limits
            )
            yield f"heatmap_{name}.png", figure
        curves = {label: scored[name].score for name, label in labels.items()}
        title = f"{self.protocol.dataset}: {self.protocol.normal} normal, {self.protocol.anomaly} anomalous"
        yield "roc.png", plots.roc(data.anomalous, curves, title=title)
