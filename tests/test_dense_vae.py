from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import losses
from jaxad._check import InputError
from jaxad.fitting import find_faults, fit
from jaxad.methods import RECIPES
from jaxad.methods.dense_vae import shifted
from jaxad.models import DenseVAE
from jaxad.pipeline import load
from tests import one_platform
from tests.drawn import examples

pytestmark = pytest.mark.usefixtures("compile_fast")
RECIPE = RECIPES["image-vae"]
CODE, WIDER_CODE, ERROR = (replace(part, layers=(6,), latent_dim=3, epochs=2, batch_size=4) for part in RECIPE.parts)
IMAGES = np.random.default_rng(0).random((12, 5, 6, 1), np.float32)
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def detector():
    """One that judges by codes."""
    return fit(jax.random.key(0), CODE, IMAGES)[0]


def slow_pass(params, image, noise):
    """Mean of the pixels, and mean and log-variance of the code, for one image in float64."""

    def dense(x, name):
        return x @ np.float64(params[name]["kernel"]) + np.float64(params[name]["bias"])

    hidden = np.maximum(dense(image.ravel(), "encoder_0"), 0)
    z_mean, z_log_variance = dense(hidden, "z_mean"), np.clip(dense(hidden, "z_log_variance"), -8, 4)
    hidden = np.maximum(dense(z_mean + np.sqrt(np.exp(z_log_variance)) * noise, "decoder_0"), 0)
    return 1 / (1 + np.exp(-dense(hidden, "output"))).reshape(image.shape), z_mean, z_log_variance


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [False, True])
def test_model_is_the_slow_one(drawn):
    model = DenseVAE((5, 6, 1), (7,), 3, 0.04)
    init_key, draw_key = jax.random.split(jax.random.key(1))
    variables = model.init(init_key, IMAGES[:1])
    output = model.apply(variables, IMAGES, key=draw_key if drawn else None)
    noise = jax.random.normal(jax.random.clone(draw_key), (12, 3)) if drawn else np.zeros((12, 3))
    for i, image in enumerate(IMAGES):
        mean, z_mean, z_log_variance = slow_pass(variables["params"], image, noise[i])
        np.testing.assert_allclose(output.mean[i], mean, rtol=ROUNDING)
        np.testing.assert_allclose(output.z_mean[i], z_mean, rtol=ROUNDING, atol=ROUNDING)
        np.testing.assert_allclose(output.z_log_variance[i], z_log_variance, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_array_equal(output.variance, np.float32(0.04))


@pytest.mark.slow
def test_log_variance_of_the_code_is_clipped():
    model = DenseVAE((5, 6, 1), (), 2)
    variables = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    for value, clipped in ((-100.0, -8.0), (100.0, 4.0)):
        far = jax.tree.map(lambda leaf, value=value: jnp.full(leaf.shape, value), variables)
        np.testing.assert_array_equal(model.apply(far, IMAGES).z_log_variance, clipped)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(8))
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_a_shift_moves_every_pixel_alike(n, h, w, most):
    """Images of their own coordinates: what comes out tells by how much it was moved, up to the border."""
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    images = np.repeat(np.stack([rows, columns], -1)[None].astype(np.float32), n, axis=0)
    moved = np.asarray(shifted(jax.random.key(0), images, most=most))
    offsets = range(-most, most + 1)
    for image in moved:
        wanted = [
            np.stack([np.clip(rows + down, 0, h - 1), np.clip(columns + right, 0, w - 1)], -1)
            for down in offsets
            for right in offsets
        ]
        assert any((image == one).all() for one in wanted)


def test_shifts_are_the_same_on_a_tpu():
    moved = shifted(jax.random.key(1), IMAGES, most=3)
    with one_platform.used("tpu"):
        np.testing.assert_array_equal(shifted(jax.random.key(1), IMAGES, most=3), moved)


def test_every_shift_is_drawn():
    points = np.zeros((400, 5, 5, 1), np.float32)
    points[:, 2, 2] = 1
    drawn = np.argwhere(np.asarray(shifted(jax.random.key(0), points, most=2))[..., 0])[:, 1:]
    assert {tuple(place) for place in drawn.tolist()} == {(row, column) for row in range(5) for column in range(5)}


@pytest.mark.parametrize(
    ("x", "reconstruction", "expected"),
    [((3, 4), (3, 4), 0), ((3, 0), (0, 4), 1), ((3, 4), (-3, -4), 2), ((3, 4), (0, 0), 1), ((2, 0), (1, 0), 0.2)],
)
def test_relative_error_by_hand(x, reconstruction, expected):
    pair = (np.float32(values).reshape(1, 1, 2, 1) for values in (x, reconstruction))
    np.testing.assert_allclose(losses.relative_error(*pair), [expected], rtol=1e-6)


