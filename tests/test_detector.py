from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxad import bundle, losses
from jaxad._check import InputError
from jaxad.detector import batches
from jaxad.detector import detector as room
from jaxad.detector.computing import InPrecision
from jaxad.features import oriented_gradients
from jaxad.fitting import NothingToldWarning, find_faults, fit, fit_members, health
from jaxad.losses import residual
from jaxad.methods import CONV_AE, DENSE_AE, GRADIENT_NEIGHBOURS, LATENT_OCSVM, PATCH_VAE, RECIPES, SSIM_AE
from jaxad.models import PatchVAE, PatchVAEOutput
from jaxad.one_class_svm import OneClassSVM
from jaxad.pipeline import load
from jaxad.recipes import to_document
from tests.conftest import no_shape_checks
from tests.references.heatmap import heatmap as slow_heatmap

pytestmark = pytest.mark.usefixtures("compile_fast")

# A model that fits within a second: what is tested is the chain, not how well it detects.
RECIPE = replace(PATCH_VAE, window=(4, 4), stride=(2, 2), filters=(4,), crops=64, epochs=2, batch_size=16)
# Scores of one image among others differ by the order in which float32 sums of about a hundred terms are added.
ROUNDING = 1e-5


def images_of(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


IMAGES = images_of(5, 8, 11, 1)


@pytest.fixture(scope="module")
def trained():
    """A detector of grey images, its history, and what `on_epoch` was told."""
    told = []
    return *fit(jax.random.key(0), RECIPE, IMAGES, on_epoch=lambda *news: told.append(news)), told


@pytest.fixture
def detector(trained):
    return trained[0]


@pytest.fixture(scope="module")
def colour_detector():
    return fit(jax.random.key(0), RECIPE, images_of(2, 8, 11, 3))[0]


@pytest.mark.slow
def test_another_key_another_detector(detector):
    other, _ = fit(jax.random.key(1), RECIPE, IMAGES)
    assert (other.score(IMAGES).map != detector.score(IMAGES).map).all()


def test_history_tells_the_terms_of_the_loss(trained):
    _, history, told = trained
    terms = history.terms
    assert [done for done, _ in told] == [1, 2]
    np.testing.assert_array_equal([row["loss"] for _, row in told], terms["loss"])
    assert {name: values.shape for name, values in terms.items()} == dict.fromkeys(
        ("loss", "divergence", "log_variance", "residual"), (RECIPE.epochs,)
    )
    np.testing.assert_allclose(
        terms["loss"], terms["divergence"] + terms["log_variance"] + terms["residual"], rtol=1e-5
    )


def test_detector_is_a_pytree(detector):
    same = jax.tree.map(lambda leaf: leaf, detector)
    assert same.recipe == detector.recipe
    np.testing.assert_array_equal(same.score(IMAGES).map, detector.score(IMAGES).map)
    maps = jax.jit(lambda detector, images: detector.apply(images))(detector, IMAGES)
    assert maps.keys() == VAE_SCORES
    np.testing.assert_allclose(maps["unregularised"].map, detector.score(IMAGES).map, rtol=ROUNDING)


def test_score_is_the_slow_one(detector):
    model = PatchVAE((4, 4), (4,), 2, 1)

    @jax.jit
    def score_window(window):
        output = model.apply(detector.variables, window[None])
        return residual(window[None], output.mean, output.variance)[0]

    options = {"size": (4, 4), "stride": (2, 2), "cover": "full", "reduce": "mean"}
    expected = slow_heatmap(score_window, IMAGES[:1], **options)
    np.testing.assert_allclose(detector.score(IMAGES[:1]).map, expected, rtol=ROUNDING)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_image_score_is_the_pool_of_its_map(detector, pool):
    scores = detector.replace(recipe=replace(RECIPE, pool=pool)).score(IMAGES)
    assert (scores.score.shape, scores.map.shape) == ((5,), (5, 8, 11))
    assert scores.score.dtype == scores.map.dtype == np.float32
    expected = [getattr(np, pool)(one.astype(np.float64)) for one in scores.map]
    np.testing.assert_allclose(scores.score, expected, rtol=1e-6)


def test_recipe_names_the_score(detector):
    maps = {name: scores.map for name, scores in detector.score_all(IMAGES).items()}
    regularised = detector.replace(recipe=replace(RECIPE, score_name="regularised")).score(IMAGES).map
    np.testing.assert_array_equal(regularised, maps["regularised"])
    assert (maps["regularised"] != maps["unregularised"]).all()


@pytest.mark.parametrize("pixels", [1, 2 * 8 * 11, 3 * 8 * 11])
def test_score_does_not_depend_on_the_batch(detector, pixels, monkeypatch):
    """One image at a time, or two or three and the last batch filled up."""
    expected = detector.score(IMAGES)
    monkeypatch.setattr(batches, "BATCH_PIXELS", pixels)
    scores = detector.score(IMAGES)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=ROUNDING), scores, expected)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 4, 4, 1), (1, 21, 6, 1)])
