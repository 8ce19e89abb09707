"""The VAE on windows, slid over images of any height and width."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad import losses
from jaxad._check import InputError, need_at_least, need_one_of, need_window
from jaxad._options import Cover, Reduce
from jaxad._types import Images, PRNGKey, Windows
from jaxad.extents import Extent
from jaxad.heatmaps import heatmap
from jaxad.methods.faults import blind_reconstruction, collapsed_posterior
from jaxad.models import PatchVAE, PatchVAEOutput, with_decoder_table
from jaxad.patches import random_crops
from jaxad.recipes import ConvertedLayers, NetworkRecipe, Scores, Shape, Variables

LOSSES = {
    "negative_elbo": losses.negative_elbo,
    "batch_summed_negative_elbo": losses.batch_summed_negative_elbo,
}
SCORES = ("unregularised", "regularised", "likelihood", "squared_error")
WINDOWS = 4096
"""Windows to look for faults on."""


class PatchVAERecipe(NetworkRecipe, kind="patch_vae"):
    """A VAE on windows, slid over the image; see `jaxad.models.PatchVAE` and `jaxad.heatmaps`."""

    loss_name: str = "negative_elbo"
    """What is minimised: `negative_elbo` or `batch_summed_negative_elbo`."""
    score_name: str = "unregularised"
    """What judges: `unregularised`, `regularised`, `likelihood` or `squared_error`; see `WindowScorer`."""
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

    @property
    def reach(self) -> int:
        """See `Recipe`: the windows around a pixel."""
        return max(self.window) - 1

    @property
    def step(self) -> int:
        """See `Recipe`."""
        return math.lcm(*self.stride)

    @property
    def least_size(self) -> tuple[int, int]:
        """See `Recipe`; the published grid leaves out the last window of each axis."""
        (height, width), (down, across) = self.window, self.stride
        return (height + down, width + across) if self.cover == "seed" else (height, width)

    def check(self, shape: Shape) -> None:
        """See `Recipe`; the window must also be one that the model can halve."""
        need_one_of(self.loss_name, LOSSES, what="loss_name")
        need_one_of(self.score_name, SCORES, what="score_name")
        need_window(shape[:2], self.window, self.stride)
        need_at_least(self.crops, 1, what="crops")
        for name, least in (("variance_range", 0.0), ("z_log_variance_range", -math.inf)):
            numbers = getattr(self, name)
            if numbers and not (len(numbers) == 2 and least < numbers[0] < numbers[1]):
                above = " above 0" if least == 0 else ""
                raise InputError(f"{name} must be empty or two numbers{above}, the lower first; got {numbers}")
        halvings = len(self.filters)
        if any(length % 2**halvings for length in self.window):
            raise InputError(
                f"window must be a multiple of {2**halvings} pixels, since {halvings} filters halve it {halvings} "
                f"times; got {self.window}"
            )

    def model(self, shape: Shape) -> PatchVAE:
        """See `NetworkRecipe`."""
        ranges = (_pair(self.variance_range), _pair(self.z_log_variance_range))
        return PatchVAE(self.window, self.filters, self.latent_dim, shape[-1], *ranges)

    def examples(self, key: PRNGKey, images: Images) -> Array:
        """Random windows of images `[n, h, w, c]`: `[crops, p, q, c]`."""
        return random_crops(key, images, count=self.crops, size=self.window, skip_last=self.skip_last)

    def loss(
        self, model: Any, variables: Variables, batch: Array, key: PRNGKey
    ) -> tuple[Float[Array, ""], Variables, dict[str, Array]]:
        """The mean over windows `[b, p, q, c]` of the loss that is named, with the terms of the negative ELBO."""
        return negative_elbo(key, model, LOSSES[self.loss_name], variables, batch)

    def for_scoring(self, model: Any, variables: Variables) -> Variables:
        """See `NetworkRecipe`; the decoder becomes a table."""
        return with_decoder_table(model, variables)

    def score(self, model: Any, variables: Variables, images: Images, *, extent: Extent | None = None) -> Scores:
        """Maps `[n, h, w]` of images `[n, h, w, c]`, in four ways; see `WindowScorer`."""
        return dict(
            heatmap(
                WindowScorer(model, variables),
                images,
                size=self.window,
                stride=self.stride,
                cover=self.cover,
                reduce=self.reduce,
                extent=extent,
            )
        )

    def faults(self, model: Any, variables: Variables, images: Images) -> list[str]:
        """A collapsed posterior, or a blind reconstruction of windows; images are `[n, h, w, c]`."""
        windows = self.examples(jax.random.key(0), jnp.asarray(images))[:WINDOWS]
        output = PatchVAEOutput(*model.apply(variables, windows))
        return [
            *collapsed_posterior(output.z_mean, output.z_log_variance),
            *blind_reconstruction(np.asarray(windows), np.asarray(output.mean)),
        ]

    def converted_layers(self) -> ConvertedLayers:
        """See `NetworkRecipe`."""
        blocks = range(len(self.filters))
        return (
            *((f"encoder_{i}", "Conv") for i in blocks),
            *((f"encoder_norm_{i}", "BatchNorm") for i in blocks),
            ("z_mean", "Dense"),
            ("z_log_variance", "Dense"),
            ("decoder_dense", "Dense"),
            ("decoder_dense_norm", "BatchNorm"),
            *((f"decoder_{i}", "ConvTranspose") for i in blocks),
            *((f"decoder_norm_{i}", "BatchNorm") for i in blocks),
            ("heads", ("ConvTranspose", "ConvTranspose")),
            ("heads_norm", ("BatchNorm", "BatchNorm")),
        )


class Codes(NamedTuple):
    """What the encoder makes of windows, `[..., z]`; a pytree."""

    z_mean: Float[Array, "*windows z"]
    z_log_variance: Float[Array, "*windows z"]


@flax.struct.dataclass
class WindowScorer:
    """The scores of a patch VAE on windows, from one forward pass with z at its posterior mean."""

    model: Any = flax.struct.field(pytree_node=False)
    variables: Variables

    def share(self, images: Images, stride: tuple[int, int]) -> Codes:
        """The codes of every window of images `[n, h, w, c]`; see `jaxad.heatmaps.Sharing`."""
        return Codes(*self.model.apply(self.variables, images, stride=stride, method="encode_grid"))

    def __call__(self, windows: Windows, codes: Codes | None = None) -> dict[str, Float[Array, " k"]]:
        """The terms of the negative ELBO D + A + M in four ways, in nats a window, `[k]`, of windows `[k, p, q, c]`.

        `unregularised` is M, `regularised` all three, `likelihood` A + M; `squared_error` is a mean over pixels.
        """
        if codes is None:
            codes = Codes(*self.model.apply(self.variables, windows, method="encode"))
        mean, variance = self.model.apply(self.variables, codes.z_mean, method="decode")
        output = PatchVAEOutput(mean, variance, *codes)
        unregularised = losses.residual(windows, output.mean, output.variance)
        likelihood = unregularised + losses.log_variance(output.variance)
        return {
            "unregularised": unregularised,
            "regularised": likelihood + losses.divergence(output.z_mean, output.z_log_variance),
            "likelihood": likelihood,
            "squared_error": losses.squared_error(windows, output.mean),
        }


def negative_elbo(
    key: PRNGKey, model: Any, function: Callable[..., Array], variables: Variables, batch: Images
) -> tuple[Float[Array, ""], Variables, dict[str, Array]]:
    """The mean of a form of the negative ELBO over a batch `[b, p, q, c]`, with its terms beside it."""
    output, changed = model.apply(variables, batch, key=key, train=True, mutable=["batch_stats"])
    terms = {
        "divergence": losses.divergence(output.z_mean, output.z_log_variance),
        "log_variance": losses.log_variance(output.variance),
        "residual": losses.residual(batch, output.mean, output.variance),
    }
    return jnp.mean(function(batch, *output)), dict(changed), jax.tree.map(jnp.mean, terms)


def _pair(numbers: tuple[float, ...]) -> tuple[float, float] | None:
    return (numbers[0], numbers[1]) if numbers else None
