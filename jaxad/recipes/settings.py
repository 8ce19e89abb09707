"""Recipes from text: fields set on the command line, whole recipes in JSON."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jaxad._check import InputError, need_fields, raise_problems
from jaxad.recipes.methods import NetworkRecipe
from jaxad.recipes.recipe import KINDS, Recipe

R = TypeVar("R", bound=Recipe)
RENAMED = {"loss": "loss_name", "score": "score_name"}
RETIRED = (
    *("model", "loss_name", "score_name", "epochs", "batch_size", "learning_rate", "learning_rate_decay"),
    *("one_cycle", "weight_decay", "adam_epsilon", "restarts", "protocol", "published", "as_published"),
    *("contamination", "validation", "noise_train", "noise_test", "train_on_noise"),
)
"""Fields that jaxad 0.1 wrote and nothing depends on: of training where nothing is trained, and of experiments."""
UNSETTABLE = ("name", "summary", "source")
"""Fields that describe a system; the others, but for recipes, are its settings."""


def with_settings(recipe: R, settings: Sequence[str]) -> R:
    """The recipe with fields changed by `"name=value"` texts, such as `"epochs=5"` or `"window=16,16"`.

    A field that holds a tuple takes its entries separated by commas; features and stride of a block are one entry,
    with a colon between, as in `"encoder=32:2,64:2"`. Fields of the recipes inside a recipe are set behind their name,
    as in `"drawn-defects.epochs=5"` for `surface`.

    Raises:
        InputError: a text without `=`, a field that is unknown or without use (the fields are listed, or which part
            has one of that name), or a value of the wrong type.

    >>> from jaxad.methods import PATCH_VAE
    >>> with_settings(PATCH_VAE, ["epochs=5", "window=16,16"]).window
    (16, 16)
    """
    inside = {part.name: part for parts in _inside(recipe).values() for part in parts}
    offered, problems = _offered(recipe), []
    changes: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for text in settings:
        name, separator, value = (word.strip() for word in text.partition("="))
        part, _, field = name.rpartition(".")
        if separator and part in inside:
            texts.setdefault(part, []).append(f"{field}={value}")
        elif not separator or name not in offered:
            problems.append(f"cannot set {text!r}: {_mend(recipe, inside, name, value)}")
        else:
            try:
                changes[name] = parse(value, offered[name])
            except ValueError:
                problems.append(f"cannot set {text!r}: {name} takes a value like {as_text(getattr(recipe, name))}")
    for part, its in texts.items():
        try:
            inside[part] = with_settings(inside[part], its)
        except InputError as error:
            problems.append(f"{part}: {error}")
    raise_problems(problems)
    holders = _holders(type(recipe))
    held = {
        name: _as_held([inside[part.name] for part in parts], many=holders[name])
        for name, parts in _inside(recipe).items()
    }
    return replace(recipe, **changes, **held)


def setting_wherever(recipe: Recipe, name: str, value: object) -> list[str]:
    """Settings for `with_settings` that give a field this value: of the recipe, or of every part that has it.

    >>> from jaxad.methods import RECIPES
    >>> setting_wherever(RECIPES["surface"], "epochs", 5)
    ['drawn-defects.epochs=5']
    """
    inside = [part for parts in _inside(recipe).values() for part in parts]
    parts = [f"{part.name}." for part in inside if name in _offered(part)]
    return [f"{part}{name}={value}" for part in ([""] if name in _offered(recipe) else parts or [""])]


def _holders(kind: type[Recipe]) -> dict[str, bool]:
    """The fields of a kind that hold recipes, and whether each holds a tuple of them or one."""
    holders = {}
    for name, hint in get_type_hints(kind).items():
        many = get_origin(hint) is tuple
        held = get_args(hint)[0] if many and get_args(hint) else hint
        if isinstance(held, type) and issubclass(held, Recipe):
            holders[name] = many
    return holders


def _inside(recipe: Recipe) -> dict[str, tuple[Recipe, ...]]:
    """The recipes inside a recipe, by the field that holds them."""
    held = {name: getattr(recipe, name) for name in _holders(type(recipe))}
    return {name: given if isinstance(given, tuple) else (given,) for name, given in held.items()}


def _stand_ins(holders: Mapping[str, bool]) -> dict[str, Any]:
    """JSON for fields that hold recipes, which are read apart."""
    return {name: () if many else {} for name, many in holders.items()}


def _as_held(recipes: Sequence[Recipe], *, many: bool) -> Any:
    """What a field holds of these recipes: a tuple of them, or the one."""
    return tuple(recipes) if many else recipes[0]


def _offered(recipe: Recipe) -> dict[str, Any]:
    """The fields that can be set, with their types."""
    types, left = get_type_hints(type(recipe)), {*UNSETTABLE, *recipe.without_use, *_inside(recipe)}
    return {field.name: types[field.name] for field in fields(recipe) if field.name not in left}


def _mend(recipe: Recipe, inside: Mapping[str, Recipe], name: str, value: str) -> str:
    """What to write in place of a field that cannot be set."""
    held = _inside(recipe).get(name.partition(".")[0])
    if held is not None:
        return f"that holds recipes; write {' or '.join(f'{part.name}.field=value' for part in held)}"
    takers = [part for part, its in inside.items() if name in _offered(its)]
    if takers:
        settings = ", ".join(f"{part}.{name}={value}" for part in takers)
        some = ", or some of these" if len(takers) > 1 else ""
        return f"{recipe.name} has no {name} of its own and its parts have: write {settings}{some}"
    shown = name_settings(recipe)
    lacks = f"{recipe.name} has no {name}; " if name and name not in _offered(recipe) else ""
    return f"{lacks}write field=value with one of {shown}"


def name_settings(recipe: Recipe) -> str:
    """The fields that can be set, with their values, for a sentence."""
    return ", ".join(f"{field}={as_text(getattr(recipe, field))}" for field in _offered(recipe))


def need_types(recipe: Recipe) -> None:
    """Refuse fields of other types than they are annotated with, which no file of the recipe could give back.

    Raises:
        InputError: there is one.
    """
    inside = _inside(recipe)
    for name, parts in inside.items():
        for part in parts:
            if not isinstance(part, Recipe):
                raise InputError(f"{name} of recipe {recipe.name!r} must be recipes, got {part!r}")
    given = {one.name: getattr(recipe, one.name) for one in fields(recipe) if one.name not in inside}
    stand_ins = _stand_ins(_holders(type(recipe)))
    need_fields({**given, **stand_ins}, type(recipe), what=f"recipe {recipe.name!r}", of="its class")


def count_epochs(recipe: Recipe) -> int:
    """How many epochs the longest training of the recipe has; 1 where nothing is trained."""
    return max([getattr(recipe, "epochs", 1), *map(count_epochs, recipe.ingredients)])


def is_trained(recipe: Recipe) -> bool:
    """Whether the recipe, or one of those that it puts together, has epochs."""
    return isinstance(recipe, NetworkRecipe) or any(map(is_trained, recipe.ingredients))


def to_document(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON, with the name of its kind; `from_document` reads it."""
    document = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    inside = {
        name: [to_document(part) for part in document[name]] if many else to_document(document[name])
        for name, many in _holders(type(recipe)).items()
    }
    return {"kind": recipe.kind, **document, **inside}


