"""The patch VAE as a detector."""

import math

import flax
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree

from jaxad import losses
from jaxad._check import InputError, need_window
from jaxad._types import AnyArray, Images, PRNGKey, Windows
from jaxad.detector.system import AnySizeSystem, Scored
from jaxad.extents import Extent
from jaxad.heatmaps import heatmap
from jaxad.models import DenseVAE, PatchVAE, PatchVAEOutput, with_decoder_table
from jaxad.patches import random_crops
from jaxad.recipes import PatchVAERecipe
from jaxad.training import LossFunction, Terms, Variables


class PatchVAESystem(AnySizeSystem):
    """A VAE on windows, for images of any height and width."""

    recipe: PatchVAERecipe
    scores = ("unregularised", "regularised", "likelihood", "squared_error")
    losses = ("negative_elbo", "batch_summed_negative_elbo")

    def need_sound(self) -> None:
        """See `System`; the window must also be one that the model can halve."""
        super().need_sound()
        need_window(self.shape[:2], self.recipe.window, self.recipe.stride)
        for name, least in (("variance_range", 0.0), ("z_log_variance_range", -math.inf)):
            numbers = getattr(self.recipe, name)
            if numbers and not (len(numbers) == 2 and least < numbers[0] < numbers[1]):
                above = " above 0" if least == 0 else ""
                raise InputError(f"{name} must be empty or two numbers{above}, the lower first; got {numbers}")
        halvings = len(self.recipe.filters)
        if any(length % 2**halvings for length in self.recipe.window):
            raise InputError(
                f"window must be a multiple of {2**halvings} pixels, since {halvings} filters halve it {halvings} "
                f"times; got {self.recipe.window}"
            )

    def make_model(self) -> PatchVAE:
        """See `System`."""
        recipe = self.recipe
        ranges = (_pair(recipe.variance_range), _pair(recipe.z_log_variance_range))
        return PatchVAE(recipe.window, recipe.filters, recipe.latent_dim, self.shape[-1], *ranges)

    def example(self) -> Array:
        """One window, `[1, p, q, c]`."""
        return jnp.zeros((1, *self.recipe.window, self.shape[-1]))

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse another channel count, or an image `[h, w, c]` smaller than the window."""
        self.need_channels(shape)
        need_window((shape[0], shape[1]), self.recipe.window, self.recipe.stride)

    def make_examples(self, key: PRNGKey, images: Images) -> Array:
        """Random windows, `[crops, p, q, c]`."""
        recipe = self.recipe
        return random_crops(key, images, count=recipe.crops, size=recipe.window, skip_last=recipe.skip_last)

    def make_loss(self) -> LossFunction:
        """See `System`."""
        return make_elbo(self.make_model(), self.recipe.loss)

    def for_scoring(self, variables: PyTree) -> PyTree:
        """See `System`; on CPU the decoder becomes a table."""
        return with_decoder_table(self.make_model(), variables) if jax.default_backend() == "cpu" else variables

    @property
    def reach(self) -> int:
        """See `System`: the windows around a pixel."""
        return max(self.recipe.window) - 1

    @property
    def step(self) -> int:
        """See `System`."""
        return math.lcm(*self.recipe.stride)

    def score_canvases(
        self,
        variables: PyTree,
        images: Images,
        dtype: DTypeLike,
        extent: Extent | None,
        counted: Bool[AnyArray, "n h w"] | None,
    ) -> dict[str, Scored]:
        """Scores of images `[n, h, w, c]`; see `System` and `WindowScorer`."""
        recipe = self.recipe
        maps = heatmap(
            WindowScorer(self, variables, dtype),
            images,
            size=recipe.window,
            stride=recipe.stride,
            cover=recipe.cover,
            reduce=recipe.reduce,
            extent=extent,
        )
        return {name: Scored(self.pool(score_map, counted=counted), score_map) for name, score_map in maps.items()}


@flax.struct.dataclass
class WindowScorer:
    """The scores of a patch VAE on windows, from one forward pass with z at its posterior mean."""

    system: PatchVAESystem = flax.struct.field(pytree_node=False)
    variables: dict[str, PyTree]
    dtype: DTypeLike = flax.struct.field(pytree_node=False, default="float32")

    def __call__(self, windows: Windows) -> dict[str, Float[Array, " k"]]:
        """The terms of the negative ELBO D + A + M in four ways, in nats a window, `[k]`.

        `unregularised` is M, `regularised` all three, `likelihood` A + M; `squared_error` is a mean over pixels.
        """
        output = PatchVAEOutput(*self.system.run(self.variables, windows, self.dtype))
        unregularised = losses.residual(windows, output.mean, output.variance)
        likelihood = unregularised + losses.log_variance(output.variance)
        return {
            "unregularised": unregularised,
            "regularised": likelihood + losses.divergence(output.z_mean, output.z_log_variance),
            "likelihood": likelihood,
            "squared_error": losses.squared_error(windows, output.mean),
        }


def make_elbo(model: PatchVAE | DenseVAE, name: str) -> LossFunction:
    """The mean of the loss of that name over the batch, with the terms of the negative ELBO beside it."""
    function = getattr(losses, name)

    def loss(variables: Variables, batch: Array, key: Array) -> tuple[Array, tuple[Variables, Terms]]:
        output, changed = model.apply(variables, batch, key=key, train=True, mutable=["batch_stats"])
        terms = {
            "divergence": losses.divergence(output.z_mean, output.z_log_variance),
            "log_variance": losses.log_variance(output.variance),
            "residual": losses.residual(batch, output.mean, output.variance),
        }
        return jnp.mean(function(batch, *output)), ({**changed}, jax.tree.map(jnp.mean, terms))

    return loss


def _pair(numbers: tuple[float, ...]) -> tuple[float, float] | None:
    return (numbers[0], numbers[1]) if numbers else None
