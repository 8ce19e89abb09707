"""Recipes from text: fields set on the command line, whole recipes in JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Literal, TypeVar, get_args, get_origin

from jaxad._check import need_fields, need_one_of, raise_problems
from jaxad.recipes.kinds import (
    AutoRecipe,
    ClosedFormRecipe,
    ConvAERecipe,
    DenseAERecipe,
    DenseVAERecipe,
    DrawnDefectsRecipe,
    FusionRecipe,
    PatchComponentsRecipe,
    PatchVAERecipe,
    Recipe,
)

R = TypeVar("R", bound=Recipe)
RECIPES_INSIDE = ("parts", "candidates")
"""Fields that hold recipes."""
UNSETTABLE = ("name", "summary", "source", "protocol", "published", "model", "as_published", *RECIPES_INSIDE)
"""Fields that describe a system; the others are its settings."""

KINDS: dict[str, type[Recipe]] = {
    "patch_vae": PatchVAERecipe,
    "conv_ae": ConvAERecipe,
    "dense_ae": DenseAERecipe,
    "dense_vae": DenseVAERecipe,
    "closed_form": ClosedFormRecipe,
    "patch_components": PatchComponentsRecipe,
    "drawn_defects": DrawnDefectsRecipe,
    "fusion": FusionRecipe,
    "auto": AutoRecipe,
}
"""The kind of recipe that each model has."""


def with_settings(recipe: R, settings: Sequence[str]) -> R:
    """The recipe with fields changed by `"name=value"` texts, such as `"epochs=5"` or `"window=16,16"`.

    A field that holds a tuple takes its entries separated by commas; features and stride of a block are one entry,
    with a colon between, as in `"encoder=32:2,64:2"`.

    Raises:
        InputError: a text without `=`, an unknown field (the fields are listed), or a value of the wrong type.

    >>> from jaxad.recipes import PATCH_VAE
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


def published_variant(recipe: R) -> R:
    """The recipe with every choice of the published code, such as the patch VAE's loss weighting, grid and crops.

    Recipes that keep to the published code anyway come back as they are.
    """
    changes: dict[str, Any] = dict(getattr(recipe, "as_published", ()))
    return replace(recipe, **changes)


def to_document(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON; `from_document` reads it."""
    return asdict(recipe)


def from_document(document: Mapping[str, Any]) -> Recipe:
    """The recipe that `to_document` wrote.

    Raises:
        InputError: a model, a field or a value that this version of jaxad does not know.
    """
    need_one_of(document.get("model"), KINDS, what="model")
    kind = KINDS[document["model"]]
    inside = [name for name in RECIPES_INSIDE if name in document]
    recipe = need_fields({**document, **dict.fromkeys(inside, ())}, kind, what="recipe")
    parts = {name: need_fields(document[name], tuple[dict[str, Any], ...], what=f"recipe's {name}") for name in inside}
    recipes: dict[str, Any] = {name: tuple(map(from_document, parts[name])) for name in inside}
    return replace(recipe, **recipes)


def _parse(text: str, kind: Any) -> object:
    """The text as a value of the annotated type `kind`; ValueError where it is none."""
    inside = get_args(kind)
    if not text and inside == (float, Ellipsis):
        return ()  # a range that is left out
    if get_origin(kind) is tuple:
        # A tuple of tuples leaves the commas to the outer one.
        entries = text.split("," if "," in text or ":" not in text or get_origin(inside[0]) is tuple else ":")
        if inside[-1] is not Ellipsis and len(entries) != len(inside):
            raise ValueError(text)
        return tuple(_parse(entry.strip(), inside[0]) for entry in entries)
    if get_origin(kind) is Literal:
        return inside[inside.index(text)]
    if kind is bool:
        return ("false", "true").index(text.lower()) == 1
    return kind(text)


def _as_text(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return ",".join(":".join(map(str, entry)) if isinstance(entry, tuple) else str(entry) for entry in value)
