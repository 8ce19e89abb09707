"""Recipes: every published system as frozen data, with the figures it was published with.

A recipe holds numbers, strings and tuples only, so it hashes and is a static argument;
`dataclasses.replace` gives variants. What the names mean is decided in `jaxad.detector`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from jaxad._check import raise_problems
from jaxad._types import Cover, Reduce

UNSETTABLE = ("name", "summary", "source", "protocol", "published", "model", "as_published")
"""Fields that describe a system; the others are its settings."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The data a system was published on: train on `normal`, tell `anomaly` from it on the test split."""

    dataset: str
    normal: int
    anomaly: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every system says of itself."""

    name: str
    summary: str
    source: str
    """Where it was published."""
    protocol: Protocol | None
    """None where a recipe was published nowhere."""
    published: tuple[tuple[str, float], ...] = ()
    """Figures of the published system, or of its replica in the original framework, by name."""
    model: str
    loss: str
    score: str
    """Which of the model's scores judges an image."""
    pool: str = "mean"
    """How a map becomes one score: `"mean"` or `"max"` over its pixels."""
    epochs: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class PatchVAERecipe(Recipe):
    """A VAE on windows, slid over the image; see `jaxad.models.PatchVAE` and `jaxad.heatmaps`."""

    model: str = "patch_vae"
    window: tuple[int, int] = (8, 8)
    stride: tuple[int, int] = (2, 2)
    cover: Cover = "full"
    reduce: Reduce = "mean"
    filters: tuple[int, ...] = (16, 32)
    latent_dim: int = 2
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


PATCH_VAE = PatchVAERecipe(
    name="patch-vae",
    summary="VAE with Gaussian decoder on 8x8 windows, heatmap by sliding window",
    source="Matsubara et al., arXiv:1807.05800",
    protocol=Protocol(dataset="mnist", normal=1, anomaly=9),
    published=(
        ("unregularised_mean", 0.924),
        ("unregularised_max", 0.905),
        ("regularised_mean", 0.945),
        ("regularised_max", 0.92),
    ),
    loss="negative_elbo",
    score="unregularised",
    epochs=10,
    batch_size=128,
    learning_rate=1e-3,
)

TEXTURE_VAE = replace(
    PATCH_VAE,
    name="patch-vae-texture",
    summary="the patch VAE for surfaces: 16x16 windows, 16 latent dimensions, an image is as bad as its worst pixel",
    source="jaxad, after Matsubara et al., arXiv:1807.05800",
    protocol=None,
    published=(),
    window=(16, 16),
    stride=(4, 4),
    latent_dim=16,
    crops=30_000,
    epochs=8,
    pool="max",
)

RECIPES = MappingProxyType({recipe.name: recipe for recipe in (PATCH_VAE, TEXTURE_VAE)})
"""Every recipe by name."""


def with_settings(recipe: PatchVAERecipe, settings: Sequence[str]) -> PatchVAERecipe:
    """The recipe with fields changed by `"name=value"` texts, such as `"epochs=5"` or `"window=16,16"`.

    A field that holds a tuple takes its entries separated by commas.

    Raises:
        InputError: a text without `=`, an unknown field (the fields are listed), or a value of the wrong type.

    >>> with_settings(PATCH_VAE, ["epochs=5", "window=16,16"]).window
    (16, 16)
    """
    offered = {f.name: f.type for f in fields(recipe) if f.name not in UNSETTABLE}
    now = {name: _as_text(getattr(recipe, name)) for name in offered}
    changes: dict[str, Any] = {}
    problems = []
    for text in settings:
        name, separator, value = text.partition("=")
        name = name.strip()
        if not separator or name not in offered:
            shown = ", ".join(f"{field}={value}" for field, value in now.items())
            problems.append(f"cannot set {text!r}: write field=value with one of {shown}")
            continue
        try:
            changes[name] = _parse(value.strip(), offered[name])
        except ValueError:
            problems.append(f"cannot set {text!r}: {name} takes a value like {now[name]}")
    raise_problems(problems)
    return replace(recipe, **changes)


def published_variant(recipe: PatchVAERecipe) -> PatchVAERecipe:
    """The recipe with the loss weighting, grid and crops of the published code."""
    changes: dict[str, Any] = dict(recipe.as_published)
    return replace(recipe, **changes)


def _parse(text: str, kind: Any) -> object:
    """The text as a value of the annotated type `kind`; ValueError where it is none."""
    inside = get_args(kind)
    if get_origin(kind) is tuple:
        entries = text.split(",")
        if inside[-1] is not Ellipsis and len(entries) != len(inside):
            raise ValueError(text)
        return tuple(_parse(entry.strip(), inside[0]) for entry in entries)
    if get_origin(kind) is Literal:
        return inside[inside.index(text)]
    if kind is bool:
        return ("false", "true").index(text.lower()) == 1
    return kind(text)


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
