"""The detector: a recipe with its trained variables. The one place where a recipe's names meet code."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from jaxad import losses, training
from jaxad._check import InputError, need_images, need_one_of, need_unit_range, need_window
from jaxad._types import Images, Maps, PRNGKey, Windows
from jaxad.heatmaps import heatmap
from jaxad.models import PatchVAE, PatchVAEOutput
from jaxad.patches import random_crops
from jaxad.recipes import PatchVAERecipe
from jaxad.training import History, LossFunction, Terms

LOSSES = {
    "negative_elbo": losses.negative_elbo,
    "batch_summed_negative_elbo": losses.batch_summed_negative_elbo,
}
POOLS = {"mean": partial(np.mean, axis=(1, 2)), "max": partial(np.max, axis=(1, 2))}
BATCH_PIXELS = 2**18
"""Pixels scored in one call of the compiled program; small images are batched up to it."""


class Scores(NamedTuple):
    """Anomaly scores; higher is more anomalous."""

    image: np.ndarray
    """One score an image, float32 `[n]`."""
    map: np.ndarray
    """One score a pixel, float32 `[n, h, w]`."""


@flax.struct.dataclass
class Detector:
    """A trained detector; a pytree whose leaves are the variables of its model."""

    recipe: PatchVAERecipe = flax.struct.field(pytree_node=False)
    channels: int = flax.struct.field(pytree_node=False)
    variables: dict[str, PyTree]

    def score(self, images: Images) -> Scores:
        """Score images `[n, h, w, c]`, float in [0, 1], of any height and width the window fits.

        The score is the one that the recipe names, the image's is the recipe's pool of its map.
        Images are scored in batches of one shape, so any number of them compiles one program.

        Raises:
            InputError: wrong rank, dtype or channel count, values outside [0, 1], NaN,
                or images smaller than the window.
        """
        maps = self.score_maps(images)[self.recipe.score]
        return Scores(POOLS[self.recipe.pool](maps), maps)

    def score_maps(self, images: Images) -> dict[str, np.ndarray]:
        """Every score of the model as maps `[n, h, w]` by name, from one pass; arguments and errors as in `score`."""
        need_fitting_images(images, self.recipe, channels=self.channels)
        batches = [jax.device_get(self.apply(batch)) for batch in _padded_batches(np.asarray(images, np.float32))]
        return {name: np.concatenate([batch[name] for batch in batches])[: len(images)] for name in batches[0]}

    def apply(self, images: Images) -> dict[str, Maps]:
        """The pure function under `score`: `[n, h, w, c]` to maps `[n, h, w]` by name; jit-safe, values unchecked."""
        recipe = self.recipe
        return heatmap(
            WindowScorer(make_model(recipe, self.channels), self.variables),
            images,
            size=recipe.window,
            stride=recipe.stride,
            cover=recipe.cover,
            reduce=recipe.reduce,
        )


@flax.struct.dataclass
class WindowScorer:
    """The scores of a patch VAE on windows, from one forward pass with z at its posterior mean."""

    model: PatchVAE = flax.struct.field(pytree_node=False)
    variables: dict[str, PyTree]

    def __call__(self, windows: Windows) -> dict[str, Float[Array, " k"]]:
        """`unregularised` is the term M of the negative ELBO, `regularised` all of D + A + M; nats a window, `[k]`."""
        output = PatchVAEOutput(*self.model.apply(self.variables, windows))
        unregularised = losses.residual(windows, output.mean, output.variance)
        rest = losses.divergence(output.z_mean, output.z_log_variance) + losses.log_variance(output.variance)
        return {"unregularised": unregularised, "regularised": rest + unregularised}


def fit(
    key: PRNGKey,
    recipe: PatchVAERecipe,
    images: Images,
    *,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> tuple[Detector, History]:
    """Train a detector on normal images.

    Args:
        key: draws weights, crops, orders and noise; the same key gives the same bits.
        recipe: one of `jaxad.RECIPES`, or a variant by `dataclasses.replace`.
        images: normal images `[n, h, w, c]`, float in [0, 1].
        on_epoch: called with the epochs done and the means of that epoch's loss terms.

    Returns:
        The detector and the history of its training.

    Raises:
        InputError: images that cannot be used (see `Detector.score`), or a recipe that names an unknown
            loss, score or pool.
        DivergedError: the loss is no longer finite.
    """
    need_one_of(recipe.loss, LOSSES, what="loss")
    need_one_of(recipe.score, ("unregularised", "regularised"), what="score")
    need_one_of(recipe.pool, POOLS, what="pool")
    need_fitting_images(images, recipe)
    channels = images.shape[-1]
    model = make_model(recipe, channels)
    init_key, crop_key, fit_key = jax.random.split(key, 3)
    variables = jax.jit(model.init)(init_key, jnp.zeros((1, *recipe.window, channels)))
    optimizer = optax.adam(recipe.learning_rate, eps=1e-7)
    crop = jax.jit(partial(random_crops, count=recipe.crops, size=recipe.window, skip_last=recipe.skip_last))
    state, history = training.fit(
        fit_key,
        training.make_state(variables, optimizer),
        crop(crop_key, jnp.asarray(images, jnp.float32)),
        loss=make_loss(recipe, model),
        optimizer=optimizer,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        on_epoch=on_epoch,
    )
    return Detector(recipe, channels, {"params": state.params, "batch_stats": state.batch_stats}), history


def make_model(recipe: PatchVAERecipe, channels: int) -> PatchVAE:
    """The model that a recipe describes, for images of `channels` channels."""
    halvings = len(recipe.filters)
    if any(length % 2**halvings for length in recipe.window):
        raise InputError(
            f"window must be a multiple of {2**halvings} pixels, since {halvings} filters halve it {halvings} times; "
            f"got {recipe.window}"
        )
    return PatchVAE(recipe.window, recipe.filters, recipe.latent_dim, channels)


def make_loss(recipe: PatchVAERecipe, model: PatchVAE) -> LossFunction:
    """The recipe's loss as `jaxad.training` wants it: the mean over the batch, with the three terms beside it."""

    def loss(params: PyTree, batch_stats: PyTree, batch: Array, key: Array) -> tuple[Array, tuple[PyTree, Terms]]:
        output, updates = model.apply(
            {"params": params, "batch_stats": batch_stats}, batch, key=key, train=True, mutable=["batch_stats"]
        )
        value = jnp.mean(LOSSES[recipe.loss](batch, *output))
        terms = {
            "divergence": losses.divergence(output.z_mean, output.z_log_variance),
            "log_variance": losses.log_variance(output.variance),
            "residual": losses.residual(batch, output.mean, output.variance),
        }
        return value, (updates["batch_stats"], jax.tree.map(jnp.mean, terms))

    return loss


def need_fitting_images(images: Images, recipe: PatchVAERecipe, *, channels: int | None = None) -> None:
    """Refuse images `[n, h, w, c]` that the recipe's model cannot read; values are looked at too."""
    need_images(images, channels=channels)
    need_window(images.shape[1:3], recipe.window, recipe.stride)
    need_unit_range(np.asarray(images))


def _padded_batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of one shape; the last is filled up with copies of the last image."""
    size = max(1, min(len(images), BATCH_PIXELS // (images.shape[1] * images.shape[2])))
    for begin in range(0, len(images), size):
        batch = images[begin : begin + size]
        yield np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
