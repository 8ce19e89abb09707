from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxad import detector as room
from jaxad._check import InputError
from jaxad.detector import fit
from jaxad.losses import residual
from jaxad.models import PatchVAE
from jaxad.recipes import PATCH_VAE
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


def test_same_key_same_bits(trained):
    again, history = fit(jax.random.key(0), RECIPE, IMAGES)
    jax.tree.map(np.testing.assert_array_equal, again, trained[0])
    jax.tree.map(np.testing.assert_array_equal, history.terms, trained[1].terms)


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
    assert maps.keys() == {"unregularised", "regularised"}
    np.testing.assert_allclose(maps["unregularised"], detector.score(IMAGES).map, rtol=ROUNDING)


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
    assert (scores.image.shape, scores.map.shape) == ((5,), (5, 8, 11))
    assert scores.image.dtype == scores.map.dtype == np.float32
    expected = [getattr(np, pool)(one.astype(np.float64)) for one in scores.map]
    np.testing.assert_allclose(scores.image, expected, rtol=1e-6)


def test_recipe_names_the_score(detector):
    maps = detector.score_maps(IMAGES)
    regularised = detector.replace(recipe=replace(RECIPE, score="regularised")).score(IMAGES).map
    np.testing.assert_array_equal(regularised, maps["regularised"])
    assert (maps["regularised"] != maps["unregularised"]).all()


@pytest.mark.parametrize("pixels", [1, 2 * 8 * 11, 3 * 8 * 11])
def test_score_does_not_depend_on_the_batch(detector, pixels, monkeypatch):
    """One image at a time, or two or three and the last batch filled up."""
    expected = detector.score(IMAGES)
    monkeypatch.setattr(room, "BATCH_PIXELS", pixels)
    scores = detector.score(IMAGES)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=ROUNDING), scores, expected)


def test_score_does_not_depend_on_the_order(detector):
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(detector.score(IMAGES[order]).map, detector.score(IMAGES).map[order], rtol=ROUNDING)


@pytest.mark.parametrize("shape", [(2, 4, 4, 1), (1, 21, 6, 1)])
def test_images_of_any_size(detector, shape):
    scores = detector.score(images_of(*shape))
    assert scores.map.shape == shape[:3]
    assert np.isfinite(scores.map).all()


def test_float64_and_device_arrays_score_alike(detector):
    expected = detector.score(IMAGES).map
    np.testing.assert_array_equal(detector.score(IMAGES.astype(np.float64)).map, expected)
    np.testing.assert_array_equal(detector.score(jnp.asarray(IMAGES)).map, expected)


def test_colour(colour_detector):
    scores = colour_detector.score(images_of(2, 9, 8, 3))
    assert scores.map.shape == (2, 9, 8)
    with pytest.raises(InputError, match="3 channel.*got 1"):
        colour_detector.score(IMAGES)


BAD_IMAGES = [
    (IMAGES[..., 0], r"four axes \[n, h, w, c\], got shape \(5, 8, 11\); add the missing axis"),
    ((IMAGES * 255).astype(np.int64), "must be float32 in .0, 1., got int64; convert it"),
    (IMAGES * 255, r"must lie in \[0, 1\], got values from .*, first outside in image 0; divide by 255"),
    (IMAGES - np.eye(5, dtype=np.float32)[3].reshape(5, 1, 1, 1), "first outside in image 3; scale them first"),
    (np.where(np.arange(5).reshape(5, 1, 1, 1) == 2, np.nan, IMAGES), "must be finite, got NaN.* first in image 2"),
    (IMAGES[:, :3], "height must be at least the window's 4 pixels, got 3"),
    (IMAGES[:0], "at least one image"),
]


@pytest.mark.parametrize(("images", "message"), BAD_IMAGES, ids=[message[:20] for _, message in BAD_IMAGES])
def test_bad_images(images, message, detector, unchecked):
    for call in (detector.score, lambda images: fit(jax.random.key(0), RECIPE, images)):
        with pytest.raises(InputError, match=message) as caught:
            call(images)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "negative_elb"}, "unknown loss 'negative_elb'.*did you mean 'negative_elbo'"),
        ({"score": "unregularized"}, "unknown score 'unregularized'.*did you mean 'unregularised'"),
        ({"pool": "median"}, "unknown pool 'median': choose one of mean, max"),
        ({"stride": (5, 1)}, "stride must not exceed the window"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
    ],
)
def test_bad_recipe(change, message, unchecked):
    with pytest.raises(InputError, match=message):
        fit(jax.random.key(0), replace(RECIPE, **change), IMAGES)
