import math
from functools import cache, partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxad import losses
from jaxad.convert import read_layers, to_variables
from jaxad.heatmaps import heatmap
from jaxad.models import (
    ConvAE,
    DenseAE,
    PatchVAE,
    convolution,
    layers,
    normalisation,
    patch_vae,
    plain_convolution,
    small_products,
    sums,
    transposed,
)
from tests import one_platform
from tests.data.make_patch_vae import read
from tests.references import convolution as slow
from tests.references import patch_vae as slow_patch_vae

# Images, kernels and cotangents of the layers are small whole numbers: float32 adds their products exactly.


@pytest.fixture(params=["cpu", "gpu", "tpu"])
def lowering(request, monkeypatch):
    """What a convolution becomes on CPU, and on CPU what it becomes elsewhere."""
    one = {"gpu": small_products.small_products, "tpu": plain_convolution.plain_convolution}.get(request.param)
    if one:
        monkeypatch.setattr(convolution, "products_examples_last", one)
        monkeypatch.setattr(convolution, "transposed_examples_last", partial(transposed.transposed, convolution=one))


# Height and width, channels in, channels out, kernel, strides.
# Together they take every way through: more channels out or in, short columns and long ones, strides, a kernel smaller
# than its stride.
SHAPES = [
    ((5, 6), 2, 3, (3, 3), (1, 1)),
    ((5, 6), 4, 1, (3, 2), (1, 1)),
    ((7, 4), 2, 3, (3, 4), (2, 1)),
    ((7, 9), 3, 2, (5, 3), (2, 3)),
    ((5, 6), 2, 2, (1, 2), (2, 3)),
    ((6, 5), 2, 3, (4, 4), (1, 1)),
    ((9, 5), 3, 1, (2, 3), (1, 1)),
]
PADDINGS = ("SAME", "VALID")
PAIRS = {
    layers.Conv: (nn.Conv, slow.convolution),
    # Keras and the reference store the kernel turned, with its channels exchanged.
    layers.ConvTranspose: (
        nn.ConvTranspose,
        lambda x, kernel, *options: slow.transposed_convolution(x, kernel[::-1, ::-1].swapaxes(2, 3), *options),
    ),
}


# Most of the time goes into compiling, and whole numbers are exact however they are added.
COMPILE_FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def whole_numbers(shape, seed):
    return jnp.asarray(np.random.default_rng(seed).integers(-4, 5, shape), jnp.float32)


def case_of(shape):
    (h, w), c, f, kernel, _ = shape
    variables = {"params": {"kernel": whole_numbers((*kernel, c, f), 0), "bias": whole_numbers((f,), 1)}}
    return variables, whole_numbers((2, h, w, c), 2)


def outputs_and_gradients(kind, shape):
    """Values for both paddings and the gradients of a whole-number combination of them."""
    _, _, f, kernel, strides = shape
    modules = [kind(f, kernel, strides, padding) for padding in PADDINGS]

    def run(variables, x):
        values, pull = jax.vjp(lambda *inputs: [module.apply(*inputs) for module in modules], variables, x)
        return values, pull([(jnp.arange(v.size, dtype=v.dtype) % 7 - 3).reshape(v.shape) for v in values])

    return jax.jit(run, compiler_options=COMPILE_FAST)(*case_of(shape))


linen_outputs_and_gradients = cache(lambda kind, shape: outputs_and_gradients(PAIRS[kind][0], shape))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", PAIRS, ids=lambda kind: kind.__name__)
def test_layer_is_linens_and_the_slow_one(kind, shape, lowering):
    result = outputs_and_gradients(kind, shape)
    jax.tree.map(np.testing.assert_array_equal, result, linen_outputs_and_gradients(kind, shape))
    variables, x = jax.tree.map(np.asarray, case_of(shape))
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    for padding, values in zip(PADDINGS, result[0], strict=True):
        expected = [PAIRS[kind][1](image, kernel, shape[-1], padding) for image in x]
        np.testing.assert_array_equal(values, np.stack(expected) + bias)


