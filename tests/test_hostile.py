"""Arrays of any shape, dtype, strides and values give the right answer, or an `InputError` with a sentence.

As a user meets the functions: without the run-time shape checks of the suite. Device functions do not look at values,
so theirs are drawn from what their rooms document. Files and folders are drawn in tests/test_fuzz.py.
"""

import ast
from collections.abc import Callable
from dataclasses import astuple
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxad import (
    bundle,
    calibration,
    datasets,
    defects,
    feature_maps,
    features,
    gaussians,
    heatmaps,
    images,
    linear,
    losses,
    memory_bank,
    metrics,
    one_class_svm,
    patches,
    pooling,
    poses,
    preparation,
    ssim,
    styles,
    thresholds,
)
from tests.conftest import ROOT
from tests.drawn import examples
from tests.hostile_arrays import LABELS, NUMBERS, POSITIVE, UNIT, WIDE, WITHIN, answer, cases, need_same
from tests.public_names import ARRAY, public_names

pytestmark = pytest.mark.usefixtures("all_unchecked", "compile_fast")

EXAMPLES = 40
DRAWS = np.random.default_rng(0)
IMAGES = DRAWS.random((3, 12, 13, 1), np.float32)
ROWS = DRAWS.random((6, 4), np.float32)
CODES = ROWS[:3], ROWS[:3]
MAPS = DRAWS.random((4, 5, 6), np.float32)
MASK = DRAWS.random((4, 5, 6)) > 0.5
WINDOWS = {"size": (3, 4), "stride": (2, 3)}
GRIDS = DRAWS.random((2, 3, 4, 5), np.float32)
MATRIX = DRAWS.random((12, 5), np.float32)
GAUSSIANS = gaussians.fit_gaussians(GRIDS[0])
COMPONENTS = linear.fit_components(ROWS, count=2)
SVM = one_class_svm.fit(ROWS)
USUAL = calibration.fit_usual(MAPS)
FRAME = poses.fit_frame(IMAGES)
POSE = poses.find_poses(IMAGES, FRAME)
STYLES = styles.fit_usual(ROWS)
LETTERBOX = preparation.Preparation(1, "letterbox", box=(7, 9))
HALF = preparation.Preparation(3, "scale", scale=0.5)
GEOMETRY = preparation.Preparation(1, "scale", scale=0.5).geometry(10, 12)


def brightness(windows):
    return windows.mean((1, 2, 3))


def pixel_metrics(mask, score_map, **options):
    """Of one photograph, spilled to disk row by row."""
    with metrics.PixelMetrics(block=1) as pixels:
        pixels.add(mask, score_map, **options)
        return pixels.auroc(), pixels.aupro()


def alternate(x):
    return np.arange(np.size(x)).reshape(np.shape(x)) % 2


def fit_two(x):
    return linear.fit_components(x, count=2)


def fit_usual(x):
    return calibration.fit_usual(x, inside=MASK[0])


def draw_defects(x):
    return defects.draw_defects(jax.random.key(0), x)


def compiled(function):
    """For what is slow op by op; what jit would refuse by itself goes to the function."""
    fast = jax.jit(function)
    return lambda x: (fast if x.dtype in (np.float16, np.float32, np.float64) else function)(x)


class Door(NamedTuple):
    """A public function with an array in the place of one argument."""

    name: str
    call: Callable[[Any], Any]
    shape: tuple[int, ...]
    """One that it takes."""
    values: dict[str, tuple[float, ...]]
    """What it documents to take as a float, by name."""


