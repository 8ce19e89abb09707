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
from jaxad.models import EfficientNetLite, ResNet, VisionTransformer
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


@pytest.mark.slow
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


RESNET_STAGES = ("layer1", "layer4", "logits")
CANVASED = {
    "efficientnet": (SMALL, NETWORKS["efficientnet-lite0"][1], STAGES),
    "resnet": (ResNet((1, 2, 1, 1), width=64, classes=5), NETWORKS["resnet18"][1], RESNET_STAGES),
    "bottleneck": (ResNet((1, 2, 1, 1), bottleneck=True, width=8, classes=5), NETWORKS["resnet50"][1], RESNET_STAGES),
}


@pytest.mark.slow
@pytest.mark.parametrize("size", [(45, 70), (64, 96), (36, 59), (33, 96)], ids=str)
@pytest.mark.parametrize("which", ["efficientnet", "resnet", "bottleneck"])
def test_a_photograph_on_a_canvas_gives_what_it_gives_alone(which, size):
    network, layout, stages = CANVASED[which]
    height, width = size
    photographs = draw_images(height, width)
    canvases = np.full((2, 64, 96, 3), 200, np.uint8)
    canvases[:, :height, :width] = photographs
    variables = to_parameters(network, layout, draw_weights(array_shapes(network, layout)))
    alone = stage_outputs(network, variables, photographs, stages=stages)
    rest = jnp.asarray(height), jnp.asarray(width)
    found = stage_outputs(network, variables, canvases, stages=stages, rest=rest)
    assert_close(
        {
            name: found[name][:, : value.shape[1], : value.shape[2]] if value.ndim == 4 else found[name]
            for name, value in alone.items()
        },
        alone,
    )


@pytest.mark.slow
def test_gradients_are_finite(small):
    def total(image):
        return jnp.sum(SMALL.apply(small.variables, image[None], ("pooled",))["pooled"])

    gradient = jax.jit(jax.grad(total))(jnp.asarray(draw_images(32, 32)[0] / 255, jnp.float32))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.slow
def test_pixels_may_be_of_any_kind(small):
    images = draw_images(32, 40)
    expected = small.outputs(images, STAGES)
    assert_close(small.outputs(np.float32(images / 255), STAGES), expected)
    assert_close(small.outputs(np.uint16(images) * 257, STAGES), expected)
    grey = images[..., :1]
    assert_close(small.outputs(grey, STAGES), small.outputs(np.repeat(grey, 3, -1), STAGES))


@pytest.mark.slow
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


def test_a_transformer_takes_no_canvases():
    network = VisionTransformer(depth=1)
    with pytest.raises(InputError, match="whole photographs, got canvases"):
        network.apply({}, draw_images(64, 64), ["class"], (45, 60))
