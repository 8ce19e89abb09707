import io
import json
import shutil
import sys
import zipfile

import flax.linen as nn
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxad._check import InputError
from jaxad.convert import Layer, read_layers, to_detector, to_variables
from jaxad.methods import RECIPES
from tests.references.conv_transpose_slow import conv_transpose_slow
from tests.references.keras_models import MODELS

KERAS_FILES = [f"{name}{end}" for name in ("conv_ae", "ssim_ae", "patch_vae", "latent_ae") for end in (".h5", ".keras")]


def template_of(model, shape):
    return jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, np.float32))


def need_parity(layers, name, parity_dir):
    model, rows = MODELS[name]
    data = np.load(f"{parity_dir}/{name}.npz")
    variables = to_variables(layers, template_of(model, data["x"].shape), rows)
    found = jax.jit(model.apply)(variables, data["x"])
    for key, value in found.items():
        np.testing.assert_allclose(value, data[key], rtol=1e-5, atol=1e-5 * np.abs(data[key]).max(), err_msg=key)


@pytest.mark.parametrize("file", [*KERAS_FILES, "dense_bn_ae.safetensors"])
def test_converted_weights_give_the_outputs_of_the_original(file, parity_dir):
    need_parity(read_layers(f"{parity_dir}/{file}"), file.rsplit(".", 1)[0], parity_dir)


@pytest.mark.parametrize("name", ["conv_ae", "ssim_ae", "patch_vae", "latent_ae"])
def test_weights_alone_suffice_without_any_configuration(name, parity_dir, tmp_path):
    with zipfile.ZipFile(f"{parity_dir}/{name}.keras") as archive:
        (tmp_path / "m.weights.h5").write_bytes(archive.read("model.weights.h5"))
    need_parity(read_layers(tmp_path / "m.weights.h5"), name, parity_dir)


@pytest.mark.parametrize("name", ["conv_ae", "ssim_ae", "patch_vae", "latent_ae"])
def test_old_weight_files_without_configuration_keep_the_order_of_their_lists(name, parity_dir, tmp_path):
    with h5py.File(f"{parity_dir}/{name}.h5") as old, h5py.File(tmp_path / "w.h5", "w") as new:
        for item in old["model_weights"]:
            old.copy(f"model_weights/{item}", new)
        new.attrs.update(old["model_weights"].attrs)
    need_parity(read_layers(tmp_path / "w.h5"), name, parity_dir)


def test_a_subclassed_model_puts_its_encoder_first(parity_dir, tmp_path):
    source = io.BytesIO(zipfile.ZipFile(f"{parity_dir}/patch_vae.keras").read("model.weights.h5"))
    with h5py.File(source) as old, h5py.File(tmp_path / "vae.weights.h5", "w") as new:
        old.copy("layers/functional", new, "encoder")
        old.copy("layers/functional_1", new, "decoder")
        del new["encoder/vars"].attrs["name"], new["decoder/vars"].attrs["name"]
        new["total_loss_tracker/vars/0"] = np.float32(1)
        new["seed_generator/vars/0"] = np.zeros(2, np.uint32)
        new["optimizer/vars/0"] = np.zeros((3, 3), np.float32)
    need_parity(read_layers(tmp_path / "vae.weights.h5"), "patch_vae", parity_dir)


def test_two_files_are_read_one_after_the_other(parity_dir, tmp_path):
    with h5py.File(f"{parity_dir}/patch_vae.h5") as old:
        for part in ("encoder", "decoder"):
            with h5py.File(tmp_path / f"{part}.h5", "w") as new:
                names = dict.fromkeys(w.split("/")[0] for w in old[f"model_weights/{part}"].attrs["weight_names"])
                new.attrs["layer_names"] = list(names)
                for name in names:
                    old.copy(f"model_weights/{part}/{name}", new, f"{name}/{name}")
                    new[name].attrs["weight_names"] = [f"{name}/{key}:0" for key in new[f"{name}/{name}"]]
    layers = read_layers(tmp_path / "encoder.h5") + read_layers(tmp_path / "decoder.h5")
    need_parity(layers, "patch_vae", parity_dir)


def test_layers_come_in_forward_order(parity_dir):
    names = [layer.name for layer in read_layers(f"{parity_dir}/patch_vae.keras")]
    assert names[:6] == [
        "conv2d_5",
        "batch_normalization_10",
        "conv2d_6",
        "batch_normalization_11",
        "z_mean",
        "z_log_var",
    ]
    assert names[6] == "dense_2"
    assert names.index("conv2d_transpose_9") < names.index("conv2d_transpose_10")