def test_images_of_any_size(detector, shape):
    scores = detector.score(images_of(*shape))
    assert scores.map.shape == shape[:3]
    assert np.isfinite(scores.map).all()


def test_float64_and_device_arrays_score_alike(detector):
    expected = detector.score(IMAGES).map
    np.testing.assert_array_equal(detector.score(IMAGES.astype(np.float64)).map, expected)
    np.testing.assert_array_equal(detector.score(jnp.asarray(IMAGES)).map, expected)


@pytest.mark.slow
def test_colour(colour_detector):
    scores = colour_detector.score(images_of(2, 9, 8, 3))
    assert scores.map.shape == (2, 9, 8)
    with pytest.raises(InputError, match="3 channel.*got 1"):
        colour_detector.score(IMAGES)


BAD_IMAGES = [
    ((IMAGES * 255).astype(np.int64), "must be uint8, uint16 or float in .0, 1., got int64; convert them"),
    (IMAGES > 0.5, "must be uint8, uint16 or float in .0, 1., got bool"),
    (IMAGES * 255, r"must lie in \[0, 1\], got values from .*, first outside in image 0; divide by 255"),
    (IMAGES - np.eye(5, dtype=np.float32)[3].reshape(5, 1, 1, 1), "first outside in image 3; scale or clip them first"),
    (np.where(np.arange(5).reshape(5, 1, 1, 1) == 2, np.nan, IMAGES), "must be finite, got NaN.* first in image 2"),
    (IMAGES[:, :3], "images must be at least 4 x 4 pixels for recipe 'patch-vae', got 3 x 11"),
    (IMAGES[:0], "at least one image"),
]


@pytest.mark.parametrize(("images", "message"), BAD_IMAGES, ids=[message[:20] for _, message in BAD_IMAGES])
def test_bad_images(images, message, detector, unchecked):
    for call in (detector.score, lambda images: fit(jax.random.key(0), RECIPE, images)):
        with pytest.raises(InputError, match=message) as caught:
            call(images)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"four axes \[n, h, w, c\], got shape \(5, 8, 11\); add the missing axis"):
        fit(jax.random.key(0), RECIPE, IMAGES[..., 0])


BYTES = np.rint(IMAGES * 255).astype(np.uint8)


@pytest.mark.slow
def test_whole_numbers_are_shares_of_their_white():
    shares = BYTES.astype(np.float32) / 255
    trained, expected = (fit(jax.random.key(0), RECIPE, images)[0] for images in (BYTES, shares))
    jax.tree.map(np.testing.assert_array_equal, trained, expected)
    for images in (BYTES, BYTES.astype(np.uint16) * 257):
        np.testing.assert_allclose(expected.score(images).map, expected.score(shares).map, rtol=ROUNDING)


@pytest.mark.slow
def test_every_source_scores_as_the_array(detector, tmp_path):
    expected = detector.score(BYTES).map
    paths = [tmp_path / f"{i}.png" for i in range(len(BYTES))]
    for path, one in zip(paths, BYTES[..., 0], strict=True):
        Image.fromarray(one).save(path)
    many = [
        *(paths, map(str, paths), [Image.open(path) for path in paths], list(BYTES), list(BYTES[..., 0])),
        *((one / np.float32(255) for one in BYTES), [BYTES[:2], paths[2], *BYTES[3:]]),
    ]
    for source in many:
        np.testing.assert_allclose(detector.score(source).map, expected, rtol=1e-4)
    for source in (paths[1], Image.open(paths[1]), BYTES[1], BYTES[1, :, :, 0], jnp.asarray(BYTES[1])):
        np.testing.assert_allclose(detector.score(source).map, expected[1:2], rtol=1e-4)
    assert detector.score_all(paths[0]).keys() == detector.score_all(BYTES).keys()


def test_an_iterator_streams(detector, monkeypatch):
    """No more is read ahead of the scores than one batch."""
    read, scored = [], []
    score = room.score_shots

    def items():
        for index in range(500):
            read.append(index)
            yield IMAGES[index % 5]

    def counted(*given, **options):
        scored.append(len(read))
        return score(*given, **options)

    monkeypatch.setattr(room, "score_shots", counted)
    found = detector.score(items())
    assert found.score.shape == (500,)
    assert all(count <= 64 * (i + 1) + 1 for i, count in enumerate(scored))


