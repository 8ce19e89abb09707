"""The programs that are timed or compiled: the heatmap kernel, scoring of every recipe, training of every network."""

import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxad
from benchmarks.drawn import drawn_detector, drawn_weights
from jaxad import training
from jaxad.batching import BATCH_PIXELS
from jaxad.detector import Detector
from jaxad.detector.computing import InPrecision
from jaxad.protocols import PROTOCOLS
from jaxad.recipes import ChoiceRecipe, NetworkRecipe, Recipe, Shape

KERNEL_IMAGES = 1000
LARGE = 512
MNIST, TEXTURE, PHOTOGRAPH = (28, 28, 1), (128, 128, 1), (320, 320, 3)
SYSTEMS = ("conv-ae", "ssim-ae", "patch-vae", "latent-ocsvm", "dense-ae")
STEPS, SMALL_STEPS = 50, 2
"""Updates of an epoch that is timed or compiled."""
DTYPES = ("float32", "bfloat16")


DRAWING = threading.Lock()
"""So that threads that compile one program in several precisions draw its detector once."""


class Program(NamedTuple):
    """A pure function of arrays, and how many things one call of it handles."""

    task: str
    """`"kernel"`, `"scoring"` or `"training"`."""
    recipe: Recipe
    shape: Shape
    """Height, width and channels of the images."""
    make: Callable[[str], tuple[Callable[..., Any], tuple[Any, ...]]]
    """The function and its arguments, for a model that computes in one of `DTYPES`."""
    count: int
    unit: str

    @property
    def name(self) -> str:
        """For tables."""
        height, width, _ = self.shape
        return f"{self.task} {self.recipe.name}, {height} x {width}"


def kernel(*, images: int = KERNEL_IMAGES) -> Program:
    """The heatmap of the patch VAE: windows taken, scored and folded back, one score."""
    windows = images * ((MNIST[0] - 8) // 2 + 1) ** 2
    return Program(
        "kernel", jaxad.RECIPES["patch-vae"], MNIST, _scoring("patch-vae", MNIST, images), windows, "windows"
    )


def scoring(*, small: bool = False) -> Iterator[Program]:
    """Every recipe that scores, at its own size, then those that take it at 512 x 512; a batch as `score` makes it."""
    recipes = [recipe for recipe in jaxad.RECIPES.values() if not isinstance(recipe, ChoiceRecipe)]
    own = [(recipe, own_shape(recipe)) for recipe in recipes]
    large = [(recipe, (LARGE, LARGE, shape[2])) for recipe, shape in own if recipe.reach or recipe.stretches]
    for recipe, shape in own + ([] if small else large):
        images = 2 if small else max(1, BATCH_PIXELS // (shape[0] * shape[1]))
        yield Program("scoring", recipe, shape, _scoring(recipe.name, shape, images), images, "images")


def trainings(*, small: bool = False) -> Iterator[Program]:
    """An epoch of few updates of every network, those of the published systems first."""
    networks = dict.fromkeys(
        [
            *(jaxad.RECIPES[name] for name in SYSTEMS),
            *(part for recipe in jaxad.RECIPES.values() for part in (recipe.ingredients or (recipe,))),
        ]
    )
    for recipe in networks:
        if isinstance(recipe, NetworkRecipe):
            yield training_of(recipe, steps=SMALL_STEPS if small else STEPS)


def training_of(recipe: NetworkRecipe, *, steps: int = STEPS) -> Program:
    """An epoch of so many updates; with `restarts` all of them are trained at once."""
    shape = own_shape(recipe)
    samples = steps * recipe.batch_size * recipe.restarts

    def make(dtype: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        some = _noise(recipe.batch_size, shape)
        drawn = recipe.examples(jax.random.key(1), some)
        source = some if drawn is None else drawn
        examples = np.resize(source, (steps * recipe.batch_size, *source.shape[1:]))
        model = InPrecision(recipe.model(shape), dtype)

        def loss(variables: Any, batch: Any, key: Any) -> Any:
            value, changed, terms = recipe.loss(model, variables, batch, key)
            return value, (changed, terms)

        optimizer = recipe.optimizer(updates=steps * recipe.epochs)
        epoch = training.make_epoch(loss, optimizer, steps=steps, batch_size=recipe.batch_size)
        key, state = jax.random.key(0), training.make_state(drawn_weights(recipe, shape), optimizer)
        if recipe.restarts == 1:
            return epoch, (key, state, examples)
        state = jax.tree.map(lambda leaf: np.stack([leaf] * recipe.restarts), state)
        return jax.vmap(epoch, in_axes=(0, 0, None)), (jax.random.split(key, recipe.restarts), state, examples)

    return Program("training", recipe, shape, make, samples, "samples")


def own_shape(recipe: Recipe) -> Shape:
    """Images as the recipe is meant for: those of its published run, photographs, or crops of textures."""
    if recipe.stretches:
        return PHOTOGRAPH
    return MNIST if recipe.reach is None or recipe.name in PROTOCOLS else TEXTURE


def _scoring(name: str, shape: Shape, images: int) -> Callable[[str], tuple[Callable[..., Any], tuple[Any, ...]]]:
    def make(dtype: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        with DRAWING:
            detector = _drawn(name, shape)

        def score(detector: Any, images: Any) -> Any:
            return detector.apply(images, dtype=dtype)[detector.score_name]

        # As `Detector.score` does: with what makes it faster.
        return score, (detector.for_scoring, _noise(images, shape))

    return make


@cache
def _drawn(name: str, shape: Shape) -> Detector:
    return drawn_detector(name, shape)


def _noise(count: int, shape: Shape) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(count, *shape)).astype(np.float32)