def test_a_state_dictionary_equals_its_file(parity_dir):
    path = f"{parity_dir}/dense_bn_ae.safetensors"
    from_file, from_dict = read_layers(path), read_layers(load_file(path))
    assert [layer.name for layer in from_file] == [layer.name for layer in from_dict]
    need_parity(from_dict, "dense_bn_ae", parity_dir)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_turned_kernels_make_flax_agree_with_keras(size, stride, padding, tmp_path):
    generator = np.random.default_rng(size * 10 + stride)
    kernel = generator.normal(size=(size, size, 3, 2)).astype(np.float32)
    x = generator.normal(size=(2, 4, 5, 2)).astype(np.float32)
    with h5py.File(tmp_path / "one.weights.h5", "w") as file:
        file["layers/conv2d_transpose/vars/0"] = kernel
    (layer,) = read_layers(tmp_path / "one.weights.h5")
    model = nn.ConvTranspose(3, (size, size), (stride, stride), padding=padding, use_bias=False)
    found = model.apply({"params": layer.arrays}, x)
    np.testing.assert_allclose(found, conv_transpose_slow(x, kernel, stride, padding), atol=1e-4)


DENSE = Layer("dense", "Dense", {"kernel": np.ones((2, 3), np.float32), "bias": np.zeros(3, np.float32)})
NORM = Layer("norm", "BatchNorm", {name: np.ones(3, np.float32) for name in ("scale", "bias", "mean", "var")})
TEMPLATE = {
    "params": {
        "a": {"Dense_0": {"kernel": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)}},
        "b": {"scale": np.zeros(3, np.float32), "bias": np.zeros(3, np.float32)},
    },
    "batch_stats": {"b": {"mean": np.zeros(3, np.float32), "var": np.zeros(3, np.float32)}},
}
ROWS = (("a/Dense_0", "Dense"), ("b", "BatchNorm"))


def test_variables_have_the_structure_of_the_template():
    filled = to_variables([DENSE, NORM], TEMPLATE, ROWS)
    assert jax.tree.structure(filled) == jax.tree.structure(TEMPLATE)
    np.testing.assert_array_equal(filled["params"]["a"]["Dense_0"]["kernel"], np.ones((2, 3)))
    np.testing.assert_array_equal(filled["batch_stats"]["b"]["var"], np.ones(3))


def test_every_misfit_is_listed_at_once():
    wrong = Layer("dense", "Dense", {"kernel": np.ones((5, 3), np.float32), "extra": np.ones(1, np.float32)})
    spare = Layer("conv2d_9", "Conv", {"kernel": np.ones((3, 3, 1, 4), np.float32)})
    with pytest.raises(InputError) as caught:
        to_variables([wrong, spare], TEMPLATE, ROWS)
    message = str(caught.value)
    for part in (
        "params/a/Dense_0/kernel: model has float32[2,3], file has float32[5,3]",
        "params/a/Dense_0/bias: model has float32[3], file has nothing",
        "params/a/Dense_0/extra: model has nothing, file has float32[1]",
        "conv2d_9 (Conv): model has nothing, file has kernel float32[3,3,1,4]",
        "b: file has no BatchNorm layer left for it",
        "batch_stats/b/mean: model has float32[3], file has nothing",
    ):
        assert part in message


