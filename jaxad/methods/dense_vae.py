"""The dense VAE of whole images, which judges by its reconstruction or by the codes of the normal images."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxad import linear, losses
from jaxad._check import InputError, need_at_least
from jaxad._types import Images, PRNGKey
from jaxad.methods.autoencoders import AutoencoderRecipe, outputs
from jaxad.methods.patch_vae import negative_elbo
from jaxad.models import AutoencoderOutput, DenseVAE, PatchVAEOutput
from jaxad.patches import take_windows
from jaxad.recipes import Scores, Shape, Variables

NEAREST_CODE = "nearest_code"
CODES = "codes"


class DenseVAERecipe(AutoencoderRecipe, kind="dense_vae"):
    """A dense VAE of whole images; see `jaxad.models.DenseVAE`."""

    loss_names: ClassVar[tuple[str, ...]] = ("negative_elbo",)
    score_names: ClassVar[tuple[str, ...]] = ("squared_error", "relative_error", NEAREST_CODE)

    loss_name: str = "negative_elbo"
    score_name: str = "relative_error"
    layers: tuple[int, ...] = (512, 256)
    latent_dim: int = 16
    variance: float
    """Of every pixel, in squared units of the pixel."""
    shift: int = 0
    """Pixels that images are moved by while training, at most."""
    count: int = 5
    """Neighbours among the codes of normal images, for the score `nearest_code`."""

    def check(self, shape: Shape) -> None:
        """See `Recipe`."""
        super().check(shape)
        need_at_least(self.shift, 0, what="shift")
        need_at_least(self.count, 1, what="count")
        if not self.variance > 0:
            raise InputError(f"variance must be above 0, got {self.variance}")

    def model(self, shape: Shape) -> DenseVAE:
        """See `NetworkRecipe`."""
        return DenseVAE(shape, self.layers, self.latent_dim, self.variance)

    def template(self, model: Any, start: Variables, arrays: Mapping[str, Any]) -> Variables:
        """See `NetworkRecipe`; there are as many codes of normal images as the file says."""
        if self.score_name != NEAREST_CODE:
            return dict(start)
        bank = arrays.get(CODES)
        rows = bank.shape[0] if bank is not None and bank.ndim else self.count
        return {**start, CODES: jax.ShapeDtypeStruct((rows, self.latent_dim), jnp.float32)}

    def loss(
        self, model: Any, variables: Variables, batch: Array, key: PRNGKey
    ) -> tuple[Float[Array, ""], Variables, dict[str, Array]]:
        """The negative ELBO; every image `[b, h, w, c]` is moved by up to `shift` pixels, another way each time."""
        move_key, elbo_key = jax.random.split(key)
        moved = shifted(move_key, batch, most=self.shift)
        return negative_elbo(elbo_key, model, losses.negative_elbo, variables, moved)

    def finish(self, model: Any, variables: Variables, images: Images) -> Variables:
        """The variables with the codes of images `[n, h, w, c]`, where the distance to them judges."""
        if self.score_name != NEAREST_CODE:
            return variables
        return {**variables, CODES: outputs(self, model, variables, images).code}

    @property
    def least_images(self) -> int:
        """See `NetworkRecipe`; there must be as many codes as neighbours."""
        return self.count if self.score_name == NEAREST_CODE else 1

    def watch(self, model: Any, variables: Variables, images: Images) -> Float[Array, " n"]:
        """The negative ELBO of each of the images `[n, h, w, c]`, with z at its posterior mean."""
        return losses.negative_elbo(images, *_output(model, variables, images))

    def reconstruct(self, model: Any, variables: Variables, images: Images) -> AutoencoderOutput:
        """Reconstruction `[n, h, w, c]` and mean code of images; jit-safe."""
        output = _output(model, variables, images)
        return AutoencoderOutput(output.mean, output.z_mean)

    def score(self, model: Any, variables: Variables, images: Images) -> Scores:
        """Squared and relative error, and the mean distance of the code to the nearest ones of normal images.

        Images are `[n, h, w, c]`. The map of the relative error adds up to it; a code has no places, so its map is that
        of the squared error.
        """
        output = self.reconstruct(model, variables, images)
        error = jnp.mean((images - output.reconstruction) ** 2, axis=-1)
        relative = losses.relative_error(images, output.reconstruction)
        total = jnp.maximum(jnp.sum(error, axis=(1, 2)), losses.TINY)
        scores: dict[str, Any] = {
            "squared_error": error,
            "relative_error": (relative, error * (relative / total)[:, None, None]),
        }
        if CODES in variables:
            distances, _ = linear.nearest(variables[CODES], output.code, count=self.count)
            scores[NEAREST_CODE] = jnp.mean(distances, axis=1), error
        return scores


def _output(model: Any, variables: Variables, images: Images) -> PatchVAEOutput:
    return PatchVAEOutput(*model.apply({"params": variables["params"]}, images))


def shifted(key: PRNGKey, images: Images, *, most: int) -> Float[Array, "n h w c"]:
    """Each of the images `[n, h, w, c]` moved by up to `most` whole pixels each way; its border fills what is new."""
    n, h, w, _ = images.shape
    padded = jnp.pad(images, [(0, 0), (most, most), (most, most), (0, 0)], mode="edge")
    row, column = jax.random.randint(key, (2, n), 0, 2 * most + 1)

    def taken(padded: Array, row: Array, column: Array) -> Array:
        return take_windows(padded, jnp.arange(n), row, column, size=(h, w))

    def chosen(padded: Array, row: Array, column: Array) -> Array:
        rows = _chosen([padded[:, i : i + h] for i in range(2 * most + 1)], row)
        return _chosen([rows[:, :, i : i + w] for i in range(2 * most + 1)], column)

    # A TPU would take one image after the other.
    moved: Array = jax.lax.platform_dependent(padded, row, column, tpu=chosen, default=taken)
    return moved


def _chosen(among: list[Array], places: Int[Array, " n"]) -> Array:
    """Of each image `[n, h, w, c]` that one among several which stands at its place."""
    found = among[0]
    for place, one in enumerate(among[1:], start=1):
        found = jnp.where((places == place)[:, None, None, None], one, found)
    return found
