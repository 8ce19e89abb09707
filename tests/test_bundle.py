import hashlib
import json
import pickle
import zipfile

import hypothesis.extra.numpy as hnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxad import bundle
from jaxad._check import InputError
from tests.drawn import examples

DTYPES = ["?", "<i1", "<u2", "<i4", "<i8", "<f2", "<f4", "<f8", "<c8", ">f4"]
arrays = st.dictionaries(
    st.text(max_size=12),
    st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(np.dtype(d), hnp.array_shapes(min_dims=0, min_side=0))),
    max_size=4,
)
documents = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
shared_folder = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def need_equal(found, wanted):
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert found[name].tobytes() == value.tobytes()


@shared_folder
@given(arrays, documents)
def test_what_was_written_is_read_bit_for_bit(tmp_path, values, document):
    bundle.write(tmp_path / "b", values, document)
    found, text = bundle.read(tmp_path / "b")
    need_equal(found, values)
    assert text == document
    data = bundle.pack(values, document)
    assert data == (tmp_path / "b").read_bytes()
    found, text = bundle.unpack(data)
    need_equal(found, values)
    assert text == document


@pytest.mark.parametrize(
    "value",
    [
        np.array(3.5, np.float32),
        np.zeros((0, 3), np.float32),
        np.arange(24.0).reshape(4, 6)[::2, ::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.broadcast_to(np.float32(1), (3, 3)),
        np.array([np.nan, -np.nan, np.inf, -0.0], np.float32),
        np.arange(5, dtype=np.float32).astype(ml_dtypes.bfloat16)[::2],
        np.asarray(1.5, ml_dtypes.bfloat16),
    ],
    ids=["scalar", "empty", "strided", "fortran", "broadcast", "nan", "bfloat16", "bfloat16 scalar"],
)
def test_awkward_arrays_come_back_writable_and_equal(tmp_path, value):
    bundle.write(tmp_path / "b", {"a": value}, {})
    found, _ = bundle.read(tmp_path / "b")
    need_equal(found, {"a": value})
    assert found["a"].flags.writeable
    assert found["a"].flags.c_contiguous


def test_tuples_come_back_as_lists(tmp_path):
    bundle.write(tmp_path / "b", {}, {"size": (8, 8)})
    assert bundle.read(tmp_path / "b")[1] == {"size": [8, 8]}


def test_equal_content_gives_equal_bytes_in_whatever_order(tmp_path):
    a, b = np.arange(3.0), np.arange(4)
    bundle.write(tmp_path / "one", {"a": a, "b": b}, {"x": 1, "y": 2})
    bundle.write(tmp_path / "two", {"b": b, "a": a}, {"y": 2, "x": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_names_never_become_paths(tmp_path):
    names = ["../../escape", "/etc/x", "a\\b", "", "manifest.json", "\x00"]
    bundle.write(tmp_path / "b", {name: np.ones(1) for name in names}, {})
    assert set(bundle.read(tmp_path / "b")[0]) == set(names)
    with zipfile.ZipFile(tmp_path / "b") as archive:
        inside = {"manifest.json", "document.json", *(f"arrays/{i}.npy" for i in range(len(names)))}
        assert set(archive.namelist()) == inside
        assert np.load(archive.open("arrays/0.npy"), allow_pickle=False) == 1


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    bundle.write(tmp_path / "b", {"a": np.ones(2)}, {})
    before = (tmp_path / "b").read_bytes()
    monkeypatch.setattr(bundle.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        bundle.write(tmp_path / "b", {"a": np.zeros(2)}, {})
    assert (tmp_path / "b").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(
    "value", [np.array(["text"]), np.array([object()]), np.zeros(2, "i4,f4"), np.array("2020", "M8")]
)
def test_arrays_of_other_types_are_refused(tmp_path, value):
    with pytest.raises(InputError, match="array 'a' must be"):
        bundle.write(tmp_path / "b", {"a": value}, {})
    assert not list(tmp_path.iterdir())


def test_all_problems_of_a_document_are_listed(tmp_path):
    document = {"a": [1, float("nan")], "b": {2: "x"}, "c": np.float32(1), "d": {1}}
    with pytest.raises(InputError) as caught:
        bundle.write(tmp_path / "b", {}, document)
    for place in ("document['a'][1]", "document['b'] must have text keys, got 2", "document['c']", "document['d']"):
        assert place in str(caught.value)


@pytest.fixture
def good(tmp_path):
    bundle.write(tmp_path / "good", {"a": np.arange(6.0), "b": np.zeros(3, np.int32)}, {"recipe": "conv-ae"})
    return (tmp_path / "good").read_bytes()


def remake(path, good, change):
    """Write the archive again with a changed manifest whose checksum is right."""
    (path / "source").write_bytes(good)
    with zipfile.ZipFile(path / "source") as old, zipfile.ZipFile(path / "new", "w") as new:
        manifest = json.loads(old.read("manifest.json"))
        members = {name: old.read(name) for name in old.namelist()[1:]}
        change(manifest, members)
        raw = json.dumps(manifest).encode()
        new.comment = hashlib.sha256(raw).hexdigest().encode()
        for name, data in {"manifest.json": raw, **members}.items():
            new.writestr(name, data)
    return path / "new"


def put(where, value):
    def change(manifest, _):
        *path, last = where
        for key in path:
            manifest = manifest[key]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put(["version"], 2), "newer jaxad"),
        (put(["version"], None), "newer jaxad"),
        (put(["format"], "other"), "another format"),
        (put(["arrays", 0, "shape"], [10**12]), "manifest says"),
        (put(["arrays", 0, "shape"], [-1]), "manifest says"),
        (put(["arrays", 0, "dtype"], "|O"), "manifest says"),
        (put(["arrays", 0, "dtype"], "bfloat16"), "manifest says"),
        (put(["arrays", 0, "dtype"], 7), "bundle"),
        (put(["arrays", 0, "member"], "../x"), "members"),
        (put(["arrays", 0], None), "bundle"),
        (put(["arrays"], 3), "bundle"),
        (put(["members"], [1]), "bundle"),
        (put(["members", "arrays/0.npy", "size"], 10**15), "bytes, not"),
        (put(["members", "arrays/0.npy", "sha256"], "0"), "checksum of arrays/0.npy"),
        (lambda _, members: members.update(extra=b"x"), "members"),
        (lambda _, members: members.pop("document.json"), "members"),
        (lambda _, members: members.update({"document.json": b"{}"}), "bytes, not"),
    ],
)
def test_forged_manifests_are_refused_with_the_reason(tmp_path, good, change, reason):
    with pytest.raises(InputError, match=reason):
        bundle.read(remake(tmp_path, good, change))


def test_a_pickle_inside_is_never_loaded(tmp_path, good):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    def change(manifest, members):
        header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        data = header + text.ljust(117) + b"\n" + pickle.dumps(Trap())
        members["arrays/0.npy"] = data
        manifest["members"]["arrays/0.npy"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest["arrays"][0].update(dtype="|O", shape=[1])

    with pytest.raises(InputError):
        bundle.read(remake(tmp_path, good, change))


def test_compressed_members_are_refused_before_they_are_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "b", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * 10**6)
    with pytest.raises(InputError, match="compressed"):
        bundle.read(tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06" + bytes(18), pickle.dumps({"a": 1})])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(InputError, match="not a jaxad bundle"):
        bundle.read(tmp_path / "b")


def test_missing_folders_and_large_files_are_refused(tmp_path, good):
    with pytest.raises(InputError, match="No such file"):
        bundle.read(tmp_path / "none")
    with pytest.raises(InputError, match="cannot be read"):
        bundle.read(tmp_path)
    with pytest.raises(InputError, match="max_bytes=100"):
        bundle.read(tmp_path / "good", max_bytes=100)
    with pytest.raises(InputError, match="cannot be written"):
        bundle.write(tmp_path / "none" / "b", {}, {})


def test_every_truncation_is_refused(tmp_path, good):
    for keep in range(0, len(good), 7):
        (tmp_path / "b").write_bytes(good[:keep])
        with pytest.raises(InputError):
            bundle.read(tmp_path / "b")


def test_damaged_bytes_in_memory_are_refused():
    data = bundle.pack({"a": np.arange(3.0)}, {})
    for damaged in (data[:40], data[:-1], data.replace(np.float64(2).tobytes(), np.float64(4).tobytes())):
        with pytest.raises(InputError, match="bundle in memory is .*damaged.*; write it again"):
            bundle.unpack(damaged)


@pytest.mark.parametrize(("before", "behind"), [(b"", b"\0"), (b"\0", b""), (b"PK", b"end"), (b"", bytes(1 << 17))])
def test_bytes_beside_an_archive_are_refused(before, behind):
    with pytest.raises(InputError, match="damaged"):
        bundle.unpack(before + bundle.pack({"a": np.arange(3.0)}, {}) + behind)


def test_every_changed_byte_is_refused_or_harmless(tmp_path, good):
    generator = np.random.default_rng(0)
    wanted, document = bundle.read(tmp_path / "good")
    refused = 0
    for place in range(len(good)):
        altered = bytearray(good)
        altered[place] ^= int(generator.integers(1, 256))
        (tmp_path / "b").write_bytes(altered)
        try:
            found, text = bundle.read(tmp_path / "b")
        except InputError:
            refused += 1
            continue
        # Dates and attributes of members are not content.
        need_equal(found, wanted)
        assert text == document
    assert refused > 0.8 * len(good)


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_files_raise_nothing_but_input_error(tmp_path, good, data):
    altered = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(altered)))
        stop = data.draw(st.integers(start, min(start + 40, len(altered))))
        altered[start:stop] = data.draw(st.binary(max_size=40))
    (tmp_path / "b").write_bytes(altered)
    try:
        found, document = bundle.read(tmp_path / "b")
    except InputError:
        return
    need_equal(found, {"a": np.arange(6.0), "b": np.zeros(3, np.int32)})
    assert document == {"recipe": "conv-ae"}
