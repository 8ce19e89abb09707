from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from jaxad._check import InputError
from jaxad.detector import LOSSES, POOLS
from jaxad.recipes import PATCH_VAE, RECIPES, published_variant, with_settings


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipe_is_frozen_data(recipe):
    same, other = replace(recipe), replace(recipe, epochs=recipe.epochs + 1)
    assert recipe == same
    assert hash(recipe) == hash(same)
    assert {recipe, same, other} == {recipe, other}
    assert (other.epochs, other.window) == (recipe.epochs + 1, recipe.window)
    with pytest.raises(FrozenInstanceError):
        recipe.epochs = 3


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items(), ids=RECIPES)
def test_recipe_names_things_that_exist(name, recipe):
    assert recipe.name == name
    assert recipe.loss in LOSSES
    assert recipe.pool in POOLS
    assert all(0 < value <= 1 for _, value in recipe.published)


def test_recipes_are_read_only():
    with pytest.raises(TypeError):
        RECIPES["mine"] = PATCH_VAE


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_published_variant_differs_where_it_says(recipe):
    variant = published_variant(recipe)
    published = {
        "loss": "batch_summed_negative_elbo",
        "cover": "seed",
        "reduce": "sum",
        "skip_last": True,
    }
    assert asdict(variant) == asdict(recipe) | published
    assert published_variant(variant) == variant


def test_settings_are_read_by_their_type():
    settings = ["epochs=3", "learning_rate = 1e-2", "window=4,12", "filters=3", "skip_last=True", "cover=seed"]
    expected = {"epochs": 3, "learning_rate": 0.01, "window": (4, 12), "filters": (3,), "skip_last": True}
    assert with_settings(PATCH_VAE, settings) == replace(PATCH_VAE, **expected, cover="seed")
    assert with_settings(PATCH_VAE, []) == PATCH_VAE


@pytest.mark.parametrize("setting", ["epochs", "epoch=3", "name=mine", "epochs=few", "window=8", "cover=half"])
def test_bad_setting(setting):
    with pytest.raises(InputError, match=f"cannot set '{setting}'"):
        with_settings(PATCH_VAE, [setting])


def test_bad_settings_are_told_together():
    with pytest.raises(InputError, match="several problems:\n.*'epoch=3'.*\n.*'window=8'"):
        with_settings(PATCH_VAE, ["epoch=3", "window=8"])
