"""Exported models: they score as jaxad does where jaxad is not, and nothing is kept that does not."""

import ast
import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors

import jaxad
from jaxad import Detector, pipeline
from jaxad._check import InputError
from jaxad.export import export_model, exporting, running
from jaxad.export.computation import make_computation
from jaxad.export.to_onnx import TERMS, in_plain_operations
from jaxad.export.to_stablehlo import PLATFORMS, lower_for_all
from jaxad.methods import RECIPES, FusionRecipe
from jaxad.preparation import Preparation
from tests.command import jaxad as command
from tests.command import need_refusal
from tests.photograph_folder import QUICK, photograph, save, untrained
from tests.run_page import blocks
from tests.small_pipelines import make_part, with_usual

pytestmark = pytest.mark.usefixtures("compile_fast", "every_platform")
ROOT = Path(__file__).resolve().parent.parent
NEEDS = {"stablehlo": ["flatbuffers"], "onnx": ["jax2onnx", "onnxruntime"], "safetensors": []}
KINDS = {
    "conv_ae": dataclasses.replace(RECIPES["conv-ae"], encoder=((2, 2),), decoder=((2, 2),), latent_dim=2),
    "dense_ae": dataclasses.replace(RECIPES["dense-ae"], encoder=(4, 2), decoder=(4,)),
    "dense_vae": dataclasses.replace(RECIPES["image-vae"].parts[0], layers=(4,), latent_dim=2),
    "patch_vae": dataclasses.replace(QUICK, filters=(2,)),
    "drawn_defects": dataclasses.replace(RECIPES["drawn-defects"], filters=(2, 2)),
    "closed_form": dataclasses.replace(RECIPES["surface-gradients"], count=2),
    "patch_components": dataclasses.replace(RECIPES["patch-components"], scales=((4, 2, 2),), crops=40),
}


