"""One file of named arrays and one JSON document: versioned, checksummed, never pickle.

The file is a ZIP archive without compression, so that any tool can look inside:

    manifest.json     format name and version; size and SHA-256 of each member; name, dtype and shape of each array
    document.json     the document
    arrays/<i>.npy    the i-th array in the order of names, in NumPy's own format

The SHA-256 of manifest.json is the archive's comment. Names of arrays live in the manifest alone and never become
file paths. The same content gives the same bytes.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxad._addresses import at, shown
from jaxad._check import InputError, need_local, raise_problems
from jaxad._files import replacing

JSON = None | bool | int | float | str | Sequence[Any] | Mapping[str, Any]
NamedArrays = Mapping[str, Shaped[np.ndarray, "..."]]

FORMAT, VERSION = "jaxad-bundle", 1
MANIFEST, DOCUMENT = "manifest.json", "document.json"
KINDS = "biufc"
_NAME_AT = 30
"""Where in a ZIP archive the name of its first member begins."""
# What zipfile, json and NumPy's header parser raise on bytes that nobody wrote on purpose.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
)


def write(path: str | os.PathLike[str], arrays: NamedArrays, document: Mapping[str, JSON]) -> None:
    """Write `arrays` (any names, any shapes; bool, integer, float, complex or bfloat16) and `document` to `path`.

    A reader sees the old file or the new one, never half of either. Tuples in `document` come back as lists.
    Raises InputError, listing all problems, on arrays of other dtypes and on document entries that JSON cannot hold
    (NaN and infinity included), and where the file cannot be written.
    """
    need_local(path, what="a bundle")
    members = _members(arrays, document)
    try:
        with replacing(path) as beside:
            _write_archive(beside, members)
    except OSError as error:
        raise InputError(
            f"bundle {str(path)!r} cannot be written: {error.strerror or error}; choose another place"
        ) from None


def pack(arrays: NamedArrays, document: Mapping[str, JSON]) -> bytes:
    """The bytes that `write` would put into a file; arrays of any shapes `[...]`, errors as there."""
    file = io.BytesIO()
    _write_archive(file, _members(arrays, document))
    return file.getvalue()


def read(
    path: str | os.PathLike[str], *, max_bytes: int = 4 << 30
) -> tuple[dict[str, Shaped[np.ndarray, "..."]], dict[str, JSON]]:
    """Read what `write` wrote: the arrays by name, bit for bit, and the document.

    Raises InputError with the reason where the file is missing, larger than `max_bytes`, foreign, truncated, altered,
    or of a newer format version. Sizes are compared before anything is allocated, so a file cannot ask for more
    memory than about twice its own size.
    """
    with _named(f"bundle {shown(path)!r}"), _opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size > max_bytes:
            raise InputError(f"holds {size} bytes, more than max_bytes={max_bytes}; raise the limit if you trust it")
        return _read_archive(file)


def _opened(path: str | os.PathLike[str]) -> io.BufferedIOBase:
    there = at(path)
    # From afar all of it by one request: an archive is read in many places.
    return there.open("rb") if isinstance(there, Path) else io.BytesIO(there.read_bytes())


def begins_as_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a bundle by its first bytes, be it whole or damaged; raises OSError where it cannot be read."""
    with open(path, "rb") as file:
        start = file.read(_NAME_AT + len(MANIFEST))
    return start[:4] == b"PK\x03\x04" and start[_NAME_AT:] == MANIFEST.encode()


