"""Detectors of surfaces, their sum, and the choice among recipes."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxad import datasets, linear, metrics
from jaxad._check import InputError
from jaxad.calibration import fit_unit, in_unit
from jaxad.defects import draw_defects
from jaxad.features import gradient_energies
from jaxad.fitting import NothingToldWarning, choosing, fit, fit_members
from jaxad.methods import AUTO, GRADIENT_NEIGHBOURS, RECIPES, SURFACE
from jaxad.pipeline import load
from tests.photograph_folder import unlike_each_other
from tests.references.heatmap import heatmap as slow_heatmap

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compile_fast")]

GRADIENTS = RECIPES["surface-gradients"]
COMPONENTS = replace(RECIPES["patch-components"], crops=500)
DRAWN = replace(RECIPES["drawn-defects"], crops=32, epochs=1, filters=(4, 8), crop=(16, 16))
FUSION = replace(SURFACE, parts=(GRADIENTS, COMPONENTS, DRAWN))
KINDS = {"gradients": GRADIENTS, "components": COMPONENTS, "drawn": DRAWN, "fusion": FUSION}
TRAIN = datasets.textures("brick", "train", count=10, size=48)
TEST = datasets.textures("brick", "test", count=16, size=48)
OTHER_SIZE = datasets.textures("brick", "test", count=2, size=61).images[:, :, :40]


@pytest.fixture(scope="module")
def each(compile_fast):
    """A detector of every kind."""
    return {name: fit(jax.random.key(0), recipe, TRAIN.images)[0] for name, recipe in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_any_size_is_scored_and_the_image_is_as_bad_as_its_worst_pixel(name, each):
    scores = each[name].score(OTHER_SIZE)
    assert (scores.score.shape, scores.map.shape) == ((2,), (2, 61, 40))
    assert np.isfinite(scores.map).all()
    if name != "fusion":
        np.testing.assert_allclose(scores.score, scores.map.max((1, 2)), rtol=1e-5)
    with pytest.raises(InputError, match=r"must have 1 channel\(s\) in the last axis, got 3"):
        each[name].score(np.repeat(OTHER_SIZE, 3, axis=-1))


@pytest.mark.parametrize("name", ["gradients", "components"])
def test_they_find_defects(name, each):
    scores = each[name].score(TEST.images)
    assert metrics.auroc(TEST.labels, scores.score) > 0.8
    assert metrics.pixel_auroc(TEST.masks, scores.map) > 0.7


def test_gradients_judge_every_cell_alike(each):
    """The score of a cell is its Mahalanobis distance, and a cell in the middle does not know its place."""
    detector, image = each["gradients"], TEST.images[:1]
    rows = np.asarray(gradient_energies(TRAIN.images)).reshape(-1, 19)
    components = linear.fit_components(rows, count=16)
    expected = linear.mahalanobis(components, np.asarray(gradient_energies(image)).reshape(-1, 19))
    size = (1, 12, 12)
    spread = jax.image.resize(expected.reshape(size), (1, 48, 48), "linear")
    np.testing.assert_allclose(detector.score(image).map, spread, rtol=2e-3)


def test_components_against_the_double_loop(each):
    detector, image = each["components"], TEST.images[0]
    scales = []
    for i, (side, stride, _) in enumerate(COMPONENTS.scales):
        scale = jax.tree.map(np.asarray, detector.variables[str(i)])
        directions, unit = scale["components"]["directions"], scale["units"]["residual"]

        def score(window, scale=scale, directions=directions, unit=unit):
            centred = window.ravel() - scale["components"]["mean"]
            left = centred - directions @ (directions.T @ centred)
            return abs(np.log((left**2).sum() + 1e-5) - unit["mean"]) / unit["deviation"]

        grid = {"size": (side, side), "stride": (stride, stride), "cover": "full", "reduce": "mean"}
        scales.append(slow_heatmap(score, image[None], **grid)[0])
    np.testing.assert_allclose(detector.score(image[None]).map[0], np.mean(scales, axis=0), rtol=5e-3, atol=5e-3)


def test_smoother_than_usual_is_as_odd_as_rougher(each):
    smooth, rough = TRAIN.images[:1].copy(), TRAIN.images[:1].copy()
    smooth[:, 12:36, 12:36] = smooth[:, 12:36, 12:36].mean()
    rough[:, 12:36, 12:36] = np.random.default_rng(0).random((1, 24, 24, 1))
    usual, *odd = (each["components"].score(x).map[0, 16:32, 16:32].mean() for x in (TRAIN.images[:1], smooth, rough))
    assert min(odd) > 1.5 * usual


def test_a_fusion_adds_its_parts_in_units_of_what_was_held_out(each):
    scored = each["fusion"].score_all(TEST.images)
    assert scored.keys() == {"fused", *(part.name for part in FUSION.parts)}
    for kind in ("score", "map"):
        parts = [getattr(scored[part.name], kind) for part in FUSION.parts]
        np.testing.assert_allclose(getattr(scored["fused"], kind), sum(parts), rtol=1e-4, atol=1e-4)


def test_units_of_a_fusion_come_from_images_its_parts_never_saw(each):
    """With neighbours, an image that was fitted on is at distance 0 of itself; a held-out one is not."""
    recipe = replace(SURFACE, parts=(replace(GRADIENT_NEIGHBOURS, count=1),), holdout=0.3)
    detector, _ = fit(jax.random.key(0), recipe, TRAIN.images)
    part = detector.variables["gradient-neighbours"]
    assert part["variables"]["bank"].shape[0] == 7
    raw = fit(jax.random.key(0), recipe.parts[0], TRAIN.images)[0]
    bank = np.asarray(part["variables"]["bank"])
    every = np.asarray(raw.variables["bank"])
    held = [i for i in range(10) if np.abs(bank - every[i]).max(1).min() > 1e-6]
    distances = np.linalg.norm(every[held][:, None] - bank[None], axis=-1).min(1)
    np.testing.assert_allclose(part["image"]["mean"], distances.mean(), rtol=1e-3)
    assert in_unit(distances, fit_unit(distances)).std(ddof=1) == pytest.approx(1, rel=1e-4)


def test_members_of_a_fusion_differ_in_what_was_drawn_only():
    members, history = fit_members(jax.random.key(0), FUSION, TRAIN.images, count=2)
    first, second = (member.score_all(TEST.images[:2]) for member in members)
    assert (first["drawn-defects"].map != second["drawn-defects"].map).any()
    assert history.terms["drawn-defects loss"].shape == (1, 2)


def test_what_a_part_fits_after_training_is_kept(tmp_path):
    svm = replace(RECIPES["latent-ocsvm"], encoder=(4, 2), decoder=(4,), epochs=1)
    detector, _ = fit(jax.random.key(0), replace(FUSION, parts=(svm, COMPONENTS)), TRAIN.images)
    assert "one_class_svm" in detector.variables["latent-ocsvm"]["variables"]
    detector.save(tmp_path / "sum.jaxad")
    scores, again = (one.score(TEST.images[:3]) for one in (detector, load(tmp_path / "sum.jaxad")))
    np.testing.assert_array_equal(scores.score, again.score)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"holdout": 0.0}, "holdout must be above 0"),
        ({"parts": ()}, "parts must be at least one"),
        ({"parts": (GRADIENTS, GRADIENTS)}, "must have different names"),
        ({"parts": (replace(GRADIENTS, holdout=0.2),)}, "must leave holdout at 0, got 0.2"),
        ({"parts": (RECIPES["auto"],)}, "ingredient 'auto' must score by itself, and is a choice among others"),
        ({"parts": (replace(COMPONENTS, scales=((64, 8, 3),)),)}, "images must be at least 64 x 64 pixels"),
        ({"parts": (replace(COMPONENTS, scales=((4, 2, 16),)),)}, "16 numbers, so 1 to 15 components; got 16"),
        ({"parts": (replace(COMPONENTS, crops=3, scales=((4, 2, 3),)),)}, "crops for 3 components must be at least 4"),
        ({"parts": (replace(COMPONENTS, scales=()),)}, "scales must hold at least one"),
    ],
)
def test_unsound_recipes_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        fit(jax.random.key(0), replace(FUSION, **change), TRAIN.images)


@pytest.mark.parametrize("name", ["gradient-neighbours", "surface-gradients"])
def test_images_without_room_for_an_edge_are_refused(name):
    recipe, images = replace(RECIPES[name], count=2), np.random.default_rng(0).random((12, 4, 4, 1), "f4")
    with pytest.raises(InputError, match=r"at least 4 x 4 pixels for recipe .*, got 1 x 4; use larger"):
        fit(jax.random.key(0), recipe, images[:, :1])
    detector, _ = fit(jax.random.key(0), recipe, images)
    if recipe.local:
        with pytest.raises(InputError, match="image 1 cannot be scored: .*at least 4 x 4 pixels"):
            detector.score([images[0], images[0, :3]])


def test_drawn_defects_are_found_on_images_that_were_not_seen():
    recipe = replace(DRAWN, crops=512, epochs=8, crop=(32, 32), filters=(8, 16))
    detector, history = fit(jax.random.key(0), recipe, TRAIN.images)
    assert history.terms["loss"][-1] < 0.2 * history.terms["loss"][0]
    good = datasets.textures("brick", "train", count=40, size=48, seed=1).images
    drawn, masks, _ = jax.jit(draw_defects)(jax.random.key(9), good)
    assert metrics.pixel_auroc(np.asarray(masks), detector.score(np.asarray(drawn)).map) > 0.6


# Choosing


def objects(count, seed=0):
    """A bright square always at one place, among noise: images that are aligned."""
    images = 0.3 * np.random.default_rng(seed).random((count, 24, 24, 1), np.float32)
    images[:, 4:16, 8:14] += 0.6
    return images


QUICK = replace(AUTO, candidates=(*(r for r in AUTO.candidates if r.kind == "closed_form"), COMPONENTS))


def test_auto_compares_and_keeps_the_best(tmp_path):
    detector, _ = fit(jax.random.key(0), QUICK, objects(40))
    by_name = {candidate.name: candidate for candidate in detector.comparison}
    assert list(by_name) == [recipe.name for recipe in QUICK.candidates]
    separations = {name: candidate.separation for name, candidate in by_name.items() if not candidate.reason}
    assert len(separations) >= 4
    assert all(0 <= separation <= 1 for separation in separations.values())
    assert detector.recipe.name == max(separations, key=separations.get)
    detector.save(tmp_path / "chosen.jaxad")
    assert load(tmp_path / "chosen.jaxad").comparison == detector.comparison
    # The winner is fitted on all images, as if it had been named.
    named, _ = fit(jax.random.key(0), detector.recipe, objects(40))
    np.testing.assert_array_equal(named.score(objects(3, seed=1)).score, detector.score(objects(3, seed=1)).score)


def test_auto_leaves_positions_alone_where_images_are_not_aligned():
    detector, _ = fit(jax.random.key(0), QUICK, TRAIN.images)
    reasons = {candidate.name: candidate.reason for candidate in detector.comparison}
    assert "only 0% of what the images vary is at fixed positions" in reasons["gradient-neighbours"]
    assert detector.recipe.name in ("surface-gradients", "patch-components")


def test_auto_says_why_a_candidate_cannot_be_fitted():
    few = objects(8)
    reasons = {c.name: c.reason for c in fit(jax.random.key(0), QUICK, few)[0].comparison}
    assert "principal components to keep, asked for 16" in reasons["gradient-components"]
    assert reasons["gradient-neighbours"] == ""


def test_auto_warns_where_nothing_is_told():
    hopeless = replace(AUTO, candidates=(GRADIENTS,))
    with pytest.warns(NothingToldWarning, match="auto found no recipe .* the best of 1, surface-gradients, does so"):
        fit(jax.random.key(0), hopeless, unlike_each_other(20))


def test_auto_judges_large_images_by_fewer_and_tells_how_far_it_is(monkeypatch):
    seen, steps = [], []

    def watched(key, recipe, images):
        seen.append(len(images))
        return fit(key, recipe, images)[0]

    two = replace(AUTO, candidates=(GRADIENT_NEIGHBOURS, GRADIENTS))
    options = {"fit": watched, "on_candidate": lambda *step: steps.append(step)}
    full = choosing.choose(jax.random.key(0), two, objects(40), **options)[1]
    assert (seen, steps) == ([32, 32], [(1, 2), (2, 2)])
    monkeypatch.setattr(choosing, "VALUES", 20 * 24 * 24)
    monkeypatch.setattr(choosing, "FEWEST_JUDGED", 10)
    fewer = choosing.choose(jax.random.key(0), two, objects(40), **options)[1]
    assert seen[2:] == [16, 16]
    assert [one.separation for one in full] != [one.separation for one in fewer]


def test_auto_with_nothing_to_choose_from():
    hopeless = replace(AUTO, candidates=(replace(GRADIENT_NEIGHBOURS, count=1000),))
    with pytest.raises(InputError, match="auto could fit none of its candidates:\n  gradient-neighbours: 1000 neigh"):
        fit(jax.random.key(0), hopeless, objects(8))
    with pytest.raises(InputError, match="got 3 images, of which its own holdout is 0.2: use more images"):
        fit(jax.random.key(0), AUTO, objects(3))
