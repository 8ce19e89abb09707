"""What the experiments have in common: data in, numbers and figures out."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from jaxad import datasets
from jaxad._types import Images
from jaxad.datasets import ImageSet
from jaxad.detector import Detector, Scores
from jaxad.recipes import Recipe
from jaxad.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = dict[str, Any]
"""What a run reports, as JSON."""


@dataclass(frozen=True)
class Data:
    """The images of a run."""

    train: ImageSet
    test: ImageSet
    anomalous: np.ndarray
    """True where a test image is an anomaly, `[n]`."""
    watched: dict[str, Images] = field(default_factory=dict)
    """Other images whose loss is shown beside that of training."""
    extra_batch: Images | None = None
    """Images for one more update after every epoch."""
    any_range: bool = False
    """Whether pixels may lie outside [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a system was published: train on `normal`, tell `anomaly` from it on the test split."""

    experiment: "type[Experiment]"
    dataset: str
    normal: int | None
    """Label to train on; None for all of them."""
    anomaly: int | None
    """Label to tell from it; None for all of `anomaly_dataset`, or for images of noise."""
    anomaly_dataset: str | None = None
    """Where the anomalies come from, if not from `dataset`."""
    contamination: float = 0.0
    """Anomalies hidden in the training set, as a share of its normal images."""
    validation: float = 0.0
    """Share of the training set held out to watch the loss."""
    noise_train: int = 0
    """Noise images whose loss is watched while training."""
    noise_test: int = 0
    """Noise images to tell from the test images."""
    train_on_noise: bool = False
    """One update on the watched noise images after every epoch, as published: it trains on the anomalies."""
    published: tuple[tuple[str, float], ...] = ()
    """Figures of the published system, or of its replica in the original framework, by name."""
    as_published: tuple[tuple[str, str | bool], ...] = ()
    """The fields of the recipe in which the published code differs, and their values there."""


class Experiment(ABC):
    """The published experiment on one system."""

    takes: ClassVar[str] = Recipe.kind
    """The kind of recipe whose scores it measures, see `jaxad.recipes.KINDS`; by default any."""
    uses: ClassVar[tuple[str, ...]]
    """The optional fields of a protocol that it goes by; the others stay at their defaults, or at None."""

    def __init__(self, recipe: Any, protocol: Protocol, *, seed: int, data_dir: str | os.PathLike[str] | None) -> None:
        self.recipe = recipe
        self.protocol = protocol
        self.seed = seed
        self.data_dir = data_dir

    @abstractmethod
    def load(self) -> Data:
        """Read the images."""

    @abstractmethod
    def measure(self, detector: Detector, data: Data, scored: dict[str, Scores]) -> Numbers:
        """The numbers that the system is judged by, from all scores of the test images."""

    @abstractmethod
    def draw(
        self, detector: Detector, data: Data, scored: dict[str, Scores], numbers: Numbers, history: History
    ) -> Iterator[tuple[str, "Figure"]]:
        """The pictures that the system publishes, by file name; `numbers` are what `measure` gave."""

    def keep(self, done: int, detector: Detector, data: Data) -> Iterator[tuple[str, Any]]:
        """What to save in the middle of training, after `done` epochs: figures and detectors by file name."""
        return iter(())

    def extra_arrays(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """What else the system publishes as arrays, by the name of an `.npz` file."""
        return iter(())

    def speeds(self, data: Data, *, seconds: float) -> Numbers:
        """Further numbers a second, where scoring the test images took `seconds`."""
        return {}

    def split(self, split: str, *, label: int | None = None, dataset: str | None = None) -> ImageSet:
        """One split of the protocol's data set, or of another one; one label or all."""
        return datasets.tfds(
            dataset or self.protocol.dataset,
            split,
            labels=None if label is None else [label],
            data_dir=self.data_dir,
        )

    def one_against_another(self) -> tuple[ImageSet, ImageSet, np.ndarray]:
        """Normal training images, test images of both labels, and which of them are anomalous."""
        normal, anomaly = self.protocol.normal, self.protocol.anomaly
        labels = [label for label in (normal, anomaly) if label is not None]
        test = datasets.tfds(self.protocol.dataset, "test", labels=labels, data_dir=self.data_dir)
        return self.split("train", label=normal), test, test.labels == anomaly


def join(normal: ImageSet, anomalies: ImageSet) -> tuple[ImageSet, np.ndarray]:
    """Both sets one after the other, and which of the images are anomalous."""
    both = ImageSet(
        images=np.concatenate([normal.images, anomalies.images]),
        labels=np.concatenate([normal.labels, anomalies.labels]),
        names=(*normal.names, *anomalies.names),
    )
    return both, np.repeat([False, True], [len(normal), len(anomalies)])