DOORS = [
    Door("metrics.auroc", lambda x: metrics.auroc(alternate(x), x), (8,), WIDE),
    Door("metrics.auroc", lambda x: metrics.auroc(x, alternate(x)), (8,), {}),
    Door("metrics.auroc_between", lambda x: metrics.auroc_between(x, [0.5]), (8,), WIDE),
    Door("metrics.auroc_between", lambda x: metrics.auroc_between([0.5], x), (8,), WIDE),
    Door("metrics.average_precision", lambda x: metrics.average_precision(alternate(x), x), (8,), WIDE),
    Door("metrics.roc", lambda x: metrics.roc(alternate(x), x), (8,), WIDE),
    Door("metrics.precision_recall", lambda x: metrics.precision_recall(alternate(x), x), (8,), WIDE),
    Door("metrics.confusion", lambda x: astuple(metrics.confusion(alternate(x), x)), MASK.shape, LABELS),
    Door("metrics.confusion", lambda x: astuple(metrics.confusion(x, alternate(x))), MASK.shape, LABELS),
    Door("metrics.pixel_auroc", lambda x: metrics.pixel_auroc(alternate(x), x), MASK.shape, WIDE),
    Door("metrics.pro_curve", lambda x: metrics.pro_curve(alternate(x), x), MASK.shape, WIDE),
    Door("metrics.aupro", lambda x: metrics.aupro(alternate(x), x), MASK.shape, WIDE),
    Door("metrics.aupro", lambda x: metrics.aupro(x, MAPS), MASK.shape, LABELS),
    Door("metrics.aupro", lambda x: metrics.aupro(MASK, MAPS, inside=x), MASK.shape, LABELS),
    Door("metrics.PixelMetrics.add", lambda x: pixel_metrics(alternate(x), x), MASK[0].shape, WIDE),
    Door("metrics.PixelMetrics.add", lambda x: pixel_metrics(x, MAPS[0]), MASK[0].shape, LABELS),
    Door("metrics.PixelMetrics.add", lambda x: pixel_metrics(MASK[0], MAPS[0], inside=x), MASK[0].shape, LABELS),
    Door("thresholds.quantile", lambda x: astuple(thresholds.quantile(x, q=0.7)), (8,), WIDE),
    Door("thresholds.for_false_positive_rate", lambda x: astuple(thresholds.for_false_positive_rate(x)), (8,), WIDE),
    Door("thresholds.best_f1", lambda x: astuple(thresholds.best_f1(alternate(x), x)), (8,), WIDE),
    Door("thresholds.best_f1", lambda x: astuple(thresholds.best_f1(x, MAPS.ravel())), (120,), LABELS),
    Door("images.unit_pixels", images.unit_pixels, IMAGES.shape, WITHIN),
    Door("images.unit_pixels", lambda x: images.unit_pixels(x, any_range=True), IMAGES.shape, NUMBERS),
    Door("images.photographs", lambda x: list(images.photographs(x)), IMAGES.shape, WITHIN),
    Door("images.photographs", lambda x: list(images.photographs([x, x])), IMAGES[0].shape, WITHIN),
    Door("datasets.ImageSet", lambda x: len(datasets.ImageSet(x, np.zeros(3, int))), IMAGES.shape, NUMBERS),
    Door("datasets.ImageSet", lambda x: len(datasets.ImageSet(IMAGES, x)), (3,), {}),
    Door("datasets.ImageSet", lambda x: len(datasets.ImageSet(IMAGES, np.zeros(3, int), x)), IMAGES.shape[:3], {}),
    Door("bundle.pack", lambda x: bundle.unpack(bundle.pack({"x": x}, {}))[0], (3, 4), WIDE),
    Door("bundle.fingerprint", lambda x: len(bundle.fingerprint({"x": x}, {})), (3, 4), WIDE),
    Door("patches.extract", lambda x: patches.extract(x, **WINDOWS), IMAGES.shape, UNIT),
    Door("patches.window_products", lambda x: patches.window_products(x, MATRIX, **WINDOWS), IMAGES.shape, UNIT),
    Door("patches.window_products", lambda x: patches.window_products(IMAGES, x, **WINDOWS), MATRIX.shape, NUMBERS),
    Door(
        "patches.random_crops",
        lambda x: patches.random_crops(jax.random.key(0), x, count=3, size=(3, 4)),
        IMAGES.shape,
        UNIT,
    ),
    Door("heatmaps.heatmap", lambda x: heatmaps.heatmap(brightness, x, **WINDOWS), IMAGES.shape, UNIT),
    Door("heatmaps.window_scores", lambda x: heatmaps.window_scores(brightness, x, **WINDOWS), IMAGES.shape, UNIT),
    Door("features.oriented_gradients", features.oriented_gradients, IMAGES.shape, UNIT),
    Door("features.gradient_energies", features.gradient_energies, IMAGES.shape, UNIT),
    Door("features.spread_cells", lambda x: features.spread_cells(x, (11, 10)), (2, 3, 3), NUMBERS),
    Door("defects.draw_defects", compiled(draw_defects), IMAGES.shape, UNIT),
    Door("defects.draw_on_each", lambda x: defects.draw_on_each(jax.random.key(0), x), IMAGES.shape, UNIT),
    Door("defects.turn_upside_down", defects.turn_upside_down, IMAGES.shape, UNIT),
    Door("defects.turn_by_half", defects.turn_by_half, IMAGES.shape, UNIT),
    Door("defects.mix", defects.mix, IMAGES.shape, UNIT),
    Door("ssim.ssim_map", lambda x: ssim.ssim_map(x, IMAGES), IMAGES.shape, UNIT),
    Door("ssim.ssim", lambda x: ssim.ssim(x, x), IMAGES.shape, UNIT),
    Door("ssim.ssim", lambda x: ssim.ssim(IMAGES, x), IMAGES.shape, UNIT),
    Door("losses.ssim_loss", lambda x: losses.ssim_loss(x, IMAGES), IMAGES.shape, UNIT),
    Door("losses.squared_error", lambda x: losses.squared_error(x, IMAGES), IMAGES.shape, UNIT),
    Door("losses.relative_error", lambda x: losses.relative_error(x, IMAGES), IMAGES.shape, UNIT),
    Door("losses.residual", lambda x: losses.residual(x, IMAGES, IMAGES + 0.1), IMAGES.shape, UNIT),
    Door(
        "losses.negative_elbo",
        lambda x: losses.negative_elbo(x, IMAGES, IMAGES + 1, *CODES),
        IMAGES.shape,
        UNIT,
    ),
    Door(
        "losses.batch_summed_negative_elbo",
        lambda x: losses.batch_summed_negative_elbo(x, IMAGES, IMAGES + 1, *CODES),
        IMAGES.shape,
        UNIT,
    ),
    Door("losses.log_variance", losses.log_variance, IMAGES.shape, POSITIVE),
    Door("losses.residual", lambda x: losses.residual(IMAGES, IMAGES, x), IMAGES.shape, POSITIVE),
    Door("preparation.Preparation.prepare", LETTERBOX.prepare, IMAGES[0].shape, UNIT),
    Door("preparation.Preparation.prepare", HALF.prepare, IMAGES[0].shape, UNIT),
    Door("preparation.restore", lambda x: preparation.restore(x, GEOMETRY), GEOMETRY.size, NUMBERS),
    Door("patches.fold", lambda x: patches.fold(x, shape=(11, 10), stride=(2, 3)), (2, 5, 3, 3, 4, 1), NUMBERS),
    Door("heatmaps.fold_scores", lambda x: heatmaps.fold_scores(x, shape=(11, 10), **WINDOWS), (2, 5, 3), NUMBERS),
    Door("linear.fit_components", fit_two, ROWS.shape, NUMBERS),
    Door("linear.project", lambda x: linear.project(COMPONENTS, x), ROWS.shape, NUMBERS),
    Door("linear.residual", lambda x: linear.residual(COMPONENTS, x), ROWS.shape, NUMBERS),
    Door("linear.mahalanobis", lambda x: linear.mahalanobis(COMPONENTS, x), ROWS.shape, NUMBERS),
    Door("linear.parts", lambda x: linear.parts(COMPONENTS, x), ROWS.shape, NUMBERS),
    Door("linear.mahalanobis", lambda x: linear.mahalanobis(fit_two(x), ROWS), ROWS.shape, NUMBERS),
    Door("linear.nearest", lambda x: linear.nearest(x, ROWS, count=2), ROWS.shape, NUMBERS),
    Door("linear.nearest", lambda x: linear.nearest(ROWS, x, count=2), ROWS.shape, NUMBERS),
    Door(
        "linear.shrinkage",
        lambda x: linear.shrinkage(x, squares=jnp.float32(4), level=jnp.float32(1), length=3),
        (6,),
        POSITIVE,
    ),
    Door("linear.whitening", lambda x: linear.whitening(x, count=2), (3, 3), NUMBERS),
    Door("feature_maps.average_neighbours", feature_maps.average_neighbours, GRIDS.shape, NUMBERS),
    Door("feature_maps.take_out_light", feature_maps.take_out_light, GRIDS.shape, NUMBERS),
    Door("styles.styles", styles.styles, GRIDS.shape, NUMBERS),
    Door("styles.fit_usual", styles.fit_usual, ROWS.shape, NUMBERS),
    Door("styles.unusualness", lambda x: styles.unusualness(x, STYLES), ROWS.shape, NUMBERS),
    Door("poses.fit_frame", poses.fit_frame, IMAGES.shape, UNIT),
    Door("poses.find_poses", lambda x: poses.find_poses(x, FRAME), IMAGES.shape, UNIT),
    Door("poses.bring_upright", lambda x: poses.bring_upright(x, POSE, FRAME), IMAGES.shape, UNIT),
    Door("poses.put_back", lambda x: poses.put_back(x, POSE, FRAME), MAPS[:3].shape, NUMBERS),
    Door("feature_maps.turn", lambda x: feature_maps.turn(x, np.ones(2, np.float32)), GRIDS.shape, UNIT),
    Door(
        "feature_maps.spread_smoothly",
        lambda x: feature_maps.spread_smoothly(x, (7, 9), blur=1.0),
        GRIDS.shape[:3],
        NUMBERS,
    ),
    Door("memory_bank.choose_spread", lambda x: memory_bank.choose_spread(x, count=2), ROWS.shape, NUMBERS),
    Door("memory_bank.reweigh", lambda x: memory_bank.reweigh(ROWS[:, 0], x, dimensions=3), ROWS.shape, WITHIN),
    Door("gaussians.fit_gaussians", gaussians.fit_gaussians, GRIDS.shape[1:], UNIT),
    Door("gaussians.mahalanobis", lambda x: gaussians.mahalanobis(GAUSSIANS, x), GRIDS.shape[1:], NUMBERS),
    Door("one_class_svm.fit", lambda x: one_class_svm.fit(x).score(ROWS), ROWS.shape, NUMBERS),
    Door("one_class_svm.OneClassSVM.score", SVM.score, ROWS.shape, NUMBERS),
    Door("one_class_svm.reference_scores", lambda x: one_class_svm.reference_scores(x, x), ROWS.shape, NUMBERS),
    Door("losses.divergence", lambda x: losses.divergence(x, ROWS), ROWS.shape, UNIT),
    Door("losses.divergence", lambda x: losses.divergence(ROWS, x), ROWS.shape, UNIT),
    Door("calibration.fit_trust", calibration.fit_trust, MAPS.shape, NUMBERS),
    Door("calibration.fit_trust", lambda x: calibration.fit_trust(x, inside=MASK[0]), MAPS.shape, NUMBERS),
    Door("calibration.fit_usual", calibration.fit_usual, MAPS.shape, NUMBERS),
    Door("calibration.fit_usual", fit_usual, MAPS.shape, NUMBERS),
    Door("calibration.unusualness_by_others", compiled(calibration.unusualness_by_others), MAPS.shape, NUMBERS),
    Door("calibration.unusualness", lambda x: calibration.unusualness(x, USUAL), MAPS.shape, NUMBERS),
    Door(
        "calibration.unusualness",
        lambda x: calibration.unusualness(MAPS, fit_usual(x)),
        MAPS.shape,
        NUMBERS,
    ),
    Door("pooling.pool", lambda x: pooling.pool(x, share=0.2), MAPS.shape, NUMBERS),
    Door("calibration.fit_unit", calibration.fit_unit, MAPS.shape, NUMBERS),
    Door("calibration.in_unit", lambda x: calibration.in_unit(MAPS, calibration.fit_unit(x)), MAPS.shape, NUMBERS),
    Door("losses.cross_entropy", lambda x: losses.cross_entropy(MASK, x), MAPS.shape, NUMBERS),
]

