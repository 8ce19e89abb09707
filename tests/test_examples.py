"""Every example runs as it stands, in an empty folder, and what it serves is what jaxad scores."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import jaxad
from jaxad.export import export_model
from jaxad.folders import fit_folder
from jaxad.protocols.demo import write_textures
from tests import fast_compilation

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
METHODS = {"denoising", "flow", "template", "vqvae"}  # tests/test_methods.py fits each
SERVED = {"serve_onnx", "serve_http", "serve_fastapi"}
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem not in METHODS | SERVED)

RUN_NOTEBOOK = """
import nbclient, nbformat, sys
book = nbclient.execute(nbformat.read(sys.argv[1], as_version=4), timeout=600)
print(*(kind for cell in book.cells for output in cell.get("outputs", ()) for kind in output.get("data", ())))
"""
"""Runs a notebook where it is called, and prints the kinds of what its cells show."""


def python(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, **fast_compilation.environment(), "PYTHONPATH": str(EXAMPLES.parent), "MPLBACKEND": "Agg"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(python(name), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    done = subprocess.run(
        [sys.executable, "-c", RUN_NOTEBOOK, str(path)],
        cwd=tmp_path,
        env={**environment(), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "image/png" in done.stdout.split()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, compile_fast: None) -> Path:
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


@pytest.mark.slow
def test_fastapi_answers_and_refuses(exported: Path) -> None:
    uvicorn, httpx = (pytest.importorskip(name) for name in ("uvicorn", "httpx"))
    pytest.importorskip("fastapi")
    photograph = min((exported / "bricks" / "test").rglob("*.png"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", uvicorn.__name__, "serve_fastapi:app", "--port", str(port), "--log-level", "error"],
        cwd=EXAMPLES,
        env={**environment(), "JAXAD_EXPORTED": str(exported / "exported")},
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=0)) as client:
            begun = time.monotonic()
            while True:
                try:
                    assert client.get("/health").json()["pipeline"]
                    break
                except httpx.ConnectError:
                    assert server.poll() is None
                    assert time.monotonic() - begun < 120
                    time.sleep(0.1)
            found = client.post("/score", content=photograph.read_bytes()).json()
            pipeline = jaxad.load_pipeline(exported / "parts.jaxad")
            expected = pipeline.score(photograph)
            assert found["score"] == pytest.approx(float(expected.score[0]), rel=1e-5)
            assert found["bad"] == (found["score"] > pipeline.threshold.value)
            assert expected.map[0][tuple(found["at"])] == pytest.approx(float(expected.map[0].max()), rel=1e-5)
            refused = client.post("/score", content=b"no photograph")
            assert (refused.status_code, "identify" in refused.json()["detail"]) == (400, True)
            assert client.post("/score", content=bytes(50_000_001)).status_code == 413
            assert "/score" in client.get("/openapi.json").json()["paths"]
    finally:
        server.terminate()
        server.communicate()


def test_the_page_names_every_example() -> None:
    page = (EXAMPLES.parent / "docs" / "examples.md").read_text()
    files = [path.name for path in sorted(EXAMPLES.iterdir()) if path.suffix in (".py", ".ipynb")]
    assert [name for name in files if f"[{name}]" not in page] == []
