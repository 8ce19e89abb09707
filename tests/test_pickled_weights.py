"""Reading PyTorch's old files: exact where they are sound, one sentence where not, and nothing in them ever runs."""

import contextlib
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad._check import InputError
from jaxad.backbones.pickled import read_pickled
from tests.drawn import examples
from tests.pickled_weights import HEADER, SMALL, dictionary, file_of, plain, storages, tensor

FOUR = {"a": np.arange(4, dtype=np.float32)}
BEHIND = storages(FOUR)


def read(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return read_pickled(path)


def test_arrays_come_as_they_were_written(tmp_path):
    found = read(tmp_path, file_of(SMALL))
    assert list(found) == list(SMALL)
    for name, array in SMALL.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_tensors_may_share_a_storage(tmp_path):
    entries = {"row": tensor("a", 4, (2,), (1,), 2), "turned": tensor("a", 4, (2, 2), (1, 2))}
    found = read(tmp_path, HEADER + dictionary(entries) + BEHIND)
    np.testing.assert_array_equal(found["row"], [2, 3])
    np.testing.assert_array_equal(found["turned"], [[0, 2], [1, 3]])


class Harmful:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def harmful(marker):
    """Pickles that would make the file `marker`, or change what is read, if anything in them ran."""
    call = plain(f"touch {marker}")
    run = {
        "reduce": pickle.dumps(Harmful(marker), 2),
        "a newer protocol": pickle.dumps(Harmful(marker), 4),
        "the oldest protocol": pickle.dumps(Harmful(marker), 0),
        "a class of old": b"(" + call + b"ios\nsystem\n.",
        "an object": b"(cos\nsystem\n" + call + b"o.",
        "a call": b"cbuiltins\neval\n" + plain(f"__import__('os').system('touch {marker}')") + b"\x85R.",
        "a way through the tensor": b"\x80\x04"
        + plain("torch._utils")
        + plain("_rebuild_tensor_v2.__class__")
        + b"\x93.",
        "a way through the dictionary": b"\x80\x04" + plain("collections") + plain("OrderedDict.__init__") + b"\x93.",
        "what torch itself would load": b"ctorch.storage\n_load_from_bytes\n" + plain(b"x") + b"\x85R.",
        "an import": b"cantigravity\nx\n.",
        "an extension": b"\x82\x01.",
    }
    beyond = plain(("storage", "FloatStorage", "a", "cpu", 4000, None))
    changed = {
        "a tensor changed": tensor("a", 4, (2,), (1,)) + plain({"shape": (4000,), "strides": (1,)}) + b"b",
        "a tensor's slots changed": tensor("a", 4, (2,), (1,)) + b"N" + plain({"shape": (4000,)}) + b"\x86b",
        "a maker changed": b"ctorch._utils\n_rebuild_tensor_v2\nN" + plain({"__call__": 1}) + b"\x86b",
        "a storage of plain data": b"ctorch._utils\n_rebuild_tensor_v2\n("
        + beyond
        + plain(0)
        + plain((4000,))
        + plain((1,))
        + b"tR",
    }
    return run | {name: dictionary({"x": code}) for name, code in changed.items()}


@pytest.mark.parametrize("name", harmful("x"))
def test_nothing_in_a_file_runs(name, tmp_path):
    marker = tmp_path / "it ran".replace(" ", "-")
    content = harmful(marker)[name]
    for head in (b"", HEADER):
        with pytest.raises(InputError, match=r"weights\.pth"):
            read(tmp_path, head + content + BEHIND)
    assert not marker.exists()


def test_the_message_names_what_was_not_run(tmp_path):
    with pytest.raises(InputError, match=r"names (posix|nt)\.system, .* do not trust the file"):
        read(tmp_path, HEADER + pickle.dumps(Harmful("x"), 2))


def plain_file(value):
    return pickle.dumps(value, 2)


DAMAGED = {
    "another opcode": (HEADER + pickle.dumps({"a": 0.5}, 2), "uses BINFLOAT, which PyTorch never wrote"),
    "empty": (b"", "damaged"),
    "another file": (b"PK\x03\x04" + bytes(100), "damaged"),
    "another magic number": (plain_file(1) * 3, "form before 1.6"),
    "another order of bytes": (HEADER.replace(b"little_endian", b"little_endiam"), "order of bytes"),
    "no dictionary": (HEADER + plain_file([1]) + BEHIND, "holds list, wanted a state dictionary"),
    "numbered": (HEADER + plain_file({1: 2}) + BEHIND, "holds dict"),
    "strangers": (HEADER + plain_file({"epoch": 3}) + BEHIND, "no tensor: epoch"),
    "beyond": (HEADER + dictionary({"x": tensor("a", 4, (2, 2), (2, 2))}) + BEHIND, "beyond the 4 numbers"),
    "repeated": (HEADER + dictionary({"x": tensor("a", 4, (10**9,), (0,))}) + BEHIND, "beyond the 4 numbers"),
    "backwards": (HEADER + dictionary({"x": tensor("a", 4, (4,), (-1,), 3)}) + BEHIND, "not one"),
    "one axis": (HEADER + dictionary({"x": tensor("a", 4, (4,), (4, 1))}) + BEHIND, "not one"),
    "true": (HEADER + dictionary({"x": tensor("a", 4, (True,), (1,))}) + BEHIND, "not one"),
    "larger storage": (HEADER + dictionary({"x": tensor("a", 5, (5,), (1,))}) + BEHIND, "must hold 5 numbers, got 4"),
    "two ways": (
        HEADER + dictionary({"x": tensor("a", 4000, (4000,), (1,)), "y": tensor("a", 4, (4,), (1,))}) + BEHIND,
        "one storage in two ways",
    ),
    "another storage": (HEADER + dictionary({"x": tensor("b", 4, (4,), (1,))}) + BEHIND, "other storages"),
    "unknown numbers": (
        HEADER + dictionary({"x": tensor("a", 4, (4,), (1,), kind=b"ByteStorage")}) + BEHIND,
        "torch.ByteStorage",
    ),
    "badly escaped": (b"\x80\x02S'\\o'\n.", "uses STRING"),
    "longer": (file_of(SMALL) + b"\0", "behind its last storage"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_said_in_one_sentence(name, tmp_path):
    content, said = DAMAGED[name]
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path, content)
    assert "weights.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_declared_size_costs_no_memory(tmp_path):
    entries = {"x": tensor("a", 1 << 60, (1 << 60,), (1,))}
    behind = pickle.dumps(["a"], 2) + (1 << 60).to_bytes(8, "little")
    with pytest.raises(InputError, match="ends before"):
        read(tmp_path, HEADER + dictionary(entries) + behind)


def test_a_declared_place_costs_no_memory(tmp_path):
    with pytest.raises(InputError, match="asks for 4294967295 places"):
        read(tmp_path, b"\x80\x02Nr\xff\xff\xff\xff.")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match=r"no\.pth"):
        read_pickled(tmp_path / "no.pth")


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_altered_bytes_never_do_worse_than_an_error(tmp_path_factory, data):
    content = bytearray(file_of(SMALL))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), data.draw(st.integers(0, len(content)))]))
    folder = tmp_path_factory.getbasetemp()
    with contextlib.suppress(InputError):
        read(folder, bytes(content[:end]))
