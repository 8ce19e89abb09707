"""Autoencoders of whole images as detectors."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from jaxad import losses
from jaxad._check import need_one_of
from jaxad._types import Images
from jaxad.detector.system import POOLS, Scored, System
from jaxad.models import ACTIVATIONS, AutoencoderOutput, ConvAE, DenseAE
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import ConvAERecipe, DenseAERecipe
from jaxad.ssim import ssim_map
from jaxad.training import LossFunction, Terms, Variables

SSIM_BORDER = 5
"""Pixels on each side that the 11 x 11 window of SSIM cannot be centred on."""


class AutoencoderSystem(System):
    """An autoencoder of whole images of one size."""

    scores: ClassVar[tuple[str, ...]] = ("squared_error", "ssim_loss")
    losses: ClassVar[tuple[str, ...]] = ("squared_error", "ssim_loss")

    def need_sound(self) -> None:
        """See `System`; SSIM also needs images of 11 pixels."""
        super().need_sound()
        if "ssim_loss" in (self.recipe.loss, self.recipe.score):
            jax.eval_shape(losses.ssim_loss, self.example(), self.example())

    def make_loss(self) -> LossFunction:
        """See `System`."""
        model, function = self.make_model(), getattr(losses, self.recipe.loss)

        def loss(variables: Variables, batch: Array, key: Array) -> tuple[Array, tuple[Variables, Terms]]:
            output, changed = model.apply(variables, batch, train=True, mutable=["batch_stats"])
            return jnp.mean(function(batch, output.reconstruction)), ({**changed}, {})

        return loss

    def watch(self, variables: PyTree, images: Images) -> Float[Array, " n"]:
        """The loss of each of the images `[n, h, w, c]`, as the model is when it scores."""
        return getattr(losses, self.recipe.loss)(images, self.reconstruct(variables, images).reconstruction)

    def reconstruct(self, variables: PyTree, images: Images, *, dtype: DTypeLike = "float32") -> AutoencoderOutput:
        """Reconstruction `[n, h, w, c]` and code of images; jit-safe."""
        return AutoencoderOutput(*self.run(variables, images, dtype))

    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """Squared error, 1 - SSIM where the recipe names it, and the SVM's score where there is one.

        Images are `[n, h, w, c]`, scores `[n]` and `[n, h, w]`.

        An image's squared error is the pool of its map; its 1 - SSIM is the mean over the positions of the window,
        and in the map a window's value stands at its middle, repeated into the border.
        """
        images = jnp.asarray(images)
        output = self.reconstruct(variables, images, dtype=dtype)
        error = jnp.mean((images - output.reconstruction) ** 2, axis=-1)
        scored = {"squared_error": Scored(POOLS[self.recipe.pool](error), error)}
        if "ssim_loss" in (self.recipe.loss, self.recipe.score):
            inside = 1.0 - jnp.mean(ssim_map(images, output.reconstruction), axis=-1)
            border = [(0, 0), (SSIM_BORDER, SSIM_BORDER), (SSIM_BORDER, SSIM_BORDER)]
            scored["ssim_loss"] = Scored(POOLS[self.recipe.pool](inside), jnp.pad(inside, border, mode="edge"))
        if head is not None:
            scored["one_class_svm"] = Scored(head.score(output.code), error)
        return scored


class ConvAESystem(AutoencoderSystem):
    """The convolutional autoencoder."""

    recipe: ConvAERecipe

    def make_model(self) -> ConvAE:
        """See `System`."""
        recipe = self.recipe
        code = recipe.latent_dim or None
        return ConvAE(self.shape, recipe.encoder, recipe.decoder, code, recipe.slope, recipe.activation_first)


class DenseAESystem(AutoencoderSystem):
    """The dense autoencoder, with or without a one-class SVM on its code."""

    recipe: DenseAERecipe
    scores = (*AutoencoderSystem.scores, "one_class_svm")

    def need_sound(self) -> None:
        """See `System`; activations have names too."""
        super().need_sound()
        for field in ("code_activation", "decoder_activation", "output_activation"):
            need_one_of(getattr(self.recipe, field), ACTIVATIONS, what=field)

    def make_model(self) -> DenseAE:
        """See `System`."""
        recipe = self.recipe
        return DenseAE(
            self.shape,
            recipe.encoder,
            recipe.decoder,
            recipe.code_activation,
            recipe.decoder_activation,
            recipe.output_activation,
            recipe.norm,
            recipe.torch_init,
        )
