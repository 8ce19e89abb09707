import json
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from jaxad._check import InputError
from jaxad.methods import PATCH_VAE, RECIPES, AutoRecipe, named
from jaxad.pooling import POOLS
from jaxad.protocols import PROTOCOLS, as_published
from jaxad.recipes import from_document, setting_wherever, to_document, with_settings


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipe_is_frozen_data(recipe):
    same, other = replace(recipe), replace(recipe, holdout=recipe.holdout + 0.1)
    assert recipe == same
    assert hash(recipe) == hash(same)
    assert {recipe, same, other} == {recipe, other}
    assert (other.name, other.pool) == (recipe.name, recipe.pool)
    with pytest.raises(FrozenInstanceError):
        recipe.holdout = 0.3


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_names_things_that_exist(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    if isinstance(recipe, AutoRecipe):
        assert all(RECIPES[candidate.name] == candidate for candidate in recipe.candidates)
        return
    recipe.check((28, 28, 1))
    assert recipe.pool in POOLS


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_are_of_recipes_that_exist(name):
    assert name in RECIPES
    published = PROTOCOLS[name].published
    assert all(isinstance(figure, str) and value > 0 for figure, value in published)
    assert all(0.5 < value <= 1 for figure, value in published if figure.startswith("auroc"))


def test_recipes_are_read_only():
    with pytest.raises(TypeError):
        RECIPES["mine"] = PATCH_VAE


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_published_code_differs_where_the_protocol_says(recipe):
    variant = as_published(recipe)
    if not recipe.name.startswith(("patch-vae",)) or recipe.name not in PROTOCOLS:
        assert variant == recipe
        return
    published = {
        "loss_name": "batch_summed_negative_elbo",
        "cover": "seed",
        "reduce": "sum",
        "skip_last": True,
    }
    assert asdict(variant) == asdict(recipe) | published
    assert as_published(variant) == variant


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


@pytest.mark.parametrize("recipe", [*RECIPES.values(), as_published(PATCH_VAE)], ids=lambda recipe: recipe.name)
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
        ({"colour": 3, "taste": 4}, "several problems:\n.*'colour'.*\n.*'taste'"),
    ],
)
def test_unknown_parts_of_a_document_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        from_document(to_document(PATCH_VAE) | change)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_documents_of_earlier_versions(recipe):
    """jaxad 0.1 named the model, not the kind, called names of losses and scores otherwise, and wrote more fields."""

    def before(document):
        renamed = {"loss_name": "loss", "score_name": "score"}
        inside = {name: list(map(before, document[name])) for name in ("parts", "candidates") if name in document}
        was = {renamed.get(name, name): value for name, value in {**document, **inside}.items() if name != "kind"}
        more = {"loss": "none", "score": "none", "epochs": 1, "batch_size": 1, "protocol": {"dataset": "mnist"}}
        return {**more, "published": [], "contamination": 0.1, **was, "model": document["kind"]}

    assert from_document(before(to_document(recipe))) == recipe


def test_incomplete_document_is_refused():
    document = to_document(RECIPES["patch-components"])
    del document["scales"]
    with pytest.raises(InputError, match="recipe does not have the fields.*`scales`"):
        from_document(document)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_setting_takes_the_text_it_shows(recipe):
    """What a refused setting shows as an example is itself a setting, and changes nothing."""
    with pytest.raises(InputError) as caught:
        with_settings(recipe, ["nonsense"])
    _, _, shown = str(caught.value).partition("with one of ")
    assert with_settings(recipe, shown.split(", ")) == recipe


def test_a_field_is_set_wherever_it_is():
    """As `jaxad fit --epochs` does."""

    def trained(name):
        return with_settings(RECIPES[name], setting_wherever(RECIPES[name], "epochs", 3))

    assert trained("conv-ae").epochs == 3
    assert [part.epochs for part in trained("image-vae").parts] == [3, 3, 3]
    assert [getattr(part, "epochs", None) for part in trained("surface").parts] == [None, None, 3]
    assert setting_wherever(RECIPES["auto"], "epochs", 3) == ["epochs=3"]  # which is refused


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("auto", "epochs=3", "auto has no epochs; write field=value with one of holdout=0.2, images=2000"),
        ("pixel-neighbours", "learning_rate=1", "pixel-neighbours has no learning_rate; write .*count=5"),
        ("patch-components", "batch_size=3", "has no batch_size"),
        ("surface", "epochs=3", "surface has no epochs of its own and its parts have: write drawn-defects.epochs=3$"),
        (
            "image-vae",
            "batch_size=3",
            "write code.batch_size=3, wider-code.batch_size=3, error.batch_size=3, or some of",
        ),
        ("auto", "count=3", "gradient-neighbours.count=3, gradient"),
        ("surface", "drawn-defects.epoch=3", "drawn-defects: cannot set 'epoch=3'"),
        ("surface", "surface-gradients.epochs=3", "surface-gradients has no epochs"),
    ],
)
def test_a_setting_without_use_is_refused(name, setting, words):
    with pytest.raises(InputError, match=words):
        with_settings(RECIPES[name], [setting])


def test_settings_of_a_part():
    surface = RECIPES["surface"]
    changed = with_settings(surface, ["drawn-defects.epochs=2", "patch-components.crops=9", "holdout=0.3"])
    assert changed.parts[2].epochs == 2
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
