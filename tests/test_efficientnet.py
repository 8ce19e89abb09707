"""What the networks of `backbones` have in common, on small weights and a small network of every kind of layer."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxad._check import InputError
from jaxad.backbones import NETWORKS, Backbone, stage_outputs
from jaxad.backbones.folding import array_shapes, to_parameters
from jaxad.models import EfficientNetLite
from tests.data.drawn_weights import draw_images, draw_weights

pytestmark = pytest.mark.usefixtures("compile_fast")


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_say_what_the_outputs_are(name):
    network, _ = NETWORKS[name]
    height, width = 45, 70
    every = tuple(network.stages)
    images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.uint8)
    outputs = jax.eval_shape(lambda key, x: network.init_with_output(key, x, every)[0], jax.random.key(0), images)
    for stage, (channels, stride) in {key: (s.channels, s.stride) for key, s in network.stages.items()}.items():
        places = (math.ceil(height / stride), math.ceil(width / stride)) if stride else ()
        assert outputs[stage].shape == (2, *places, channels), stage


# A network of every kind of layer, small enough to be computed in many ways.
SMALL = EfficientNetLite(((1, 3, 1, 1, 8), (2, 5, 2, 3, 12), (1, 3, 2, 6, 16)), stem=8, head=24, classes=5)
STAGES = ("depthwise_1", "block_2", "logits")


@pytest.fixture(scope="module")
def small():
    layout = NETWORKS["efficientnet-lite0"][1]
    return Backbone("small", SMALL, to_parameters(SMALL, layout, draw_weights(array_shapes(SMALL, layout))), "")


def assert_close(actual, expected, rounding=1e-5):
    for name, wanted in expected.items():
        np.testing.assert_allclose(actual[name], wanted, rtol=0, atol=rounding * np.abs(wanted).max(), err_msg=name)


def test_outputs_are_the_same_one_by_one(small):
    images = draw_images(37, 50)
    expected = small.outputs(images, STAGES)
    assert tuple(expected) == STAGES
    mapped = jax.jit(jax.vmap(lambda image: SMALL.apply(small.variables, image[None], STAGES)))(images)
    assert_close({name: value[:, 0] for name, value in mapped.items()}, expected)
    looped = jax.jit(lambda x: jax.lax.map(lambda image: SMALL.apply(small.variables, image[None], STAGES), x))(images)
    assert_close({name: value[:, 0] for name, value in looped.items()}, expected)
    second = small.outputs(images[1:], STAGES)
    assert_close(second, {name: value[1:] for name, value in expected.items()})


def test_gradients_are_finite(small):
    def total(image):
        return jnp.sum(SMALL.apply(small.variables, image[None], ("pooled",))["pooled"])

    gradient = jax.jit(jax.grad(total))(jnp.asarray(draw_images(32, 32)[0] / 255, jnp.float32))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_pixels_may_be_of_any_kind(small):
    images = draw_images(32, 40)
    expected = small.outputs(images, STAGES)
    assert_close(small.outputs(np.float32(images / 255), STAGES), expected)
    assert_close(small.outputs(np.uint16(images) * 257, STAGES), expected)
    grey = images[..., :1]
    assert_close(small.outputs(grey, STAGES), small.outputs(np.repeat(grey, 3, -1), STAGES))


def test_weights_in_half_precision_compute_in_it(small):
    halved = jax.tree.map(lambda array: array.astype(jnp.bfloat16), small.variables)
    outputs = stage_outputs(SMALL, halved, draw_images(32, 32), stages=STAGES)
    assert {value.dtype for value in outputs.values()} == {jnp.dtype(jnp.bfloat16)}
    assert_close(jax.tree.map(np.float32, outputs), small.outputs(draw_images(32, 32), STAGES), rounding=0.1)


def test_what_is_not_asked_for_is_not_computed(small):
    def count(stages):
        return len(jax.make_jaxpr(partial(SMALL.apply, stages=stages))(small.variables, draw_images(32, 32)).eqns)

    assert count(("depthwise_0",)) < count(("depthwise_1",)) < count(("logits",))


@pytest.mark.parametrize(
    ("images", "stages", "said"),
    [
        (draw_images(32, 31), ["logits"], "at least 32 x 32 pixels, got 32 x 31"),
        (np.zeros((1, 40, 40, 4), np.float32), ["logits"], "1 or 3 channels, got 4; drop alpha"),
        (np.zeros((40, 40, 3), np.float32), ["logits"], "four axes"),
        (draw_images(32, 32), ["depthwise_4"], "unknown stage 'depthwise_4': .* did you mean 'depthwise_"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, stages, said, small, unchecked):
    with pytest.raises(InputError, match=said):
        small.outputs(images, stages)