def need(to: str) -> None:
    missing = [name for name in NEEDS[to] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: pip install -e '.[export]'")


@pytest.fixture(scope="module")
def whole(compile_fast: None) -> pipeline.Pipeline:
    """A part of whole images."""
    return make_part(
        dataclasses.replace(RECIPES["pixel-components"], count=2), Preparation(1, "letterbox", box=(32, 40))
    )


@pytest.fixture(scope="module")
def coloured(whole: pipeline.Pipeline) -> pipeline.Pipeline:
    """A part that sees half of every photograph in grey, from photographs in colour."""
    roi = np.zeros((32, 40), bool)
    roi[:, :20] = True
    windows = make_part(QUICK, Preparation(1), roi)
    return dataclasses.replace(windows, golden=tuple(np.repeat(one[..., None], 3, axis=-1) for one in windows.golden))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_lowers_for_every_platform(kind: str) -> None:
    computation = make_computation(untrained(KINDS[kind], (12, 16, 1)), None)
    lowered = lower_for_all(computation)
    assert lowered.platforms == PLATFORMS
    assert [str(out.shape) for out in lowered.out_avals] == ["(n,)", "(n, 12, 16)"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conv_ae", "patch_vae"])
def test_plain_operations_score_alike(kind: str) -> None:
    computation = make_computation(untrained(KINDS[kind], (12, 16, 1)), None)
    images = np.random.default_rng(0).integers(0, 256, (1, 12, 16, 1), dtype=np.uint8)
    traced = jax.make_jaxpr(lambda x: jax.lax.map(computation.score, x))(images)
    plain = in_plain_operations(traced)
    assert "platform_index" in str(traced)
    assert "platform_index" not in str(jax.make_jaxpr(plain)(images))
    for found, wanted in zip(jax.jit(plain)(images), computation.expected(images), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(1,), (0, 2), (0, 1, 2)])
def test_long_sums_are_made_in_steps(axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((3, 2 * TERMS**2 + 5, 2), dtype=np.float32)
    traced = jax.make_jaxpr(lambda x: jnp.sum(x, axis=axes))(x)
    plain = in_plain_operations(traced)
    sums = [one for one in jax.make_jaxpr(plain)(x).eqns if one.primitive.name == "reduce_sum"]
    assert max(one.invars[0].aval.shape[axis] for one in sums for axis in one.params["axes"]) <= TERMS
    np.testing.assert_allclose(plain(x)[0], x.sum(axis=axes, dtype=float), rtol=1e-6)


@pytest.mark.slow
def test_sums_are_rounded_by_what_their_parts_gave() -> None:
    parts = tuple(
        dataclasses.replace(KINDS["closed_form"], name=name, count=count) for name, count in (("a", 1), ("b", 2))
    )
    recipe = FusionRecipe(name="sum", summary="", source="", parts=parts, holdout=0.5)
    images = np.random.default_rng(0).random((12, 16, 16, 1), np.float32)
    detector, _ = jaxad.fit(jax.random.key(0), recipe, images)
    given = 0.0
    for part in parts:
        held = detector.variables[part.name]
        alone = Detector(part, detector.shape, held["variables"]).score(images).score
        given = given + alone / float(held["image"]["deviation"])
    taken_off = make_computation(detector, None).taken_off_scores
    np.testing.assert_allclose(detector.score(images).score + taken_off, given, rtol=1e-4)


@pytest.mark.slow
def test_maps_that_go_on_at_the_border_are_exported(tmp_path: Path) -> None:
    """Structural similarity has none there, so the nearest one stands; across the images nothing is added."""
    need("onnx")
    similarity = dataclasses.replace(KINDS["conv_ae"], loss_name="ssim_loss", score_name="ssim_loss")
    facts = export_model(untrained(similarity, (12, 16, 1)), tmp_path, to="onnx")
    assert facts["checked"]["images"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("to", ["stablehlo", "onnx"])
def test_the_page_serves_what_the_command_exports(whole: pipeline.Pipeline, tmp_path: Path, to: str) -> None:
    need(to)
    whole.save(tmp_path / "part.jaxad")
    done = command("export", "part.jaxad", "--to", to, "-o", "exported", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts == json.loads((tmp_path / "exported" / f"model.{to}.json").read_text())
    assert facts["input"]["shape"] == ["n", 32, 40, 1]
    assert facts["checked"]["images"] == len(whole.golden) + 2
    assert facts["part"]["threshold"] == whole.threshold.value
    save(tmp_path / "photograph.png", photograph(9))
    page = (ROOT / "docs" / "export.md").read_text()
    (script,) = [
        block.text for block in blocks(page) if block.language == "python" and f"model.{to}.json" in block.text
    ]
    assert len(script.strip().splitlines()) <= 24
    script += "import sys\nassert 'jaxad' not in sys.modules\n"
    served = subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert served.returncode == 0, served.stderr
    expected = whole.score(photograph(9))
    found = json.loads(served.stdout)
    assert found["score"] == pytest.approx(float(expected.score[0]), rel=1e-5)
    assert found["bad"] == bool(expected.score[0] > whole.threshold.value)
    assert found["map"] == [1, *expected.map[0].shape]


@pytest.mark.slow
@pytest.mark.parametrize("upright", [False, True])
def test_photographs_by_a_frozen_network_are_exported(upright: bool, tmp_path: Path) -> None:
    """By what the model gave: eight deviations of which, at every position, little is left."""
    need("onnx")
    few = dataclasses.replace(
        RECIPES["patchcore"], stages=("depthwise_4",), bank=32, choices=64, turns=0, upright=upright
    )
    part = with_usual(make_part(few, Preparation(1, "letterbox", box=(32, 40))))
    facts = export_model(part, tmp_path, to="onnx")
    assert facts["checked"]["images"] == len(part.golden) + 2
    session = f"import onnxruntime; onnxruntime.InferenceSession({str(tmp_path / 'model.onnx')!r})"
    opened = subprocess.run([sys.executable, "-c", session], capture_output=True, text=True, check=True)
    assert "initializer" not in opened.stderr, opened.stderr[:1000]  # onnxruntime tells of each that nothing reads
    computation = make_computation(part, None)
    np.testing.assert_allclose(computation.taken_off, part.usual.mean / part.usual.deviation)
    assert computation.taken_off_scores == pytest.approx(np.mean(computation.taken_off))


@pytest.mark.slow
@pytest.mark.parametrize("to", ["stablehlo", "onnx"])
def test_region_of_interest_and_grey_are_inside(coloured: pipeline.Pipeline, tmp_path: Path, to: str) -> None:
    need(to)
    facts = export_model(coloured, tmp_path / "out", to=to, size=(32, 40))
    assert facts["input"]["shape"] == ["n", 32, 40, 3]
    assert facts["region_of_interest"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"model.{to}", f"model.{to}.json"]


@pytest.mark.slow
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("within_region", [False, True])
def test_scores_are_those_of_the_part(coloured: pipeline.Pipeline, calibrated: bool, within_region: bool) -> None:
    made = with_usual(coloured) if calibrated else coloured
    made = made if within_region else dataclasses.replace(made, roi=None)
    image = np.repeat(photograph(3)[..., None], 3, axis=-1)
    computation = make_computation(made, (32, 40))
    found, wanted = computation.expected(image[None]), made.score(image)
    np.testing.assert_array_equal(found[0], wanted.score)
    np.testing.assert_array_equal(found[1][0], wanted.map[0])
    on_device = jax.jit(computation.score)(image)
    np.testing.assert_allclose(on_device[0], wanted.score[0], rtol=1e-5)
    np.testing.assert_allclose(on_device[1], wanted.map[0], rtol=1e-5, atol=1e-5 * np.abs(wanted.map[0]).max())


@pytest.mark.slow
def test_safetensors_hold_the_arrays_and_the_recipe(whole: pipeline.Pipeline, tmp_path: Path) -> None:
    export_model(whole.detector, tmp_path, to="safetensors")
    arrays, _ = whole.detector.contents()
    with safetensors.safe_open(tmp_path / "model.safetensors", "np") as file:
        assert json.loads(file.metadata()["jaxad"])["recipe"]["name"] == whole.detector.recipe.name
        assert set(file.keys()) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("stablehlo", "scores differ by.*; export it to onnx or safetensors, or fit another recipe"),
        ("safetensors", "do not come back as they were"),
    ],
)
def test_what_scores_otherwise_is_not_kept(
    whole: pipeline.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, words: str
) -> None:
    need(to)
    altered = jax.tree.map(lambda leaf: leaf * 0.9, whole.detector.variables)
    other = dataclasses.replace(whole.detector, variables=altered)
    write = exporting.FORMATS[to]
    monkeypatch.setattr(exporting, "FORMATS", {to: lambda c: write(dataclasses.replace(c, detector=other))})
    with pytest.raises(InputError, match=words):
        export_model(whole, tmp_path / "out", to=to)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_does_not_run_is_not_kept(
    whole: pipeline.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "FORMATS", {"safetensors": lambda _: b"nothing"})
    with pytest.raises(InputError, match="a new process cannot run it"):
        export_model(whole, tmp_path / "out", to="safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "module"), [("stablehlo", "flatbuffers"), ("onnx", "jax2onnx"), ("safetensors", "safetensors.numpy")]
)
def test_a_missing_package_is_one_sentence(
    whole: pipeline.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install 'jaxad\[export\]'"):
        export_model(whole, tmp_path / "out", to=to)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_region_of_interest_tells_the_size(coloured: pipeline.Pipeline) -> None:
    larger = dataclasses.replace(coloured, roi=np.ones((48, 60), bool))
    assert make_computation(larger, None).size == (48, 60)
    assert make_computation(larger, (32, 40)).size == (32, 40)


@pytest.mark.slow
def test_sizes_that_cannot_be_are_refused(
    whole: pipeline.Pipeline, coloured: pipeline.Pipeline, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="32 x 40 x 1"):
        export_model(whole, tmp_path, to="safetensors", size=(8, 8))
    with pytest.raises(InputError, match="67,108,864 pixels at most, got 60000 x 60000"):
        export_model(coloured, tmp_path, to="safetensors", size=(60000, 60000))
    scaled = dataclasses.replace(coloured, preparation=Preparation(1, "scale", scale=0.5))
    with pytest.raises(InputError, match="before photographs are resized"):
        export_model(scaled, tmp_path, to="safetensors")


@pytest.mark.slow
def test_command_refuses_in_a_sentence(whole: pipeline.Pipeline, tmp_path: Path) -> None:
    whole.save(tmp_path / "part.jaxad")
    need_refusal(command("export", "part.jaxad", "--to", "onx", "-o", "out", cwd=tmp_path), "did you mean 'onnx'?")
    arguments = ["--to", "onnx", "--size", "3", "-o", "out"]
    need_refusal(command("export", "part.jaxad", *arguments, cwd=tmp_path), "height,width")
    assert not (tmp_path / "out").exists()


def test_the_other_process_needs_no_jaxad() -> None:
    tree = ast.parse(Path(running.__file__).read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any("jaxad" in ast.unparse(node) for node in found)