def test_relative_error_of_black_images_is_nothing():
    np.testing.assert_array_equal(losses.relative_error(IMAGES * 0, IMAGES * 0), np.zeros(12))


@pytest.mark.parametrize("call", [lambda f: f, jax.jit, jax.vmap], ids=["eager", "jit", "vmap"])
def test_relative_error_is_the_slow_one_at_any_brightness(call):
    others = np.random.default_rng(1).random(IMAGES.shape, np.float32)
    groups = (np.stack([values, values / 8]) if call is jax.vmap else values for values in (IMAGES, others))
    expected = [
        sum((a - b) ** 2 for a, b in zip(x.ravel(), y.ravel(), strict=True))
        / (sum(x.ravel() ** 2) + sum(y.ravel() ** 2))
        for x, y in zip(np.float64(IMAGES), np.float64(others), strict=True)
    ]
    found = call(losses.relative_error)(*groups)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=ROUNDING)


def test_fewer_images_than_neighbours_are_refused_before_any_part_is_trained():
    told = []
    with pytest.raises(InputError, match=r"'code'.*takes 5 images at the least, got 4"):
        fit(
            jax.random.key(0),
            replace(RECIPE, parts=(ERROR, CODE), holdout=0.34),
            IMAGES[:6],
            on_epoch=lambda *epoch: told.append(epoch),
        )
    assert not told


@pytest.mark.slow
def test_scores_are_made_of_reconstructions_and_codes(detector):
    new = np.random.default_rng(2).random((4, 5, 6, 1), np.float32)
    scored, made = detector.score_all(new), detector.reconstruct(new)
    np.testing.assert_allclose(scored["relative_error"].score, losses.relative_error(new, made), rtol=ROUNDING)
    np.testing.assert_allclose(scored["relative_error"].map.sum((1, 2)), scored["relative_error"].score, rtol=ROUNDING)
    distances = np.linalg.norm(detector.encode(new)[:, None] - detector.encode(IMAGES)[None], axis=-1)
    nearest = np.sort(distances, axis=1)[:, : CODE.count].mean(axis=1)
    np.testing.assert_allclose(scored["nearest_code"].score, nearest, rtol=1e-4)
    np.testing.assert_array_equal(scored["nearest_code"].map, scored["squared_error"].map)
    assert not any("dead code" in fault for fault in find_faults(detector, IMAGES))


@pytest.mark.slow
def test_training_lowers_the_negative_elbo_it_watches():
    detector, history = fit(
        jax.random.key(0), replace(ERROR, epochs=20, learning_rate=1e-2), IMAGES, watched={"held": IMAGES[:5]}
    )
    assert history.terms.keys() == {"loss", "divergence", "log_variance", "residual", "held"}
    assert history.terms["held"][-1] < history.terms["held"][0]
    output = detector.recipe.model(detector.shape).apply(detector.variables, IMAGES[:5])
    np.testing.assert_allclose(history.terms["held"][-1], losses.negative_elbo(IMAGES[:5], *output).mean(), rtol=1e-4)


@pytest.mark.slow
def test_training_sees_shifted_images():
    lone, moved = (fit(jax.random.key(0), replace(ERROR, shift=shift), IMAGES)[1].terms["loss"] for shift in (0, 1))
    assert (lone != moved).all()


@pytest.mark.slow
def test_whole_recipe_is_the_sum_of_its_parts(tmp_path):
    recipe = replace(RECIPE, parts=(CODE, WIDER_CODE, ERROR), holdout=0.25)
    detector, _ = fit(jax.random.key(0), recipe, IMAGES)
    scored = detector.score_all(IMAGES)
    assert scored.keys() == {"fused", "code", "wider-code", "error"}
    np.testing.assert_allclose(
        scored["fused"].score, sum(scored[part.name].score for part in recipe.parts), rtol=ROUNDING, atol=ROUNDING
    )
    assert detector.variables["code"]["variables"]["codes"].shape == (9, 3)
    detector.save(tmp_path / "vae.jaxad")
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "vae.jaxad"), detector)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variance": 0.0}, "variance must be above 0, got 0.0"),
        ({"shift": -1}, "shift must be at least 0, got -1"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"loss_name": "squared_error"}, "unknown loss_name 'squared_error'"),
        ({"count": 13}, "takes 13 images at the least, got 12; use more"),
    ],
)
def test_bad_recipe(change, message):
    with pytest.raises(InputError, match=message):
        fit(jax.random.key(0), replace(CODE, **change), IMAGES)