@pytest.mark.slow
def test_images_of_several_sizes_are_a_list_of_maps(detector):
    found = detector.score([IMAGES[0], IMAGES[1, :7], IMAGES[2]])
    assert [score_map.shape for score_map in found.map] == [(8, 11), (7, 11), (8, 11)]
    for index, image in enumerate((IMAGES[0], IMAGES[1, :7], IMAGES[2])):
        np.testing.assert_allclose(found.map[index], detector.score(image).map[0], rtol=ROUNDING)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([IMAGES[0], IMAGES[1, :2]], "image 1 cannot be scored: images must be at least 4 x 4 pixels"),
        ([IMAGES[0], images_of(8, 11, 3)], r"must have 1 channel\(s\) in the last axis, got 3"),
        (images_of(8, 11, 3), r"must have 1 channel\(s\) in the last axis, got 3 .*turn colour into grey"),
        (
            np.zeros((2, 8, 11, 4), "f4"),
            r"1 channel.*got 4 .*; drop the opacity: x\[..., :3\], and turn colour into grey",
        ),
        (iter([]), "at least one, got none"),
        (IMAGES[..., 0], r"many of them \[n, h, w, c\], got shape \(5, 8, 11\)"),
        (3, "must be an array, a path or a Pillow image, got int"),
        ("nowhere.png", "no such file"),
    ],
    ids=["sizes", "colours", "channels", "opacity", "none", "axes", "kind", "path"],
)
def test_sources_that_cannot_be_scored(source, words, detector):
    with pytest.raises(InputError, match=words):
        detector.score(source)


