"""Files that `torch.save` wrote in its form before PyTorch 1.6, read without PyTorch and without running anything.

Such a file is a row of five pickles (a magic number, the protocol, the sizes of types, the state dictionary, the keys
of the storages) and then, in the order of those keys, each storage as its count and its raw numbers.
"""

import math
import os
import pickle
import pickletools
import struct
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxad._check import InputError, name_some

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
OPCODES = """
PROTO STOP MARK GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
BINPUT LONG_BINPUT BINGET LONG_BINGET
"""
"""What PyTorch writes of the language of pickles."""

REFUSED = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
"""What reading a damaged pickle raises."""


def read_pickled(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dictionary by their names, from a `.pth` file of PyTorch's old form.

    Nothing in the file can run: apart from plain data it may name an ordered dictionary, a tensor and the storages in
    `STORAGES`, of which only descriptions are made.

    Raises:
        InputError: it cannot be read, ends early, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from None
    except REFUSED as error:
        said = str(error) or type(error).__name__
        raise InputError(
            f"{str(path)!r} is not a file of weights that PyTorch saved, or it is damaged: {said}"
        ) from None


class _Storage(NamedTuple):
    """Numbers that lie somewhere behind the pickles. A tuple, which no pickle can change once it is made."""

    key: str
    dtype: np.dtype[Any]
    length: int


class _Tensor(NamedTuple):
    """A view of a storage, in numbers and not in bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _MakeTensor:
    """What stands for `torch._utils._rebuild_tensor_v2`. It has no attributes, so no pickle can change it."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Tensor:
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or len(shape) != len(strides) or not all(_is_count(n) for n in numbers):
            raise InputError("holds a tensor that is not one")
        last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
        if math.prod(shape) > storage.length or (0 not in shape and last >= storage.length):
            raise InputError(
                f"holds a tensor of shape {tuple(shape)} beyond the {storage.length} numbers of its storage"
            )
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """Makes plain data, ordered dictionaries, and descriptions of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _MakeTensor()
        if module == "torch" and name in STORAGES:
            return name
        raise InputError(
            f"names {module}.{name}, which no file of weights needs; it was not run: do not trust the file"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, _, count, part = pid
        if what != "storage" or kind not in STORAGES or type(key) is not str or not _is_count(count) or part:
            raise InputError("holds a storage that is not one, or a part of one")
        return _Storage(key, STORAGES[kind], count)


def _load(file: BinaryIO) -> Any:
    """The next object of a file, once every opcode up to its end was seen to be harmless."""
    start, size = file.tell(), os.fstat(file.fileno()).st_size
    # Arguments are decoded before the names of opcodes are seen, with a warning where a text is escaped badly.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name not in OPCODES.split():
                raise InputError(
                    f"uses {opcode.name}, which PyTorch never wrote; it was not run: do not trust the file"
                )
            # The unpickler makes room for all places up to the highest, so one number could ask for all memory.
            if opcode.name == "LONG_BINPUT" and int(argument or 0) > size:
                raise InputError(f"asks for {argument} places, more than it has bytes")
    file.seek(start)
    return _Unpickler(file).load()


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    header = [_load(file) for _ in range(3)]
    if header[0] != MAGIC or header[1] != PROTOCOL:
        raise InputError("is not a file of PyTorch's form before 1.6; save it as safetensors")
    if not isinstance(header[2], dict) or header[2].get("little_endian") is not True:
        raise InputError("was written on a machine of another order of bytes; save it as safetensors")
    state, keys = _load(file), _load(file)
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError(f"holds {type(state).__name__}, wanted a state dictionary: names and tensors")
    strangers = [name for name, value in state.items() if not isinstance(value, _Tensor)]
    if strangers:
        raise InputError(f"holds what is no tensor: {name_some(strangers)}")
    storages = {tensor.storage.key: tensor.storage for tensor in state.values()}
    if not isinstance(keys, list) or sorted(keys) != sorted(storages):
        raise InputError("lists other storages than its tensors lie in")
    if any(tensor.storage != storages[tensor.storage.key] for tensor in state.values()):
        raise InputError("describes one storage in two ways")
    numbers = {key: _read_storage(file, storages[key]) for key in keys}
    if file.read(1):
        raise InputError("goes on behind its last storage")
    return {name: _view(tensor, numbers[tensor.storage.key]) for name, tensor in state.items()}


def _read_storage(file: BinaryIO, storage: _Storage) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8).ljust(8, b"\xff"))
    if count != storage.length:
        raise InputError(f"storage {storage.key} must hold {storage.length} numbers, got {max(count, 0)}")
    size = count * storage.dtype.itemsize
    if size > os.fstat(file.fileno()).st_size - file.tell():
        raise InputError("ends before its last storage does; fetch the file again")
    return np.frombuffer(file.read(size), storage.dtype)


def _view(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    steps = [step * numbers.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps, writeable=False).copy()


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
