"""What the published systems were trained and measured on, and the figures that they were published with."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, TypeVar

from jaxad._check import InputError
from jaxad.protocols.conv_ae import ContaminatedExperiment, OtherDatasetExperiment
from jaxad.protocols.dense_ae import LatentSVMExperiment, NoiseExperiment
from jaxad.protocols.experiment import Protocol
from jaxad.protocols.patch_vae import PatchVAEExperiment
from jaxad.recipes import Recipe, parse

R = TypeVar("R", bound=Recipe)

CONV_AE = Protocol(
    experiment=ContaminatedExperiment,
    dataset="mnist",
    normal=1,
    anomaly=3,
    contamination=0.01,
    validation=0.2,
    published=(
        ("loss", 0.0016),
        ("validation", 0.0019),
        ("threshold", 0.0286),
        ("flagged", 7.0),
        ("flagged_anomalies", 5.0),
        ("auroc_train", 0.993),
        ("auroc", 0.9977),
    ),
)
SSIM_AE = Protocol(
    experiment=OtherDatasetExperiment, dataset="fashion_mnist", normal=None, anomaly=None, anomaly_dataset="mnist"
)
PATCH_VAE = Protocol(
    experiment=PatchVAEExperiment,
    dataset="mnist",
    normal=1,
    anomaly=9,
    published=(
        ("unregularised_mean", 0.924),
        ("unregularised_max", 0.905),
        ("regularised_mean", 0.945),
        ("regularised_max", 0.92),
    ),
    as_published=(
        ("loss_name", "batch_summed_negative_elbo"),
        ("cover", "seed"),
        ("reduce", "sum"),
        ("skip_last", True),
    ),
)
LATENT_OCSVM = Protocol(
    experiment=LatentSVMExperiment,
    dataset="fashion_mnist",
    normal=5,
    anomaly=7,
    published=(("auroc_pixels", 0.509236), ("auroc", 0.7)),
)
DENSE_AE = Protocol(
    experiment=NoiseExperiment,
    dataset="mnist",
    normal=None,
    anomaly=None,
    noise_train=200,
    noise_test=30_000,
    published=(("largest_noise", 1.27), ("largest_normal", 0.30)),
)

_OF_SYSTEMS = {
    "conv-ae": CONV_AE,
    "ssim-ae": SSIM_AE,
    "patch-vae": PATCH_VAE,
    "latent-ocsvm": LATENT_OCSVM,
    "dense-ae": DENSE_AE,
}
_OF_VARIANTS = {
    "conv-ae-small-code": CONV_AE,
    "ssim-ae-bottleneck": SSIM_AE,
    "latent-ocsvm-linear": LATENT_OCSVM,
    "dense-ae-calm": DENSE_AE,
    "patch-vae-calibrated": PATCH_VAE,
}
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {**_OF_SYSTEMS, **{name: replace(protocol, published=()) for name, protocol in _OF_VARIANTS.items()}}
)
"""The protocol of every recipe that was published, and of variants of these, by the recipe's name."""
SETTINGS = ("contamination", "validation", "noise_train", "noise_test", "train_on_noise")
"""Fields of a protocol that are set as those of recipes are."""


def need_protocol(recipe: Recipe) -> Protocol:
    """The protocol of a recipe, by its name.

    Raises:
        InputError: it was published nowhere.
    """
    if recipe.name not in PROTOCOLS:
        raise InputError(f"recipe {recipe.name!r} has no published protocol to run; fit it on images of your own")
    return PROTOCOLS[recipe.name]


def as_published(recipe: R) -> R:
    """The recipe with every choice of the published code, such as the patch VAE's loss weighting, grid and crops.

    Recipes that keep to the published code anyway come back as they are.
    """
    changes: dict[str, Any] = dict(PROTOCOLS[recipe.name].as_published) if recipe.name in PROTOCOLS else {}
    return replace(recipe, **changes)


def with_protocol_settings(protocol: Protocol, settings: Sequence[str]) -> tuple[Protocol, list[str]]:
    """The protocol with those `"name=value"` texts that name one of `SETTINGS`, and the other texts.

    Raises:
        InputError: a value of the wrong type.

    >>> protocol, others = with_protocol_settings(CONV_AE, ["contamination=0.05", "epochs=3"])
    >>> protocol.contamination, others
    (0.05, ['epochs=3'])
    """
    types = {field.name: field.type for field in fields(protocol) if field.name in SETTINGS}
    changes: dict[str, Any] = {}
    for text in settings:
        name, _, value = (word.strip() for word in text.partition("="))
        if name in types:
            try:
                changes[name] = parse(value, types[name])
            except ValueError:
                raise InputError(f"cannot set {text!r}: {name} takes a value like {getattr(protocol, name)}") from None
    others = [text for text in settings if text.partition("=")[0].strip() not in types]
    return replace(protocol, **changes), others