@pytest.mark.parametrize(
    ("key", "words"),
    [(7, "got int; write jax.random.key"), (jax.random.split(jax.random.key(0), 3), r"single one, got .* keys \[3\]")],
)
@pytest.mark.parametrize("recipe", ["patch-components", "auto"])
def test_bad_key(key, words, recipe, unchecked):
    with pytest.raises(InputError, match=words):
        fit(key, recipe, np.zeros((8, 16, 16, 1), np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss_name": "negative_elb"}, "unknown loss_name 'negative_elb'.*did you mean 'negative_elbo'"),
        ({"score_name": "unregularized"}, "unknown score_name 'unregularized'.*did you mean 'unregularised'"),
        ({"pool": "median"}, "unknown pool 'median': choose one of mean, max"),
        ({"stride": (5, 1)}, "stride must not exceed the window"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
    ],
)
def test_bad_recipe(change, message, unchecked):
    with pytest.raises(InputError, match=message):
        fit(jax.random.key(0), replace(RECIPE, **change), IMAGES)


def test_score_inside_a_program_points_to_apply(detector):
    with pytest.raises(InputError, match=r"call Detector.apply\(images\)"):
        jax.jit(lambda images: detector.score(images).score)(IMAGES)


def test_weights_that_are_not_finite_are_no_detector(monkeypatch):
    recipe = RECIPES["pixel-components"]
    solve = type(recipe).solve
    monkeypatch.setattr(
        type(recipe), "solve", lambda self, images: jax.tree.map(lambda x: x * np.nan, solve(self, images))
    )
    with pytest.raises(InputError, match="what was fitted must be finite.* NaN or infinity in directions, mean"):
        fit(jax.random.key(0), recipe, images_of(20, 9, 10, 1))


# Every kind of recipe


@pytest.mark.slow
def test_few_programs_for_any_number_of_images(detector):
    """Sizes 1, 2, 3, 4, 6, 8, 12 and 16 serve every count to 16, and only the images asked for come back."""
    many = images_of(16, 9, 10, 1)
    # With canvases of its own: the size must be among the few that have programs of their own.
    detector = replace(detector)
    whole = detector.score(many)
    before = room._score_batch._cache_size()
    for count in range(1, 17):
        scores = detector.score(many[:count])
        np.testing.assert_allclose(scores.score, whole.score[:count], rtol=ROUNDING)
        np.testing.assert_allclose(scores.map, whole.map[:count], rtol=ROUNDING)
    assert room._score_batch._cache_size() - before == 7  # and that of 16, from before


def test_what_is_given_by_keyword_is_in_that_precision_too():
    seen = []

    class Model:
        def apply(self, variables, images, *, train):
            seen.append((images.dtype, train))
            return images

    made = InPrecision(Model(), "bfloat16").apply({"params": {}}, images=jnp.ones(2), train=False)
    assert seen == [(jnp.bfloat16, False)]
    assert made.dtype == jnp.float32


def test_bfloat16_is_near_and_returns_float32(detector):
    exact, rounded = detector.score(IMAGES), detector.score(IMAGES, dtype=jnp.bfloat16)
    assert rounded.map.dtype == rounded.score.dtype == np.float32
    assert (exact.score != rounded.score).any()
    np.testing.assert_allclose(rounded.map, exact.map, rtol=0.05)
    with pytest.raises(InputError, match="unknown dtype 'int8': choose one of float32, bfloat16"):
        detector.score(IMAGES, dtype="int8")
    with no_shape_checks(), pytest.raises(InputError, match="unknown dtype '3'"):
        detector.score(IMAGES, dtype=3)


QUICK = {"epochs": 1, "batch_size": 4}
BLOCKS = {"encoder": ((3, 2), (4, 2)), "decoder": ((4, 2), (3, 2)), "latent_dim": 3}
KINDS = {
    "patch_vae": RECIPE,
    "conv_ae": replace(CONV_AE, **BLOCKS, **QUICK),
    "ssim_ae": replace(SSIM_AE, **(BLOCKS | {"latent_dim": 0}), **QUICK),
    "dense_ae": replace(DENSE_AE, encoder=(6, 3), decoder=(6,), **QUICK),
    "latent_ocsvm": replace(LATENT_OCSVM, encoder=(6, 2), decoder=(6,), **QUICK, code_activation="linear"),
    "neighbours": replace(GRADIENT_NEIGHBOURS, count=2),
    "components": replace(GRADIENT_NEIGHBOURS, transform="none", score_name="mahalanobis", count=2),
    "calibrated": replace(RECIPE, holdout=0.4, pool="top"),
}
SMALL = images_of(6, 12, 13, 1)
VAE_SCORES = {"unregularised", "regularised", "likelihood", "squared_error"}
CODES = {"conv_ae": (3,), "ssim_ae": (3, 4, 4), "dense_ae": (3,), "latent_ocsvm": (2,)}


class Fitted(dict):
    """Detectors by kind, each fitted when it is first asked for."""

    def __missing__(self, name):
        self[name] = fit(jax.random.key(0), KINDS[name], SMALL)[0]
        return self[name]


@pytest.fixture(scope="module")
def each():
    return Fitted()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_scores_of_every_kind(name, each):
    scored = each[name].score_all(SMALL)
    names = {"patch_vae": VAE_SCORES, "ssim_ae": {"squared_error", "ssim_loss"}}
    names["latent_ocsvm"] = {"squared_error", "one_class_svm"}
    names |= {"neighbours": {"nearest"}, "components": {"residual", "mahalanobis"}}
    names["calibrated"] = VAE_SCORES | {"calibrated"}
    assert scored.keys() == names.get(name, {"squared_error"})
    for scores in scored.values():
        assert (scores.score.shape, scores.map.shape) == ((6,), (6, 12, 13))
        assert scores.score.dtype == scores.map.dtype == np.float32
        assert np.isfinite(scores.map).all()
    judged = "calibrated" if name == "calibrated" else each[name].recipe.score_name
    # One score alone is another program, so sums may be added in another order.
    near = partial(np.testing.assert_allclose, rtol=ROUNDING, atol=ROUNDING)
    jax.tree.map(near, each[name].score(SMALL), scored[judged])


@pytest.mark.slow
@pytest.mark.parametrize("name", CODES)
def test_scores_are_made_of_reconstructions_and_codes(name, each):
    detector = each[name]
    made, codes = detector.reconstruct(SMALL), detector.encode(SMALL)
    assert (made.shape, made.dtype) == (SMALL.shape, np.float32)
    assert codes.shape == (6, *CODES[name])
    scored = detector.score_all(SMALL)
    np.testing.assert_allclose(scored["squared_error"].map, ((SMALL - made) ** 2).mean(-1), rtol=ROUNDING, atol=1e-7)
    np.testing.assert_allclose(scored["squared_error"].score, ((SMALL - made) ** 2).mean((1, 2, 3)), rtol=ROUNDING)
    if "ssim_loss" in scored:
        np.testing.assert_allclose(scored["ssim_loss"].score, losses.ssim_loss(SMALL, made), rtol=ROUNDING)
        # 2 x 3 windows; their values fill the border.
        assert len(np.unique(scored["ssim_loss"].map[0])) == 6
    if "one_class_svm" in scored:
        svm = OneClassSVM(**detector.variables["one_class_svm"])
        np.testing.assert_allclose(scored["one_class_svm"].score, svm.score(codes), atol=ROUNDING)


@pytest.mark.slow
def test_bounded_variance_and_code(each):
    """Both ends of the head, and the clip of the code, from weights that drive them there."""
    recipe = replace(RECIPE, variance_range=(0.01, 0.25), z_log_variance_range=(-1.0, 2.0), epochs=1, one_cycle=True)
    detector, _ = fit(jax.random.key(0), recipe, IMAGES)
    for bias, variance, z_log_variance in ((-100.0, 0.01, -1.0), (100.0, 0.25, 2.0)):
        driven = with_params(with_params(detector, "heads_norm", bias=bias), "z_log_variance", bias=bias)
        output = PatchVAEOutput(*driven.recipe.model(driven.shape).apply(driven.variables, IMAGES[:, :4, :4]))
        np.testing.assert_allclose(output.variance, variance, rtol=1e-5)
        np.testing.assert_array_equal(output.z_log_variance, z_log_variance)
        total = driven.score_all(IMAGES)
        windows = losses.log_variance(output.variance)
        np.testing.assert_allclose(windows, 8 * np.log(2 * np.pi * variance), rtol=1e-5)
        np.testing.assert_allclose(
            total["likelihood"].map - total["unregularised"].map, windows[0], rtol=1e-3, atol=1e-3
        )


def test_windows_reconstruct_no_images(detector):
    for call in (detector.reconstruct, detector.encode):
        with pytest.raises(InputError, match="'patch-vae' is no autoencoder of whole images"):
            call(IMAGES)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("shape", [(2, 13, 12, 1), (2, 12, 13, 3)], ids=str)
def test_other_sizes_are_refused(name, shape, each):
    got = " x ".join(map(str, shape[1:]))
    for call in (each[name].score, each[name].reconstruct, each[name].encode):
        with pytest.raises(
            InputError, match=f"as those it was fitted on; got {got}" if shape[-1] == 1 else "1 channel.*got 3"
        ):
            call(images_of(*shape))


def test_ssim_needs_its_window():
    with pytest.raises(InputError, match="at least as large as the SSIM window of 11 x 11 pixels.*got 10 x 12"):
        fit(jax.random.key(0), KINDS["ssim_ae"], images_of(2, 10, 12, 1))


@pytest.mark.parametrize("name", ["patch_vae", "dense_ae"])
def test_any_range_is_taken_only_when_said(name, each):
    noise = np.random.default_rng(0).normal(size=SMALL.shape).astype(np.float32)
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        each[name].score(noise)
    assert np.isfinite(each[name].score(noise, any_range=True).score).all()
    noise[3, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="must be finite.*first in image 3"):
        each[name].score(noise, any_range=True)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(KINDS["conv_ae"], score_name="one_class_svm"), "unknown score_name 'one_class_svm'"),
        (replace(KINDS["dense_ae"], output_activation="tahn"), "unknown output_activation 'tahn'.*did you mean 'tanh'"),
        (replace(RECIPE, window=(6, 4), filters=(4, 4)), "window must be a multiple of 4 pixels"),
        (replace(RECIPE, variance_range=(0.0, 1.0)), "variance_range must be empty or two numbers above 0"),
        (replace(RECIPE, z_log_variance_range=(1.0,)), "z_log_variance_range must be empty or two numbers, the lower"),
        (replace(KINDS["neighbours"], transform="gradients"), "unknown transform 'gradients'"),
        (replace(KINDS["neighbours"], count=0), "count must be at least 1, got 0"),
    ],
)
def test_bad_recipe_of_other_kinds(recipe, message):
    with pytest.raises(InputError, match=message):
        fit(jax.random.key(0), recipe, SMALL)


