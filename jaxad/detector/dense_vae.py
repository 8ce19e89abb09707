"""The dense VAE of whole images as a detector."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from jaxad import linear, losses
from jaxad._check import InputError, need_at_least
from jaxad._types import Images, PRNGKey
from jaxad.detector.autoencoders import AutoencoderSystem
from jaxad.detector.patch_vae import make_elbo
from jaxad.detector.system import POOLS, Scored
from jaxad.models import AutoencoderOutput, DenseVAE, PatchVAEOutput
from jaxad.one_class_svm import OneClassSVM
from jaxad.patches import take_windows
from jaxad.recipes import DenseVAERecipe
from jaxad.training import LossFunction, Terms, Variables


class DenseVAESystem(AutoencoderSystem):
    """A dense VAE, which judges by its reconstruction or by the codes of the normal images."""

    recipe: DenseVAERecipe
    scores = ("squared_error", "relative_error", "nearest_code")
    losses = ("negative_elbo",)

    def need_sound(self) -> None:
        """See `System`."""
        super().need_sound()
        need_at_least(self.recipe.shift, 0, what="shift")
        need_at_least(self.recipe.count, 1, what="count")
        if not self.recipe.variance > 0:
            raise InputError(f"variance must be above 0, got {self.recipe.variance}")

    def make_model(self) -> DenseVAE:
        """See `System`."""
        recipe = self.recipe
        return DenseVAE(self.shape, recipe.layers, recipe.latent_dim, recipe.variance)

    def template(self, arrays: Mapping[str, Any]) -> PyTree:
        """See `System`; there are as many codes of normal images as the file says."""
        template = super().template(arrays)
        if self.recipe.score != "nearest_code":
            return template
        bank = arrays.get("variables/codes")
        rows = bank.shape[0] if bank is not None and bank.ndim else self.recipe.count
        return {**template, "codes": jax.ShapeDtypeStruct((rows, self.recipe.latent_dim), jnp.float32)}

    def make_loss(self) -> LossFunction:
        """See `System`; every image is moved by up to `shift` pixels each way, another way each time."""
        elbo = make_elbo(self.make_model(), self.recipe.loss)

        def loss(variables: Variables, batch: Array, key: Array) -> tuple[Array, tuple[Variables, Terms]]:
            move_key, elbo_key = jax.random.split(key)
            return elbo(variables, shifted(move_key, batch, most=self.recipe.shift), elbo_key)

        return loss

    def watch(self, variables: PyTree, images: Images) -> Float[Array, " n"]:
        """The negative ELBO of each of the images `[n, h, w, c]`, with z at its posterior mean."""
        return losses.negative_elbo(images, *self._output(variables, images, "float32"))

    def reconstruct(self, variables: PyTree, images: Images, *, dtype: DTypeLike = "float32") -> AutoencoderOutput:
        """Reconstruction `[n, h, w, c]` and mean code of images; jit-safe."""
        output = self._output(variables, images, dtype)
        return AutoencoderOutput(output.mean, output.z_mean)

    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """Squared and relative error, and the mean distance of the code to the nearest ones of normal images.

        Images are `[n, h, w, c]`, scores `[n]` and `[n, h, w]`. The map of the relative error adds up to it; a code has
        no places, so its map is that of the squared error.
        """
        images = jnp.asarray(images)
        output = self.reconstruct(variables, images, dtype=dtype)
        error = jnp.mean((images - output.reconstruction) ** 2, axis=-1)
        relative = losses.relative_error(images, output.reconstruction)
        total = jnp.maximum(jnp.sum(error, axis=(1, 2)), losses.TINY)
        scored = {
            "squared_error": Scored(POOLS[self.recipe.pool](error), error),
            "relative_error": Scored(relative, error * (relative / total)[:, None, None]),
        }
        if "codes" in variables:
            distances, _ = linear.nearest(variables["codes"], output.code, count=self.recipe.count)
            scored["nearest_code"] = Scored(jnp.mean(distances, axis=1), error)
        return scored

    def _output(self, variables: PyTree, images: Images, dtype: DTypeLike) -> PatchVAEOutput:
        return PatchVAEOutput(*self.run({"params": variables["params"]}, images, dtype))


def shifted(key: PRNGKey, images: Images, *, most: int) -> Float[Array, "n h w c"]:
    """Each of the images `[n, h, w, c]` moved by up to `most` whole pixels each way; its border fills what is new."""
    n, h, w, _ = images.shape
    padded = jnp.pad(images, [(0, 0), (most, most), (most, most), (0, 0)], mode="edge")
    row, column = jax.random.randint(key, (2, n), 0, 2 * most + 1)
    return take_windows(padded, jnp.arange(n), row, column, size=(h, w))