def settled_fields(asked: Recipe, fitted: Recipe) -> dict[str, Any]:
    """The fields that `Recipe.settle` decided, of a recipe that was asked for and of what it became."""
    before, after = to_document(asked), to_document(fitted)
    return {name: value for name, value in after.items() if value != before[name]}


def from_document(document: Mapping[str, Any]) -> Recipe:
    """The recipe that `to_document` wrote.

    Raises:
        InputError: a kind, a field or a value that this version of jaxad does not know, or a kind that is defined in a
            module which was not imported.
    """
    # Before kinds had names of their own, the model's stood for them.
    name = document.get("kind", document.get("model"))
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(
            f"kind of recipe must be one of {', '.join(sorted(KINDS))}, got {name!r}; import the module that defines "
            "it first, on the command line with --import MODULE"
        )
    inside = {name: many for name, many in _holders(kind).items() if name in document}
    known = {field.name for field in fields(kind)}
    given = {RENAMED.get(name, name): value for name, value in document.items() if name != "kind"}
    values = {name: value for name, value in given.items() if name in known or name not in RETIRED}
    own = "" if kind.__module__.startswith("jaxad.") else f"{kind.__module__}.{kind.__qualname__}, as it is now"
    version = own or "this version of jaxad"
    recipe = need_fields({**values, **_stand_ins(inside)}, kind, what="recipe", of=version)
    parts = {
        name: need_fields(
            document[name] if many else [document[name]], tuple[dict[str, Any], ...], what=f"recipe's {name}"
        )
        for name, many in inside.items()
    }
    held = {name: _as_held([*map(from_document, parts[name])], many=many) for name, many in inside.items()}
    return replace(recipe, **held)


def parse(text: str, kind: Any) -> Any:
    """The text as a value of the annotated type `kind`; ValueError where it is none."""
    inside = get_args(kind)
    if not text and inside == (float, Ellipsis):
        return ()  # a range that is left out
    if get_origin(kind) is tuple:
        # A tuple of tuples leaves the commas to the outer one.
        entries = text.split("," if "," in text or ":" not in text or get_origin(inside[0]) is tuple else ":")
        if inside[-1] is not Ellipsis and len(entries) != len(inside):
            raise ValueError(text)
        return tuple(parse(entry.strip(), inside[0]) for entry in entries)
    if get_origin(kind) is Literal:
        return inside[inside.index(text)]
    if get_origin(kind) in (Union, UnionType):
        return _first_of(text, inside)
    if kind is NoneType:
        if text.lower() == "none":
            return None
        raise ValueError(text)
    if kind is bool:
        return ("false", "true").index(text.lower()) == 1
    try:
        value = kind(text)
    except TypeError:
        raise ValueError(text) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)  # no JSON holds it
    return value


def _first_of(text: str, kinds: tuple[Any, ...]) -> Any:
    # Text can be anything, so it is what is left where nothing else does.
    for kind in sorted(kinds, key=lambda kind: kind is str):
        with contextlib.suppress(ValueError):
            return parse(text, kind)
    raise ValueError(text)


def as_text(value: object) -> str:
    """The value of a field as `with_settings` reads it.

    >>> as_text(((32, 2), (64, 2)))
    '32:2,64:2'
    """
    if not isinstance(value, tuple):
        return str(value)
    return ",".join(":".join(map(str, entry)) if isinstance(entry, tuple) else str(entry) for entry in value)