# What a file may hold


def rewritten(detector, path, change):
    """The detector's file with its arrays and document changed."""
    detector.save(path)
    arrays, document = bundle.read(path)
    change(arrays, document)
    bundle.write(path, arrays, document)
    return path


def test_the_svm_of_files_of_earlier_versions(each, tmp_path):
    """It lay beside the variables."""

    def change(arrays, document):
        for name in [name for name in arrays if name.startswith("variables/one_class_svm/")]:
            arrays[name.replace("variables/one_class_svm", "head")] = arrays.pop(name)

    detector = load(rewritten(each["latent_ocsvm"], tmp_path / "d.jaxad", change))
    jax.tree.map(np.testing.assert_array_equal, detector, each["latent_ocsvm"])


def test_all_misfits_of_a_file_are_listed(each, tmp_path):
    def change(arrays, document):
        del arrays["variables/params/output/bias"]
        arrays["variables/params/other"] = np.zeros(3)
        arrays["variables/params/encoder_0/kernel"] = np.zeros((5, 5))
        arrays["variables/one_class_svm/support_vectors"] = np.zeros((4, 9))
        del arrays["variables/one_class_svm/gamma"]

    with pytest.raises(InputError) as caught:
        load(rewritten(each["latent_ocsvm"], tmp_path / "d.jaxad", change))
    lines = str(caught.value).splitlines()
    assert "does not fit its model" in lines[0]
    count = len(each["latent_ocsvm"].variables["one_class_svm"]["weights"])
    assert [line.strip() for line in lines[1:]] == [
        "variables/one_class_svm/gamma: bundle has nothing",
        f"variables/one_class_svm/support_vectors: model has [{count}, 2], bundle has [4, 9]",
        "variables/params/encoder_0/kernel: model has [156, 6], bundle has [5, 5]",
        "variables/params/other: model has nothing",
        "variables/params/output/bias: bundle has nothing",
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, r"several problems(?s:.)*no recipe(?s:.)*no shape"),
        ({"recipe": to_document(RECIPE)}, "holds no detector: it has no shape"),
        ({"recipe": to_document(RECIPE), "shape": [8, 8]}, "holds no detector: it has no shape"),
        (
            {"recipe": to_document(RECIPE) | {"kind": "transformer"}, "shape": [8, 8, 1]},
            "must be one of .*'transformer'",
        ),
        (
            {"recipe": to_document(RECIPE) | {"colour": 1}, "shape": [8, 8, 1]},
            "d.jaxad.*unknown field 'colour'.*wrote it",
        ),
        (
            {"recipe": to_document(RECIPE) | {"pool": "zzz"}, "shape": [8, 8, 1]},
            "d.jaxad.*unknown pool 'zzz'.*wrote it",
        ),
    ],
)
def test_a_bundle_of_something_else_is_refused(document, message, tmp_path):
    bundle.write(tmp_path / "d.jaxad", {}, document)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "d.jaxad")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing.jaxad"):
        load(tmp_path / "nothing.jaxad")


