"""What every kind of system of jaxad's own says of itself: frozen data of numbers, strings and tuples."""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxad._options import Cover, Reduce
from jaxad.recipes.methods import TrainedRecipe
from jaxad.recipes.recipe import Recipe

Blocks = tuple[tuple[int, int], ...]

TRAINING = (
    *("loss", "epochs", "batch_size", "learning_rate", "learning_rate_decay", "one_cycle", "weight_decay"),
    *("adam_epsilon", "restarts"),
)
"""Fields that say how one network is trained."""
EDGES = 4
"""Pixels of a side from which on a recipe of gradients sees edges: the distance of the points that it looks around."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The data a system was published on: train on `normal`, tell `anomaly` from it on the test split."""

    dataset: str
    normal: int | None
    """Label to train on; None for all of them."""
    anomaly: int | None
    """Label to tell from it; None for all of `anomaly_dataset`, or for images of noise."""
    anomaly_dataset: str | None = None
    """Where the anomalies come from, if not from `dataset`."""


class NamedRecipe(TrainedRecipe, kind=""):
    """A recipe of jaxad's own whose model, loss and score go by names, which `jaxad.detector` knows."""

    protocol: Protocol | None
    """None where a recipe was published nowhere."""
    published: tuple[tuple[str, float], ...] = ()
    """Figures of the published system, or of its replica in the original framework, by name."""
    model: str
    loss: str
    score: str
    """Which of the model's scores judges an image."""


class PatchVAERecipe(NamedRecipe, kind="patch_vae"):
    """A VAE on windows, slid over the image; see `jaxad.models.PatchVAE` and `jaxad.heatmaps`."""

    model: str = "patch_vae"
    loss: str = "negative_elbo"
    score: str = "unregularised"
    window: tuple[int, int] = (8, 8)
    stride: tuple[int, int] = (2, 2)
    cover: Cover = "full"
    reduce: Reduce = "mean"
    filters: tuple[int, ...] = (16, 32)
    latent_dim: int = 2
    variance_range: tuple[float, ...] = ()
    """Least and greatest variance of a pixel; empty is the published sigmoid."""
    z_log_variance_range: tuple[float, ...] = ()
    """Where the log-variance of the code is clipped; empty leaves it free."""
    crops: int = 100_000
    """Random windows of the normal images to train on."""
    skip_last: bool = False
    """Leave out the last row and column of crop positions, as the published code does."""
    as_published: tuple[tuple[str, str | bool], ...] = field(
        default=(
            ("loss", "batch_summed_negative_elbo"),
            ("cover", "seed"),
            ("reduce", "sum"),
            ("skip_last", True),
        ),
        repr=False,
    )
    """The fields in which the published code differs, and their values there."""

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`; where held-out images calibrate it."""
        return bool(self.holdout)

    @property
    def sees_windows(self) -> bool:
        """See `Recipe`."""
        return True

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`."""
        return self.window


class ConvAERecipe(NamedRecipe, kind="conv_ae"):
    """A convolutional autoencoder of whole images; see `jaxad.models.ConvAE`."""

    model: str = "conv_ae"
    loss: str = "squared_error"
    score: str = "squared_error"
    encoder: Blocks
    decoder: Blocks
    latent_dim: int
    """Size of the dense code; 0 keeps the last convolution's output as the code."""
    slope: float
    activation_first: bool
    contamination: float = 0.0
    """Anomalies hidden in the training set, as a share of its normal images."""
    validation: float = 0.0
    """Share of the training set held out to watch the loss."""


class DenseAERecipe(NamedRecipe, kind="dense_ae"):
    """A dense autoencoder of whole images; see `jaxad.models.DenseAE`."""

    model: str = "dense_ae"
    loss: str = "squared_error"
    score: str = "squared_error"
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    code_activation: str = "relu"
    decoder_activation: str = "relu"
    output_activation: str = "sigmoid"
    norm: bool = False
    torch_init: bool = False
    noise_train: int = 0
    """Noise images whose loss is watched while training."""
    noise_test: int = 0
    """Noise images to tell from the test images."""
    train_on_noise: bool = False
    """One update on the watched noise images after every epoch, as published: it trains on the anomalies."""


