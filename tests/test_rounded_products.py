"""Scores on accelerators, whose products round float32 to TF32 or to bfloat16: how far they move, recipe by recipe."""

import dataclasses
from functools import cache
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

import jaxad
from jaxad import metrics
from jaxad.datasets import textures
from jaxad.detector import Detector
from jaxad.extents import Batch, model_input
from jaxad.linear import fit_components
from jaxad.methods.autoencoders import DenseAERecipe
from jaxad.models import channels_last
from jaxad.models.plain_convolution import plain_convolution
from jaxad.recipes import ChoiceRecipe, NetworkRecipe
from tests import fast_compilation
from tests.rounded_products import found_by_rounding

SIDE = 32
BOUNDS = {
    "conv-ae": (6e-4, 5e-3),
    "ssim-ae": (2e-3, 0.015),
    "patch-vae": (4e-4, 2e-3),
    "latent-ocsvm": (0.02, 0.1),
    "dense-ae": (2e-3, 0.03),
    "conv-ae-small-code": (6e-4, 5e-3),
    "ssim-ae-bottleneck": (1e-3, 0.01),
    "latent-ocsvm-linear": (0.01, 0.05),
    "dense-ae-calm": (2e-3, 0.015),
    "patch-vae-calibrated": (4e-4, 2e-3),
    "image-vae": (0.01, 0.08),
    "patch-vae-texture": (4e-4, 5e-3),
    "gradient-neighbours": (1e-6, 1e-6),
    "gradient-components": (4e-4, 3e-3),
    "pixel-neighbours": (1e-6, 1e-6),
    "pixel-components": (5e-4, 5e-3),
    "surface-gradients": (8e-3, 0.07),
    "patch-components": (4e-3, 0.04),
    "drawn-defects": (0.02, 0.2),
    "surface": (8e-3, 0.06),
    "patchcore": (0.03, 0.25),
    "padim": (0.02, 0.2),
}
"""How far the score of an image may move, as TF32 and as bfloat16, in standard deviations of all scores: between 1.2
and 20 times what was measured. Searches for neighbours ask for the highest precision, so theirs do not move at all."""
RECIPES = [name for name, recipe in jaxad.RECIPES.items() if not isinstance(recipe, ChoiceRecipe)]
AUROC = 0.001
"""How far the AUROC may move. Of 400 bricks, chance alone moved it by as much; hence 1,600."""
CODES_ALONE = 0.002
"""In bfloat16, of the SVM on two numbers of an image: .0014 were measured, 22 pairs of 15,600 images."""
SURFACES = (
    "patch-vae-texture",
    "surface-gradients",
    "patch-components",
    "drawn-defects",
    "surface",
    "patchcore",
    "padim",
)


@cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Zeros to learn from; others and other digits to judge, scaled up to 28 x 28."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = jax.image.resize(found.images[order].astype(np.float32) / 16, (len(order), 28, 28), "linear")
    images, labels = np.clip(np.asarray(images)[..., None], 0, 1), found.target[order] != 0
    normal, good = np.split(np.flatnonzero(~labels), [100])
    seen = np.concatenate([good, np.flatnonzero(labels)[:200]])
    return images[normal], images[seen], labels[seen].astype(int)


