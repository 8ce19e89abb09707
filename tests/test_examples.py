"""Every example runs as it stands, in an empty folder, and what it serves is what jaxad scores."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import jaxad
from jaxad.export import export_model
from jaxad.folders import fit_folder
from jaxad.protocols.demo import write_textures

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
METHODS = {"denoising", "flow", "template", "vqvae"}  # tests/test_methods.py fits each
SERVED = {"serve_onnx", "serve_http"}
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem not in METHODS | SERVED)


def python(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "MPLBACKEND": "Agg"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(python(name), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, a pipeline and its ONNX file."""
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("served")
    write_textures("brick", folder / "bricks", count=12)
    fit_folder(folder / "bricks", folder / "parts.jaxad", recipe="patch-components")
    export_model(jaxad.load_pipeline(folder / "parts.jaxad"), folder / "exported", to="onnx")
    return folder


@pytest.mark.slow
def test_onnx_alone_scores_as_jaxad(exported: Path) -> None:
    photographs = sorted(map(str, (exported / "bricks" / "test").rglob("*.png")))[:3]
    done = subprocess.run(
        [sys.executable, "-I", str(EXAMPLES / "serve_onnx.py"), str(exported / "exported"), *photographs],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    pipeline = jaxad.load_pipeline(exported / "parts.jaxad")
    expected = pipeline.score(photographs).score
    assert [row["score"] for row in rows] == pytest.approx(expected.tolist(), rel=1e-5)
    assert [row["bad"] for row in rows] == (expected > pipeline.threshold.value).tolist()


@pytest.mark.slow
def test_http_answers_and_refuses(exported: Path) -> None:
    photograph = min((exported / "bricks" / "test").rglob("*.png"))
    server = subprocess.Popen(
        python("serve_http", str(exported / "exported"), "0"), env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        with urllib.request.urlopen(address, data=photograph.read_bytes()) as answer:
            found = json.load(answer)
        expected = jaxad.load_pipeline(exported / "parts.jaxad").score(photograph).score[0]
        assert found["score"] == pytest.approx(float(expected), rel=1e-5)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address, data=b"no photograph")
        with refused.value as problem:
            assert problem.code == 400
            assert "identify" in json.load(problem)["error"]
    finally:
        server.terminate()
        server.communicate()


def test_the_page_names_every_example() -> None:
    page = (EXAMPLES.parent / "docs" / "examples.md").read_text()
    assert [path.name for path in sorted(EXAMPLES.glob("*.py")) if f"[{path.name}]" not in page] == []
