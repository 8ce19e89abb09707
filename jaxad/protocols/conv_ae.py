"""System 1: the convolutional autoencoder on a contaminated set; system 2: the one trained on SSIM."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from jaxad import datasets, metrics, plots, thresholds
from jaxad._check import InputError
from jaxad.datasets import ImageSet
from jaxad.detector import Detector, Scores
from jaxad.protocols.experiment import Data, Experiment, Numbers, join
from jaxad.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTILES = (0.999, 0.995)
SHUFFLE_SEED = 42


class ContaminatedExperiment(Experiment):
    """Train on ones among which a few threes hide, then look for them by the size of their error."""

    uses = ("normal", "anomaly", "contamination", "validation")

    def load(self) -> Data:
        """See `Experiment`; the contaminated set is split into the part trained on and the part watched."""
        anomalies = self.split("train", label=self.protocol.anomaly)
        normal, test, anomalous = self.one_against_another()
        self.mixture = datasets.contaminate(normal, anomalies, share=self.protocol.contamination, seed=SHUFFLE_SEED)
        if not 0.0 <= self.protocol.validation < 1.0:
            raise InputError(f"validation must be a share in [0, 1), got {self.protocol.validation}")
        held = int(len(self.mixture) * self.protocol.validation)
        parts = self.mixture.images[: len(self.mixture) - held], self.mixture.images[len(self.mixture) - held :]
        train = ImageSet(images=parts[0], labels=self.mixture.labels[: len(parts[0])])
        return Data(train, test, anomalous, watched={"validation": parts[1]} if held else {})

    def measure(self, detector: Detector, data: Data, scored: dict[str, Scores]) -> Numbers:
        """See `Experiment`; thresholds are quantiles of the contaminated set's own errors, as published."""
        errors = detector.score(self.mixture.images).score
        hidden = self.mixture.labels == 1
        found = {}
        for q in QUANTILES:
            threshold = thresholds.quantile(errors, q=q)
            flagged = errors > threshold.value
            counts = metrics.confusion(hidden, flagged)
            found[str(q)] = {"threshold": threshold.value, "flagged": counts.tp + counts.fp, "anomalies": counts.tp}
        auroc = {"test": metrics.auroc(data.anomalous, scored[self.recipe.score_name].score)}
        if hidden.any():
            auroc["contaminated"] = metrics.auroc(hidden, errors)
        return {"auroc": auroc, "quantiles": found}

    def draw(
        self, detector: Detector, data: Data, scored: dict[str, Scores], numbers: Numbers, history: History
    ) -> Iterator[tuple[str, "Figure"]]:
        """See `Experiment`."""
        shown = np.asarray(data.watched.get("validation", data.train.images)[:10])
        yield "reconstructions.png", plots.reconstruction_rows(shown, detector.reconstruct(shown))
        curves = dict(history.terms)
        yield "loss.png", plots.loss_curves(curves, title=f"{self.recipe.name}: mean squared error")
        errors = detector.score(self.mixture.images).score
        hidden = self.mixture.labels == 1
        sets = {"normal": errors[~hidden], **({"hidden anomalies": errors[hidden]} if hidden.any() else {})}
        limits = {f"quantile {q}": found["threshold"] for q, found in numbers["quantiles"].items()}
        title = f"{self.recipe.name}: errors inside the contaminated set"
        yield "errors.png", plots.error_histogram(sets, title=title, label="mean squared error", thresholds=limits)
        yield "roc.png", _roc(self, data, scored)

    def extra_arrays(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """See `Experiment`: the contaminated set as it was drawn, in whole steps of 1/255, with its hidden truth."""
        pixels = np.rint(self.mixture.images * 255).astype(np.uint8)
        yield "image_set.npz", {"images": pixels, "hidden": self.mixture.labels == 1}


class OtherDatasetExperiment(Experiment):
    """Train on all of one data set, tell another one from it."""

    uses = ("anomaly_dataset",)

    def load(self) -> Data:
        """See `Experiment`."""
        normal = self.split("test")
        test, anomalous = join(normal, self.split("test", dataset=self.protocol.anomaly_dataset))
        return Data(self.split("train"), test, anomalous)

    def measure(self, detector: Detector, data: Data, scored: dict[str, Scores]) -> Numbers:
        """See `Experiment`."""
        return {"auroc": {name: metrics.auroc(data.anomalous, scores.score) for name, scores in scored.items()}}

    def draw(
        self, detector: Detector, data: Data, scored: dict[str, Scores], numbers: Numbers, history: History
    ) -> Iterator[tuple[str, "Figure"]]:
        """See `Experiment`."""
        normal = data.test.images[~data.anomalous][:10]
        anomalies = data.test.images[data.anomalous][:10]
        made = detector.reconstruct(normal)
        yield "reconstructions.png", plots.reconstruction_columns(normal, made)
        made_of_anomalies = detector.reconstruct(anomalies)
        image_losses = scored[self.recipe.score_name].score
        of_normal, of_anomalies = image_losses[~data.anomalous][:10], image_losses[data.anomalous][:10]
        losses = np.stack([np.zeros_like(of_normal), of_normal, of_anomalies])
        yield "triples.png", plots.reconstruction_triples(normal, made, made_of_anomalies, losses)
        yield "loss.png", plots.loss_curves({"loss": history.terms["loss"]}, title=f"{self.recipe.name}: 1 - SSIM")
        yield "roc.png", _roc(self, data, scored)


def _roc(experiment: Experiment, data: Data, scored: dict[str, Scores]) -> "Figure":
    curves = {name.replace("_", " "): scores.score for name, scores in scored.items()}
    return plots.roc(data.anomalous, curves, title=f"{experiment.recipe.name}: test images")
