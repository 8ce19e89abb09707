"""Methods of a stranger's own: the examples go wherever jaxad's own recipes go, and what is wrong is one sentence."""

import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from denoising import Denoising
from flax import linen as nn
from flow import Flow
from template import Template
from vqvae import VQVAE

import jaxad
from jaxad import methods, pipeline
from jaxad._check import InputError
from jaxad.export import export_model
from jaxad.folders import evaluate_folder, fit_folder
from jaxad.methods import RECIPES, named
from jaxad.recipes import KINDS, PooledMap, Recipe, from_document, to_document, with_settings
from jaxad.testing import check_recipe
from tests import command
from tests.conftest import ROOT, no_shape_checks
from tests.photograph_folder import write_set

pytestmark = pytest.mark.usefixtures("compile_fast")

EXAMPLES = {
    "vqvae": VQVAE(codes=8, width=8, epochs=2, batch_size=8),
    "flow": Flow(crops=64, layers=2, width=16, epochs=2),
    "denoising": Denoising(width=4, epochs=2, batch_size=8),
    "template": Template(),
}
PLACES = {
    "vqvae": "vqvae:VQVAE",
    "flow": "flow:Flow",
    "denoising": "denoising:Denoising",
    "template": "template:Template",
}
IMAGES = np.random.default_rng(0).random((12, 32, 40, 1), np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("photographs") / "set")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_keep_the_laws(name: str) -> None:
    check_recipe(EXAMPLES[name], images=IMAGES)


def small(recipe: Recipe) -> Recipe:
    """The same recipe, so that it is fitted in a moment on few images."""
    least: dict[str, object] = {"epochs": 1, "crops": 64, "restarts": 1, "count": 4, "images": 40}
    least |= {"stages": ("depthwise_1", "depthwise_4"), "bank": 64, "choices": 256, "numbers": 16}
    changes = {name: value for name, value in least.items() if hasattr(recipe, name)}
    for holder in ("parts", "candidates"):
        if hasattr(recipe, holder):
            changes[holder] = tuple(map(small, getattr(recipe, holder)))
    return dataclasses.replace(recipe, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "auto"])