INNER = {
    "heatmaps.fold_at_strides",
    "heatmaps.Sharing.share",
    "heatmaps.joined",
    "heatmaps.need_one_a_window",
    "heatmaps.on_grid",
    "heatmaps.score_places",
    "heatmaps.scores_in_tiles",
    "heatmaps.share_at_strides",
    "heatmaps.heatmap_on_canvases",
    "heatmaps.in_chunks",
    "pooling.highest",
    "pooling.whole_score",
    "images.mask_problem",
    "datasets.pixel_sum",
    "patches.take_windows",
    "patches.fold_axis",
    "linear.residual_of",
    "linear.mahalanobis_of",
    "preparation.fill",
    "preparation.mirror",
    "preparation.rectangle_around",
    "metrics.label_regions",
    "metrics.need_mapped",
    "metrics.sorted_run",
    "metrics.Scratch.store",
}
"""Steps of other functions in the table."""
ROOMS = {name.partition(".")[0] for name in (door.name for door in DOORS)}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_half_precision_is_taken_or_refused(dtype):
    """Nothing factors or convolves it beside other precisions; drawn arrays hold it too rarely to say so."""
    for door in DOORS:
        answer(door.call, np.asarray(np.random.default_rng(0).random(door.shape), dtype))


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS, ids=[f"{i}-{door.name}" for i, door in enumerate(DOORS)])
def test_any_array_is_taken_or_refused_and_strides_change_no_bit(door):
    @settings(max_examples=examples(EXAMPLES), deadline=None)
    @given(cases(door.shape, door.values))
    def check(case):
        # Values that a function does not document may overflow, but not crash.
        with np.errstate(**({} if case.documented else {"over": "ignore", "invalid": "ignore"})):
            found = answer(door.call, case.array)
            need_same(found, answer(door.call, case.plain))
        assert found is not None or not case.ordinary
        assert not case.documented or not any(np.isnan(part).any() for part in found or () if part.dtype.kind == "f")

    check()


def test_every_public_function_of_arrays_has_a_door():
    found = set()
    for public in public_names(ROOT):
        annotated = any(arg.annotation and ARRAY.search(ast.unparse(arg.annotation)) for arg in public.parameters)
        if public.room in ROOMS and annotated and not isinstance(public.node, ast.ClassDef):
            owner = f"{public.owner.name}." if public.owner else ""
            found.add(f"{public.room}.{owner}{public.node.name}")
    assert found - {door.name for door in DOORS} == INNER
