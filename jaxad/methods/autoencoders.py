"""Autoencoders of whole images: convolutional, and dense with or without a one-class SVM on the code."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad import losses, one_class_svm
from jaxad._check import need_one_of
from jaxad._types import Images, PRNGKey
from jaxad.batching import run_in_batches
from jaxad.methods.faults import blind_reconstruction, dead_code
from jaxad.models import ACTIVATIONS, AutoencoderOutput, ConvAE, DenseAE
from jaxad.one_class_svm import OneClassSVM
from jaxad.pooling import POOLS
from jaxad.recipes import ConvertedLayers, NetworkRecipe, Scores, Shape, Variables
from jaxad.ssim import ssim_map

SSIM_BORDER = 5
"""Pixels on each side that the 11 x 11 window of SSIM cannot be centred on."""
LOSSES = {"squared_error": losses.squared_error, "ssim_loss": losses.ssim_loss}
ONE_CLASS_SVM = "one_class_svm"

Blocks = tuple[tuple[int, int], ...]


class AutoencoderRecipe(NetworkRecipe, kind=""):
    """What autoencoders of whole images of one size have in common."""

    loss_names: ClassVar[tuple[str, ...]] = tuple(LOSSES)
    score_names: ClassVar[tuple[str, ...]] = tuple(LOSSES)

    loss_name: str = "squared_error"
    """What is minimised, one of `loss_names`."""
    score_name: str = "squared_error"
    """What judges an image, one of `score_names`."""

    def check(self, shape: Shape) -> None:
        """See `Recipe`; SSIM also needs images of 11 pixels."""
        need_one_of(self.loss_name, self.loss_names, what="loss_name")
        need_one_of(self.score_name, self.score_names, what="score_name")
        if self._measures_ssim:
            example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
            jax.eval_shape(losses.ssim_loss, example, example)

    def loss(
        self, model: Any, variables: Variables, batch: Array, key: PRNGKey
    ) -> tuple[Float[Array, ""], Variables, dict[str, Array]]:
        """The mean over the batch `[b, h, w, c]` of the loss that is named."""
        output, changed = model.apply(variables, batch, train=True, mutable=["batch_stats"])
        return jnp.mean(LOSSES[self.loss_name](batch, output.reconstruction)), dict(changed), {}

    def watch(self, model: Any, variables: Variables, images: Images) -> Float[Array, " n"]:
        """See `NetworkRecipe`; images are `[n, h, w, c]`."""
        return LOSSES[self.loss_name](images, self.reconstruct(model, variables, images).reconstruction)

    def reconstruct(self, model: Any, variables: Variables, images: Images) -> AutoencoderOutput:
        """Reconstruction `[n, h, w, c]` and code of images; jit-safe."""
        return AutoencoderOutput(*model.apply(variables, images))

    def score(self, model: Any, variables: Variables, images: Images) -> Scores:
        """Squared error, and 1 - SSIM where the recipe names it; images are `[n, h, w, c]`.

        An image's squared error is the pool of its map; its 1 - SSIM is the pool over the positions of the window,
        and in the map a window's value stands at its middle, repeated into the border.
        """
        return self.errors(images, self.reconstruct(model, variables, images).reconstruction)

    def errors(self, images: Images, reconstruction: Images) -> dict[str, Any]:
        """See `score`; both are `[n, h, w, c]`."""
        scores: dict[str, Any] = {"squared_error": jnp.mean((images - reconstruction) ** 2, axis=-1)}
        if self._measures_ssim:
            inside = 1.0 - jnp.mean(ssim_map(images, reconstruction), axis=-1)
            border = [(0, 0), (SSIM_BORDER, SSIM_BORDER), (SSIM_BORDER, SSIM_BORDER)]
            scores["ssim_loss"] = POOLS[self.pool](inside), jnp.pad(inside, border, mode="edge")
        return scores

    def faults(self, model: Any, variables: Variables, images: Images) -> list[str]:
        """A dead code, or a blind reconstruction; images are `[n, h, w, c]`."""
        output = outputs(self, model, variables, images)
        codes = output.code.reshape(len(images), -1)
        made = np.asarray(output.reconstruction)
        return [*dead_code(np.asarray(codes)), *blind_reconstruction(np.asarray(images), made)]

    @property
    def _measures_ssim(self) -> bool:
        return "ssim_loss" in (self.loss_name, self.score_name)


class ConvAERecipe(AutoencoderRecipe, kind="conv_ae"):
    """A convolutional autoencoder of whole images; see `jaxad.models.ConvAE`."""

    encoder: Blocks
    decoder: Blocks
    latent_dim: int
    """Size of the dense code; 0 keeps the last convolution's output as the code."""
    slope: float
    activation_first: bool

    def model(self, shape: Shape) -> ConvAE:
        """See `NetworkRecipe`."""
        code = self.latent_dim or None
        return ConvAE(shape, self.encoder, self.decoder, code, self.slope, self.activation_first)

    def converted_layers(self) -> ConvertedLayers:
        """See `NetworkRecipe`."""
        dense: ConvertedLayers = (("code", "Dense"), ("decoder_dense", "Dense")) if self.latent_dim else ()
        return (
            *((f"encoder_{i}", "Conv") for i in range(len(self.encoder))),
            *((f"encoder_norm_{i}", "BatchNorm") for i in range(len(self.encoder))),
            *dense,
            *((f"decoder_{i}", "ConvTranspose") for i in range(len(self.decoder))),
            *((f"decoder_norm_{i}", "BatchNorm") for i in range(len(self.decoder))),
            ("output", "ConvTranspose"),
        )