def unpack(data: bytes) -> tuple[dict[str, Shaped[np.ndarray, "..."]], dict[str, JSON]]:
    """Read what `pack` made: the arrays by name, bit for bit, and the document; errors as for `read`."""
    with _named("bundle in memory"):
        return _read_archive(io.BytesIO(data))


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    """Whatever reading raises, as one sentence about the bundle."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where} {error}") from None
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror or error}; check the path") from None
    except UNREADABLE as error:
        raise InputError(f"{where} is not a jaxad bundle, or it is damaged ({error}); write it again") from None


def fingerprint(arrays: NamedArrays, document: Mapping[str, JSON]) -> str:
    """SHA-256 of named arrays of any shapes `[...]` and a document: the same content has the same one.

    Raises InputError on arrays that `write` refuses.
    """
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    values = _values(arrays)
    raise_problems(_array_problems(values))
    for name, value in values.items():
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _members(arrays: NamedArrays, document: Mapping[str, JSON]) -> dict[str, bytes]:
    """The files of the archive in their order."""
    values = _values(arrays)
    raise_problems([*_array_problems(values), *_json_problems(document, "document")])
    members = {DOCUMENT: _encode(document)}
    rows = []
    for i, (name, value) in enumerate(values.items()):
        members[f"arrays/{i}.npy"] = _to_npy(value)
        rows.append({"name": name, "member": f"arrays/{i}.npy", "dtype": _name(value), "shape": list(value.shape)})
    sums = {name: {"size": len(data), "sha256": _sha256(data)} for name, data in members.items()}
    manifest = _encode({"format": FORMAT, "version": VERSION, "members": sums, "arrays": rows})
    return {MANIFEST: manifest, **members}


def _values(arrays: NamedArrays) -> dict[str, np.ndarray]:
    """As arrays, in the order of names; rows of different lengths make one of objects, which is refused as such."""
    values = {}
    for name in sorted(arrays):
        try:
            values[name] = np.asarray(arrays[name])
        except ValueError:
            values[name] = np.empty((), object)
    return values


def _write_archive(file: Path | io.BytesIO, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _sha256(members[MANIFEST]).encode()
        for name, data in members.items():
            archive.writestr(_entry(name), data)


def _read_archive(file: io.BufferedIOBase) -> tuple[dict[str, Shaped[np.ndarray, "..."]], dict[str, JSON]]:
    with zipfile.ZipFile(file) as archive:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - len(archive.comment))
        if file.read() != archive.comment or min((entry.header_offset for entry in archive.infolist()), default=0):
            raise InputError("is damaged: something lies before or behind it in the file; write it again")
        return _read_members(archive, size)


def _read_members(archive: zipfile.ZipFile, size: int) -> tuple[dict[str, Shaped[np.ndarray, "..."]], dict[str, JSON]]:
    entries = archive.infolist()
    by_name = {entry.filename: entry for entry in entries}
    if MANIFEST not in by_name:
        raise InputError("is not a jaxad bundle: it has no manifest.json")
    stored = all(e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size for e in entries)
    if not stored or len(by_name) != len(entries) or sum(entry.file_size for entry in entries) > size:
        raise InputError("is damaged: members are compressed, overlap or occur twice; write it again")
    raw = archive.read(MANIFEST)
    manifest = json.loads(raw)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("is not a jaxad bundle: its manifest names another format")
    if manifest.get("version") != VERSION:
        raise InputError(
            f"has format version {manifest.get('version')!r}, this jaxad reads version {VERSION}; install a newer jaxad"
        )
    if archive.comment != _sha256(raw).encode():
        raise InputError("is damaged: the checksum of its manifest does not match; write it again")
    sums, rows = manifest["members"], manifest["arrays"]
    if set(by_name) != {MANIFEST, *sums} or set(sums) != {DOCUMENT, *(row["member"] for row in rows)}:
        raise InputError("is damaged: its members are not those the manifest lists; write it again")

    def load(member: str) -> bytes:
        if by_name[member].file_size != sums[member]["size"]:
            raise InputError(f"is damaged: {member} has {by_name[member].file_size} bytes, not {sums[member]['size']}")
        data = archive.read(member)
        if _sha256(data) != sums[member]["sha256"]:
            raise InputError(f"is damaged: the checksum of {member} does not match; write it again")
        return data

    arrays = {row["name"]: _from_npy(load(row["member"]), row["dtype"], tuple(row["shape"])) for row in rows}
    return arrays, json.loads(load(DOCUMENT))


def _to_npy(value: Shaped[np.ndarray, "..."]) -> bytes:
    file = io.BytesIO()
    # NumPy's format has no bfloat16; its bits travel as uint16 and the manifest keeps the name.
    plain = value.view(np.uint16) if _name(value) == "bfloat16" else value
    np.lib.format.write_array(file, np.asarray(plain, order="C"), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _from_npy(data: bytes, dtype: str, shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise InputError("is damaged: an array has an unknown header; write it again")
    found, fortran, kind = np.lib.format.read_array_header_1_0(file)
    bits = np.dtype(np.uint16) if dtype == "bfloat16" else np.dtype(dtype)
    if kind != bits or found != shape or fortran or bits.kind not in KINDS:
        raise InputError(f"is damaged: an array is {kind}{list(found)}, the manifest says {dtype}{list(shape)}")
    if len(data) - file.tell() != math.prod(shape) * bits.itemsize:
        raise InputError("is damaged: an array has more or fewer values than its shape says; write it again")
    value = np.frombuffer(data, bits, offset=file.tell()).reshape(shape).copy()
    if dtype == "bfloat16":
        import ml_dtypes

        return value.view(ml_dtypes.bfloat16)
    return value


def _entry(name: str) -> zipfile.ZipInfo:
    # A fixed date and system instead of this machine's, or equal content would give unequal bytes.
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    return entry


def _name(value: Shaped[np.ndarray, "..."]) -> str:
    return "bfloat16" if value.dtype.name == "bfloat16" else value.dtype.str


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _encode(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, allow_nan=False, indent=1).encode()


def _array_problems(arrays: NamedArrays) -> list[str]:
    return [
        f"array {name!r} must be bool, integer, float, complex or bfloat16, got {value.dtype}; convert it"
        for name, value in arrays.items()
        if value.dtype.kind not in KINDS and value.dtype.name != "bfloat16"
    ]


def _json_problems(value: object, where: str) -> list[str]:
    if isinstance(value, Mapping):
        keys = [f"{where} must have text keys, got {key!r}" for key in value if not isinstance(key, str)]
        return keys + [p for key, item in value.items() for p in _json_problems(item, f"{where}[{key!r}]")]
    if isinstance(value, list | tuple):
        return [p for i, item in enumerate(value) for p in _json_problems(item, f"{where}[{i}]")]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return []
    return [f"{where} must be JSON (None, bool, int, finite float, str, list or dict), got {value!r}"]