def test_layers_that_cannot_be_joined_are_listed():
    other = Layer("other", "Dense", {"kernel": np.ones((4, 3), np.float32), "bias": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match=r"params/a/Dense_0/kernel: arrays cannot be joined.*dense .*other"):
        to_variables([DENSE, other, NORM], TEMPLATE, (("a/Dense_0", ("Dense", "Dense")), ROWS[1]))


def test_the_wrong_architecture_is_refused(parity_dir):
    model, rows = MODELS["conv_ae"]
    with pytest.raises(
        InputError, match=r"params/Conv_0/kernel: model has float32\[3,3,1,32\], file has float32\[2,2,1,16\]"
    ):
        to_variables(read_layers(f"{parity_dir}/patch_vae.h5"), template_of(model, (1, 28, 28, 1)), rows)


@pytest.mark.parametrize("name", ["model.pt", "model.pth"])
def test_a_pickle_is_refused_with_the_line_that_turns_it_into_safetensors(name):
    with pytest.raises(InputError, match=r"weights_only=True\), 'model.safetensors'"):
        read_layers(name)


@pytest.mark.parametrize("name", ["m.h5", "m.weights.h5", "m.keras", "m.safetensors", "m.onnx"])
@pytest.mark.parametrize("content", [None, b"", b"not a weight file at all", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_missing_damaged_and_foreign_files_are_refused(name, content, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_layers(tmp_path / name)


@pytest.mark.parametrize("file", ["latent_ae.h5", "patch_vae.keras"])
def test_truncated_files_are_refused(file, parity_dir, tmp_path):
    with open(f"{parity_dir}/{file}", "rb") as whole:
        data = whole.read()
    for keep in (0.1, 0.5, 0.9):
        (tmp_path / file).write_bytes(data[: int(keep * len(data))])
        with pytest.raises(InputError):
            read_layers(tmp_path / file)


def test_a_file_that_declares_too_much_is_refused_before_it_is_read(tmp_path):
    with h5py.File(tmp_path / "bomb.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1, 1024))
    with pytest.raises(InputError, match="declares"):
        read_layers(tmp_path / "bomb.weights.h5")


def test_pytorch_convolutions_are_refused_with_the_reason():
    with pytest.raises(InputError, match="flattens channels first"):
        read_layers({"enc.0.weight": np.zeros((4, 1, 3, 3), np.float32)})


def test_unknown_layers_are_never_dropped_in_silence(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        file["layers/group_normalization/vars/0"] = np.ones(4, np.float32)
    with pytest.raises(InputError, match="group_normalization"):
        to_variables(read_layers(tmp_path / "x.weights.h5"), {"params": {}}, ())


def test_a_batch_normalisation_without_all_its_arrays_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        for i in range(3):
            file[f"layers/batch_normalization/vars/{i}"] = np.ones(4, np.float32)
    with pytest.raises(InputError, match="holds 3 arrays, wanted 4"):
        read_layers(tmp_path / "x.weights.h5")


def test_a_layer_without_its_kernel_is_named(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        file["layers/conv2d_transpose/vars/0"] = np.ones((2, 2, 3, 4), np.int32)
        file["layers/conv2d_transpose/vars/1"] = np.ones(3, np.float32)
    with pytest.raises(InputError, match="ConvTranspose layer conv2d_transpose has no kernel of floats"):
        read_layers(tmp_path / "x.weights.h5")


def test_numbers_in_names_are_counted_not_spelt(tmp_path):
    state = {f"encoder.{i}.weight": np.full((1, 1), i, np.float32) for i in (10, 2, 0)}
    save_file({**state, "decoder.1.weight": np.full((1, 1), 11, np.float32)}, tmp_path / "m.safetensors")
    found = [float(layer.arrays["kernel"][0, 0]) for layer in read_layers(tmp_path / "m.safetensors")]
    assert found == [0, 2, 10, 11]


def dense_state(names):
    """Linear layers of PyTorch that could all be exchanged; the bias says which place each has."""
    state = {}
    for place, name in enumerate(names):
        state[f"{name}.weight"] = np.eye(4, dtype=np.float32)
        state[f"{name}.bias"] = np.full(4, place, np.float32)
    return state


def places(layers):
    return [int(layer.arrays["bias"][0]) for layer in layers]


NAMES = ["encoder.0", "encoder.2", "encoder.10", "decoder.0", "decoder.1"]


@pytest.mark.parametrize("prefix", ["", "module.", "model.net.", "my_", "auto.v1_"])
def test_an_encoder_comes_first_behind_any_prefix_by_file_and_by_dictionary(prefix, tmp_path):
    state = dense_state([prefix + name for name in NAMES])
    save_file(state, tmp_path / "m.safetensors")
    for source in (state, tmp_path / "m.safetensors", load_file(tmp_path / "m.safetensors")):
        assert places(read_layers(source)) == [0, 1, 2, 3, 4]


def test_a_state_dictionary_keeps_its_own_order_and_a_file_that_lost_it_is_refused(tmp_path):
    state = dense_state(["pre", "post", "fc2", "fc1"])
    assert places(read_layers(state)) == [0, 1, 2, 3]
    mixed = {key: value.astype(np.float16) if "weight" in key else value for key, value in state.items()}
    assert places(read_layers(mixed)) == [0, 1, 2, 3]
    for number, arrays in enumerate((state, mixed)):
        save_file(arrays, path := tmp_path / f"{number}.safetensors")
        with pytest.raises(InputError, match=r"'fc1' and 'post' could be exchanged.*number these layers"):
            read_layers(path)
        with pytest.raises(InputError, match="could be exchanged"):
            read_layers(load_file(path))


@pytest.mark.parametrize(
    "names", [["dense", "dense_1", "dense_10"], ["a", "a2"], ["layer1_norm", "layer2_norm"], ["x.0.fc", "x.1.out"]]
)
def test_numbers_anywhere_in_a_name_tell_layers_apart(names, tmp_path):
    save_file(dense_state(names), tmp_path / "m.safetensors")
    assert places(read_layers(tmp_path / "m.safetensors")) == list(range(len(names)))


def test_layers_of_other_shapes_need_no_number(tmp_path):
    state = {"first.weight": np.ones((2, 3), np.float32), "last.weight": np.ones((3, 2), np.float32)}
    save_file(state, tmp_path / "m.safetensors")
    assert [layer.name for layer in read_layers(tmp_path / "m.safetensors")] == ["first", "last"]


def test_groups_of_keras_without_configuration_are_told_by_any_component_or_refused(tmp_path):
    for names in (("my_decoder/a", "my_encoder/a"), ("pre", "post")):
        path = tmp_path / f"{names[0][:2]}.weights.h5"
        with h5py.File(path, "w") as file:
            for place, name in enumerate(names):
                file[f"{name}/vars/0"] = np.eye(4, dtype=np.float32)
                file[f"{name}/vars/1"] = np.full(4, place, np.float32)
        if names[0] == "pre":
            with pytest.raises(InputError, match="could be exchanged.*with its configuration"):
                read_layers(path)
        else:
            assert [int(layer.arrays["1"][0]) for layer in read_layers(path)] == [1, 0]


@pytest.mark.parametrize("end", ["h5", "keras"])
def test_another_epsilon_in_a_keras_file_keeps_the_outputs(end, parity_dir, tmp_path):
    recipe = RECIPES["conv-ae"]
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    shutil.copy(f"{parity_dir}/conv_ae.{end}", path := tmp_path / f"m.{end}")
    if end == "h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = with_epsilon(file.attrs["model_config"])
    else:
        with zipfile.ZipFile(f"{parity_dir}/conv_ae.keras") as old, zipfile.ZipFile(path, "w") as new:
            new.writestr("config.json", with_epsilon(old.read("config.json")))
            new.writestr("model.weights.h5", old.read("model.weights.h5"))
    found = to_detector(path, recipe, shape=(28, 28, 1)).reconstruct(images)
    model, table = MODELS["conv_ae"]
    plain = to_variables(read_layers(path), template_of(model, images.shape), table)
    plain["batch_stats"] = jax.tree.map_with_path(
        lambda keys, leaf: leaf + (0.25 - 1e-3) * (keys[-1].key == "var"), plain["batch_stats"]
    )
    np.testing.assert_allclose(found, model.apply(plain, images)["reconstruction"], atol=2e-6)


def with_epsilon(config):
    text = config.decode() if isinstance(config, bytes) else config
    return text.replace('"epsilon": 0.001', '"epsilon": 0.25')


def test_bfloat16_weights_are_weights():
    state = {key: value.astype(jnp.bfloat16) for key, value in dense_state(["a", "b"]).items()}
    assert places(read_layers(state)) == [0, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_no_model_can_hold_are_listed(bad):
    wrong = Layer("dense", "Dense", {"kernel": np.full((2, 3), bad), "bias": np.zeros(3)})
    with pytest.raises(InputError, match="params/a/Dense_0/kernel: file has NaN, infinity or numbers beyond float32"):
        to_variables([wrong, NORM], TEMPLATE, ROWS)


def test_configuration_of_a_keras_archive_must_be_json(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps([1]))
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(InputError, match=r"m\.keras"):
        read_layers(tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("m.h5", "h5py", "keras"), ("m.keras", "h5py", "keras"), ("m.safetensors", "safetensors", "torch")],
)
def test_a_missing_package_is_one_sentence_that_names_its_extra(name, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", "")
    with pytest.raises(InputError, match=rf"takes {package}, .*: pip install 'jaxad\[{extra}\]'$"):
        read_layers(tmp_path / name)
