"""Folders scored by the workers of a Ray cluster, and folders in buckets: as one process would have done it."""

import contextlib
import csv
import importlib.metadata
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxad import InputError, load_pipeline, scaling
from jaxad._addresses import at, walk, whole
from jaxad.cli.process import ANY_RAY, with_ray_address
from jaxad.folders import fit_folder, score_folder
from jaxad.folders.photographs import score_here
from jaxad.folders.sources import Source
from jaxad.images import batches
from jaxad.scaling import cluster as cluster_room
from jaxad.scaling import held_back
from jaxad.scaling import workers as workers_room
from tests.command import run_each
from tests.photograph_folder import AT_ONCE, photograph, save, write_set

ROOT = Path(__file__).resolve().parent.parent
COUNT = 80
"""Good photographs, and as many bad ones: enough for three parts."""
PATIENCE = 120.0
KILLED_AFTER_ONE_PART = """
import os, signal
from jaxad.cli import main
from jaxad.results.writing import Output

add = Output.add

def add_one_part(output, results):
    add(output, results)
    os.kill(os.getpid(), signal.SIGKILL)

Output.add = add_one_part
main()
"""


def need(package):
    """Skip without a package, or fail where CI is set."""
    if importlib.util.find_spec(package) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no package {package}; do pip install -e '.[test]'")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with `set`, two files in it that cannot be scored, `part.jaxad` and the run `single`."""
    home = tmp_path_factory.mktemp("home")
    root = write_set(home / "set", good=COUNT, bad=COUNT)
    (root / "test" / "good" / "005 broken.png").write_bytes(b"broken")
    save(root / "test" / "good" / "other size.png", photograph(3, (40, 36)))
    save(root / "test" / "good" / "tiny.png", photograph(3, (4, 3)))
    fit_folder(root, home / "part.jaxad", recipe=AT_ONCE, rate=0.4)
    done = command("score", home / "part.jaxad", root, "-o", home / "single", "--maps", "npy")
    assert done.returncode == 3, done.stderr
    return home