@pytest.mark.parametrize("kind", PAIRS, ids=lambda kind: kind.__name__)
def test_layer_under_vmap(kind, lowering):
    variables, x = case_of(SHAPES[2])
    module = kind(3, (3, 4), (2, 1))
    images, models = jnp.stack([x, x - 1]), jax.tree.map(lambda v: jnp.stack([v, v + 1]), variables)

    @jax.jit
    def run(models, images):
        over_images = jax.vmap(module.apply, (None, 0))(jax.tree.map(lambda v: v[0], models), images)
        return over_images, jax.vmap(module.apply)(models, images)

    def slow_layer(model, images):
        params = jax.tree.map(lambda v: np.asarray(v[model]), models["params"])
        values = [PAIRS[kind][1](np.asarray(image), params["kernel"], (2, 1), "SAME") for image in images]
        return np.stack(values) + params["bias"]

    over_images, over_both = run(models, images)
    for i in range(2):
        np.testing.assert_array_equal(over_images[i], slow_layer(0, images[i]))
        np.testing.assert_array_equal(over_both[i], slow_layer(i, images[i]))


@pytest.mark.parametrize("kind", PAIRS, ids=lambda kind: kind.__name__)
def test_parameters_are_linens(kind):
    x, arguments = jnp.ones((1, 6, 7, 3)), (5, (3, 2), (2, 1))
    ours, theirs = (jax.eval_shape(module(*arguments).init, jax.random.key(0), x) for module in (kind, PAIRS[kind][0]))
    assert ours == theirs


@pytest.mark.parametrize("kind", PAIRS, ids=lambda kind: kind.__name__)
def test_convolution_becomes_what_suits_the_platform(kind):
    module, small = kind(8, (3, 3), (2, 2)), jnp.ones((1, 8, 8, 2))
    variables = jax.eval_shape(module.init, jax.random.key(0), small)
    large = jax.ShapeDtypeStruct((small_products.MOST_READS // 8, 8, 8, 2), jnp.float32)

    def gradients(variables, x):
        return jax.grad(lambda *inputs: module.apply(*inputs).sum(), (0, 1))(variables, x)

    def stays_one(function, platform, x):
        with one_platform.every():
            text = jax.export.export(jax.jit(function), platforms=[platform])(variables, x).mlir_module()
        assert ("stablehlo.convolution" in text) != ("stablehlo.dot_general" in text)
        return "stablehlo.convolution" in text

    def where(function, x):
        return [platform for platform in ("cpu", "cuda", "rocm", "tpu") if stays_one(function, platform, x)]

    assert where(module.apply, small) == where(module.apply, large) == ["cuda", "rocm", "tpu"]
    assert where(gradients, small) == ["tpu"]
    assert where(gradients, large) == ["cuda", "rocm", "tpu"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("examples_last", [True, False], ids=["cpu", "accelerator"])
@pytest.mark.parametrize("activation_first", [False, True], ids=["norm first", "activation first"])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", [(6, 3), (5, 4, 3, 2)], ids=str)
def test_batch_norm_is_linens(shape, train, activation_first, examples_last, monkeypatch):
    """Values, statistics and gradients in float64, where the order of the sums does not show."""
    original = normalisation._normalise
    here = {"examples_last": examples_last}
    monkeypatch.setattr(normalisation, "_normalise", lambda *arrays, **options: original(*arrays, **(options | here)))
    rng = np.random.default_rng(0)
    x, cotangent = rng.normal(2.0, 3.0, (2, *shape))
    scale, bias, mean, var = rng.uniform(0.5, 2.0, (4, shape[-1]))
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": mean, "var": var}}
    linen = nn.BatchNorm(not train, momentum=0.99, epsilon=1e-3, use_fast_variance=False)

    def ours(variables, x):
        return layers.BatchNorm(nn.sigmoid, activation_first).apply(variables, x, train=train, mutable=["batch_stats"])

    def theirs(variables, x):
        values, updates = linen.apply(variables, nn.sigmoid(x) if activation_first else x, mutable=["batch_stats"])
        return values if activation_first else nn.sigmoid(values), updates

    def with_gradients(function):
        values, pull, updates = jax.vjp(function, variables, x, has_aux=True)
        return values, pull(jnp.asarray(cotangent)), updates

    with jax.enable_x64(True):
        results = [jax.jit(with_gradients, static_argnums=0)(function) for function in (ours, theirs)]
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-13), *results)
    axes = tuple(range(len(shape) - 1))
    activated = sigmoid(x) if activation_first else x
    center, spread = (activated.mean(axes), activated.var(axes)) if train else (mean, var)
    expected = (activated - center) / np.sqrt(spread + 1e-3) * scale + bias
    expected = expected if activation_first else sigmoid(expected)
    np.testing.assert_allclose(results[0][0], expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(7, 3), (6, 4, 5, 2), (1, 1, 1, 1), (12, 1, 2, 64)], ids=str)
