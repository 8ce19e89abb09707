"""What a recipe is: frozen data that answers for itself, and what methods are made of; jaxad's own: `jaxad.methods`."""

from jaxad.recipes.methods import ChoiceRecipe, ConvertedLayers, NetworkRecipe, PooledMap, Scores, SolvedRecipe
from jaxad.recipes.recipe import KINDS, Recipe, Shape, Variables
from jaxad.recipes.settings import (
    as_text,
    count_epochs,
    from_document,
    is_trained,
    name_settings,
    need_types,
    parse,
    setting_wherever,
    settled_fields,
    to_document,
    with_settings,
)

__all__ = [
    "KINDS",
    "ChoiceRecipe",
    "ConvertedLayers",
    "NetworkRecipe",
    "PooledMap",
    "Recipe",
    "Scores",
    "Shape",
    "SolvedRecipe",
    "Variables",
    "as_text",
    "count_epochs",
    "from_document",
    "is_trained",
    "name_settings",
    "need_types",
    "parse",
    "setting_wherever",
    "settled_fields",
    "to_document",
    "with_settings",
]
