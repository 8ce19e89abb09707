"""Recipes on frozen features: they go wherever jaxad's own recipes go, and need no weights once they are fitted."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxad
from jaxad import backbones
from jaxad._check import InputError
from jaxad.calibration import Usual
from jaxad.detector import pool_maps
from jaxad.estimator import AnomalyDetector
from jaxad.export.computation import make_computation
from jaxad.export.to_stablehlo import lower_for_all
from jaxad.extents import Batch
from jaxad.folders import evaluate_folder, fit_folder, held_out, inspect_folder
from jaxad.folders.left_out import agree
from jaxad.methods import RECIPES, frozen, patchcore, with_backbone
from jaxad.methods.stages import BESIDE_STAGES
from jaxad.pipeline import judge
from jaxad.recipes import with_settings
from jaxad.testing import check_recipe
from tests import one_platform
from tests.photograph_folder import photograph, write_set

pytestmark = pytest.mark.usefixtures("compile_fast")

STAGES = ("depthwise_1", "depthwise_4")
"""Of the first blocks of the network alone, for most of the time goes into compiling it."""
SMALL = {
    "patchcore": dataclasses.replace(RECIPES["patchcore"], bank=64, choices=256, numbers=16, stages=STAGES),
    "padim": dataclasses.replace(RECIPES["padim"], numbers=8, stages=STAGES),
}
UPRIGHT = dataclasses.replace(SMALL["patchcore"], upright=True, pool="peak")
KEY = jax.random.key(0)


def waves(count: int, size: tuple[int, int] = (32, 40), channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    shifts = rng.normal(0, 0.3, (count, 1, 1))
    images = 0.5 + 0.2 * np.sin((rows + 2 * columns) / 3 + shifts) + rng.normal(0, 0.02, (count, *size))
    return np.clip(np.repeat(images[..., None], channels, axis=-1), 0, 1).astype(np.float32)


IMAGES = waves(12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        *SMALL.values(),
        dataclasses.replace(
            SMALL["patchcore"], neighbours=4, turns=1, light=False, stages=("depthwise_1@0.65",), blur=0.0
        ),
        UPRIGHT,
    ],
    ids=["patchcore", "padim", "settings", "upright"],
)
def test_they_keep_the_laws(recipe: jaxad.Recipe) -> None:
    check_recipe(recipe, images=IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_saved_detector_needs_no_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, _ = jaxad.fit(KEY, SMALL[name], IMAGES)
    detector.save(tmp_path / "detector.jaxad")

    monkeypatch.setattr(backbones.files, "INSTALLED", {})
    loaded = jaxad.load(tmp_path / "detector.jaxad")
    np.testing.assert_array_equal(loaded.score(IMAGES[:2]).map, detector.score(IMAGES[:2]).map)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [*SMALL.values(), UPRIGHT], ids=[*SMALL, "upright"])
def test_exported_they_score_alike(recipe: jaxad.Recipe) -> None:
    computation = make_computation(jaxad.fit(KEY, recipe, IMAGES)[0], None)
    images = np.rint(IMAGES[:3] * 255).astype(np.uint8)
    with one_platform.every():
        exported = lower_for_all(computation)
    for found, wanted in zip(exported.call(images), computation.expected(images), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_spot_is_found_where_it_is(name: str) -> None:
    detector, _ = jaxad.fit(KEY, SMALL[name], waves(16, (64, 80), 3))
    good = waves(18, (64, 80), 3)[16:]
    bad = good.copy()
    bad[:, 24:40, 32:56] = [0.9, 0.1, 0.1]
    scores = detector.score(np.concatenate([good, bad]))
    assert scores.score[2:].min() > scores.score[:2].max()
    for one in scores.map[2:]:
        row, column = np.unravel_index(np.argmax(one), one.shape)
        assert 20 <= row < 44
        assert 28 <= column < 60


@pytest.mark.slow
def test_a_stage_that_sees_images_smaller_is_the_network_on_smaller_images() -> None:
    names = ("depthwise_1", "depthwise_4", "depthwise_1@0.5")
    recipe = dataclasses.replace(SMALL["patchcore"], stages=names, light=False)
    size = recipe.seen_size(IMAGES.shape[1:3])
    assert size == (64, 80)  # the half is what the images are
    weights = recipe.used_weights()
    whole, half = (jax.image.resize(IMAGES, (12, *sides, 1), "linear") for sides in (size, IMAGES.shape[1:3]))
    found = recipe._seen(weights, IMAGES).stages
    for seen, some in ((whole, names[:2]), (half, names[2:])):
        own = dataclasses.replace(recipe, stages=tuple(name.partition("@")[0] for name in some), enlarged=1.0)
        for name, maps in zip(some, own._seen(own.used_weights(), seen).stages.values(), strict=True):
            np.testing.assert_allclose(found[name], maps, atol=1e-5)


def test_photographs_of_many_sizes_are_seen_smaller_too(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = RECIPES["patchcore"]
    for few in ([], [(30, 40)], [(30, 40)] * 3 + [(50, 40)], [(30, 40), (30, 41)] * 2):
        assert recipe.for_sizes(few) == recipe
    many = recipe.for_sizes([(30, 40), (30, 40), (30, 41)])
    assert many.stages == ("depthwise_4", "depthwise_7", "depthwise_10@0.65", "depthwise_10")
    assert many.settle(IMAGES).stages == (
        *("efficientnet-lite0.depthwise_4", "efficientnet-lite0.depthwise_7", "efficientnet-lite1.depthwise_14"),
        *("efficientnet-lite1.depthwise_14@0.65", "efficientnet-lite1.depthwise_10"),
    )
    own = dataclasses.replace(recipe, stages=STAGES)
    assert own.for_sizes([(30, 40), (30, 41)]) == own
    monkeypatch.setattr(backbones.files, "INSTALLED", {})
    assert many.settle(IMAGES).stages == many.stages


@pytest.mark.slow
def test_turned_copies_make_turned_images_normal() -> None:
    images = waves(12, (64, 64))
    quarter = np.rot90(images, axes=(1, 2)).copy()
    plain, turned = (  # as many cells of each image and of each copy
        jaxad.fit(KEY, dataclasses.replace(SMALL["patchcore"], turns=turns, choices=256 * (1 + turns)), images)[0]
        for turns in (0, 3)
    )
    beyond = [float(np.mean(d.score(quarter).score) / np.mean(d.score(images).score)) for d in (plain, turned)]
    assert beyond[1] < beyond[0]


@pytest.mark.slow
def test_light_over_the_whole_image_does_not_count() -> None:
    images = waves(12, (64, 64))
    darker = (0.8 * images).astype(np.float32)
    lit, plain = (
        jaxad.fit(KEY, dataclasses.replace(SMALL["patchcore"], light=light), images)[0] for light in (True, False)
    )
    beyond = [float(np.mean(d.score(darker).score) / np.mean(d.score(images).score)) for d in (lit, plain)]
    assert beyond[0] < beyond[1]


@pytest.mark.slow
@pytest.mark.parametrize(("turns", "positions"), [(-1, (32, 40)), (1, (1, 1))], ids=["aligned", "turned"])
def test_a_folder_is_fitted_and_evaluated(turns: int, positions: tuple[int, int], tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", train=24)
    recipe = dataclasses.replace(SMALL["patchcore"], turns=turns)
    fitted = fit_folder(root, tmp_path / "part.jaxad", recipe=recipe, holdout=0.5)
    assert (fitted["images"]["train"], fitted["images"]["learned_after"]) in {(12, 0), (24, 12)}
    # Of 12 images no style is judged.
    assert fitted["settled"] == {"style": 0.0, **({"turns": 0} if turns < 0 else {})}
    pipeline = jaxad.load_pipeline(tmp_path / "part.jaxad")
    assert pipeline.usual is not None
    assert pipeline.usual.mean.shape == positions
    found = evaluate_folder(pipeline, root)
    assert found["auroc"] == 1.0
    assert (tmp_path / "part.jaxad").stat().st_size < 40e6


@pytest.mark.slow
def test_the_network_is_told_by_its_weights() -> None:
    opened = backbones.open_default()
    stages = ("depthwise_4", "depthwise_10")
    weights = backbones.used_weights(opened, stages)
    names = set(weights["params"])
    assert "block_10_depthwise" in names
    assert not {name for name in names if name.startswith(("block_11", "head", "classifier"))}
    assert backbones.find_network(weights, stages) == opened.network
    images = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    for stage, found in backbones.stage_outputs(opened.network, weights, images, stages=stages).items():
        np.testing.assert_array_equal(found, opened.outputs(images, stages)[stage])


@pytest.mark.slow
def test_a_second_network_sees_them_too_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = dataclasses.replace(SMALL["patchcore"], stages=RECIPES["patchcore"].stages)
    settled = both.settle(IMAGES)
    assert (settled.backbone, settled.stages) == ("efficientnet-lite0+efficientnet-lite1", BESIDE_STAGES)
    assert settled.settle(IMAGES) == settled
    detector, _ = jaxad.fit(KEY, both, IMAGES)
    detector.save(tmp_path / "detector.jaxad")
    first, second = (detector.variables["network"]["params"][name] for name in ("networks_0", "networks_1"))
    assert ("block_8_expand" in first, "block_14_depthwise" in second) == (False, True)
    own = both.stages[1:]
    assert dataclasses.replace(both, stages=own).settle(IMAGES).stages == own
    monkeypatch.setattr(backbones.files, "INSTALLED", {})
    assert both.settle(IMAGES).backbone == "efficientnet-lite0"
    loaded = jaxad.load(tmp_path / "detector.jaxad")
    np.testing.assert_array_equal(loaded.score(IMAGES[:2]).map, detector.score(IMAGES[:2]).map)
    check_recipe(both, images=IMAGES)


def test_settings_are_texts_too() -> None:
    alone = with_backbone(RECIPES["patchcore"], "efficientnet-lite0")
    assert (alone.stages, alone.beside) == (RECIPES["patchcore"].stages, "")
    recipe = with_settings(RECIPES["patchcore"], ["stages=depthwise_4,depthwise_10", "light=false", "side=256"])
    assert (recipe.stages, recipe.light, recipe.side) == (("depthwise_4", "depthwise_10"), False, 256)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "images", "words"),
    [
        ({"stages": ("depthwise_99",)}, IMAGES, "stage"),
        ({"stages": ()}, IMAGES, "stages must name one output"),
        ({"stages": ("depthwise_1@2",)}, IMAGES, "at most 1, such as depthwise_1@0.65, got 'depthwise_1@2'"),
        ({"stages": ("depthwise_1@x",)}, IMAGES, "above 0 and at most 1"),
        ({"side": 0}, IMAGES, "side must be positive"),
        ({"bank": 0}, IMAGES, "bank"),
        ({"beside": "resnet18"}, IMAGES, "beside must be 'efficientnet-lite1', or empty for none, got 'resnet18'"),
        ({"backbone": "missing.safetensors"}, IMAGES, "missing.safetensors"),
        ({}, waves(4, (8, 8)), "images must be at least 16 x 16 pixels"),
        ({}, waves(4, (8, 300)), "8 x 300"),
        ({}, waves(4, (40, 40), 2), "1 or 3 channels"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(changes: dict, images: np.ndarray, words: str) -> None:
    with pytest.raises(InputError) as caught:
        jaxad.fit(KEY, dataclasses.replace(SMALL["patchcore"], **changes), images)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"), [("patchcore", "cells of 16 numbers"), ("padim", "Gaussians of 8 numbers of 12 images")]
)
def test_what_would_not_fit_is_estimated_first(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match=f"{words} would take 0.0 GB of memory, and 0.0 GB are allowed; set"):
        jaxad.fit(KEY, SMALL[name], IMAGES)


@pytest.mark.slow
def test_gaussians_need_two_images() -> None:
    with pytest.raises(InputError, match="at least 2 images, got 1"):
        jaxad.fit(KEY, SMALL["padim"], IMAGES[:1])


def without(place: int, learned: dict[str, Any]) -> dict[str, Any]:
    """A memory without the cells of an image, in whose place the first other one stands where it is a neighbour."""
    kept = np.asarray(learned["image"] != place)
    fewer = {**learned, "memory": learned["memory"][kept]}
    if "around" in learned:
        positions = np.where(kept, np.cumsum(kept) - 1, 0)
        fewer["around"] = positions[np.asarray(learned["around"])[kept]]
    return fewer


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"turns": 1, "neighbours": 3}, {"upright": True}], ids=["plain", "turned", "upright"]
)
def test_an_image_left_out_is_judged_by_the_cells_of_the_others(changes: dict) -> None:
    recipe = dataclasses.replace(SMALL["patchcore"], style=0.0, **changes)
    variables = recipe.solve(IMAGES)
    places = np.array([5, 0])
    found = recipe.score_left_out(variables, IMAGES[places], places).map
    for place, score_map in zip(places, found, strict=True):
        learned = {stage: without(place, one) for stage, one in variables["learned"].items()}
        wanted = recipe.score({**variables, "learned": learned}, IMAGES[place][None]).map[0]
        np.testing.assert_allclose(score_map, wanted, rtol=1e-5, atol=1e-6)
        known = recipe.score(variables, IMAGES[place][None]).map[0]
        assert np.mean(score_map) > np.mean(known)


def test_a_cell_that_stands_in_for_one_left_out_brings_its_own_neighbours() -> None:
    recipe = dataclasses.replace(SMALL["patchcore"], neighbours=2)
    learned = {
        "memory": jnp.array([[0.0], [1.0], [1.5], [5.0]]),
        "image": jnp.arange(4),
        "around": jnp.array([[0, 1], [1, 2], [2, 1], [3, 2]]),
        "unit": jnp.ones(()),
    }
    cells = jnp.array([0.4, 1.2, 3.0, 6.0]).reshape(4, 1, 1, 1)
    places = np.array([0, 0, 1, 3])
    found = recipe._judge_left_out(places, {"stage": learned}, "stage", cells)
    wanted = [
        recipe.judge({"stage": without(place, learned)}, "stage", cell[None])
        for place, cell in zip(places, cells, strict=True)
    ]
    np.testing.assert_allclose(found, jnp.concatenate(wanted), rtol=1e-6)


@pytest.mark.slow
def test_an_unusual_style_adds_to_the_pool_of_the_map_in_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patchcore, "FEWEST_STYLES", 3)
    recipe = SMALL["patchcore"]
    detector, _ = jaxad.fit(KEY, recipe, IMAGES)
    odd = np.concatenate([IMAGES[:2], 1 - IMAGES[:1] / 3])
    found = detector.score(odd)
    beyond = found.score - pool_maps(recipe, found.map)
    unusual = np.asarray(recipe.score(detector.variables, jnp.asarray(odd)).beyond)
    np.testing.assert_allclose(beyond, unusual, atol=1e-5)
    assert unusual[2] > 2 * max(abs(unusual[:2]))
    usual = Usual(jnp.full((1, 1), 3.0), jnp.full((1, 1), 0.5))
    anew = judge(detector, usual, Batch(jnp.asarray(odd)))["score"]
    np.testing.assert_allclose(anew.score - pool_maps(recipe, anew.map), unusual / 0.5, atol=1e-4)
    left_out = recipe.score_left_out(detector.variables, IMAGES[:2], np.arange(2))
    assert np.all(left_out.beyond > recipe.score(detector.variables, IMAGES[:2]).beyond)
    without, _ = jaxad.fit(KEY, dataclasses.replace(recipe, style=0.0), IMAGES)
    np.testing.assert_allclose(without.score(odd).map, found.map, rtol=1e-5)
    np.testing.assert_allclose(without.score(odd).score, pool_maps(recipe, found.map), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alike", "root", "counts"),
    [
        (True, "set", (24, 0, 12, 24)),
        (True, "set/train/good", (24, 0, 12, 24)),
        (False, "set", (12, 12, 0, 0)),
        (True, "unsplit", (12, 12, 0, 12)),
        (True, "unsplit/good", (12, 12, 0, 12)),
    ],
    ids=["all learned from", "all of good ones to train on", "not alike", "no other good images", "nor beside it"],
)
def test_left_out_images_stand_behind_the_threshold_and_then_held_out_ones_are_learned_from(
    alike: bool, root: str, counts: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "agree", lambda *scores: alike)
    whole, unsplit = write_set(tmp_path / "set", train=24), tmp_path / "unsplit"
    unsplit.mkdir()
    shutil.copytree(whole / "train" / "good", unsplit / "good")
    shutil.copytree(whole / "test" / "spot", unsplit / "bad")
    fitted = fit_folder(tmp_path / root, tmp_path / "part.jaxad", recipe=SMALL["patchcore"], holdout=0.5)
    pipeline = jaxad.load_pipeline(tmp_path / "part.jaxad")
    kinds = ("train", "holdout", "learned_after", "judged_left_out")
    assert tuple(fitted["images"][kind] for kind in kinds) == counts
    assert fitted["threshold"]["count"] == len(pipeline.normal_scores) == counts[1] + counts[3]
    assert pipeline.provenance["images"] == {"train": counts[0], "holdout": counts[1]}
    images = set(np.asarray(pipeline.detector.variables["learned"][STAGES[0]]["image"]).tolist())
    assert images <= set(range(counts[0]))
    assert (max(images) >= 12) == (counts[0] > 12)
    assert not pipeline.verify()
    learned = [np.asarray(Image.open(path)).tobytes() for path in (whole / "train" / "good").iterdir()]
    # What is known by heart has distances of rounding alone, which exports do not keep.
    assert any(one.tobytes() in learned for one in pipeline.golden) == bool(counts[1])


def test_left_out_images_count_only_where_they_score_as_new_ones() -> None:
    scores = np.random.default_rng(0).normal(0, 1, 240)
    held, left = scores[:40], scores[40:]
    assert agree(held, left)
    assert not agree(held + 0.5, left)
    assert agree(held - 0.2, left)
    assert not agree(held - 1, left)
    assert not agree(held, left[:0])


def turned_wedges(count: int, *, parts: int, anyhow: bool = True) -> np.ndarray:
    """Wedges of stripes on a plain ground, each at an angle of its own or always at the same."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-32:32, -32:32]
    images = []
    for angles in rng.uniform(0, 2 * np.pi, (count, parts)) * anyhow:
        image = 0.8 + rng.normal(0, 0.01, (64, 64))
        for angle, middle in zip(angles, np.linspace(-16, 16, parts) if parts > 1 else [0], strict=True):
            down, across = rows - middle, columns - middle
            along, beside = down * np.cos(angle) + across * np.sin(angle), across * np.cos(angle) - down * np.sin(angle)
            part = (np.abs(along) < 24 / parts) & (np.abs(beside) < 4 / parts + along / 6)
            image[part] += 0.3 * np.sin(along[part]) - 0.4
        images.append(image)
    return np.clip(np.stack(images)[..., None], 0, 1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "anyhow", "upright", "turns", "pool"),
    [(1, True, True, 0, "peak"), (2, True, False, 2, "peak"), (1, False, False, 0, "high")],
    ids=["one part", "two parts", "aligned"],
)
def test_parts_that_lie_anyhow_are_noticed(parts: int, anyhow: bool, upright: bool, turns: int, pool: str) -> None:
    images = turned_wedges(44, parts=parts, anyhow=anyhow)
    deep = dataclasses.replace(SMALL["patchcore"], stages=RECIPES["patchcore"].stages, beside="")
    recipe = deep.settle(images)
    assert (recipe.upright, recipe.turns, recipe.pool, recipe.aligned) == (upright, turns, pool, not anyhow)
    assert recipe.bank == (8192 if turns else 64)
    assert recipe.settle(images) == recipe
    few = deep.settle(images[:12])
    assert (few.upright, few.turns) == (upright, 0)
    asked = dataclasses.replace(deep, turns=0)
    assert asked.settle(images) == asked


