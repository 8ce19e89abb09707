"""The command in the surroundings that people have: backends, devices, encodings, pipes and Ctrl-C."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.table import Table

from jaxad.cli import process, terminal
from jaxad.folders import fit_folder
from tests.photograph_folder import WHOLE, write_set

LONG = "a_photograph_of_the_third_camera_on_line_seven_at_station_12_number_"


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A job in the background of a shell ignores Ctrl-C, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "jaxad", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **environment},
    )


def jaxad(*arguments: str | Path, cwd: Path, **environment: str) -> tuple[int, bytes, bytes]:
    running = start(*arguments, cwd=cwd, **environment)
    out, err = running.communicate(timeout=120)
    assert b"Traceback" not in out + err
    return running.returncode, out, err


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part, and photographs whose names no terminal of this world shows."""
    home = tmp_path_factory.mktemp("terminal")
    write_set(home / "set")
    fit_folder(home / "set", home / "part.jaxad", recipe=WHOLE, rate=0.4)
    image = Image.fromarray(np.zeros((32, 40), np.uint8))
    for name in ("划痕🙂/照片.png", "ü.png", "bad\udcff.png"):
        path = home / "names" / "bad" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    (home / "names" / "bad" / "坏.png").write_bytes(b"")
    (home / "names" / "good").mkdir()
    image.save(home / "names" / "good" / "1.png")
    return home


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["cp1252", "ascii", "C"],
)
def test_any_name_is_written_in_any_encoding(home: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    out = os.fsdecode(tmp_path / "结果")
    for _ in range(2):  # the second goes on with what the first wrote
        code, _, err = jaxad("score", "part.jaxad", "names", "-o", out, "--resume", cwd=home, **environment)
        assert code == 3
        assert b"files that could not be scored: 1" in err
    table = (tmp_path / "结果" / "results.csv").read_bytes()
    assert table.count(b"\n") == 5
    assert "划痕🙂/照片.png".encode() in table
    assert b"bad\xff.png" in table
    assert jaxad("report", out, cwd=home, **environment)[0] == 0
    code, _, err = jaxad("verify", "没有.jaxad", cwd=home, **environment)
    assert (code, err.count(b"\n")) == (2, 1)


def test_tables_are_whole_in_a_pipe(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "names", tmp_path / "names")
    for number in (1, 2):
        (tmp_path / "names" / "bad" / f"{LONG}{number}.png").write_bytes(b"")
    code, out, _ = jaxad(
        "inspect", "names", cwd=tmp_path, PYTHONIOENCODING="cp1252", MPLBACKEND="nonsense", COLUMNS="40"
    )
    assert code == 0
    assert all(f"bad/{LONG}{number}.png".encode() in out for number in (1, 2))
    assert b"\\u5212\\u75d5\\U0001f642" in out


def test_tables_are_folded_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("file")
    table.add_row(LONG)
    terminal.print_tables(table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert LONG in "".join(line.strip("│ ") for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline_that_there_is_not", "nonsense"])
def test_no_backend_of_figures_is_needed(backend: str, home: Path, tmp_path: Path) -> None:
    code, _, err = jaxad("score", "part.jaxad", "set", "-o", tmp_path / "out", cwd=home, MPLBACKEND=backend)
    assert code == 0, err


@pytest.mark.parametrize("asked", ["cuda", "nonsense"])
def test_devices_that_there_are_not_are_one_sentence(asked: str, home: Path) -> None:
    code, out, err = jaxad("verify", "part.jaxad", cwd=home, JAX_PLATFORMS=asked)
    assert (code, out, err.count(b"\n")) == (2, b"", 1)
    assert f"jax cannot start with JAX_PLATFORMS='{asked}'".encode() in err


def test_every_command_that_computes_starts_jax_by_one_door(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In this process, for speed: what the door refuses reaches no further."""

    def refuse() -> None:
        raise process.InputError("no devices")

    for room in ("process", "folders", "systems"):
        monkeypatch.setattr(f"jaxad.cli.{room}.start_jax", refuse)
    out, part, photographs = str(tmp_path / "out"), str(home / "part.jaxad"), str(home / "set")
    for arguments in (
        ["fit", photographs, "-o", out],
        ["score", part, photographs, "-o", out],
        ["evaluate", part, photographs],
        ["verify", part],
        ["export", part, "--to", "safetensors", "-o", out],
        ["demo", "--out", out],
        ["recipe", "run", "dense-ae", "--out", out],
        ["convert", "dense-ae", part, "-o", out],
    ):
        with pytest.raises(process.InputError, match="no devices"):
            terminal.app(arguments)
    assert not (tmp_path / "out").exists()


def test_a_cache_that_cannot_be_used_is_told_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAXAD_CACHE_DIR", str(tmp_path / "file"))
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.delenv(name, raising=False)
    process.keep_compilations()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    assert "compiled programs are not kept" in capsys.readouterr().err
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")


@pytest.mark.slow
def test_a_reader_that_has_gone_ends_the_command_as_a_shell_expects(home: Path) -> None:
    for arguments in (["inspect", "names"], ["recipe", "list", "--json"], ["--help"], ["fit", "--help"], ["--version"]):
        running = start(*arguments, cwd=home)
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        err = running.stderr.read()
        running.stderr.close()
        assert running.wait(timeout=60) == 141
        assert b"Traceback" not in err
        assert b"BrokenPipe" not in err


def test_ctrl_c_is_one_line_and_leaves_nothing(home: Path) -> None:
    folder = home / "stopped"
    folder.mkdir()
    running = start("fit", "set", "-o", "stopped/a.jaxad", "--recipe", "drawn-defects", cwd=home)
    time.sleep(4)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, b"jaxad: interrupted\n")
    assert list(folder.iterdir()) == []


def test_ctrl_c_inside_a_callback_of_the_collector_is_not_lost(tmp_path: Path) -> None:
    """jax has such a callback, and Python drops what is raised there."""
    code = (
        "import gc, time\nfrom jaxad.cli import process\n"
        "def interrupt(*_):\n    gc.callbacks.remove(interrupt)\n    raise KeyboardInterrupt\n"
        "def command():\n    gc.callbacks.append(interrupt)\n    gc.collect()\n"
        "    time.sleep(30)\n    print('went on')\n"
        "process.run(command)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"jaxad: interrupted\n")


@pytest.mark.parametrize("module", ["jaxad.cli.terminal", "jaxad.cli.process", "typer"])
def test_ctrl_c_while_the_command_is_loaded_is_one_line(module: str, tmp_path: Path) -> None:
    """In place of a signal at the right moment, the module that is loaded then is interrupted."""
    code = (
        "import sys\nfrom importlib.abc import MetaPathFinder\n"
        "class Stop(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\nsys.argv[1:] = ['inspect', '.']\n"
        "import jaxad.__main__"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"jaxad: interrupted\n")


@pytest.mark.parametrize("flags", ["nonsense", "--xla_cpu_enable_fast_math=false nonsense", "xla_dump_to=/tmp", "-x"])
def test_flags_that_are_none_are_one_sentence(flags: str, home: Path) -> None:
    code, out, err = jaxad("verify", "part.jaxad", cwd=home, XLA_FLAGS=flags)
    assert (code, out, err.count(b"\n")) == (2, b"", 1)
    assert b"XLA_FLAGS must be flags that begin with --" in err


def test_flags_may_be_quoted_or_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "flags").write_text("--xla_cpu_enable_fast_math=false")
    for flags in ("", " ", "--a='b c'", "--a=b --c", str(tmp_path / "flags")):
        process._need_flags(flags)


@pytest.mark.slow
def test_a_fit_without_some_of_its_images_ends_as_a_score_does(tmp_path: Path) -> None:
    """A file that cannot be read, wherever that shows, is a failure; a copy, or one to test on, is none."""
    root = write_set(tmp_path / "set")
    (root / "test" / "good" / "000.png").write_bytes(b"")
    shutil.copy(root / "train" / "good" / "001.png", root / "train" / "good" / "copy.png")
    Image.open(root / "train" / "good" / "002.png").save(root / "train" / "good" / "copy.bmp")
    arguments = ["fit", "set", "-o", "a.jaxad", "--recipe", "pixel-neighbours", "--set", "count=1"]
    assert jaxad(*arguments, cwd=tmp_path)[0] == 0
    whole = (root / "train" / "good" / "003.png").read_bytes()
    for name, data in (("empty", b""), ("cut", whole[:-60])):
        (root / "train" / "good" / f"{name}.png").write_bytes(data)
    code, out, err = jaxad(*arguments, "--json", cwd=tmp_path)
    assert code == 3, err
    assert {row["path"] for row in json.loads(out)["images"]["failed"]} == {
        "train/good/empty.png",
        "train/good/cut.png",
    }
    assert b"train/good/empty.png" in err
    assert b"jaxad: 2 images to fit on could not be used" in err


def test_what_to_go_on_with_can_be_pasted_into_a_shell(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, out = tmp_path / "über 划痕.jaxad", tmp_path / "it's out"
    shutil.copytree(home / "set", tmp_path / "a set")
    for arguments in (
        ["fit", str(tmp_path / "a set"), "-o", str(made), "--recipe", "pixel-neighbours", "--set", "count=1"],
        ["score", str(made), str(tmp_path / "a set"), "-o", str(out)],
    ):
        with pytest.raises(SystemExit) as ended:
            terminal.app(arguments)
        assert ended.value.code == 0
    said = capsys.readouterr().out
    commands = [shlex.split(line.partition("go on with: ")[2]) for line in said.splitlines() if "go on with: " in line]
    assert commands == [["jaxad", "score", str(made), "FOLDER", "-o", "OUT"], ["jaxad", "report", str(out)]]


@pytest.mark.slow
def test_a_fit_tells_of_every_step(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    steps = []
    fit_folder(
        tmp_path / "set",
        tmp_path / "a.jaxad",
        recipe=WHOLE,
        rate=0.4,
        on_step=lambda step, done, total: steps.append((step, done == total)),
    )
    assert ("reading", True) in steps
    assert ("judging", True) in steps


def test_steps_of_a_fit_are_bars_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.fitting(3) as (on_step, on_epoch):
        on_step("reading", 2, 5)
        on_step("choosing", 1, 7)
        on_epoch(3, {"loss": 0.25})
    shown = capsys.readouterr().err
    assert all(words in shown for words in ("reading", "2/5", "choosing", "1/7", "training, loss 0.25", "3/3"))
