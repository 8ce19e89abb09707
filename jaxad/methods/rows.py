"""The published systems, one recipe each, one improved variant of each, and jaxad's own."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from jaxad.methods.auto import AutoRecipe
from jaxad.methods.autoencoders import ConvAERecipe, DenseAERecipe
from jaxad.methods.closed_form import ClosedFormRecipe
from jaxad.methods.dense_vae import DenseVAERecipe
from jaxad.methods.drawn_defects import DrawnDefectsRecipe
from jaxad.methods.fusion import FusionRecipe
from jaxad.methods.padim import PaDiMRecipe
from jaxad.methods.patch_components import PatchComponentsRecipe
from jaxad.methods.patch_vae import PatchVAERecipe
from jaxad.methods.patchcore import PatchCoreRecipe

CONV_AE = ConvAERecipe(
    name="conv-ae",
    summary="convolutional autoencoder on a set with 1 % unlabelled anomalies",
    source="Keras tutorial on anomaly detection with autoencoders",
    encoder=((32, 2), (64, 2)),
    decoder=((64, 2), (32, 2)),
    latent_dim=16,
    slope=0.2,
    activation_first=True,
    epochs=20,
    batch_size=32,
    learning_rate=1e-3,
    learning_rate_decay=1e-3 / 20,
)

SSIM_AE = ConvAERecipe(
    name="ssim-ae",
    summary="deep convolutional autoencoder trained on structural similarity",
    source="Keras tutorial on autoencoders with SSIM loss",
    loss_name="ssim_loss",
    score_name="ssim_loss",
    encoder=((32, 1), (64, 2), (64, 2)),
    decoder=((64, 1), (64, 2), (32, 2)),
    latent_dim=0,
    slope=0.3,
    activation_first=False,
    epochs=10,
    batch_size=128,
    learning_rate=5e-4,
)

PATCH_VAE = PatchVAERecipe(
    name="patch-vae",
    summary="VAE with Gaussian decoder on 8x8 windows, heatmap by sliding window",
    source="Matsubara et al., arXiv:1807.05800",
    epochs=10,
    batch_size=128,
    learning_rate=1e-3,
)

LATENT_OCSVM = DenseAERecipe(
    name="latent-ocsvm",
    summary="dense autoencoder to two dimensions, then a one-class SVM on the code",
    source="tutorial on one-class SVM with autoencoder codes",
    score_name="one_class_svm",
    encoder=(128, 64, 32, 2),
    decoder=(32, 64, 128),
    epochs=50,
    batch_size=32,
    learning_rate=1e-3,
)

DENSE_AE = DenseAERecipe(
    name="dense-ae",
    summary="dense autoencoder of all digits against images of noise",
    source="PyTorch tutorial on autoencoders for anomaly detection",
    encoder=(512, 256, 128, 64, 32, 16),
    decoder=(32, 64, 128, 256, 512),
    decoder_activation="tanh",
    output_activation="tanh",
    norm=True,
    torch_init=True,
    epochs=160,
    batch_size=64,
    learning_rate=1e-2,
    weight_decay=1e-5,
    adam_epsilon=1e-8,
)

CALIBRATED_VAE = replace(
    PATCH_VAE,
    name="patch-vae-calibrated",
    summary="the patch VAE with bounded variance, judged by what is usual at each position of held-out normal images",
    source="jaxad, after Matsubara et al., arXiv:1807.05800",
    latent_dim=4,
    variance_range=(1e-3, 0.25),
    z_log_variance_range=(-8.0, 4.0),
    epochs=5,
    one_cycle=True,
    learning_rate=2e-3,
    restarts=3,
    holdout=0.2,
    score_name="likelihood",
    pool="top",
)

_IMAGE_ERROR = DenseVAERecipe(
    name="error",
    summary="reconstruction error of a dense VAE on whole images",
    source="jaxad",
    variance=0.05,
    epochs=15,
    batch_size=128,
    learning_rate=1e-3,
    one_cycle=True,
)
_IMAGE_CODE = replace(
    _IMAGE_ERROR,
    name="code",
    summary="distance of a dense VAE's code to the nearest codes of normal images, trained on shifted ones",
    score_name="nearest_code",
    variance=0.02,
    shift=1,
    epochs=25,
)
IMAGE_VAE = FusionRecipe(
    name="image-vae",
    summary="dense VAEs of whole images: latent nearest-neighbour distance of two plus reconstruction error of one",
    source="jaxad",
    parts=(_IMAGE_CODE, replace(_IMAGE_CODE, name="wider-code", shift=2), _IMAGE_ERROR),
    holdout=0.1,
)

TEXTURE_VAE = replace(
    PATCH_VAE,
    name="patch-vae-texture",
    summary="the patch VAE for surfaces: 16x16 windows, 16 latent dimensions, an image is as bad as its worst pixel",
    source="jaxad, after Matsubara et al., arXiv:1807.05800",
    window=(16, 16),
    stride=(4, 4),
    latent_dim=16,
    crops=30_000,
    epochs=8,
    pool="max",
)

VARIANTS = (
    replace(
        CONV_AE,
        name="conv-ae-small-code",
        summary="conv-ae with a code of 4 numbers, too few to store the hidden anomalies",
        source="jaxad",
        latent_dim=4,
    ),
    replace(
        SSIM_AE,
        name="ssim-ae-bottleneck",
        summary="ssim-ae with a dense code of 16 numbers, so that it cannot learn to copy, in 3 epochs",
        source="jaxad",
        latent_dim=16,
        epochs=3,
    ),
    replace(
        LATENT_OCSVM,
        name="latent-ocsvm-linear",
        summary="latent-ocsvm with a linear code, which cannot die",
        source="jaxad",
        code_activation="linear",
    ),
    replace(
        DENSE_AE,
        name="dense-ae-calm",
        summary="dense-ae at a tenth of the learning rate, in 20 epochs",
        source="jaxad",
        learning_rate=1e-3,
        epochs=20,
    ),
)
"""One improved variant a published system; the patch VAE's own is its default, see `jaxad.protocols`."""

