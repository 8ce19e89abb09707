"""Convolutions of deep networks against plain loops, lowered both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxad.models.channels_last import Convolution, DepthwiseConvolution, convolve_depthwise, make_pads, max_pool
from tests import one_platform
from tests.references import convolution as slow

pytestmark = pytest.mark.usefixtures("compile_fast")

CASES = [
    (size, stride, padding, shape)
    for size, stride, padding in [
        (1, 1, 0),
        (1, 2, 0),
        (3, 1, "SAME"),
        (3, 2, "SAME"),
        (5, 2, "SAME"),
        (3, 2, 1),
        (7, 2, 3),
        (2, 2, 0),
    ]
    for shape in [(8, 8), (9, 7)]
]


@pytest.fixture(params=["cpu", "tpu"])
def lowered_for(request):
    """Every choice by platform is made for CPU, then for an accelerator; both run here."""
    with one_platform.used(request.param):
        yield


def whole_numbers(shape, seed):
    """Small enough that float32 adds them up without rounding."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def padded(image, size, stride, padding, value=0.0):
    if padding == "SAME":
        edges = [slow.pads(length, size, stride, "SAME") for length in image.shape[:2]]
    else:
        edges = [(padding, padding)] * 2
    return np.pad(image, [*edges, (0, 0)], constant_values=value)


@pytest.mark.parametrize(("size", "stride", "padding", "shape"), CASES)
def test_convolution_is_that_of_plain_loops(size, stride, padding, shape, lowered_for):
    x, kernel, bias = whole_numbers((2, *shape, 3), 0), whole_numbers((size, size, 3, 4), 1), whole_numbers(4, 2)
    module = Convolution(4, size, stride, padding)
    found = module.apply(*jax.tree.map(jnp.asarray, ({"params": {"kernel": kernel, "bias": bias}}, x)))
    for image, result in zip(x, found, strict=True):
        wanted = slow.convolution(padded(image, size, stride, padding), kernel, (stride, stride), "VALID") + bias
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "stride", "padding", "shape"), CASES)
def test_depthwise_convolution_is_that_of_plain_loops(size, stride, padding, shape, lowered_for):
    x, kernel, bias = whole_numbers((2, *shape, 3), 0), whole_numbers((size, size, 3), 1), whole_numbers(3, 2)
    module = DepthwiseConvolution(size, stride, padding)
    found = module.apply(*jax.tree.map(jnp.asarray, ({"params": {"kernel": kernel, "bias": bias}}, x)))
    # A dense kernel that is zero between different channels.
    dense = kernel[:, :, None] * np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
    for image, result in zip(x, found, strict=True):
        wanted = slow.convolution(padded(image, size, stride, padding), dense, (stride, stride), "VALID") + bias
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("shape", [(8, 8), (9, 7)])
def test_max_pool_is_that_of_plain_loops(shape, lowered_for):
    x = whole_numbers((2, *shape, 3), 0) - 20
    found = max_pool(jnp.asarray(x), size=3, stride=2, padding=1)
    for image, result in zip(x, found, strict=True):
        seen = padded(image, 3, 2, 1, -np.inf)
        rows, columns = ((length - 3) // 2 + 1 for length in seen.shape[:2])
        wanted = [[seen[2 * y : 2 * y + 3, 2 * x : 2 * x + 3].max((0, 1)) for x in range(columns)] for y in range(rows)]
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize(("size", "groups"), [(1, None), (3, 8)], ids=["one pixel", "depthwise"])
def test_convolutions_stay_ones_on_accelerators(size, groups):
    module = DepthwiseConvolution(3, 1, "SAME") if groups else Convolution(4)
    x = jnp.ones((1, 8, 8, 8))
    variables = jax.eval_shape(module.init, jax.random.key(0), x)

    def lowered(platform):
        with one_platform.every():
            return jax.export.export(jax.jit(module.apply), platforms=[platform])(variables, x).mlir_module()

    for platform in ("cuda", "tpu"):
        assert "stablehlo.convolution" in lowered(platform)
        assert f"feature_group_count = {groups or 1} " in lowered(platform)
    assert "stablehlo.convolution" not in lowered("cpu")


def test_convolutions_stand_in_compiled_loops():
    arrays = whole_numbers((3, 6, 6, 2), 0), whole_numbers((3, 3, 2), 1), whole_numbers(2, 2)
    x, kernel, bias = map(jnp.asarray, arrays)
    pads = make_pads(x, 3, 1, "SAME")

    def once(image):
        return convolve_depthwise(image[None], kernel, bias, pads=pads, stride=1)[0]

    np.testing.assert_array_equal(jax.lax.map(once, x), convolve_depthwise(x, kernel, bias, pads=pads, stride=1))