class DenseVAERecipe(NamedRecipe, kind="dense_vae"):
    """A dense VAE of whole images; see `jaxad.models.DenseVAE`."""

    model: str = "dense_vae"
    loss: str = "negative_elbo"
    score: str = "relative_error"
    layers: tuple[int, ...] = (512, 256)
    latent_dim: int = 16
    variance: float
    """Of every pixel, in squared units of the pixel."""
    shift: int = 0
    """Pixels that images are moved by while training, at most."""
    count: int = 5
    """Neighbours among the codes of normal images, for the score `nearest_code`."""


class ClosedFormRecipe(NamedRecipe, kind="closed_form"):
    """A transform of images with a closed-form model on top; see `jaxad.features` and `jaxad.linear`."""

    without_use: ClassVar[tuple[str, ...]] = TRAINING

    model: str = "closed_form"
    loss: str = "none"
    transform: str = "oriented_gradients"
    local: bool = False
    """Judge every cell of the transformed image by itself, whatever its place, so that images may have any size."""
    count: int = 5
    """Neighbours whose distances are averaged, or components kept."""
    epochs: int = 1
    batch_size: int = 1
    learning_rate: float = 0.0

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`."""
        return not self.local

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`."""
        return (1, 1) if self.transform == "none" else (EDGES, EDGES)


class PatchComponentsRecipe(NamedRecipe, kind="patch_components"):
    """Principal components of windows of several sizes, slid over the image: linear autoencoders, fitted at once."""

    without_use: ClassVar[tuple[str, ...]] = TRAINING

    model: str = "patch_components"
    loss: str = "none"
    score: str = "residual"
    scales: tuple[tuple[int, int, int], ...]
    """Side of the window, stride and components of each scale."""
    cover: Cover = "full"
    crops: int = 30_000
    """Random windows of the normal images, at each scale, to fit on."""
    epochs: int = 1
    batch_size: int = 1
    learning_rate: float = 0.0

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`; where held-out images calibrate it."""
        return bool(self.holdout)

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`."""
        side = max(side for side, _, _ in self.scales)
        return side, side


class DrawnDefectsRecipe(NamedRecipe, kind="drawn_defects"):
    """A network that learns to find defects drawn on normal images; see `jaxad.defects`."""

    model: str = "drawn_defects"
    loss: str = "cross_entropy"
    score: str = "log_odds"
    filters: tuple[int, ...] = (8, 16, 32)
    """Channels at full size, at half of it, and so on."""
    crop: tuple[int, int] = (64, 64)
    """Height and width of the crops to train on; the image's own where it is smaller."""
    crops: int = 800

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`; where held-out images calibrate it."""
        return bool(self.holdout)


class FusionRecipe(NamedRecipe, kind="fusion"):
    """Few, different detectors whose scores are added, each in deviations above its held-out normal ones."""

    without_use: ClassVar[tuple[str, ...]] = TRAINING

    model: str = "fusion"
    loss: str = "none"
    score: str = "fused"
    parts: tuple[Recipe, ...]
    holdout: float = 0.2
    batch_size: int = 1
    learning_rate: float = 0.0

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`; where one of its parts does."""
        return any(part.compares_positions for part in self.parts)

    @property
    def pools_maps(self) -> bool:
        """See `Recipe`: image scores are added, and the pool of the added maps tells less."""
        return False

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`; what all parts can read."""
        heights, widths = zip(*(part.least_size for part in self.parts), strict=True)
        return max(heights), max(widths)


class AutoRecipe(NamedRecipe, kind="auto"):
    """Fits cheap candidates and keeps the one that best tells held-out normal images from defects drawn on them."""

    without_use: ClassVar[tuple[str, ...]] = (*TRAINING, "score", "pool")

    model: str = "auto"
    loss: str = "none"
    score: str = "none"
    candidates: tuple[Recipe, ...]
    holdout: float = 0.2
    """Share of the normal images to judge the candidates by; the winner is then fitted on all."""
    images: int = 2000
    """Normal images to judge by, at most; random ones where there are more."""
    epochs: int = 1
    batch_size: int = 1
    learning_rate: float = 0.0

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`."""
        return False
