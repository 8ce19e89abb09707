"""The command, end to end, as a shell would call it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxad.cli import process
from tests.command import jaxad, need_refusal, run_all, run_in_turn

SMALL = ["--set", "crops=256", "--set", "epochs=1", "--set", "stride=8,8"]


def test_help_and_version(tmp_path: Path) -> None:
    helped = jaxad("--help", cwd=tmp_path)
    assert helped.returncode == 0
    assert "demo" in helped.stdout
    assert jaxad("--version", cwd=tmp_path).stdout.strip()[0].isdigit()


def test_recipe_list_shows_every_recipe(tmp_path: Path) -> None:
    from jaxad.methods import RECIPES

    listed = json.loads(jaxad("recipe", "list", "--json", cwd=tmp_path).stdout)
    assert set(listed) == set(RECIPES)
    table = jaxad("recipe", "list", cwd=tmp_path).stdout
    assert all(name in table for name in RECIPES)


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize("published", [[], ["--as-published"]])
def test_recipe_run_writes_figures_and_results(tmp_path: Path, tfds_dir: str, published: list[str]) -> None:
    done = jaxad(
        *["recipe", "run", "patch-vae", "--dataset", "fashion_mnist", "--normal", "7", "--anomaly", "9"],
        *["--out", "out", "--data-dir", tfds_dir, "--json", *SMALL, *published],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results == json.loads((tmp_path / "out" / "results.json").read_text())
    assert {key: results[key] for key in ("recipe", "dataset", "normal", "anomaly", "seed")} == {
        "recipe": "patch-vae",
        "dataset": "fashion_mnist",
        "normal": 7,
        "anomaly": 9,
        "seed": 0,
    }
    assert set(results["auroc"]) == {
        f"{kind}_{pool}" for kind in ("unregularised", "regularised") for pool in ("mean", "max")
    }
    assert all(0 <= value <= 1 for value in results["auroc"].values())
    assert set(results["seconds"]) == {"load", "compile", "train", "score"}
    assert results["windows_per_second"] > 0
    assert results["environment"]["jax"]
    assert results["settings"]["cover"] == ("seed" if published else "full")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    figures = {"heatmap_unregularised.png", "heatmap_regularised.png", "roc.png"}
    assert written == figures | {"scores.npz", "detector.jaxad", "results.json"}


@pytest.mark.slow
@pytest.mark.usefixtures("compile_fast")
def test_demo_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import dataclasses

    from jaxad import cli
    from jaxad.protocols import demo

    quick = dataclasses.replace(demo.TEXTURE_VAE, crops=256, epochs=1, stride=(16, 16))
    monkeypatch.setattr(demo, "TEXTURE_VAE", quick)
    monkeypatch.setattr(demo, "TEST_COUNT", 10)
    monkeypatch.setattr(demo, "TRAIN_COUNT", 4)
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(name, "1")  # main leaves those alone
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    monkeypatch.setattr(sys, "argv", ["jaxad", "demo", "--texture", "grass", "--out", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    results = json.loads(capsys.readouterr().out)
    assert set(results) >= {"image_auroc", "pixel_auroc", "aupro", "seconds", "environment"}
    assert {path.name for path in tmp_path.iterdir()} == {"detections.png", "results.json"}


def test_compilations_are_kept_where_the_user_has_not_said_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setenv("JAXAD_CACHE_DIR", str(tmp_path))
    for said in (None, "elsewhere"):
        for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
            monkeypatch.delenv(name, raising=False)
        if said:
            monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", said)
        process.keep_compilations()
        assert os.environ["JAX_COMPILATION_CACHE_DIR"] == (said or str(tmp_path / "compiled"))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of good and bad images, some files of which are trouble, with names that a terminal cannot show."""
    import numpy as np
    from PIL import Image

    root = tmp_path / "set"
    for name in ("good/a.png", "good/[red]b.png", "bad/dent/c.png", "bad/[bold]/d.png", "extra/e.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(root / name)
    (root / "bad" / "![b]no\n\udcff.png").write_bytes(b"")
    for index in range(30):
        (root / "bad" / f"{index:02}.png").write_bytes(b"")
    return root


def test_inspect_shows_counts_plan_and_trouble(tmp_path: Path, photographs: Path) -> None:
    done = jaxad("inspect", str(photographs), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "good-bad",
        "[bold]",
        "4 x 6 (4)",
        "jaxad fit",
        r"'bad/![b]no\n\udcff.png'",
        "the file is empty",
    ):
        assert words in done.stdout
    assert "bad/18.png" in done.stdout
    assert "bad/19.png" not in done.stdout
    assert "and 11 more: --json lists all" in done.stdout
    assert "extra/e.png" in done.stdout
    assert "jaxad: warning: files that cannot be read and are left out: 31" in done.stderr


def test_inspect_prints_json_and_nothing_else(tmp_path: Path, photographs: Path) -> None:
    from jaxad.folders import inspect_folder

    done = jaxad("inspect", str(photographs), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == inspect_folder(photographs)
    assert "jaxad: warning" in done.stderr


def test_a_limit_of_pixels_is_an_option_and_named_as_such(tmp_path: Path, photographs: Path) -> None:
    done = jaxad("inspect", str(photographs), "--json", "--max-pixels", "3", cwd=tmp_path)
    reasons = [row["reason"] for row in json.loads(done.stdout)["unreadable"]]
    assert any("; raise max_pixels, or --max-pixels on the command line" in reason for reason in reasons)
    for command in ("inspect", "fit", "score", "evaluate"):
        assert "--max-pixels" in jaxad(command, "--help", cwd=tmp_path).stdout


def test_inspect_starts_no_device(tmp_path: Path, photographs: Path) -> None:
    code = (
        "import sys, jaxad.folders as f; f.inspect_folder(sys.argv[1]); "
        "from jax._src.xla_bridge import backends_are_initialized; print(backends_are_initialized())"
    )
    ran = subprocess.run([sys.executable, "-c", code, photographs], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


REFUSED = [
    (["inspect", "nowhere"], ["folder of images", "nowhere"]),
    (["inspect", "."], ["must hold images"]),
    (["inspect"], ["DIR"]),
    (["recipe", "run", "patch-vea"], ["patch-vea", "did you mean 'patch-vae'"]),
    (["recipe", "run", "patch-vae", "--dataset", "mnsit"], ["mnsit", "did you mean 'mnist'"]),
    (["recipe", "run", "patch-vae", "--set", "epoch=1"], ["epoch=1", "latent_dim=2"]),
    (["recipe", "run", "patch-vae", "--set", "epochs=many"], ["epochs", "10"]),
    (["recipe", "run", "patch-vae", "--set", "window=8"], ["window", "8,8"]),
    (["fit", ".", "-o", "a.jaxad", "--epochs", "3"], ["epochs=3", "auto has no epochs"]),
    (["fit", ".", "-o", "a.jaxad", "--seed", "99999999999999999999"], ["seed", "4294967295"]),
    (["recipe", "run", "patch-vae", "--normal", "9"], ["normal and anomaly"]),
    (["recipe", "run", "patch-vae", "--data-dir", "nowhere"], ["nowhere"]),
    (["recipe", "run", "patch-vae-texture"], ["no published protocol"]),
    (["demo", "--texture", "brik"], ["brik", "did you mean 'brick'"]),
    (["demo", "--out", "/proc/here"], ["/proc/here", "--out"]),
    (["demo", "--seed", "-1"], ["seed"]),
    (["demo", "--write", "/proc/here"], ["/proc/here", "cannot be"]),
    (["demo", "--write", ".", "--texture", "brik"], ["brik", "did you mean 'brick'"]),
    (["demo", "--write", "bricks", "--count", "0"], ["count"]),
    (["demo", "--count", "5"], ["--count", "--write"]),
    (["demo", "--write", "bricks", "--out", "out"], ["--write", "--out"]),
    (["fit", "nowhere", "-o", "a.jaxad"], ["nowhere", "no such folder"]),
    (["fit", ".", "-o", "a.jaxad"], ["must hold images"]),
    (["fit", ".", "-o", "a.jaxad", "--recipe", "patch-vea"], ["patch-vea", "did you mean 'patch-vae'"]),
    (["fit", ".", "-o", "a.jaxad", "--holdout", "1", "--fpr", "0"], ["holdout", "rate", "between 0 and 1"]),
    (["fit", "."], ["--out"]),
    (["score", "a.jaxad", ".", "-o", "out"], ["a.jaxad", "No such file"]),
    (["score", "a.jaxad", ".", "-o", "out", "--maps", "npz"], ["npz", "did you mean 'npy'"]),
    (["evaluate", "a.jaxad", "."], ["a.jaxad", "No such file"]),
    (["verify", "a.jaxad"], ["a.jaxad", "No such file"]),
    (["nonsense"], ["nonsense"]),
]
"""Arguments, and what the one sentence about them says."""
REFUSED_LATE = [
    (["recipe", "run", "patch-vae", "--set", "epochs=0"], ["epochs", "at least 1"]),
    (["recipe", "run", "patch-vae", "--normal", "11"], ["11"]),
]
"""The same, of what is found wrong once the data set is read."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory, tfds_dir: str) -> tuple[Path, dict]:
    """The folder in which each of these commands ran, in a folder of its place, and how it ended."""
    root = tmp_path_factory.mktemp("refused")
    return root, run_all({str(i): words for i, (words, _) in enumerate(REFUSED)}, root, TFDS_DATA_DIR=tfds_dir)


@pytest.mark.parametrize("place", range(len(REFUSED)), ids=[" ".join(words) for words, _ in REFUSED])
def test_bad_input_is_one_sentence_and_exit_2(place: int, refused: tuple[Path, dict]) -> None:
    root, done = refused
    need_refusal(done[str(place)], *REFUSED[place][1])
    assert not any(path.is_file() for path in (root / str(place)).rglob("*"))


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize(("arguments", "words"), REFUSED_LATE)
def test_what_data_show_to_be_wrong_is_one_sentence(
    arguments: list[str], words: list[str], tmp_path: Path, tfds_dir: str
) -> None:
    need_refusal(jaxad(*arguments, cwd=tmp_path, TFDS_DATA_DIR=tfds_dir), *words)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_unprepared_data_says_what_to_run(tmp_path: Path) -> None:
    done = jaxad("recipe", "run", "patch-vae", "--data-dir", str(tmp_path), "--out", "out", cwd=tmp_path)
    need_refusal(done, "mnist", "pip install", "download_and_prepare")


@pytest.mark.slow
def test_a_folder_from_photographs_to_report(tmp_path: Path) -> None:
    def run(*commands: str) -> list[subprocess.CompletedProcess[str]]:
        done = run_in_turn(*(command.split() for command in commands), cwd=tmp_path)
        for one in done:
            assert "Traceback" not in one.stderr, one
        return done

    def found(done: subprocess.CompletedProcess[str], code: int = 0) -> dict:
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    written, inspected, again, fitted, verified, scored, reported, unasked = run(
        "demo --write bricks --count 12 --texture gravel --json",
        "inspect bricks --json",
        "demo --write bricks",
        "fit bricks -o a.jaxad --fpr 0.4 --resize 64",
        "verify a.jaxad --json",
        "score a.jaxad bricks -o out --maps png16 --json",
        "report out --json",
        "score a.jaxad bricks -o out",
    )
    assert found(written)["train"] == {"good": 12}
    assert sum(found(written)["test"].values()) == 12
    assert found(inspected)["masks"] == {
        **{"paired": 6, "missing": [], "unmatched": [], "misfit": [], "ambiguous": [], "odd": []}
    }
    need_refusal(again, "new or empty")

    assert fitted.returncode == 0, fitted.stderr
    assert fitted.stdout.count("(chosen)") == 1
    assert "10 images" in fitted.stdout
    assert "jaxad: warning: 2 good images do not support" in fitted.stderr
    assert found(verified) == {"part": "a.jaxad", "golden": 2, "differences": []}

    assert found(scored)["counts"]["scored"] == 12
    assert found(reported)["bytes"] > 10_000
    need_refusal(unasked, "--resume")
    assert {path.suffix for path in (tmp_path / "out" / "maps").iterdir()} == {".png"}

    (tmp_path / "bricks" / "test" / "good" / "empty.png").write_bytes(b"")
    whole = (tmp_path / "a.jaxad").read_bytes()
    (tmp_path / "cut.jaxad").write_bytes(whole[:-100])

    from jaxad import bundle

    arrays, document = bundle.read(tmp_path / "a.jaxad")
    bundle.write(tmp_path / "b.jaxad", {**arrays, "part/golden_scores": arrays["part/golden_scores"] * 1.01}, document)
    resumed, none, evaluated, shown, *cut, changed = run(
        "score a.jaxad bricks -o out --maps png16 --resume",
        "score a.jaxad bricks/test/good/empty.png -o none --json",
        "evaluate a.jaxad bricks --json",
        "evaluate a.jaxad bricks",
        "verify cut.jaxad",
        "score cut.jaxad bricks -o x",
        "evaluate cut.jaxad bricks",
        "verify b.jaxad --json",
    )
    assert resumed.returncode == 3
    assert "jaxad: files that could not be scored: 1; out/errors.csv says why" in resumed.stderr
    assert found(none, code=2)["counts"]["failed"] == 1

    assert found(evaluated, code=3)["images"]["good"] == 6
    for words in ("image AUROC", "best F1 (chosen by the labels)", "AUPRO", "scratch"):
        assert words in shown.stdout
    assert "empty.png" in shown.stderr

    for done in cut:
        need_refusal(done, "cut.jaxad", "damaged")
    assert not (tmp_path / "x").exists()
    assert len(found(changed, code=1)["differences"]) == 2
