"""Training that is stopped anywhere goes on from its checkpoints and ends in the bits of one that was not."""

import json
import multiprocessing
import random
import shutil
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from jax.experimental.compilation_cache import compilation_cache

from jaxad import InputError, cli, fit, fit_members, load_pipeline
from jaxad.checkpoints import Checkpoints, open_checkpoints
from jaxad.fitting.resuming import describe_training
from jaxad.folders import fit_folder
from jaxad.methods import GRADIENT_NEIGHBOURS, FusionRecipe
from jaxad.recipes import NetworkRecipe
from tests import tiny_training
from tests.drawn import examples
from tests.photograph_folder import QUICK, write_set
from tests.tiny_training import IMAGES, RECIPE, digest

pytestmark = pytest.mark.usefixtures("compile_fast")

TRAINING = {"recipe": "a"}


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory):
    """A folder of what was compiled, for most tests train the same thing several times."""
    folder = tmp_path_factory.mktemp("compiled")
    before = tiny_training.keep_compiled(folder)
    compilation_cache.reset_cache()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


class Stopped(Exception):  # noqa: N818  (it is no error)
    """What stops a training in these tests."""


def stop_at(epoch, *, after=0):
    """Stops in that epoch, once `after` calls of it have passed."""
    calls = []

    def on_epoch(done, terms):
        calls.extend([done] * (done == epoch))
        if len(calls) > after:
            raise Stopped

    return on_epoch


def train(function=fit, recipe=RECIPE, **options):
    return function(jax.random.key(0), recipe, IMAGES, **options)


def kept(folder):
    return sorted(path.name for path in folder.iterdir())


# A training goes on


def test_resumed_ends_in_the_same_bits(tmp_path):
    told, options = [], {"checkpoints": tmp_path / "kept", "every": 2}
    with pytest.raises(Stopped):
        train(on_epoch=stop_at(4), **options)
    assert kept(tmp_path / "kept") == ["2"]
    resumed = train(resume=True, on_epoch=lambda done, _: told.append(done), **options)
    assert told == [3, 4, 5]
    assert kept(tmp_path / "kept") == ["4", "5"]
    # What is finished is not trained again.
    again = train(resume=True, on_epoch=stop_at(5), **options)
    assert digest(*train(), tmp_path) == digest(*resumed, tmp_path) == digest(*again, tmp_path)


@pytest.mark.slow
def test_members_go_on_with_all_that_is_watched(tmp_path):
    options = {"count": 2, "extra_batch": IMAGES[:2], "watched": {"a/b": IMAGES[:3]}}
    whole, whole_history = train(fit_members, **options)
    options["checkpoints"] = tmp_path / "kept"
    with pytest.raises(Stopped):
        train(fit_members, on_epoch=stop_at(3), **options)
    resumed, history = train(fit_members, resume=True, **options)
    assert set(history.terms) == {"loss", "a/b"}
    for before, after in zip(whole, resumed, strict=True):
        assert digest(after, history, tmp_path) == digest(before, whole_history, tmp_path)


@pytest.mark.slow
def test_parts_of_a_fusion_go_on(tmp_path):
    """Stopped in its second network, the first is not trained again; what has a closed form is fitted again."""
    closed = replace(GRADIENT_NEIGHBOURS, transform="none", count=1)
    networks = (replace(RECIPE, name="first", epochs=3), replace(RECIPE, name="second", epochs=3))
    fusion = FusionRecipe(name="sum", summary="", source="", parts=(networks[0], closed, networks[1]))
    told, options = [], {"checkpoints": tmp_path / "kept"}
    with pytest.raises(Stopped):
        train(recipe=fusion, on_epoch=stop_at(2, after=1), **options)
    assert {name: kept(tmp_path / "kept" / name) for name in kept(tmp_path / "kept")} == {
        "first": ["2", "3"],
        "second": ["1"],
    }
    resumed = train(recipe=fusion, resume=True, on_epoch=lambda done, _: told.append(done), **options)
    assert told == [2, 3]
    assert digest(*resumed, tmp_path) == digest(*train(recipe=fusion), tmp_path)


def test_a_field_of_any_name_tells_trainings_apart():
    class Weighted(NetworkRecipe):
        images: float = 1.0
        backend: float = 1.0

    keys, arrays = jax.random.split(jax.random.key(0), 1), {"images": IMAGES}
    first, *others = (
        describe_training(keys, recipe, arrays, devices=1)
        for recipe in (Weighted(), Weighted(images=2.0), Weighted(backend=2.0))
    )
    assert all(other != first for other in others)


