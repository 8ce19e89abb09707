"""System 4: a one-class SVM on the code of a dense autoencoder; system 5: a dense autoencoder against noise."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxad import datasets, metrics, one_class_svm, plots, thresholds
from jaxad.detector import Detector, Scores
from jaxad.protocols.experiment import Data, Experiment, Numbers, join
from jaxad.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECONSTRUCT_EVERY = 10
CHECKPOINT_EVERY = 20
QUANTILE = 0.995


class LatentSVMExperiment(Experiment):
    """The SVM on two-dimensional codes beside the same SVM on raw pixels."""

    takes = "dense_ae"
    uses = ("normal", "anomaly")

    def load(self) -> Data:
        """See `Experiment`; the baseline is fitted here, since it does not depend on the training."""
        train, test, anomalous = self.one_against_another()
        self.baseline = one_class_svm.reference_scores(_rows(train.images), _rows(test.images))
        return Data(train, test, anomalous)

    def measure(self, detector: Detector, data: Data, scored: dict[str, Scores]) -> Numbers:
        """See `Experiment`; an image is flagged where the SVM's decision function is below zero."""
        scores = scored[self.recipe.score_name].score
        counts = metrics.confusion(data.anomalous, scores > 0)
        normal = metrics.confusion(~data.anomalous, scores <= 0)
        return {
            "auroc": {
                "codes": metrics.auroc(data.anomalous, scores),
                "pixels": metrics.auroc(data.anomalous, self.baseline),
                "squared_error": metrics.auroc(data.anomalous, scored["squared_error"].score),
            },
            "confusion": {"tp": counts.tp, "fp": counts.fp, "tn": counts.tn, "fn": counts.fn},
            "report": {"anomaly": _report(counts), "normal": _report(normal)},
        }

    def draw(
        self, detector: Detector, data: Data, scored: dict[str, Scores], numbers: Numbers, history: History
    ) -> Iterator[tuple[str, "Figure"]]:
        """See `Experiment`."""
        scores = scored[self.recipe.score_name].score
        curves = {"SVM on codes": scores, "SVM on pixels": self.baseline}
        yield "roc.png", plots.roc(data.anomalous, curves, title=f"{self.recipe.name}: test images")
        flagged = scores > 0
        figure = plots.code_scatters(
            detector.encode(data.test.images)[:, :2],
            data.anomalous.astype(int),
            flagged.astype(int),
            truth_names=["normal", "anomaly"],
            prediction_names=["accepted", "flagged"],
        )
        yield "codes.png", figure
        counts = metrics.confusion(data.anomalous, flagged)
        yield "confusion.png", plots.confusion_matrix(counts, names=["normal", "anomaly"])
        yield "loss.png", plots.loss_curves({"loss": history.terms["loss"]}, title="mean squared error")


class NoiseExperiment(Experiment):
    """All digits against images of noise, with the threshold that the author wanted."""

    uses = ("noise_train", "noise_test", "train_on_noise")

    def load(self) -> Data:
        """See `Experiment`."""
        train, normal = self.split("train"), self.split("test")
        shape = train.images.shape[1:]
        test, anomalous = join(normal, datasets.noise(self.protocol.noise_test, shape, seed=self.seed + 1))
        watched = datasets.noise(self.protocol.noise_train, shape, seed=self.seed).images
        extra = watched if self.protocol.train_on_noise else None
        return Data(train, test, anomalous, watched={"noise": watched}, extra_batch=extra, any_range=True)

    def measure(self, detector: Detector, data: Data, scored: dict[str, Scores]) -> Numbers:
        """See `Experiment`; the threshold comes from the training images alone."""
        errors = scored[self.recipe.score_name].score
        threshold = thresholds.quantile(detector.score(data.train.images).score, q=QUANTILE)
        counts = metrics.confusion(data.anomalous, errors > threshold.value)
        return {
            "auroc": {"test": metrics.auroc(data.anomalous, errors)},
            "largest": {
                "normal": float(errors[~data.anomalous].max()),
                "noise": float(errors[data.anomalous].max()),
            },
            "threshold": {"value": threshold.value, "quantile": QUANTILE},
            "confusion": {"tp": counts.tp, "fp": counts.fp, "tn": counts.tn, "fn": counts.fn},
            "report": {"anomaly": _report(counts)},
        }

    def draw(
        self, detector: Detector, data: Data, scored: dict[str, Scores], numbers: Numbers, history: History
    ) -> Iterator[tuple[str, "Figure"]]:
        """See `Experiment`."""
        curves = {"normal": history.terms["loss"], "noise": history.terms["noise"]}
        title = f"{self.recipe.name}: mean squared error"
        yield "loss.png", plots.loss_curves(curves, title=title, log=True)
        pixels = data.test.images[0].size
        errors = scored[self.recipe.score_name].score * pixels
        threshold = numbers["threshold"]["value"] * pixels
        figure = plots.error_histogram(
            {"normal": errors[~data.anomalous], "noise": errors[data.anomalous]},
            title=f"{self.recipe.name}: test images",
            label="summed squared error",
            thresholds={f"quantile {QUANTILE} of training images": threshold},
        )
        yield "errors.png", figure
        yield "roc.png", plots.roc(data.anomalous, {"squared error": errors}, title=self.recipe.name)

    def keep(self, done: int, detector: Detector, data: Data) -> Iterator[tuple[str, Any]]:
        """See `Experiment`."""
        if done % RECONSTRUCT_EVERY == 0:
            shown = data.test.images[:10]
            figure = plots.reconstruction_columns(shown, detector.reconstruct(shown))
            yield f"reconstructions_{done:03d}.png", figure
        if done % CHECKPOINT_EVERY == 0:
            yield f"checkpoint_{done:03d}.jaxad", detector


def _rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def _report(counts: metrics.Confusion) -> dict[str, float | None]:
    shares = {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
    return {name: None if np.isnan(share) else share for name, share in shares.items()}
