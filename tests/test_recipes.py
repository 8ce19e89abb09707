import json
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from jaxad._check import InputError
from jaxad.detector import POOLS
from jaxad.detector.systems import make_system
from jaxad.recipes import (
    PATCH_VAE,
    RECIPES,
    AutoRecipe,
    from_document,
    named,
    published_variant,
    to_document,
    with_settings,
)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipe_is_frozen_data(recipe):
    same, other = replace(recipe), replace(recipe, epochs=recipe.epochs + 1)
    assert recipe == same
    assert hash(recipe) == hash(same)
    assert {recipe, same, other} == {recipe, other}
    assert (other.epochs, other.batch_size) == (recipe.epochs + 1, recipe.batch_size)
    with pytest.raises(FrozenInstanceError):
        recipe.epochs = 3


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_names_things_that_exist(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    if isinstance(recipe, AutoRecipe):
        assert all(RECIPES[candidate.name] == candidate for candidate in recipe.candidates)
        return
    system = make_system(recipe, (28, 28, 1))
    assert recipe.loss in system.losses
    assert recipe.score in system.scores
    assert recipe.pool in POOLS
    assert all(isinstance(figure, str) and value > 0 for figure, value in recipe.published)
    assert all(0.5 < value <= 1 for figure, value in recipe.published if figure.startswith("auroc"))


def test_recipes_are_read_only():
    with pytest.raises(TypeError):
        RECIPES["mine"] = PATCH_VAE


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_published_variant_differs_where_it_says(recipe):
    variant = published_variant(recipe)
    if recipe.model != "patch_vae":
        assert variant == recipe
        return
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


@pytest.mark.parametrize("recipe", [*RECIPES.values(), published_variant(PATCH_VAE)], ids=lambda recipe: recipe.name)
def test_recipe_goes_through_json(recipe):
    read = from_document(json.loads(json.dumps(to_document(recipe), allow_nan=False)))
    assert read == recipe
    assert type(read) is type(recipe)
    assert hash(read) == hash(recipe)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "patch_vea"}, "kind of recipe must be one of .*patch_vae.*, got 'patch_vea'; import the module"),
        ({"kind": None}, "kind of recipe must be one of .*, got None; import the module"),
        ({"kind": ["patch_vae"]}, "kind of recipe must be one of"),
        ({"colour": 3}, "recipe has an unknown field 'colour'"),
        ({"colour": 3, "taste": 4}, "several problems:\n.*'colour'\n.*'taste'"),
        ({"protocol": {"dataset": "mnist"}}, "recipe does not have the fields.*missing"),
        ({"protocol": {"dataset": "mnist", "normal": 1, "anomaly": 2, "colour": 3}}, "unknown field 'protocol.colour'"),
    ],
)
def test_unknown_parts_of_a_document_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        from_document(to_document(PATCH_VAE) | change)


def test_incomplete_document_is_refused():
    document = to_document(PATCH_VAE)
    del document["protocol"]
    with pytest.raises(InputError, match="recipe does not have the fields.*`protocol`"):
        from_document(document)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_setting_takes_the_text_it_shows(recipe):
    """What a refused setting shows as an example is itself a setting, and changes nothing."""
    with pytest.raises(InputError) as caught:
        with_settings(recipe, ["nonsense"])
    _, _, shown = str(caught.value).partition("with one of ")
    assert with_settings(recipe, shown.split(", ")) == recipe


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("auto", "epochs=3", "auto has no use for epochs; write field=value with one of holdout=0.2, images=2000"),
        ("pixel-neighbours", "learning_rate=1", "pixel-neighbours has no use for learning_rate; write .*count=5"),
        ("patch-components", "batch_size=3", "no use for batch_size"),
        ("surface", "epochs=3", "surface has no epochs of its own and its parts have: write drawn-defects.epochs=3$"),
        ("image-vae", "batch_size=3", "code.batch_size=3 or wider-code.batch_size=3 or error.batch_size=3"),
        ("auto", "count=3", "gradient-neighbours.count=3 or"),
        ("surface", "drawn-defects.epoch=3", "drawn-defects: cannot set 'epoch=3'"),
        ("surface", "surface-gradients.epochs=3", "surface-gradients has no use for epochs"),
    ],
)
def test_a_setting_without_use_is_refused(name, setting, words):
    with pytest.raises(InputError, match=words):
        with_settings(RECIPES[name], [setting])


def test_settings_of_a_part():
    surface = RECIPES["surface"]
    changed = with_settings(surface, ["drawn-defects.epochs=2", "patch-components.crops=9", "holdout=0.3"])
    assert [part.epochs for part in changed.parts] == [1, 1, 2]
    assert changed == replace(
        surface,
        holdout=0.3,
        parts=(surface.parts[0], replace(surface.parts[1], crops=9), replace(surface.parts[2], epochs=2)),
    )


def test_a_recipe_by_name(unchecked):
    assert named("surface") is RECIPES["surface"]
    assert named(PATCH_VAE) is PATCH_VAE
    with pytest.raises(InputError, match="unknown recipe 'surfce'.*did you mean 'surface'"):
        named("surfce")
    with pytest.raises(InputError, match="recipe must be a name among jaxad.RECIPES or a recipe, got 7"):
        named(7)