@pytest.fixture(scope="module")
def bucket():
    """A server of S3 on the loopback address that knows one pair of keys, with an empty bucket called photos."""
    need("moto")
    need("s3fs")
    import boto3

    port = free_port()
    env = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with ended(subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)):
        wait_for(lambda: answers(port))
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        url = f"http://127.0.0.1:{port}"
        iam = boto3.client("iam", endpoint_url=url, **keys)
        iam.create_user(UserName="inspector")
        made = iam.create_access_key(UserName="inspector")["AccessKey"]
        allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.put_user_policy(UserName="inspector", PolicyName="all", PolicyDocument=json.dumps(allowed))
        keys |= {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
        client = boto3.client("s3", endpoint_url=url, **keys)
        client.create_bucket(Bucket="photos")
        env = {f"{name.upper()}": value for name, value in keys.items() if name != "region_name"}
        yield SimpleNamespace(client=client, env={**env, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": url})
        client.close()
        iam.close()


@pytest.fixture(scope="module")
def cluster(bucket):
    """The address of a cluster of two nodes with one CPU each, begun as a user would; they may reach the bucket."""
    need("ray")
    if sys.platform != "linux":
        pytest.skip("processes are found in /proc")
    port, temporary = free_port(), tempfile.mkdtemp(prefix="r", dir="/tmp")  # sockets have short paths
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "HOME": temporary}
    env = environment({**bucket.env, **token})
    start = [Path(sys.executable).parent / "ray", "start", "--block", "--num-cpus=1", "--object-store-memory=200000000"]
    head = [*start, "--head", f"--port={port}", f"--temp-dir={temporary}", "--include-dashboard=false"]
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        stack.callback(end_all, temporary)
        for line in (head, [*start, f"--address=127.0.0.1:{port}"]):
            log = stack.enter_context(tempfile.TemporaryFile())
            stack.enter_context(ended(subprocess.Popen(line, env=env, stdout=log, stderr=log, start_new_session=True)))
            wait_for(lambda log=log: b"Ray runtime started" in read(log), what=lambda log=log: read(log).decode())
        yield SimpleNamespace(address=f"127.0.0.1:{port}", env=token)


def environment(more=()):
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        **dict(more),
    }


def command(*words, env=()):
    """Run jaxad, with the shape checks of this process off, as a user would."""
    line = [sys.executable, "-m", "tests.quick_command", *map(str, words)]
    return subprocess.run(line, env=environment(env), capture_output=True, text=True, check=False)


def begin(*words, env=()):
    line = [sys.executable, "-m", "tests.quick_command", *map(str, words)]
    return subprocess.Popen(line, env=environment(env), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def end_all(word):
    """Kill what is left of programs that have a word in their command lines."""
    for process, line in running():
        if word in line:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def running():
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def workers(*, busy=False):
    """Processes of workers; the busy ones have a part in hand, as Ray has them say in the place of their command."""
    title = "ray::MapWorker(MapBatches(Worker))" + busy * ".submit"
    return [process for process, line in running() if line.startswith(title)]


def wait_for(condition, what=lambda: ""):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE, what()
        time.sleep(0.1)


def answers(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def read(log):
    log.seek(0)
    return log.read()


def rows_of(folder, *, without=("milliseconds",)):
    with (folder / "results.csv").open(newline="") as table:
        return [{name: cell for name, cell in row.items() if name not in without} for row in csv.DictReader(table)]


def tree_of(folder):
    """Every file but those that hold times."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("run.json", "results.csv")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_same(folder, single):
    """To the byte, but for times."""
    assert tree_of(folder) == tree_of(single)
    assert rows_of(folder) == rows_of(single)
    runs = [json.loads((one / "run.json").read_text()) for one in (folder, single)]
    for name in ("counts", "threshold", "fingerprint", "not_used", "warnings"):
        assert runs[0][name] == runs[1][name]


@pytest.mark.slow
def test_a_cluster_writes_what_one_process_writes_though_its_workers_are_killed(home, cluster, tmp_path):
    words = ["score", home / "part.jaxad", home / "set", "--maps", "npy", "--ray", cluster.address, "--cpus", "1"]
    with ended(begin(*words, "-o", tmp_path / "out", env=cluster.env)) as driver:
        wait_for(lambda: workers(busy=True))
        before = workers()
        for process in workers(busy=True):
            os.kill(process, signal.SIGKILL)
        assert not (tmp_path / "out" / "run.json").exists()
        wait_for(lambda: set(workers()) - set(before))
        _, told = driver.communicate()
        assert driver.returncode == 3, told
    assert_same(tmp_path / "out", home / "single")
    assert all(line.startswith("jaxad: ") for line in told.splitlines()), told


@pytest.mark.slow
def test_killed_itself_it_goes_on(home, cluster, tmp_path):
    out = tmp_path / "out"
    words = ["score", home / "part.jaxad", home / "set", "-o", out, "--maps", "npy", "--ray", cluster.address]
    killed = [sys.executable, "-c", KILLED_AFTER_ONE_PART, *map(str, words)]
    assert subprocess.run(killed, env=environment(cluster.env), check=False).returncode == -signal.SIGKILL
    before = rows_of(out, without=())
    assert 0 < len(before) < 2 * COUNT
    assert not (out / "run.json").exists()
    assert command(*words, env=cluster.env).returncode == 2  # without --resume
    assert command(*words, "--resume", env=cluster.env).returncode == 3
    assert rows_of(out, without=())[: len(before)] == before
    # The batches are others, so scores are equal to rounding.
    found, wanted = (
        rows_of(folder, without=("milliseconds", "score", "calibrated")) for folder in (out, home / "single")
    )
    assert found == wanted
    scores = [[float(row["score"]) for row in rows_of(folder)] for folder in (out, home / "single")]
    np.testing.assert_allclose(*scores, rtol=1e-5)


@pytest.mark.slow
def test_pipeline_photographs_and_results_in_a_bucket(home, bucket, cluster, tmp_path):
    for path in [home / "part.jaxad", *(home / "set").rglob("*.png")]:
        bucket.client.upload_file(str(path), "photos", path.relative_to(home).as_posix())
    place = "s3://photos/"
    words = ["score", f"{place}part.jaxad", f"{place}set", "-o", f"{place}a/out", "--maps", "npy"]
    done = command(*words, "--ray", cluster.address, env={**bucket.env, **cluster.env})
    assert done.returncode == 3, done.stderr
    assert f"look at {place}a/out" in done.stdout
    for name in keys_of(bucket, "a/out/"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.client.download_file("photos", name, str(path))
    out = tmp_path / "a" / "out"
    theirs = tree_of(out)
    # Where the photographs lie is another place.
    mine = {name: data for name, data in tree_of(home / "single").items() if not name.endswith(".json")}
    assert theirs.keys() - mine.keys() == {"started.json", "photographs.json"}
    assert {name: theirs[name] for name in mine} == mine
    assert rows_of(out) == rows_of(home / "single")
    assert json.loads(theirs["started.json"])["source"] == f"{place}set"

    refused = {
        "there is no folder or file 's3://nowhere/set'": ([words[1], "s3://nowhere/set", "-o", f"{place}b"], {}),
        "no folder or file 's3://photos/nothing'": ([words[1], f"{place}nothing", "-o", f"{place}b"], {}),
        "'s3://nowhere/b' cannot be written: there is no such bucket": (
            [words[1], f"{place}set/train", "-o", "s3://nowhere/b"],
            {},
        ),
        "may not be reached with these credentials": (
            [home / "part.jaxad", words[2], "-o", f"{place}b"],
            {"AWS_SECRET_ACCESS_KEY": "wrong"},
        ),
        "bundle 's3://photos/part.jaxad' cannot be read: it may not be": (
            [words[1], words[2], "-o", tmp_path / "b"],
            {"AWS_ACCESS_KEY_ID": "wrong"},
        ),
        "it cannot be reached: Could not connect": (
            [home / "part.jaxad", words[2], "-o", f"{place}b"],
            {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"},
        ),
    }
    calls = [(words, {}), ([*words, "--resume"], {}), *((["score", *bad], env) for bad, env in refused.values())]
    again, resumed, *others = run_each(
        *((list(map(str, words)), tmp_path, env) for words, env in calls), **environment(bucket.env)
    )
    assert again.returncode == 2
    assert f"output folder '{place}a/out' holds a run already" in again.stderr
    assert resumed.returncode == 3
    for sentence, done in zip(refused, others, strict=True):
        assert (done.returncode, sentence in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
    assert keys_of(bucket, "b") == []
    assert not (tmp_path / "b").exists()


def keys_of(bucket, prefix):
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket="photos", Prefix=prefix)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


@pytest.mark.slow
def test_what_a_cluster_cannot_do_is_refused_before_anything_is_written(home, cluster, tmp_path):
    words = ["score", home / "part.jaxad", home / "set", "--ray", cluster.address, "-o"]

    def begin_other(change, out):
        line = [sys.executable, "-c", f"{change}; from jaxad.cli import main; main()", *map(str, words), str(out)]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(line, env=environment(cluster.env), text=True, **pipes)

    refused = {
        ("every worker must have 2 CPU", "no machine of the cluster has more than 1 CPU; set --cpus"): (
            begin(*words, tmp_path / "a", "--cpus", "2", env=cluster.env)
        ),
        ("cannot score: it has jaxad",): begin_other(
            "from jaxad.scaling import cluster; cluster._version = lambda: '9.9'", tmp_path / "b"
        ),
        ("its jaxad reads another",): begin_other(
            "from jaxad.pipeline import Pipeline; Pipeline.fingerprint = lambda self: 'x'", tmp_path / "c"
        ),
        (f"Ray at {cluster.address} cannot be used", "or in ~/.ray/auth_token, and set RAY_AUTH_MODE=token"): (
            begin(*words, tmp_path / "d", env={**cluster.env, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
        ),
    }
    with contextlib.ExitStack() as stack:
        for process in refused.values():
            stack.enter_context(ended(process))
        for sentences, process in refused.items():
            _, told = process.communicate()
            assert (process.returncode, told.startswith("jaxad: "), told.count("\n")) == (2, True, 1), told
            assert all(sentence in told for sentence in sentences), told
    assert list(tmp_path.iterdir()) == []


def test_what_a_worker_cannot_do_is_a_sentence(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", SimpleNamespace())
    made = load_pipeline(home / "part.jaxad")
    sent = workers_room.Packed((home / "part.jaxad").read_bytes(), made.fingerprint())

    def answer(packed=sent, source=home / "set", version=None):
        return cluster_room.make_question(version or cluster_room._version(), packed, str(source))()

    assert answer() == ""
    assert answer(version="9.9").startswith("it has jaxad ")
    assert answer(source="/nowhere").startswith("it does not see '/nowhere'")
    assert answer(source="nosuch://bucket") == "'nosuch://bucket': it cannot be reached: Protocol not known: nosuch"
    assert answer(sent._replace(modules=("no_such_module",))).startswith("it lacks a package (No module named 'no_su")
    assert "is not a jaxad bundle" in answer(sent._replace(content=b"PK"))
    assert answer(sent._replace(fingerprint="0")).startswith("its jaxad reads another pipeline")

    def nothing_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    here = cluster_room._version()
    monkeypatch.setattr(importlib.metadata, "version", nothing_installed)
    assert answer(version=here).startswith(
        "it lacks a package (No package metadata was found for jaxad); install jaxad"
    )


def test_a_part_that_ends_workers_is_given_up():
    part = [Source(Path(f"/set/{name}"), name, "") for name in ("a.png", "b.png")]
    counts = workers_room.Attempts()
    for _ in range(workers_room.MOST_ATTEMPTS):
        workers_room.need_attempt(counts.begin("a.png"), part)
    with pytest.raises(InputError, match="'a.png' to 'b.png' ended the workers that scored them 5 times"):
        workers_room.need_attempt(counts.begin("a.png"), part)
    workers_room.need_attempt(counts.begin("c.png"), part)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "no Ray answers at 127.0.0.1:1 .*mend the address"),
        ("nowhere", "must be HOST:PORT"),
        ("ray://127.0.0.1:10001", "run the command on a machine of the cluster"),
        ("127.0.0.1:99999", "no Ray answers"),
    ],
)
def test_addresses_that_cannot_be_used(address, words):
    with pytest.raises(InputError, match=words):
        cluster_room.need_answer(address)


def test_without_ray(home, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'jaxad\[ray\]'"):
        scaling.score_on_ray(load_pipeline(home / "part.jaxad"), home / "set", tmp_path / "a" / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_refused_without_a_cluster_is(home, monkeypatch, tmp_path):
    monkeypatch.setattr(scaling.scoring, "connected", lambda _: pytest.fail("a cluster was begun"))
    made, out = load_pipeline(home / "part.jaxad"), tmp_path / "out"
    (tmp_path / "none").mkdir()
    (tmp_path / "taken").write_text("mine")
    score_folder(made, [next((home / "set").rglob("*.png"))], tmp_path / "other", threshold=1.0)
    before = sorted(tmp_path.rglob("*"))
    for source, where, options, words in (
        (tmp_path / "none", out, {}, "must hold images"),
        (tmp_path / "nowhere", out, {}, "there is no folder or file"),
        (home / "set", home / "single", {}, "holds a run already"),
        (home / "set", tmp_path / "other", {"resume": True}, "holds another run: threshold was"),
        (home / "set", tmp_path / "taken", {}, "cannot be made"),
        (home / "set", home / "set", {}, "must lie apart"),
        (home / "set", out, {"rate": 2.0}, "rate"),
        (home / "set", out, {"cpus": -1.0}, "cpus must be at least 0"),
    ):
        with pytest.raises(InputError, match=words):
            scaling.score_on_ray(made, source, where, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_of_what_is_written_below_python_only_what_means_nothing_is_left_out(capfd):
    noise = b"[2026 E 1 1] a.cc:2: Actor has constructor arguments in the object store and max_restarts > 0\n"
    with held_back.held_back():
        os.write(2, noise)
        os.write(2, b"[2026 E 1 1] a.cc:1: an error\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "[2026 E 1 1] a.cc:1: an error\n"
    with held_back.held_back() as held:
        os.write(2, b"[2026-11-26 17:37:18,593 W 24271 24271] gcs.cc:210: Failed\n")
        os.write(2, noise)
        assert held.take_reason() == "Failed"
        assert held.take_reason() == ""
        os.write(2, b"later\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "later\nafter\n"


def test_options_that_do_not_go_together(tmp_path):
    for words, sentence in (
        (["--cpus", "1"], "--cpus and --gpus are of the workers"),
        (["--devices", "2", "--ray"], "say --gpus 2, not --devices"),
        (["--ray="], "the argument of --ray is empty"),
        (["--labels", ""], "the argument behind '--labels' is empty"),
        (["--ray", "nowhere"], "--ray takes the address of a cluster, HOST:PORT, or none, got 'nowhere'"),
        (["--ray", "127.0.0.1:x"], "or none, got '127.0.0.1:x', which is no file or folder either"),
    ):
        done = command("score", tmp_path / "part.jaxad", tmp_path, "-o", tmp_path / "out", *words)
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["", "--resume", "part.jaxad", "photographs/new"])
def test_ray_without_an_address_takes_no_folder_for_one(word):
    words = [word] if word else []
    assert with_ray_address(["score", "--ray", *words]) == ["score", "--ray", ANY_RAY, *words]
    known = ["score", "--ray", "10.0.0.1:6379", *words]
    assert with_ray_address(known) == known


@pytest.mark.parametrize(
    ("machines", "cpus", "gpus", "each", "most"),
    [
        ([{"CPU": 8}, {"CPU": 4}, {}], None, None, (4, 0), 3),
        ([{"CPU": 8, "GPU": 2}, {"CPU": 16}], None, None, (1, 1), 2),
        ([{"CPU": 8, "GPU": 2}], 2, None, (2, 0), 4),
        ([{"CPU": 8, "GPU": 2}], 8, 0.5, (8, 0.5), 1),
        ([{"CPU": 8, "GPU": 4}], 0, 2, (0, 2), 2),
    ],
)
def test_machines_are_divided_among_workers(machines, cpus, gpus, each, most):
    assert cluster_room.divide(machines, cpus, gpus) == (each, most)


def test_machines_that_hold_no_worker():
    with pytest.raises(InputError, match="must have 2 GPU, and no machine of the cluster has more than 1 GPU"):
        cluster_room.divide([{"CPU": 8, "GPU": 1}], 0, 2)
    with pytest.raises(InputError, match="got none of both"):
        cluster_room.divide([{"CPU": 8}], 0, 0)


@pytest.mark.parametrize("workers", [1, 3, 100])
def test_parts_end_where_batches_do(workers):
    rng = np.random.default_rng(0)
    sizes = [None if rng.random() < 0.1 else tuple(map(int, rng.integers(1, 900, 2))) for _ in range(500)]
    sources = [Source(Path(f"/set/{place}.png"), f"{place}.png", "") for place in range(len(sizes))]
    parts = workers_room.divide_into_parts(sources, sizes, shares=2, workers=workers)
    assert [one for part in parts for one in part] == sources
    assert len(parts) >= min(workers, 20)

    def batched(some):
        shapes = ((one.name, sizes[int(one.path.stem)]) for one in some)
        pixels = ((name, np.zeros((*size, 1), np.uint8)) for name, size in shapes if size)
        return [[name for name, _ in batch] for batch in batches(pixels, shares=2)]

    assert [batch for part in parts for batch in batched(part)] == batched(sources)
    assert workers_room.divide_into_parts([], [], shares=1, workers=2) == []


def test_an_address_rides_in_a_path():
    assert whole(Path("s3://bucket/folder") / "a.png") == "s3://bucket/folder/a.png"
    assert whole("x.png") == os.path.abspath("x.png")
    assert isinstance(at("C:/x.png"), Path)
    assert whole("S3://Bucket/x") == "s3://Bucket/x"
    with pytest.raises(OSError, match="Protocol not known: nosuch"):
        at("nosuch://bucket/x")
    with pytest.raises(OSError, match="it lies on a disk; name it without file://: 'file:///tmp/x'"):
        at("file:///tmp/x")


@pytest.fixture
def memory(monkeypatch):
    need("fsspec")
    import fsspec

    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def test_folders_below_an_address_are_walked(memory):
    for name in ("a/x.png", "a/b/y.png", "a/c/z.png"):
        memory.pipe_file(f"/{name}", b"1")
    found = []
    for here, folders, files in walk("memory://a"):
        found.append((whole(here), list(folders), files))
        if "c" in folders:
            folders.remove("c")
    assert found == [("memory://a", ["b", "c"], ["x.png"]), ("memory://a/b", [], ["y.png"])]


def test_names_in_a_bucket_that_are_no_paths_are_refused(home, memory, monkeypatch, tmp_path):
    memory.pipe_file("/a/x.png", b"1")
    below = {"name": "/a/", "type": "directory", "size": 0}  # as s3fs lists the key a//y.png
    listed = memory.ls
    monkeypatch.setattr(memory, "ls", lambda *given, **options: [*listed(*given, **options), below])
    with pytest.raises(InputError, match="'memory://a' cannot be listed: it holds names with nothing between two sl"):
        score_folder(load_pipeline(home / "part.jaxad"), "memory://a", tmp_path / "out")


@pytest.mark.parametrize("folder", ["out", "out [1]*?"])
def test_results_at_an_address_go_on(home, memory, tmp_path, folder):
    made, files = load_pipeline(home / "part.jaxad"), sorted((home / "set" / "test" / "spot").glob("*.png"))[:70]

    def stopped(*arguments):
        for number, rows in enumerate(score_here(*arguments)):
            if number:
                raise KeyboardInterrupt
            yield rows

    out = f"memory://kept/{folder}"
    with pytest.raises(KeyboardInterrupt):
        score_folder(made, files, out, loop=contextlib.nullcontext(stopped))
    assert len(memory.find(f"/kept/{folder}/pictures")) == 64
    assert not memory.exists(f"/kept/{folder}/run.json")
    with pytest.raises(InputError, match=re.escape(f"{out!r} holds a run already")):
        score_folder(made, files, out)
    score_folder(made, files, out, resume=True)
    assert memory.cat_file(f"/kept/{folder}/results.csv").count(b"\n") == 71
    assert len(memory.find(f"/kept/{folder}/pictures")) == 70
    # A run that goes on with fewer takes what is gone away.
    memory.rm_file(f"/kept/{folder}/pictures/000069.jpg")
    files[0].touch()
    score_folder(made, files, out, resume=True)
    assert len(memory.find(f"/kept/{folder}/pictures")) == 70
    local = tmp_path / "out"
    for key in memory.find(f"/kept/{folder}"):
        (local / key.removeprefix(f"/kept/{folder}/")).parent.mkdir(exist_ok=True)
        memory.get_file(key, str(local / key.removeprefix(f"/kept/{folder}/")))
    assert len({row["file"] for row in rows_of(local)}) == 70