# Watching, extra batches, members


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_history_tells_the_loss_of_watched_images(pool):
    watched = np.random.default_rng(1).normal(size=(3, *SMALL.shape[1:])).astype(np.float32)
    kept = []
    detector, history = fit(
        jax.random.key(0),
        replace(KINDS["conv_ae"], pool=pool, epochs=2),
        SMALL,
        watched={"noise": watched},
        on_detector=lambda done, now: kept.append((done, now)),
    )
    assert history.terms.keys() == {"loss", "noise"}
    assert [done for done, _ in kept] == [1, 2]
    for (_, now), value in zip(kept, history.terms["noise"], strict=True):
        made = now.reconstruct(watched, any_range=True)
        np.testing.assert_allclose(value, ((watched - made) ** 2).mean(), rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, kept[-1][1], detector)
    with pytest.raises(InputError, match="no loss of whole images"):
        fit(jax.random.key(0), RECIPE, IMAGES, watched={"noise": IMAGES})


@pytest.mark.slow
def test_watched_images_and_the_extra_batch_are_read_as_those_to_fit_on(unchecked):
    whole = np.random.default_rng(3).integers(0, 256, SMALL.shape, dtype=np.uint8)
    recipe = replace(KINDS["conv_ae"], epochs=1)
    given = [{"watched": {"other": images}, "extra_batch": images[:2]} for images in (whole, whole / np.float32(255))]
    terms = [fit(jax.random.key(0), recipe, SMALL, **one)[1].terms for one in given]
    jax.tree.map(np.testing.assert_array_equal, *terms)
    for bad, words in (
        ({"watched": {"other": SMALL * np.nan}}, "watched images 'other'.*NaN"),
        ({"watched": {"other": SMALL[:, :8]}}, r"must be of shape \[n, 12, 13, 1\], as the images to fit on"),
        ({"watched": {"loss": SMALL}}, "no watched images may be called 'loss'"),
        ({"extra_batch": SMALL[:2, :8]}, "extra_batch must be of shape"),
    ):
        with pytest.raises(InputError, match=words):
            fit(jax.random.key(0), recipe, SMALL, **bad)


@pytest.mark.slow
def test_extra_batch_changes_the_detector(each):
    extra = images_of(2, 12, 13, 1, seed=9)
    other, _ = fit(jax.random.key(0), KINDS["dense_ae"], SMALL, extra_batch=extra)
    assert (other.score(SMALL).score != each["dense_ae"].score(SMALL).score).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["patch_vae", "latent_ocsvm"])
def test_members_differ_and_repeat(name):
    recipe = replace(KINDS[name], epochs=2)
    (members, history), (again, _) = (fit_members(jax.random.key(0), recipe, SMALL, count=3) for _ in range(2))
    assert len(members) == 3
    jax.tree.map(np.testing.assert_array_equal, members, again)
    assert {values.shape for values in history.terms.values()} == {(2, 3)}
    images = [member.score(SMALL).score for member in members]
    assert all((images[i] != images[j]).any() for i, j in ((0, 1), (0, 2), (1, 2)))
    assert len(set(history.terms["loss"][0].tolist())) == 3


@pytest.mark.slow
def test_member_is_the_single_fit_of_its_key():
    # Not the dense AE: the gradient of the bias before its last BatchNorm is rounding alone, which Adam makes a step.
    members, history = fit_members(jax.random.key(3), KINDS["conv_ae"], SMALL, count=2)
    for i, key in enumerate(jax.random.split(jax.random.key(3), 2)):
        alone, its_history = fit(key, KINDS["conv_ae"], SMALL)
        np.testing.assert_allclose(members[i].score(SMALL).score, alone.score(SMALL).score, rtol=1e-4)
        np.testing.assert_allclose(history.terms["loss"][:, i], its_history.terms["loss"], rtol=1e-5)


def test_no_members():
    with pytest.raises(InputError, match="count must be at least 1, got 0"):
        fit_members(jax.random.key(0), RECIPE, IMAGES, count=0)


# Health


def with_params(detector, module, **values):
    """The detector with the arrays of one module filled with numbers."""
    params = detector.variables["params"]
    changed = {name: jnp.full_like(params[module][name], value) for name, value in values.items()}
    return detector.replace(variables=detector.variables | {"params": params | {module: params[module] | changed}})


def kinds(faults):
    """What each fault calls itself; a model of one epoch may well be blind, so the tests ask for one at a time."""
    return [fault.split(":")[0] for fault in faults]


def test_healthy_detector_has_no_faults(each):
    for name in ("conv_ae", "ssim_ae", "latent_ocsvm"):
        assert set(kinds(find_faults(each[name], SMALL))) <= {"blind reconstruction"}