@pytest.mark.slow
def test_a_spot_on_a_part_that_lies_anyhow_is_found_where_it_is() -> None:
    images = turned_wedges(24, parts=1)
    detector, _ = jaxad.fit(KEY, UPRIGHT, images[:20])
    good, bad = images[20:], images[20:].copy()
    bad[:, 28:36, 28:36] = 0.05
    scores = detector.score(np.concatenate([good, bad]))
    assert scores.score[4:].min() > scores.score[:4].max()
    for one in scores.map[4:]:
        assert np.abs(np.subtract(np.unravel_index(np.argmax(one), one.shape), 31.5)).max() < 12


def test_upright_parts_need_images_that_tell_what_is_usual() -> None:
    with pytest.raises(InputError, match="upright parts need at least 3 normal images, got 2; use more, or leave"):
        jaxad.fit(KEY, UPRIGHT, turned_wedges(2, parts=1))


@pytest.mark.slow
def test_an_estimator_lets_most_new_images_pass() -> None:
    images = waves(40)
    found = AnomalyDetector(recipe=SMALL["patchcore"], contamination=0.1).fit(images[:24]).predict(images[24:])
    assert np.mean(found == 1) > 0.6


@pytest.mark.slow
def test_images_that_are_all_the_same_have_no_rounding_for_a_unit() -> None:
    rounding = np.random.default_rng(0).integers(0, 2, (22, 64, 64, 1)) * 2.0**-25
    images = (0.4 + rounding).astype(np.float32)
    detector, _ = jaxad.fit(KEY, SMALL["patchcore"], images)
    assert not detector.recipe.upright
    first, *others = detector.score(np.concatenate([images[:2], images[:1] + 0.001])).score
    assert max(abs(score - first) for score in others) < 10