def test_recipes_keep_the_laws(name: str) -> None:
    """The choice among them is none of these recipes afterwards; tests/test_surfaces.py has its laws."""
    check_recipe(small(RECIPES[name]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short(name: str) -> None:
    lines = (ROOT / "examples" / f"{name}.py").read_text().splitlines()
    assert len(lines) < 60


@pytest.mark.slow
def test_collections_that_training_changes_are_kept(tmp_path: Path) -> None:
    recipe, key = EXAMPLES["vqvae"], jax.random.key(1)
    before = recipe.init(key, recipe.model((32, 40, 1)), jnp.zeros((1, 32, 40, 1)))["codebook"]
    detector, history = jaxad.fit(key, recipe, IMAGES)
    after = detector.variables["codebook"]
    assert set(history.terms) == {"loss", "commitment"}
    assert float(jnp.sum(after["sizes"])) != float(jnp.sum(before["sizes"]))
    detector.save(tmp_path / "a.jaxad")
    back = jaxad.load(tmp_path / "a.jaxad")
    assert back.recipe == recipe
    jax.tree.map(np.testing.assert_array_equal, back.variables, jax.device_get(detector.variables))


@pytest.mark.slow
def test_members_and_calibration() -> None:
    recipe = dataclasses.replace(EXAMPLES["denoising"], holdout=0.25)
    members, history = jaxad.fit_members(jax.random.key(0), recipe, IMAGES, count=2)
    assert history.terms["loss"].shape == (2, 2)
    scores = [member.score(IMAGES[:2]).score for member in members]
    assert members[0].score_name == "calibrated"
    assert (scores[0] != scores[1]).all()


@pytest.mark.slow
def test_training_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    recipe, key = EXAMPLES["vqvae"], jax.random.key(2)
    whole, _ = jaxad.fit(key, recipe, IMAGES)

    def stop(done: int, terms: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jaxad.fit(key, recipe, IMAGES, checkpoints=tmp_path / "kept", on_epoch=stop)
    jaxad.fit(key, dataclasses.replace(recipe), IMAGES, checkpoints=tmp_path / "kept", resume=True)
    resumed, _ = jaxad.fit(key, recipe, IMAGES, checkpoints=tmp_path / "kept", resume=True)
    jax.tree.map(np.testing.assert_array_equal, *(jax.device_get(one.variables) for one in (resumed, whole)))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_from_a_folder_to_an_exported_model(root: Path, tmp_path: Path, name: str) -> None:
    fit_folder(root, tmp_path / "a.jaxad", recipe=EXAMPLES[name], rate=0.4)
    made = pipeline.load_pipeline(tmp_path / "a.jaxad")
    assert made.verify() == []
    assert 0 <= evaluate_folder(made, root)["auroc"] <= 1
    # What is exported is scored by another process, and kept where it scores as the part does.
    facts = export_model(tmp_path / "a.jaxad", tmp_path / "out", to="stablehlo", size=None)
    assert (tmp_path / "out" / facts["file"]).stat().st_size > 1000


jaxad_command = partial(command.jaxad, PYTHONPATH=f"{ROOT / 'examples'}{os.pathsep}{ROOT}")


@pytest.mark.slow
def test_from_the_command_line(root: Path, tmp_path: Path) -> None:
    settings = ["--set", "crops=64", "--set", "layers=2", "--set", "epochs=1"]
    fitted = jaxad_command("fit", str(root), "-o", "a.jaxad", "--recipe", "flow:Flow", *settings, cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr
    assert "go on with: jaxad score a.jaxad FOLDER -o OUT --import flow" in fitted.stdout
    unknown = jaxad_command("score", "a.jaxad", str(root), "-o", "out", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "got 'Flow'" in unknown.stderr
    assert "--import MODULE" in unknown.stderr
    assert not (tmp_path / "out").exists()
    scored = jaxad_command("score", "a.jaxad", str(root), "-o", "out", "--import", "flow", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 9
    for words in (["evaluate", "a.jaxad", str(root)], ["verify", "a.jaxad"]):
        done = jaxad_command(*words, "--import", "flow", cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_found_by_place(name: str) -> None:
    found = named(f"{name}:{type(EXAMPLES[name]).__name__}")
    assert type(found) is type(EXAMPLES[name])
    assert from_document(to_document(found)) == found


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere_at_all:X", "module 'nowhere_at_all' cannot be imported .ModuleNotFoundError"),
        ("flow:Flaw", "'flow:Flaw' must be a recipe or a class of recipes, and is nothing of that name"),
        ("flow:Couplings", "is a class of another kind"),
        ("flow:__name__", "is a str"),
        ("gradient-neighbors", "did you mean 'gradient-neighbours'"),
    ],
)
def test_no_recipe_at_that_place(place: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        named(place)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit(0)", "SystemExit: 0.; mend it: python -c 'import failing'$"),
        ("raise ValueError('one\\ntwo')", "ValueError: one.; mend it"),
        ("def", "SyntaxError: .*; mend it"),
    ],
)
def test_modules_that_fail_are_said_in_a_sentence(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "failing", raising=False)
    with pytest.raises(InputError, match=words):
        named("failing:X")


def test_a_class_of_recipes_is_no_recipe() -> None:
    with no_shape_checks(), pytest.raises(InputError, match=r"got <class 'flow.Flow'>; make one: Flow\(\)"):
        named(Flow)


@pytest.mark.parametrize(
    ("recipe", "change", "words"),
    [
        (Denoising(), {"epochs": "3"}, "Expected `int`, got `str` - at `[$].epochs`"),
        (Denoising(), {"width": True}, "Expected `int`, got `bool` - at `[$].width`"),
        (Denoising(), {"width": 0}, "ends in ZeroDivisionError .*; mend it, or its fields: .*width=0"),
        (RECIPES["patch-vae"], {"latent_dim": -1}, "ends in TypeError .*latent_dim=-1"),
        (RECIPES["surface"], {"parts": ("drawn-defects",)}, "parts .* must be recipes, got 'drawn"),
    ],
)
def test_fields_that_do_not_do_are_said_before_training(recipe: Recipe, change: dict[str, Any], words: str) -> None:
    with no_shape_checks(), pytest.raises(InputError, match=words):
        jaxad.fit(jax.random.key(0), dataclasses.replace(recipe, **change), IMAGES)


class Elsewhere(Denoising):
    def score(self, model: Any, variables: Any, images: Any) -> Any:
        return np.asarray(images)[..., 0]


def test_a_score_that_jax_cannot_trace_is_said_before_training() -> None:
    with pytest.raises(InputError, match=r"score ends in TracerArrayConversionError .* images of 32 x 40 x 1; mend it"):
        jaxad.fit(jax.random.key(0), Elsewhere(), IMAGES)


def test_entry_points_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    point = methods.finding.importlib.metadata.EntryPoint("mine", "flow:Flow", "jaxad.recipes")
    monkeypatch.setattr(methods.finding.importlib.metadata, "entry_points", lambda group: [point])
    assert named("mine") == Flow()


class Choosing(jaxad.SolvedRecipe, kind="tests.Choosing"):
    count: int | None = None
    share: float = 0.5
    label: str | int = "a"
    thing: "tuple[int, ...]" = ()


def test_settings_are_read_by_the_types_of_fields() -> None:
    recipe = with_settings(Choosing(), ["count=3", "share=0.25", "label=7", "thing=1,2"])
    assert (recipe.count, recipe.share, recipe.label, recipe.thing) == (3, 0.25, 7, (1, 2))
    assert with_settings(recipe, ["count=none", "label=b"]) == Choosing(share=0.25, label="b", thing=(1, 2))
    for text in ("count=x", "share=inf", "share=nan", "thing=1,x"):
        with pytest.raises(InputError, match=f"cannot set '{text}': .* takes a value like"):
            with_settings(recipe, [text])


def test_settings_are_the_fields() -> None:
    assert with_settings(EXAMPLES["flow"], ["side=16", "pool=mean"]).side == 16
    with pytest.raises(InputError, match="cannot set 'epochs=3': Template has no epochs; write .* pool=top"):
        with_settings(EXAMPLES["template"], ["epochs=3"])


def test_recipes_are_frozen_and_replaced() -> None:
    recipe = VQVAE(codes=3)
    assert (recipe.name, recipe.kind) == ("VQVAE", "VQVAE")
    assert dataclasses.replace(recipe, codes=4) == VQVAE(codes=4)
    assert len({recipe, VQVAE(codes=3), VQVAE(codes=4)}) == 2
    for change in (lambda: setattr(recipe, "codes", 4), lambda: delattr(recipe, "codes")):
        with pytest.raises(dataclasses.FrozenInstanceError, match="'codes'"):
            change()

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Decorated(jaxad.SolvedRecipe):
        more: int = 1

    assert Decorated(more=2).more == 2


def test_two_kinds_of_one_name_are_refused() -> None:
    def define(module: str) -> type:
        return type("Flow", (jaxad.SolvedRecipe,), {"__module__": module}, kind="tests.Flow")

    define("one")
    define("one")
    with pytest.raises(InputError, match="two kinds of recipe are called 'tests.Flow', in one and other"):
        define("other")


class Bad(Denoising, kind="tests.Bad"):
    """One that is right until a method is replaced."""

    what: tuple = ()


def noise_twice(self, model, variables, batch, key):
    noise = jax.random.normal(key, batch.shape) + jax.random.normal(key, batch.shape)
    return jnp.mean((batch - model.apply(variables, batch + noise)) ** 2), {}, {}


class NoWeights(nn.Module):
    def __call__(self, images):
        return images


def failing(self, *arguments, **options):
    raise KeyError("mine")


WRONG = {
    "score of another shape": ({"score": lambda self, model, variables, images: images}, "score must give the anomaly"),
    "more than a pool, and not said": (
        {"score": lambda self, model, variables, images: PooledMap(images[..., 0], images[:, 0, 0, 0])},
        "would be lost where maps are calibrated; let judges_beyond_maps be True",
    ),
    "loss of another shape": (
        {"loss": lambda self, model, variables, batch, key: (batch, {}, {})},
        r"loss must be a scalar, got shape \(2, 32, 40, 1\); take its mean",
    ),
    "loss alone": (
        {"loss": lambda self, model, variables, batch, key: jnp.mean(batch)},
        "loss must give a scalar, .*, as in `return loss, {}, {}`; it gave an array",
    ),
    "loss without dictionaries": (
        {"loss": lambda self, model, variables, batch, key: (jnp.mean(batch), None, {})},
        "it gave an array, NoneType, dict",
    ),
    "loss of whole numbers": (
        {"loss": lambda self, model, variables, batch, key: (jnp.int32(1), {}, {})},
        "loss must be a floating-point number, got int32",
    ),
    "a term that hides the loss": (
        {"loss": lambda self, model, variables, batch, key: (jnp.mean(batch), {}, {"loss": 1.0})},
        "a term called 'loss' would hide the loss itself",
    ),
    "a long term": (
        {"loss": lambda self, model, variables, batch, key: (jnp.mean(batch), {}, {"each": batch[:, 0, 0, 0]})},
        r"terms of loss must be scalars, got 'each' of shape \(2,\)",
    ),
    "no optimizer": ({"optimizer": lambda self, updates: "adam"}, "optimizer must give one of optax, it gave str"),
    "an optimizer that fails": ({"optimizer": failing}, r"optimizer ends in KeyError \('mine'\)"),
    "a check that asserts": ({"check": failing}, r"check ends in KeyError \('mine'\)"),
    "a check that gives": ({"check": lambda self, shape: "bad"}, "check must raise InputError .*, it gave 'bad'"),
    "a finish that fails": ({"finish": failing}, r"finish ends in KeyError \('mine'\) for images of 32 x 40 x 1"),
    "complex scores": (
        {"score": lambda self, model, variables, images: images[..., 0] + 1j},
        "score must give floating-point numbers, it gave complex64",
    ),
    "another collection": (
        {"loss": lambda self, model, variables, batch, key: (jnp.mean(batch), {"book": batch}, {})},
        r"loss changes collections \['book'\], and those beside params are \[\]",
    ),
    "one key for two draws": ({"loss": noise_twice}, "loss draws twice from one key"),
    "no weights": ({"model": lambda self, shape: NoWeights()}, "init must give a dictionary with `params`"),
    "any size": ({"reach": 3}, "so score must have an argument extent"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_one_sentence(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    changes, words = WRONG[fault]
    for name, value in changes.items():
        monkeypatch.setattr(Bad, name, value)
    for check in (
        lambda recipe, images: check_recipe(recipe, images=images),
        lambda recipe, images: jaxad.fit(jax.random.key(0), recipe, images),
    ):
        with no_shape_checks(), pytest.raises(InputError, match=words) as caught:
            check(Bad(epochs=1, what=(fault,)), IMAGES)  # what a recipe gives is looked at once for equal ones
        assert "recipe 'tests.Bad' (tests.test_methods.Bad)" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_fields_must_hash() -> None:
    with pytest.raises(InputError, match="its fields must hash.*use tuples"):
        check_recipe(Bad(what=[1]), images=IMAGES)


class Whole(jaxad.SolvedRecipe, kind="tests.Whole"):
    """One that claims any size and compares positions."""

    reach = 0

    def solve(self, images):
        return {"mean": images.mean(axis=0)}

    def score(self, variables, images, extent=None):
        return jnp.mean((images - variables["mean"][None]) ** 2, axis=-1)


class Listed(Whole, kind="tests.Listed"):
    """One whose variables no file holds."""

    def solve(self, images):
        return [images]


@pytest.mark.slow
def test_what_it_says_of_sizes_must_hold() -> None:
    with pytest.raises(InputError, match="its reach says that it takes images of any size, and fitted on 32 x 40"):
        check_recipe(Whole(), images=IMAGES)
    with pytest.raises(InputError, match="solve must give a dictionary of arrays, it gave list"):
        check_recipe(Listed(), images=IMAGES)


def in_place(self, images):
    images -= images.mean(axis=0)
    return {"mean": images[0]}


@pytest.mark.parametrize(
    ("solve", "words"),
    [
        (failing, r"solve ends in KeyError \('mine'\) for images of 32 x 40 x 1"),
        (in_place, r"solve ends in ValueError \(output array is read-only\)"),
        (lambda self, images: images[0], "solve must give a dictionary of arrays, it gave ndarray"),
        (lambda self, images: {"mean": images[0], 3: images[1]}, "variables must have names without a slash, got 3"),
    ],
)
def test_a_solve_that_does_not_do_is_said(monkeypatch: pytest.MonkeyPatch, solve: Any, words: str) -> None:
    monkeypatch.setattr(Whole, "solve", solve)
    images = IMAGES.copy()
    with no_shape_checks(), pytest.raises(InputError, match=f"recipe 'tests.Whole' .*{words}"):
        jaxad.fit(jax.random.key(0), Whole(), images)
    np.testing.assert_array_equal(images, IMAGES)


class Banked(Denoising, kind="tests.Banked"):
    """One whose score needs what is only there once training is done."""

    def finish(self, model, variables, images):
        return {**variables, "bank": {"mean": jnp.mean(images, axis=0, keepdims=True)}}

    def score(self, model, variables, images):
        return jnp.mean((images - variables["bank"]["mean"]) ** 2, axis=-1)


def test_a_score_may_need_what_finish_makes() -> None:
    detector, _ = jaxad.fit(jax.random.key(0), Banked(epochs=1), IMAGES)
    assert np.isfinite(detector.score(IMAGES).score).all()


class Holding(Whole, kind="tests.Holding"):
    """One with a field that is no data."""

    squash: object = jnp.tanh


def test_a_field_that_no_file_could_hold_is_said() -> None:
    with pytest.raises(InputError, match="'tests.Holding' has a field that no file could hold"):
        jaxad.fit(jax.random.key(0), Holding(), IMAGES)


def test_a_settle_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Whole, "settle", failing)
    with pytest.raises(InputError, match=r"settle ends in KeyError \('mine'\)"):
        jaxad.fit(jax.random.key(0), Whole(), IMAGES)


def test_what_settles_to_no_recipe_is_said(monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    monkeypatch.setattr(Whole, "settle", lambda self, images: None)
    with pytest.raises(InputError, match="settle must give a recipe, it gave NoneType"):
        jaxad.fit(jax.random.key(0), Whole(), IMAGES)


class Drifting(Template, kind="tests.Drifting"):
    """One that scores an image by those beside it."""

    def score(self, variables, images):
        return super().score(variables, images) - jnp.mean(images)


class Running(Whole, kind="tests.Running"):
    """One by which all pixels above count."""

    reach = 2

    def solve(self, images):
        return {"mean": images.mean()}

    def score(self, variables, images, extent=None):
        return jnp.cumsum(jnp.mean(jnp.abs(images - variables["mean"]), axis=-1), axis=1)


@pytest.mark.slow
def test_a_reach_that_is_too_short_is_told() -> None:
    with pytest.raises(InputError, match="a pixel counts in the map 36 pixels away, and by its reach 2 is"):
        check_recipe(Running(), images=IMAGES)


@pytest.mark.slow
def test_laws_that_are_not_kept_are_all_told() -> None:
    with pytest.raises(InputError, match="alone it scores otherwise"):
        check_recipe(Drifting(), images=IMAGES)
    check_recipe(Template(), images=IMAGES)


@pytest.mark.slow
def test_a_file_that_lacks_what_the_score_needs_is_refused(tmp_path: Path) -> None:
    """As of another version of the method: nothing but its score knows what it needs."""
    detector, _ = jaxad.fit(jax.random.key(0), Template(), IMAGES)
    variables = {"mean": detector.variables["mean"]}
    dataclasses.replace(detector, variables=variables).save(tmp_path / "a.jaxad")
    with pytest.raises(InputError, match="a.jaxad' does not fit its recipe 'Template'.*KeyError: 'deviation'.*fit it"):
        jaxad.load(tmp_path / "a.jaxad")


def test_any_recipe_is_a_kind() -> None:
    assert {type(recipe) for recipe in RECIPES.values()} <= set(KINDS.values())
    assert Recipe not in KINDS.values()


class Product(Recipe, kind="tests.Product"):
    """Two others, held by fields of any names; their scores are multiplied."""

    first: Recipe = RECIPES["pixel-neighbours"]
    others: tuple[Recipe, ...] = (dataclasses.replace(RECIPES["pixel-components"], count=2),)
    holdout: float = 0.25

    @property
    def ingredients(self) -> tuple[Recipe, ...]:
        return (self.first, *self.others)

    def combine(self, variables: Any, scored: Any) -> dict[str, Any]:
        one, other = (scored[part.name][part.score_name] for part in self.ingredients)
        return {"score": (one.score * other.score, one.map * other.map)}


def test_recipes_of_others_are_kept_whatever_holds_these(tmp_path: Path) -> None:
    detector, _ = jaxad.fit(jax.random.key(0), Product(), IMAGES)
    detector.save(tmp_path / "product.jaxad")
    again = jaxad.load(tmp_path / "product.jaxad")
    assert again.recipe == detector.recipe == Product()
    np.testing.assert_array_equal(again.score(IMAGES).score, detector.score(IMAGES).score)
    changed = with_settings(Product(), ["pixel-components.count=3", "holdout=0.5"])
    assert (changed.others[0].count, changed.holdout) == (3, 0.5)
    assert changed.first is Product().first


class Settles(methods.PatchCoreRecipe, kind="tests.Settles"):
    def settle(self, images: Any) -> Recipe:
        return dataclasses.replace(self, bank=7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"holdout": 0.0}, "holdout must be above 0: units of scores come from held-out normal images"),
        ({"others": (RECIPES["pixel-neighbours"],)}, "ingredients must have different names, got"),
        ({"others": (RECIPES["auto"],)}, "'auto' must score by itself, and is a choice among others"),
        ({"others": (7,)}, "others of recipe 'tests.Product' must be recipes, got 7"),
        ({"first": dataclasses.replace(RECIPES["pixel-neighbours"], holdout=0.2)}, "must leave holdout at 0, got 0.2"),
        ({"first": Settles()}, r"leaves open what the images decide \(bank\); let settle of Product settle it too"),
    ],
)
def test_others_that_cannot_be_put_together_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        jaxad.fit(jax.random.key(0), Product(**change), IMAGES)


class Wrong(Product, kind="tests.Wrong"):
    """What it makes of the others is none."""

    gives: str = "missing"

    def combine(self, variables: Any, scored: Any) -> dict[str, Any]:
        return {"score": scored if self.gives == "scored" else scored[self.gives]}


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        ("missing", r"recipe 'tests.Wrong' .*: combine ends in KeyError \('missing'\)"),
        ("scored", "recipe 'tests.Wrong' .*: combine must give the anomaly map"),
    ],
)
def test_what_others_are_made_into_is_looked_at_when_they_are_fitted(gives: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        jaxad.fit(jax.random.key(0), Wrong(gives=gives), IMAGES)


def test_fields_that_hold_recipes_are_set_by_the_names_of_these() -> None:
    with pytest.raises(InputError, match="cannot set 'first.holdout=0.5': that holds recipes; write pixel-nei"):
        with_settings(Product(), ["first.holdout=0.5"])


class Light(jaxad.SolvedRecipe, kind="tests.Light"):
    """How far an image's mean is from usual; of the whole alone, so that its map says nothing."""

    def solve(self, images: Any) -> Any:
        return {"mean": images.mean()}

    def score(self, variables: Any, images: Any) -> Any:
        return jnp.abs(jnp.mean(images, axis=(1, 2, 3)) - variables["mean"]), jnp.zeros(images.shape[:3])


def test_scores_beside_a_map_are_kept_where_it_is_calibrated() -> None:
    detector, _ = jaxad.fit(jax.random.key(0), Light(holdout=0.25), IMAGES)
    found = detector.score_all(IMAGES)
    assert detector.score_name == "calibrated"
    np.testing.assert_array_equal(found["calibrated"].score, found["score"].score)
    assert np.ptp(found["calibrated"].score) > 0