def test_sums_by_channel_in_one_step_and_in_two(shape):
    x = whole_numbers(shape, 0)
    expected = np.asarray(x).reshape(-1, shape[-1]).sum(0)
    for total in (sums.channel_sums, sums._in_two_steps):
        np.testing.assert_array_equal(total(x), expected)
    _, pull = jax.vjp(sums.add_bias, x, jnp.ones(shape[-1:]))
    for_x, for_bias = pull(x)
    np.testing.assert_array_equal(for_x, x)
    np.testing.assert_array_equal(for_bias, expected)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3])
def test_variance_beside_a_large_mean(offset):
    x = (offset + np.random.default_rng(0).normal(0, 0.01, (8, 5, 5, 3))).astype(np.float32)
    mean, variance = normalisation._moments(jnp.asarray(x), x.ndim - 1)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2), np.float64), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(variance, x.var((0, 1, 2), np.float64), rtol=1e-4)


@pytest.mark.parametrize(
    ("window", "filters", "latent_dim", "channels"),
    [((8, 8), (16, 32), 2, 1), ((4, 12), (3, 5), 7, 3), ((16, 8), (2, 3, 4), 1, 2), ((6, 2), (4,), 3, 1)],
)
def test_patch_vae_shapes(window, filters, latent_dim, channels):
    model = PatchVAE(window, filters, latent_dim, channels)
    output = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x)[0], jax.random.key(0), jnp.ones((3, *window, channels))
    )
    shapes = {name: value.shape for name, value in output._asdict().items()}
    pixels, codes = (3, *window, channels), (3, latent_dim)
    assert shapes == {"mean": pixels, "variance": pixels, "z_mean": codes, "z_log_variance": codes}


WINDOWS = np.random.default_rng(0).random((6, 8, 8, 1), np.float32)


# What the published Keras code computes; see tests/data/make_patch_vae.py.
# Relative to the largest value of each array: the codes come near zero.
KERAS_ROUNDING = 1e-5


@pytest.fixture(scope="module")
def keras():
    with np.load(Path(__file__).parent / "data" / "patch_vae.npz") as file:
        return {name: file[name] for name in file}