def test_another_training_is_refused_with_all_that_differs(tmp_path):
    with pytest.raises(Stopped):
        train(checkpoints=tmp_path, on_epoch=stop_at(3))
    with pytest.raises(InputError, match=r"holds checkpoints of a training already \(epoch 2\); go on.* --resume"):
        train(checkpoints=tmp_path)
    arguments = jax.random.key(1), replace(RECIPE, epochs=6), IMAGES[::-1]
    more = {"watched": {"others": IMAGES}, "extra_batch": IMAGES[:2]}
    with pytest.raises(InputError, match="checkpoints of another training: .*; choose another folder") as refusal:
        fit(*arguments, checkpoints=tmp_path, resume=True, **more)
    for words in (
        "epochs was '5' and is now '6'",
        "key was '[[0, 0]]' and is now '[[0, 1]]'",
        "images was '(10, 6, 5, 1) ",
        "watched others was None",
        "extra batch was None",
    ):
        assert words in str(refusal.value)
    assert kept(tmp_path) == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": True}, "resume needs a folder of checkpoints"),
        ({"every": 2}, "every=2 has no use without a folder of checkpoints"),
        ({"checkpoints": "kept", "every": 0}, "every must be at least 1, got 0"),
        ({"checkpoints": "/dev/null/kept"}, "folder of checkpoints '/dev/null/kept' cannot be made.*--checkpoints"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError, match=words):
        train(**options)


# The folder


def save(where, epoch, tree):
    where.save(epoch, tree, training=TRAINING, report={"epochs": epoch})


def newest(where, tree):
    return where.newest(tree, training=TRAINING)


DTYPES = [np.float32, np.int32, np.uint32, np.bool_]
SHAPES = arrays_of.array_shapes(min_dims=0, max_side=3)


@settings(max_examples=examples(8), deadline=None)
@given(leaves=st.lists(arrays_of.arrays(st.sampled_from(DTYPES), SHAPES), max_size=3))
def test_any_tree_comes_back_bit_for_bit(leaves, tmp_path_factory):
    leaves.append(np.arange(3).astype(ml_dtypes.bfloat16))
    tree = {"a/b": leaves[0], "rest": tuple(leaves[1:]), "nothing": {}}
    where = open_checkpoints(tmp_path_factory.mktemp("kept"), resume=True)
    assert newest(where, tree) is None
    save(where, 3, tree)
    found, report = newest(where, tree)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    for before, after in zip(leaves, jax.tree.leaves(found), strict=True):
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        assert np.asarray(after).tobytes() == before.tobytes()
    assert report == {"epochs": 3}


TREE = {"weights": np.arange(300, dtype=np.float32)}


@pytest.mark.slow
def test_checkpoints_of_what_is_not_trained_are_said_to_have_no_use(tmp_path):
    root = write_set(tmp_path / "set")
    closed = replace(GRADIENT_NEIGHBOURS, transform="none", count=1)
    for recipe, told in ((closed, True), (QUICK, False)):
        done = fit_folder(root, tmp_path / "a.jaxad", recipe=recipe, checkpoints=tmp_path / "kept", rate=0.4)
        words = f"checkpoints have no use: recipe {recipe.name!r} is not trained"
        assert any(words in sentence for sentence in done["warnings"]) == told


@pytest.fixture
def two(tmp_path):
    """Checkpoints of the epochs 1 and 2, of which only the weights of 2 are negative."""
    where = open_checkpoints(tmp_path / "kept", resume=True)
    for epoch, sign in ((1, 1), (2, -1)):
        save(where, epoch, {"weights": sign * TREE["weights"]})
    return where


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_damage_is_found_and_the_one_before_goes_on(damage, two, tmp_path):
    """Whatever file of the newest is damaged: either its content is whole all the same, or the one before is taken."""
    files = [path.relative_to(two.folder) for path in sorted((two.folder / "2").rglob("*")) if path.is_file()]
    taken = []
    for index, file in enumerate(files):
        where = two._replace(folder=tmp_path / str(index))
        shutil.copytree(two.folder, where.folder)
        if not (where.folder / file).stat().st_size:
            continue
        damage(where.folder / file)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            tree, report = newest(where, TREE)
        epoch = report["epochs"]
        taken.append(epoch)
        assert np.array_equal(tree["weights"], TREE["weights"] if epoch == 1 else -TREE["weights"])
        if epoch == 1 and (two.folder / "2" / file).name != "commit_success.txt":
            assert "the checkpoint of epoch 2 in folder" in str(told[0].message)
            assert "training goes on from epoch 1" in str(told[0].message)
            save(where, 2, TREE)
            assert newest(where, TREE)[1] == {"epochs": 2}
    assert taken.count(1) >= 2