GRADIENT_NEIGHBOURS = ClosedFormRecipe(
    name="gradient-neighbours",
    summary="distance to the five nearest normal images in oriented gradients; nothing to train",
    source="jaxad",
    score_name="nearest",
    count=5,
)

CLOSED_FORM = (
    GRADIENT_NEIGHBOURS,
    replace(
        GRADIENT_NEIGHBOURS,
        name="gradient-components",
        summary="Mahalanobis distance in 16 principal components of oriented gradients",
        score_name="mahalanobis",
        count=16,
    ),
    replace(
        GRADIENT_NEIGHBOURS,
        name="pixel-neighbours",
        summary="distance to the five nearest normal images in pixels: the baseline of every other recipe",
        transform="none",
    ),
    replace(
        GRADIENT_NEIGHBOURS,
        name="pixel-components",
        summary="PCA residual of the pixels with 16 components: a linear autoencoder in closed form",
        transform="none",
        score_name="residual",
        count=16,
    ),
)
"""Fitted in seconds, for images of one size; every trained model must beat them."""

SURFACE_GRADIENTS = ClosedFormRecipe(
    name="surface-gradients",
    summary="Mahalanobis distance of local brightness and gradient energies around every spot; any size",
    source="jaxad",
    score_name="mahalanobis",
    transform="gradient_energies",
    local=True,
    count=16,
    pool="max",
)

PATCH_COMPONENTS = PatchComponentsRecipe(
    name="patch-components",
    summary="PCA residual of windows of 4 and of 8 pixels, too large or too small; any size",
    source="jaxad",
    scales=((4, 1, 8), (8, 2, 32)),
    pool="max",
)

DRAWN_DEFECTS = DrawnDefectsRecipe(
    name="drawn-defects",
    summary="a small U-Net trained to segment defects drawn on normal images; any size",
    source="jaxad",
    epochs=8,
    batch_size=16,
    learning_rate=2e-3,
    one_cycle=True,
    pool="max",
)

SURFACE = FusionRecipe(
    name="surface",
    summary="sum of the z-scores of surface-gradients, patch-components and drawn-defects; any size",
    source="jaxad",
    parts=(SURFACE_GRADIENTS, PATCH_COMPONENTS, DRAWN_DEFECTS),
    pool="max",
)

PATCHCORE = PatchCoreRecipe(
    name="patchcore",
    summary="distance to remembered features of frozen networks, EfficientNet-Lite by default, for photographs",
    source="Roth et al., arXiv:2106.08265",
)

PADIM = PaDiMRecipe(
    name="padim",
    summary="a Gaussian of a frozen network's features at every position, for photographs of aligned objects",
    source="Defard et al., arXiv:2011.08785",
)

FROZEN = (PATCHCORE, PADIM)
"""On the features of a network that others trained."""

AUTO = AutoRecipe(
    name="auto",
    summary="patchcore for folders of photographs; else the closed form that best tells images from such with defects",
    source="jaxad",
    candidates=(*CLOSED_FORM, SURFACE_GRADIENTS, PATCH_COMPONENTS),
    photographs=(PATCHCORE,),
)

SURFACES = (SURFACE_GRADIENTS, PATCH_COMPONENTS, DRAWN_DEFECTS, SURFACE)
"""For images of any size, whose defects are places on a surface."""

_ALL = (
    *(CONV_AE, SSIM_AE, PATCH_VAE, LATENT_OCSVM, DENSE_AE),
    *(*VARIANTS, CALIBRATED_VAE, IMAGE_VAE, TEXTURE_VAE, *CLOSED_FORM, *SURFACES, *FROZEN, AUTO),
)
RECIPES: Mapping[str, Any] = MappingProxyType({recipe.name: recipe for recipe in _ALL})
"""Every recipe by name."""