def from_keras(weights):
    """The variables of `PatchVAE()` from weights in the layout of Keras; its two heads become one layer."""

    def turned(kernel):
        return kernel[::-1, ::-1].swapaxes(2, 3)

    def layer(*names, turn=lambda kernel: kernel):
        kernels, biases = (
            [turn(weights[f"{name}/kernel"]) for name in names],
            [weights[f"{name}/bias"] for name in names],
        )
        return {"kernel": np.concatenate(kernels, -1), "bias": np.concatenate(biases)}

    def norms(prefix, *numbers):
        names = [f"{prefix}/batch_normalization_{number}" for number in numbers]
        words = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
        return {ours: np.concatenate([weights[f"{n}/{theirs}"] for n in names]) for ours, theirs in words.items()}

    params = {
        "encoder_0": layer("encoder/conv2d_5"),
        "encoder_1": layer("encoder/conv2d_6"),
        "z_mean": layer("encoder/z_mean"),
        "z_log_variance": layer("encoder/z_log_var"),
        "decoder_dense": layer("decoder/dense_2"),
        "decoder_0": layer("decoder/conv2d_transpose_7", turn=turned),
        "decoder_1": layer("decoder/conv2d_transpose_8", turn=turned),
        "heads": layer("decoder/conv2d_transpose_9", "decoder/conv2d_transpose_10", turn=turned),
    }
    normalisations = {
        "encoder_norm_0": norms("encoder", 10),
        "encoder_norm_1": norms("encoder", 11),
        "decoder_dense_norm": norms("decoder", 12),
        "decoder_norm_0": norms("decoder", 13),
        "decoder_norm_1": norms("decoder", 14),
        "heads_norm": norms("decoder", 15, 16),
    }

    def half(keys):
        return {name: {key: norm[key] for key in keys} for name, norm in normalisations.items()}

    variables = {"params": params | half(("scale", "bias")), "batch_stats": half(("mean", "var"))}
    return jax.tree.map(jnp.float32, variables)


@pytest.fixture(scope="module")
def trained(keras):
    """The variables of `PatchVAE()` that give the outputs of `keras`."""
    return from_keras(keras)


def assert_close(actual, expected, rounding=KERAS_ROUNDING):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rounding * np.abs(expected).max())


def test_keras_weights_have_the_models_shapes(trained):
    initial = jax.eval_shape(PatchVAE().init, jax.random.key(0), WINDOWS)
    assert jax.tree.map(jnp.shape, trained) == jax.tree.map(jnp.shape, initial)


def test_outputs_are_those_of_keras(keras, trained, lowering):
    output = jax.jit(PatchVAE().apply)(trained, keras["x"])
    for name in ("z_mean", "mean", "variance"):
        assert_close(getattr(output, name), keras[name])
    assert_close(output.z_log_variance, keras["z_log_var"])


@pytest.mark.slow
@pytest.mark.parametrize("cover", ["seed", "full"])
def test_heatmaps_are_the_published_ones(keras, trained, cover):
    def score(windows):
        output = PatchVAE().apply(trained, windows)
        return {
            "D": losses.divergence(output.z_mean, output.z_log_variance),
            "A": losses.log_variance(output.variance),
            "M": losses.residual(windows, output.mean, output.variance),
        }

    maps = heatmap(score, keras["images"], size=(8, 8), stride=(2, 2), cover=cover, reduce="sum")
    for name in "DAM":
        assert_close(maps[name], keras[f"heatmap_{cover}_{name}"])


def test_model_is_the_slow_one_with_any_weights(keras):
    rng = np.random.default_rng(0)
    weights = {name: rng.uniform(-0.5, 0.5, value.shape) for name, value in keras.items() if "/" in name}
    weights |= {name: 1 + value for name, value in weights.items() if name.endswith(("gamma", "variance"))}
    output = jax.jit(PatchVAE().apply)(from_keras(weights), WINDOWS)
    codes = [slow_patch_vae.encode(weights, window) for window in WINDOWS]
    pixels = [slow_patch_vae.decode(weights, z_mean) for z_mean, _ in codes]
    for actual, expected in zip(output, (*zip(*pixels, strict=True), *zip(*codes, strict=True)), strict=True):
        assert_close(actual, np.array(expected), rounding=5e-6)