class DenseAERecipe(AutoencoderRecipe, kind="dense_ae"):
    """A dense autoencoder of whole images, with or without a one-class SVM on its code; see `jaxad.models.DenseAE`."""

    score_names: ClassVar[tuple[str, ...]] = (*LOSSES, ONE_CLASS_SVM)

    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    code_activation: str = "relu"
    decoder_activation: str = "relu"
    output_activation: str = "sigmoid"
    norm: bool = False
    torch_init: bool = False

    def check(self, shape: Shape) -> None:
        """See `Recipe`; activations have names too."""
        super().check(shape)
        for field in ("code_activation", "decoder_activation", "output_activation"):
            need_one_of(getattr(self, field), ACTIVATIONS, what=field)

    def model(self, shape: Shape) -> DenseAE:
        """See `NetworkRecipe`."""
        return DenseAE(
            shape,
            self.encoder,
            self.decoder,
            self.code_activation,
            self.decoder_activation,
            self.output_activation,
            self.norm,
            self.torch_init,
        )

    def finish(self, model: Any, variables: Variables, images: Images) -> Variables:
        """The variables with the SVM of the codes of images `[n, h, w, c]`, where it judges."""
        if self.score_name != ONE_CLASS_SVM:
            return variables
        svm = one_class_svm.fit(np.asarray(outputs(self, model, variables, images).code))
        return {**variables, ONE_CLASS_SVM: svm._asdict()}

    def score(self, model: Any, variables: Variables, images: Images) -> Scores:
        """See `AutoencoderRecipe`; the SVM knows no places, so its map `[n, h, w]` is that of the squared error."""
        output = self.reconstruct(model, variables, images)
        scores = self.errors(images, output.reconstruction)
        if ONE_CLASS_SVM in variables:
            svm = OneClassSVM(**variables[ONE_CLASS_SVM])
            scores[ONE_CLASS_SVM] = svm.score(output.code), scores["squared_error"]
        return scores

    def without_finish(self) -> "DenseAERecipe":
        """See `NetworkRecipe`: no file of weights holds the SVM, so the squared error judges."""
        return self if self.score_name != ONE_CLASS_SVM else replace(self, score_name="squared_error")

    def converted_layers(self) -> ConvertedLayers:
        """See `NetworkRecipe`."""
        norms: ConvertedLayers = (("input_norm", "BatchNorm"), ("output_norm", "BatchNorm")) if self.norm else ()
        return (
            *((f"encoder_{i}", "Dense") for i in range(len(self.encoder))),
            *((f"decoder_{i}", "Dense") for i in range(len(self.decoder))),
            ("output", "Dense"),
            *norms,
        )

    def template(self, model: Any, start: Variables, arrays: Mapping[str, Any]) -> Variables:
        """See `NetworkRecipe`; the file says how many support vectors there are."""
        if self.score_name != ONE_CLASS_SVM:
            return dict(start)
        weights = arrays.get(ONE_CLASS_SVM, {}).get("weights")
        count = weights.shape[0] if weights is not None and weights.ndim else 1
        sizes = (count, self.encoder[-1]), (count,), (), ()
        svm = {
            name: jax.ShapeDtypeStruct(size, jnp.float32) for name, size in zip(OneClassSVM._fields, sizes, strict=True)
        }
        return {**start, ONE_CLASS_SVM: svm}


def outputs(recipe: AutoencoderRecipe, model: Any, variables: Variables, images: Images) -> AutoencoderOutput:
    """What the model makes of images `[n, h, w, c]`, batch by batch, on the host."""
    run = partial(_output, recipe, model, variables)
    return run_in_batches(lambda batch: run(batch.images), np.asarray(images))


@partial(jax.jit, static_argnums=(0, 1))
def _output(recipe: AutoencoderRecipe, model: Any, variables: Variables, images: Images) -> AutoencoderOutput:
    return recipe.reconstruct(model, variables, images)