@cache
def bricks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bricks to learn from; others to judge, half of them with drawn defects."""
    train, test = (textures("brick", split, size=SIDE, count=count) for split, count in (("train", 60), ("test", 1600)))
    return train.images, test.images, test.labels


def quick(recipe: Any) -> Any:
    """The same recipe in few updates.

    An SVM needs codes that have settled. Other dense networks are trained no longer than they ask for: after 200
    epochs, ten times as many, dense-ae-calm's scores of all other digits moved by .2 of a standard deviation and their
    AUROC by up to .0023, as the key had it; after its own 20 by .005 and by .0001.
    """
    if recipe.ingredients:
        return dataclasses.replace(recipe, parts=tuple(quick(part) for part in recipe.ingredients))
    if not isinstance(recipe, NetworkRecipe):
        return recipe
    if hasattr(recipe, "crops"):
        return dataclasses.replace(recipe, epochs=2, restarts=1, crops=min(recipe.crops, 2000))
    if not isinstance(recipe, DenseAERecipe):
        return dataclasses.replace(recipe, epochs=min(recipe.epochs, 8))
    return dataclasses.replace(recipe, epochs=200 if recipe.score_name == "one_class_svm" else min(recipe.epochs, 50))


def convolved(x: Any, kernel: Any, *, groups: int = 1, precision: Any = None, **options: Any) -> Any:
    """A convolution by channels that is not rounded as the sum that it is: XLA's own takes a minute on CPU."""
    if groups == 1 or precision != jax.lax.Precision.HIGHEST:
        return plain_convolution(x, kernel, groups=groups, precision=precision, **options)
    stride, _ = options["strides"]
    return channels_last._shifted_products(x, kernel[:, :, 0], pads=options["pads"], stride=stride)


def score(detector: Detector, images: Any) -> Any:
    return detector.apply(images)[detector.score_name].score


@cache
def scores_of(name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores of one detector in every precision, and which images are anomalous."""
    recipe = jaxad.RECIPES[name]
    normal, seen, labels = bricks() if name in SURFACES else digits()
    if recipe.stretches:
        normal, seen = (np.repeat(images, 3, axis=-1) for images in (normal, seen))
    # What is judged is compiled well: it runs three times over all images.
    with fast_compilation.used():
        detector, _ = jaxad.fit(jax.random.key(0), quick(recipe), normal)
    with mock.patch.object(channels_last, "plain_convolution", convolved):
        found = found_by_rounding(score, detector, seen)
    return {kind: np.asarray(scores) for kind, scores in found.items()}, labels


def test_every_recipe_has_bounds() -> None:
    assert set(BOUNDS) == set(RECIPES)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_scores_move_little_where_products_round(name: str) -> None:
    scores, labels = scores_of(name)
    exact = scores["float32"]
    for kind, bound in zip(("TF32", "bfloat16"), BOUNDS[name], strict=True):
        moved = np.abs(scores[kind] - exact).max() / exact.std()
        change = abs(metrics.auroc(labels, scores[kind]) - metrics.auroc(labels, exact))
        allowed = CODES_ALONE if (name, kind) == ("latent-ocsvm", "bfloat16") else AUROC
        assert moved <= bound, kind
        assert change <= allowed, kind


def test_products_round_unless_asked_otherwise() -> None:
    x, y = np.float32([[1 + 2**-12]]), np.float32([[1.0]])

    def loops(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        def body(_: int, z: jax.Array) -> jax.Array:
            return z @ y

        looped = jax.lax.fori_loop(0, 3, body, x)
        image, kernel = x[None, :, :, None], y[:, :, None, None]
        layout = ("NHWC", "HWIO", "NHWC")
        convolved = jax.lax.conv_general_dilated(image, kernel, (1, 1), "VALID", dimension_numbers=layout)
        chosen = jax.lax.platform_dependent(x, cpu=lambda x: x, cuda=lambda x: x @ y, default=lambda x: y @ x)
        inside = jax.jit(lambda x: x @ y)(x)
        return looped, convolved[0, :, :, 0], inside, chosen, jax.numpy.matmul(x, y, precision="highest")

    for kind, (*rounded, highest) in found_by_rounding(loops, x, y).items():
        assert [float(one[0, 0]) for one in rounded] == [1.0 if kind != "float32" else float(x[0, 0])] * 4, kind
        assert highest == x


def test_directions_of_components_are_not_rounded() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 300)).astype(np.float32)
    found = found_by_rounding(lambda rows: fit_components(rows, count=5).directions, rows)
    for kind, directions in found.items():
        np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-5, err_msg=kind)


def test_grey_is_not_rounded() -> None:
    photographs = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    found = found_by_rounding(lambda images: model_input(Batch(images), 1), photographs)
    for kind, grey in found.items():
        np.testing.assert_allclose(grey, found["float32"], atol=1e-6, err_msg=kind)
