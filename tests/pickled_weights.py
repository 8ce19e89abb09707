"""Files of weights in PyTorch's form before 1.6, written opcode by opcode, sound or not."""

import pickle
import struct

import numpy as np

KINDS = {"f4": b"FloatStorage", "f8": b"DoubleStorage", "f2": b"HalfStorage", "i8": b"LongStorage", "i4": b"IntStorage"}
ORDERED = b"ccollections\nOrderedDict\n)R"


def plain(value):
    """The opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key, count, shape, strides, offset=0, kind=b"FloatStorage"):
    """The opcodes that push a tensor."""
    storage = b"(" + plain("storage") + b"ctorch\n" + kind + b"\n" + plain(key) + plain("cpu") + plain(count) + b"NtQ"
    rest = plain(offset) + plain(tuple(shape)) + plain(tuple(strides)) + b"\x89" + ORDERED
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


def dictionary(entries):
    """The pickle of a state dictionary of names and opcodes."""
    return b"\x80\x02" + ORDERED + b"(" + b"".join(plain(name) + code for name, code in entries.items()) + b"u."


def of_array(key, array):
    """The opcodes of a tensor that fills its storage as `array` does."""
    strides = [step // array.itemsize for step in array.strides]
    return tensor(key, array.size, array.shape, strides, kind=KINDS[array.dtype.str[1:]])


def storages(arrays):
    """The bytes of storages: the list of keys, then each storage's count and numbers."""
    raw = (struct.pack("<q", array.size) + array.tobytes("A") for array in arrays.values())
    return pickle.dumps(list(arrays), 2) + b"".join(raw)


HEADER = b"".join(
    pickle.dumps(value, 2)
    for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
)


def file_of(arrays):
    """The bytes of a sound file of arrays by name."""
    keyed = {f"at {name}": array for name, array in arrays.items()}
    entries = {name: of_array(f"at {name}", array) for name, array in arrays.items()}
    return HEADER + dictionary(entries) + storages(keyed)


SMALL = {
    "conv.weight": np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
    "conv.bias": np.arange(3, dtype=np.float64),
    "half": np.float16([[0.5], [2]]),
    "steps": np.array(7),
    "none": np.zeros((0, 4), np.int32),
}
"""Arrays of every kind, in both orders."""
