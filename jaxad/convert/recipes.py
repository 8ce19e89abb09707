"""Which layer of a file goes where in each recipe's model, and the detector that comes of it."""

import os
from dataclasses import replace

import jax

from jaxad._check import InputError
from jaxad.convert.layer import Layer, NamedArrays
from jaxad.convert.source import read_layers
from jaxad.convert.variables import Row, to_variables
from jaxad.detector import Detector
from jaxad.detector.systems import make_system
from jaxad.recipes import ConvAERecipe, DenseAERecipe, PatchVAERecipe, Recipe


def to_detector(
    source: str | os.PathLike[str] | NamedArrays | list[Layer], recipe: Recipe, *, shape: tuple[int, int, int]
) -> Detector:
    """A detector with the weights of a Keras or PyTorch file.

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
    if isinstance(recipe, DenseAERecipe) and recipe.score == "one_class_svm":
        recipe = replace(recipe, score="squared_error")
    system = make_system(recipe, shape)
    template = jax.eval_shape(system.make_model().init, jax.random.key(0), system.example())
    layers = source if isinstance(source, list) else read_layers(source)
    return Detector(recipe, shape, to_variables(layers, template, rows(recipe)))


def rows(recipe: Recipe) -> tuple[Row, ...]:
    """The modules of a recipe's model with the kind of layer that each takes, in forward order of every kind.

    Raises:
        InputError: a recipe of a model for which there is no table.
    """
    if isinstance(recipe, PatchVAERecipe):
        blocks = range(len(recipe.filters))
        return (
            *((f"encoder_{i}", "Conv") for i in blocks),
            *((f"encoder_norm_{i}", "BatchNorm") for i in blocks),
            ("z_mean", "Dense"),
            ("z_log_variance", "Dense"),
            ("decoder_dense", "Dense"),
            ("decoder_dense_norm", "BatchNorm"),
            *((f"decoder_{i}", "ConvTranspose") for i in blocks),
            *((f"decoder_norm_{i}", "BatchNorm") for i in blocks),
            ("heads", ("ConvTranspose", "ConvTranspose")),
            ("heads_norm", ("BatchNorm", "BatchNorm")),
        )
    if isinstance(recipe, ConvAERecipe):
        dense: tuple[Row, ...] = (("code", "Dense"), ("decoder_dense", "Dense")) if recipe.latent_dim else ()
        return (
            *((f"encoder_{i}", "Conv") for i in range(len(recipe.encoder))),
            *((f"encoder_norm_{i}", "BatchNorm") for i in range(len(recipe.encoder))),
            *dense,
            *((f"decoder_{i}", "ConvTranspose") for i in range(len(recipe.decoder))),
            *((f"decoder_norm_{i}", "BatchNorm") for i in range(len(recipe.decoder))),
            ("output", "ConvTranspose"),
        )
    if isinstance(recipe, DenseAERecipe):
        norms: tuple[Row, ...] = (("input_norm", "BatchNorm"), ("output_norm", "BatchNorm")) if recipe.norm else ()
        return (
            *((f"encoder_{i}", "Dense") for i in range(len(recipe.encoder))),
            *((f"decoder_{i}", "Dense") for i in range(len(recipe.decoder))),
            ("output", "Dense"),
            *norms,
        )
    raise InputError(f"weights for model {recipe.kind!r} cannot be converted; there is no table of its layers")