def test_a_style_without_bound_is_refused() -> None:
    for weight in (101.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="style must be"):
            dataclasses.replace(SMALL["patchcore"], style=weight).check((32, 40, 1))


def test_neighbours_that_are_no_neighbours_are_refused() -> None:
    with pytest.raises(InputError, match="neighbours must be at most 64, got 1000000"):
        dataclasses.replace(SMALL["patchcore"], neighbours=10**6).check((32, 40, 1))


def test_styles_of_few_images_are_not_judged_and_it_is_said() -> None:
    few, enough = (SMALL["patchcore"].settle(np.zeros((count, 32, 40, 1), np.float32)) for count in (19, 20))
    assert (few.style, enough.style) == (0.0, SMALL["patchcore"].style)


def test_what_a_network_sees_is_seen_as_it_is() -> None:
    recipe = RECIPES["patchcore"]
    rng = np.random.default_rng(0)
    assert recipe.seen_size((1258, 500)) == (508, 202)
    for height, width in rng.integers(170, 2000, (300, 2)).tolist():
        seen = recipe.seen_size((height, width))
        assert recipe.seen_size(seen) == seen


@pytest.mark.parametrize(
    ("size", "box"), [((300, 280), [331, 309]), ((120, 100), [120, 100]), ((1258, 500), [508, 202])], ids=str
)
def test_photographs_are_resized_once(size: tuple[int, int], box: list[int], tmp_path: Path) -> None:
    """To what the network sees, larger or smaller than they are; not where it would enlarge even that."""
    for index in range(8):
        Image.fromarray(photograph(index, size)).save(tmp_path / f"{index}.png")
    assert inspect_folder(tmp_path)["plan"]["grid"] == box