@pytest.mark.slow
def test_code_is_drawn_only_with_a_key(trained):
    run = jax.jit(PatchVAE().apply)
    mean, again = run(trained, WINDOWS), run(trained, WINDOWS)
    drawn, same, other = (run(trained, WINDOWS, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(mean.mean, again.mean)
    np.testing.assert_array_equal(drawn.mean, same.mean)
    assert (drawn.mean != mean.mean).any()
    assert (drawn.mean != other.mean).any()
    np.testing.assert_array_equal(drawn.z_mean, mean.z_mean)


@pytest.mark.slow
def test_code_has_the_moments_of_its_posterior(trained):
    @jax.jit
    def draw(windows):
        codes = []

        def keep_code(next_function, arguments, options, context):
            if context.method_name == "decode":
                codes.append(arguments[0])
            return next_function(*arguments, **options)

        with nn.intercept_methods(keep_code):
            output = PatchVAE().apply(trained, windows, key=jax.random.key(0))
        return codes[0], output

    code, output = draw(np.repeat(WINDOWS[:1], 5000, axis=0))
    noise = (code - output.z_mean) / np.exp(output.z_log_variance / 2)
    # Six standard errors of the mean, and of the mean square, of 5000 normal draws.
    np.testing.assert_allclose(noise.mean(0), 0, atol=6 / math.sqrt(5000))
    np.testing.assert_allclose((noise**2).mean(0), 1, atol=6 * math.sqrt(2 / 5000))


@pytest.mark.slow
def test_batch_statistics_move_in_training_alone(trained):
    run = jax.jit(partial(PatchVAE().apply, mutable=["batch_stats"]), static_argnames="train")
    before = trained["batch_stats"]
    kept, moved = (run(trained, WINDOWS, train=train)[1]["batch_stats"] for train in (False, True))
    jax.tree.map(np.testing.assert_array_equal, kept, before)
    params = trained["params"]["encoder_0"]
    first = [slow.convolution(image, np.asarray(params["kernel"]), (2, 2), "VALID") for image in WINDOWS]
    batch_mean = np.mean(first, (0, 1, 2)) + params["bias"]
    expected = 0.99 * before["encoder_norm_0"]["mean"] + 0.01 * batch_mean
    assert_close(moved["encoder_norm_0"]["mean"], expected, rounding=1e-6)


@pytest.mark.slow
def test_heads_start_as_two_layers_would():
    heads = np.asarray(patch_vae._two_heads_init(jax.random.key(0), (4, 4, 16, 2)))
    alone, together = (math.sqrt(6 / (16 * (16 + features))) for features in (1, 2))
    for head in (heads[..., 0], heads[..., 1]):
        assert together < np.abs(head).max() <= alone
    assert not np.isin(heads[..., 0], heads[..., 1]).any()


def test_small_copy_is_the_original(keras, parity_dir):
    original = read(parity_dir)
    assert keras.keys() == original.keys()
    for name, value in keras.items():
        np.testing.assert_array_equal(value, original[name])
        assert value.dtype == original[name].dtype


# Autoencoders of whole images


def numbered(name, kind, count):
    return tuple((f"{name}_{i}", kind) for i in range(count))


def conv_rows(blocks, *, code):
    dense = (("code", "Dense"), ("decoder_dense", "Dense")) if code else ()
    return (
        *numbered("encoder", "Conv", blocks),
        *dense,
        *numbered("decoder", "ConvTranspose", blocks),
        ("output", "ConvTranspose"),
        *numbered("encoder_norm", "BatchNorm", blocks),
        *numbered("decoder_norm", "BatchNorm", blocks),
    )


def dense_rows(encoder, decoder, *, norm):
    norms = (("input_norm", "BatchNorm"), ("output_norm", "BatchNorm")) if norm else ()
    return *numbered("encoder", "Dense", encoder), *numbered("decoder", "Dense", decoder), ("output", "Dense"), *norms


SHAPE = (28, 28, 1)
PUBLISHED = {
    "conv_ae": ("h5", ConvAE(SHAPE), conv_rows(2, code=True)),
    "ssim_ae": (
        "h5",
        ConvAE(SHAPE, ((32, 1), (64, 2), (64, 2)), ((64, 1), (64, 2), (32, 2)), None, 0.3, False),
        conv_rows(3, code=False),
    ),
    "latent_ae": ("h5", DenseAE(SHAPE), dense_rows(4, 3, norm=False)),
    "dense_bn_ae": (
        "safetensors",
        DenseAE(
            SHAPE,
            (512, 256, 128, 64, 32, 16),
            (32, 64, 128, 256, 512),
            decoder_activation="tanh",
            output_activation="tanh",
            norm=True,
            torch_init=True,
        ),
        dense_rows(6, 5, norm=True),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_autoencoder_is_the_published_one(name, parity_dir, lowering):
    """Weights and outputs of Keras and PyTorch; the tolerance is relative to the largest value of each array."""
    end, model, rows = PUBLISHED[name]
    with np.load(f"{parity_dir}/{name}.npz") as file:
        data = {key: file[key] for key in file}
    images = data["x"].reshape(-1, *SHAPE)
    template = jax.eval_shape(model.init, jax.random.key(0), images)
    output = jax.jit(model.apply)(to_variables(read_layers(f"{parity_dir}/{name}.{end}"), template, rows), images)
    assert_close(np.reshape(output.reconstruction, data["reconstruction"].shape), data["reconstruction"])
    if "latent" in data:
        assert_close(output.code, data["latent"])
    assert output.code.shape == ((len(images), 7, 7, 64) if name == "ssim_ae" else data["latent"].shape)


@pytest.mark.parametrize("latent_dim", [5, None])
@pytest.mark.parametrize("shape", [(9, 10, 1), (8, 4, 3), (1, 1, 1)], ids=str)
def test_conv_ae_keeps_any_image_size(shape, latent_dim):
    model = ConvAE(shape, ((3, 2), (4, 2)), ((4, 2), (3, 2)), latent_dim)
    output, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros((2, *shape)))
    assert output.reconstruction.shape == (2, *shape)
    small = tuple(-(-length // 4) for length in shape[:2])
    assert output.code.shape == ((2, latent_dim) if latent_dim else (2, *small, 4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "dense"])
def test_autoencoder_statistics_move_in_training_alone(name):
    shape = (5, 6, 1)
    conv, dense = ConvAE(shape, ((2, 2),), ((2, 2),), 3), DenseAE(shape, (4, 2), (3,), norm=True)
    model = conv if name == "conv" else dense
    images = np.random.default_rng(0).random((4, *shape), np.float32)
    variables = model.init(jax.random.key(0), images)
    kept, moved = (
        model.apply(variables, images, train=train, mutable=["batch_stats"])[1]["batch_stats"]
        for train in (False, True)
    )
    jax.tree.map(np.testing.assert_array_equal, kept, variables["batch_stats"])
    if name == "dense":
        expected = 0.1 * images.reshape(4, -1).mean(0)
        np.testing.assert_allclose(moved["input_norm"]["mean"], expected, rtol=1e-6)
    assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, (kept, moved)), strict=True))


@pytest.mark.slow
def test_dense_ae_starts_as_pytorch_or_keras_does():
    x = jnp.zeros((1, 10, 10, 1))
    keras, torch = (
        DenseAE((10, 10, 1), (50, 20), (50,), torch_init=torch_init).init(jax.random.key(0), x)["params"]
        for torch_init in (False, True)
    )
    bound = 1 / math.sqrt(100)
    for name in ("kernel", "bias"):
        assert 0.9 * bound < np.abs(torch["encoder_0"][name]).max() <= bound
    assert not keras["encoder_0"]["bias"].any()
    glorot = math.sqrt(6 / (100 + 50))
    assert 0.95 * glorot < np.abs(keras["encoder_0"]["kernel"]).max() <= glorot