def test_dead_code_is_a_fault(each):
    dead = with_params(each["dense_ae"], "encoder_1", kernel=0.0, bias=-1.0)
    code, *_, score = find_faults(dead, np.repeat(SMALL[:1], 3, axis=0))
    assert code.startswith("dead code: 3 of 3 code units give the same number for every image")
    assert score.startswith("constant score: every image scores ")
    # Of one image neither can be told.
    assert not {"dead code", "constant score"} & set(kinds(find_faults(dead, SMALL[:1])))
    # The images differ, so their errors do too.
    assert "constant score" not in kinds(find_faults(dead, SMALL))


class Noting:
    """A stand-in for a detector: how far images are from the first one, and a note of how many came."""

    recipe, shape = None, IMAGES.shape[1:]

    def __init__(self, *, doubt):
        self.doubt, self.counts = doubt, []

    def score(self, images):
        self.counts.append(len(images))
        scores = np.abs(images - images[0]).mean((1, 2, 3))
        return SimpleNamespace(score=np.zeros_like(scores) if self.doubt and len(images) <= health.FEW else scores)


@pytest.mark.parametrize("doubt", [False, True])
def test_few_images_are_looked_at_where_they_leave_no_doubt(doubt, monkeypatch, unchecked):
    images = np.random.default_rng(0).random((40, 4, 4, 1), np.float32)
    monkeypatch.setattr(
        health, "draw_on_each", lambda key, images: images + np.arange(len(images))[:, None, None, None]
    )
    detector = Noting(doubt=doubt)
    assert find_faults(detector, images) == []
    assert detector.counts == ([16, 40] if doubt else [16])
    detector.counts.clear()
    assert health.tell_drawn_defects(jax.random.key(0), detector, images) > health.PLAIN
    assert detector.counts == ([16, 16, 40, 80] if doubt else [16, 16])


@pytest.mark.slow
def test_collapsed_posterior_is_a_fault(detector):
    silent = {"kernel": 0.0, "bias": 0.0}
    collapsed = with_params(with_params(detector, "z_mean", **silent), "z_log_variance", **silent)
    fault, *_ = find_faults(collapsed, IMAGES)
    assert fault.startswith("collapsed posterior: the divergence is 0.0000, 0.0000 nats")
    # One dimension with something to say is enough: half a nat of mean 1.
    heard = find_faults(with_params(collapsed, "z_mean", kernel=0.0, bias=1.0), IMAGES)
    assert "collapsed posterior" not in kinds(heard)


@pytest.mark.parametrize(("middle", "blind"), [(0.5, False), (0.375, True)])
def test_blind_reconstruction_is_a_fault(each, middle, blind):
    """A decoder that makes the flat image 0.5 of everything, for images whose mean it is, or is not."""
    flat = with_params(each["conv_ae"], "output", kernel=0.0, bias=0.0)
    pairs = np.stack([np.full_like(SMALL[0], middle - 0.25), np.full_like(SMALL[0], middle + 0.25)])
    faults = [fault for fault in find_faults(flat, pairs) if fault.startswith("blind")]
    assert kinds(faults) == ["blind reconstruction"] * blind
    if blind:
        assert "is 0.07812 a pixel, but 0.0625 for the mean" in faults[0]


def test_blind_windows_are_a_fault(detector):
    flat = with_params(detector, "heads", kernel=0.0, bias=0.0)
    assert "blind reconstruction" in kinds(find_faults(flat, IMAGES))


# Closed forms and calibration


@pytest.mark.slow
def test_neighbours_score_the_mean_distance_in_gradients(each):
    rows = np.asarray(oriented_gradients(SMALL)).reshape(len(SMALL), -1)
    new = images_of(3, 12, 13, 1, seed=5)
    others = np.asarray(oriented_gradients(new)).reshape(3, -1)
    distances = np.sort(np.linalg.norm(others[:, None] - rows[None], axis=-1), axis=1)
    scores = each["neighbours"].score(new)
    np.testing.assert_allclose(scores.score, distances[:, :2].mean(1), rtol=1e-3)
    assert scores.map.shape == (3, 12, 13)
    # Cells are means of their pixels' squares, so the map adds up to the nearest squared distance, spread out.
    assert (np.argsort(scores.map.mean((1, 2))) == np.argsort(distances[:, 0])).all()


def test_a_closed_form_has_no_network_and_no_history(each):
    detector, history = fit(jax.random.key(0), KINDS["components"], SMALL)
    assert history.terms == {}
    jax.tree.map(np.testing.assert_array_equal, detector, each["components"])
    with pytest.raises(InputError, match="leave watched out"):
        fit(jax.random.key(0), KINDS["components"], SMALL, watched={"noise": SMALL})
    with pytest.raises(InputError, match="has no network that reconstructs images"):
        detector.reconstruct(SMALL)


def test_too_few_images_for_a_closed_form_say_what_would_do():
    with pytest.raises(InputError, match="2 neighbours asked for, but there are 1 normal rows"):
        fit(jax.random.key(0), KINDS["neighbours"], SMALL[:1])
    with pytest.raises(InputError, match="2 rows of 156 numbers have at most 1 principal components"):
        fit(jax.random.key(0), KINDS["components"], SMALL[:2])


