"""Which layer of a file goes where in each recipe's model, and the detector that comes of it."""

import os

from jaxad._check import InputError
from jaxad.convert.layer import Layer, NamedArrays
from jaxad.convert.source import read_layers
from jaxad.convert.variables import Row, to_variables
from jaxad.detector import Detector, need_sound, start_shapes
from jaxad.models.layers import noting_epsilons
from jaxad.recipes import NetworkRecipe, Recipe


def to_detector(
    source: str | os.PathLike[str] | NamedArrays | list[Layer], recipe: Recipe, *, shape: tuple[int, int, int]
) -> Detector:
    """A detector with the weights of a Keras or PyTorch file.

    Where the file tells what a BatchNorm adds to its variance, and the model adds something else, the difference goes
    into the variance, so that the outputs stay. Files of PyTorch, and of Keras without configuration, do not tell.

    Args:
        source: a file or a dictionary of arrays that `read_layers` reads, or what it returns.
        recipe: the system that the weights belong to; its sizes must be those of the file.
        shape: height, width and channels `[h, w, c]` of the images; patch recipes use the channels alone.

    Returns:
        A detector that scores. A recipe that ends in a one-class SVM scores by squared error instead, since no
        file of weights holds the SVM.

    Raises:
        InputError: the file cannot be read, or does not fit the model; everything missing, surplus or misshaped is
            listed.
    """
    if not isinstance(recipe, NetworkRecipe):
        raise InputError(f"weights for recipe {recipe.name!r} cannot be converted; it has no network")
    recipe = recipe.without_finish()
    need_sound(recipe, shape)
    layers = source if isinstance(source, list) else read_layers(source)
    with noting_epsilons() as epsilons:
        template = start_shapes(recipe, shape)
    return Detector(recipe, shape, to_variables(layers, template, rows(recipe), epsilons=epsilons))


def rows(recipe: NetworkRecipe) -> tuple[Row, ...]:
    """The modules of a recipe's model with the kind of layer that each takes, in forward order of every kind.

    Raises:
        InputError: a recipe of a model for which there is no table.
    """
    found = recipe.converted_layers()
    if not found:
        raise InputError(f"weights for model {recipe.kind!r} cannot be converted; there is no table of its layers")
    return found