def test_an_altered_report_is_found(two):
    """It is still JSON, so the checksum alone can tell."""
    record = two.folder / "2" / "record" / "metadata"
    record.write_bytes(record.read_bytes().replace(b'"epochs": 2', b'"epochs": 3'))
    with pytest.warns(UserWarning, match=r"the checkpoint of epoch 2 .* was damaged \(its checksum does not match\)"):
        assert newest(two, TREE)[1] == {"epochs": 1}


def test_all_damaged_is_refused_and_nothing_removed(two):
    for path in two.folder.rglob("record/metadata"):
        flip(path)
    with pytest.raises(InputError, match=r"holds no checkpoint that can be read \(.*\); remove it to start anew"):
        newest(two, TREE)
    assert kept(two.folder) == ["1", "2"]


def test_a_write_that_fails_leaves_the_ones_before(two):
    """A limit on the size of files stands for a full disk: the operating system refuses the bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        with pytest.raises(InputError, match="the checkpoint of epoch 3 cannot be written to .*those written before"):
            save(two, 3, TREE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert newest(two, TREE)[1] == {"epochs": 2}
    save(two, 3, TREE)
    assert kept(two.folder) == ["2", "3"]


def test_read_only_folder_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="folder of checkpoints .* cannot be written; choose another with --checkp"):
        Checkpoints(tmp_path, 1, True).newest(TREE, training=TRAINING)


# On the command line


@pytest.mark.slow
def test_fit_of_a_folder_goes_on(tmp_path, monkeypatch, capsys):
    root, recipe = write_set(tmp_path / "set"), replace(QUICK, epochs=3)
    with pytest.raises(Stopped):
        fit_folder(root, tmp_path / "a.jaxad", recipe=recipe, checkpoints=tmp_path / "kept", on_epoch=stop_at(3))
    flip(tmp_path / "kept" / "2" / "record" / "metadata")

    def run(*more):
        numbers = {"filters": "4", "crops": "500", "window": "8,8", "stride": "4,4", "latent_dim": "2", "pool": "max"}
        chosen = [word for name, value in numbers.items() for word in ("--set", f"{name}={value}")]
        command = ["jaxad", "fit", str(root), "-o", str(tmp_path / "a.jaxad"), "--recipe", "patch-vae", "--json"]
        command += ["--checkpoints", str(tmp_path / "kept"), "--epochs", "3", *chosen, *more]
        for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
            monkeypatch.setenv(name, "1")  # main leaves those alone
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    code, out, err = run()
    assert (code, out) == (2, "")
    assert "go on with it by --resume" in err
    code, out, err = run("--resume", "--every", "2")
    assert code == 0, err
    assert "the checkpoint of epoch 2" in json.loads(out)["warnings"][0]
    assert "jaxad: warning: the checkpoint of epoch 2" in err
    assert kept(tmp_path / "kept") == ["2", "3"]
    assert load_pipeline(tmp_path / "a.jaxad").detector.recipe.epochs == 3


# SIGKILL


def told_by(pipe):
    """All that a child tells until it ends."""
    told = []
    while True:
        try:
            told.append(pipe.recv())
        except EOFError:
            return told


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no server that forks")
def test_killed_ten_times_ends_in_the_same_bits(tmp_path, compile_once):
    """Every child goes on where the one before was killed: compiling, training or writing a checkpoint."""
    context, moments = multiprocessing.get_context("forkserver"), random.Random(0)
    context.set_forkserver_preload(["tests.tiny_training", "orbax.checkpoint"])

    def start(folder):
        folder.mkdir(exist_ok=True)
        pipe, end = context.Pipe(duplex=False)
        child = context.Process(target=tiny_training.train, args=(end, folder, compile_once))
        child.start()
        end.close()
        return child, pipe

    # The whole one goes first and compiles for all.
    child, pipe = start(tmp_path / "whole")
    *_, whole = told_by(pipe)
    child.join()
    firsts, half_written = [], 0
    for _ in range(10):
        child, pipe = start(tmp_path / "killed")
        firsts.append(pipe.recv())
        for _ in range(moments.randrange(2)):
            pipe.recv()
        # A child that has told of an epoch goes on to write its checkpoint.
        time.sleep(moments.uniform(0, 0.1))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        half_written += any("tmp" in name for name in kept(tmp_path / "killed" / "kept"))
    child, pipe = start(tmp_path / "killed")
    *told, result = told_by(pipe)
    child.join()
    firsts.append(told[0])
    assert result == whole
    assert firsts == sorted(firsts)
    assert firsts[-1] > 1, "no child went on where another was killed"
    assert half_written, "no child was killed while it wrote"