@pytest.mark.slow
def test_calibrated_score_is_in_units_of_the_held_out(each):
    detector = each["calibrated"]
    every = detector.score_all(SMALL)
    assert set(every) == VAE_SCORES | {"calibrated"}
    expected = (every["unregularised"].map - detector.usual.mean[None]) / detector.usual.deviation[None]
    np.testing.assert_allclose(every["calibrated"].map, expected, atol=1e-4)
    top = np.sort(expected.reshape(len(SMALL), -1))[:, ::-1][:, : round(0.1 * 156)].mean(1)
    np.testing.assert_allclose(detector.score(SMALL).score, top, rtol=1e-4, atol=1e-4)
    members, _ = fit_members(jax.random.key(0), detector.recipe, SMALL, count=2)
    assert (members[0].usual.mean != members[1].usual.mean).any()
    for other in (images_of(1, 13, 13, 1), [SMALL[0], SMALL[0, :, :12]]):
        with pytest.raises(InputError, match="must be 12 x 13 pixels.* got 1[32] x 1[32]"):
            detector.score(other)


@pytest.mark.parametrize(("share", "words"), [(1.0, r"in \[0, 1\), got 1.0"), (0.1, "holdout=0.1 of 6 images is 1")])
def test_holdout_that_cannot_be(share, words):
    with pytest.raises(InputError, match=words):
        fit(jax.random.key(0), replace(RECIPE, holdout=share), SMALL)


def test_files_say_which_call_takes_them(unchecked):
    for files in (["a.png"], [Path("a.png")], ("a.png",), "folder", Path("folder")):
        with pytest.raises(
            InputError, match=r"float32 array \[n, h, w, c\], got .*; .*jaxad.folders.fit_folder.*jaxad fit DIR"
        ):
            fit(jax.random.key(0), "gradient-neighbours", files)
    with pytest.raises(InputError, match="got list; bring them to one size, or save them as files"):
        fit(jax.random.key(0), "patch-components", [np.zeros((16, 16, 1)), np.zeros((16, 17, 1))])
    with pytest.raises(InputError, match="got list; put images of one size together by numpy.stack"):
        fit(jax.random.key(0), "gradient-neighbours", list(SMALL))


def test_auto_tells_its_own_holdout_from_that_of_fitting():
    with pytest.raises(InputError, match="got 1 images, of which its own holdout is 0.2:"):
        fit(jax.random.key(0), "auto", SMALL[:1])


@pytest.mark.slow
def test_recipes_are_taken_by_name():
    """As on the command line; by another name than one there is, the closest is told."""
    images = np.random.default_rng(0).random((12, 8, 8, 1), np.float32)
    by_name, _ = fit(jax.random.key(0), "pixel-neighbours", images)
    itself, _ = fit(jax.random.key(0), RECIPES["pixel-neighbours"], images)
    np.testing.assert_array_equal(by_name.score(images).score, itself.score(images).score)
    with pytest.warns(NothingToldWarning):
        assert fit(jax.random.key(0), "auto", images)[0].comparison
    assert len(fit_members(jax.random.key(0), "pixel-neighbours", images, count=2)[0]) == 2
    with pytest.raises(InputError, match="did you mean 'pixel-neighbours'"):
        fit(jax.random.key(0), "pixel-neighbour", images)


@pytest.mark.parametrize("axes", [(1, 12, 10), (3, 12, 10), (4, 9, 30)])
def test_channels_in_front_are_refused_with_the_mend(axes):
    images = np.random.default_rng(0).random((9, *axes), np.float32)
    last = images.transpose(0, 2, 3, 1)
    detector, _ = fit(jax.random.key(0), "pixel-neighbours", last)
    for given in (images, np.uint8(255 * images)):
        for use in (lambda x: fit(jax.random.key(0), "pixel-neighbours", x), detector.score):
            with pytest.raises(InputError, match=r"channels last.*x.transpose\(0, 2, 3, 1\)"):
                use(given)
    assert detector.score(last).score.shape == (9,)


@pytest.mark.parametrize("axes", [(3, 4, 9), (1, 30, 1), (12, 10, 16), (3, 12, 4), (5, 12, 10), (4, 4, 3)])
def test_any_number_of_channels_is_taken(axes):
    images = np.random.default_rng(0).random((9, *axes), np.float32)
    assert fit(jax.random.key(0), "pixel-neighbours", images)[0].score(images).map.shape == (9, *axes[:2])


def test_what_rounding_left_outside_is_taken():
    images = np.random.default_rng(0).random((9, 6, 5, 1))
    images[2, 3, 1], images[3, 1, 1] = 1.0000001, -1e-7
    detector, _ = fit(jax.random.key(0), "pixel-neighbours", images)
    np.testing.assert_array_equal(detector.score(images).score, detector.score(np.clip(images, 0, 1)).score)
    images[2, 3, 1] = 1.0000123
    with pytest.raises(InputError, match="from -1e-07 to 1.0000123, first outside in image 2; scale or clip"):
        detector.score(images)
