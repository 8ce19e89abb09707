"""Recipes by name: jaxad's own, those of installed packages, and those of any module."""

import importlib
import importlib.metadata
import sys
from collections.abc import Iterable

from jaxad._check import InputError, need_one_of
from jaxad.methods.rows import RECIPES
from jaxad.recipes import Recipe

ENTRY_POINTS = "jaxad.recipes"
"""The group of entry points under which a package offers recipes by name."""


def named(recipe: Recipe | str) -> Recipe:
    """The recipe of that name; a recipe comes back as it is.

    Args:
        recipe: a name among `RECIPES`; that of an entry point in the group `jaxad.recipes` of an installed package; or
            `module:Name`, a recipe or a class of recipes in a module that can be imported.

    Raises:
        InputError: there is none of that name, its module cannot be imported, or it is neither a name nor a recipe.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str):
        raise InputError(f"recipe must be a name among jaxad.RECIPES or a recipe, got {recipe!r}{_making(recipe)}")
    if recipe in RECIPES:
        return RECIPES[recipe]
    place = offered().get(recipe, recipe)
    if ":" not in place:
        need_one_of(recipe, [*RECIPES, *offered()], what="recipe")
    module, _, name = place.partition(":")
    import_kinds([module])
    found = getattr(sys.modules[module], name, None)
    if isinstance(found, type) and issubclass(found, Recipe):
        return _made(found, place)
    if not isinstance(found, Recipe):
        what = "a class of another kind" if isinstance(found, type) else f"a {type(found).__name__}"
        what = "nothing of that name" if found is None else what
        raise InputError(f"{place!r} must be a recipe or a class of recipes, and is {what}; write module:Name")
    return found


def offered() -> dict[str, str]:
    """The recipes of installed packages: `module:Name` by the name that they are offered under."""
    return {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def import_kinds(modules: Iterable[str]) -> None:
    """Import modules that define kinds of recipes, so that files of detectors which name these can be read.

    Raises:
        InputError: one cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # the module is another's, and may fail in any way
            reason = (str(error).splitlines() or [""])[0]
            absent = isinstance(error, ModuleNotFoundError | TypeError)
            mend = "name one on Python's path, such as mine for a file mine.py in this folder"
            raise InputError(
                f"module {module!r} cannot be imported ({type(error).__name__}: {reason}); "
                f"{mend if absent else 'mend it: python -c ' + repr('import ' + module)}"
            ) from error


def _making(given: object) -> str:
    """How what was given becomes a recipe, where it is a class of recipes."""
    return f"; make one: {given.__name__}()" if isinstance(given, type) and issubclass(given, Recipe) else ""


def _made(kind: type[Recipe], place: str) -> Recipe:
    try:
        return kind()
    except TypeError as error:
        raise InputError(
            f"{place!r} needs settings to be made ({error}); give its fields defaults, or name a recipe made of it"
        ) from None
