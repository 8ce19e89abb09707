"""TIFF files that Pillow would take for others: their tags, and each of their planes as a grey TIFF of its own.

Pillow reads many planes that lie apart as noise, and grey of more than 8 bits as its negative or not at all where its
white is zero. Of a single plane it decodes every compression in full, so such a file is shown to it plane by plane.
"""

import io
import struct
from collections.abc import Mapping
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from jaxad._check import name_some

Stream = BinaryIO | io.BytesIO
"""An open file, or the bytes of one."""

WIDTH, HEIGHT, BITS, PHOTOMETRIC = 256, 257, 258, 262
SAMPLES, PLANAR, EXTRA, FORMAT = 277, 284, 338, 339
_OF_PLANES = frozenset({273, 279, 324, 325})
"""Offsets and byte counts of strips and tiles; planes that lie apart have theirs one plane after the other."""
_KEPT = frozenset({WIDTH, HEIGHT, 259, 266, 274, 278, 317, 322, 323}) | _OF_PLANES
"""Tags that a plane shares with its file: size, compression, bit order, orientation, predictor, strips, tiles."""
_READ = _KEPT | {BITS, PHOTOMETRIC, SAMPLES, PLANAR, EXTRA, FORMAT}
_KINDS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_UNSIGNED, _FLOAT = 1, 3
_MULTIPLIED, _TRANSPARENCY = 1, 2
_APART = 2

Tags = Mapping[int, tuple[int, ...]]


class Tiff(NamedTuple):
    """What a TIFF says of its first page.

    Attributes:
      order: "<" or ">", as `struct` calls the order of bytes.
      big: whether offsets have 64 bits.
      tags: whole numbers by tag; those that nothing here asks for are left out.
      pages: whether further ones follow.
    """

    order: str
    big: bool
    tags: Tags
    pages: bool

    def problem(self) -> str | None:
        """Why the file is refused, as its tags tell, or None."""
        if self.big and self.order == ">":
            return "it is a TIFF of 64 bits with the high byte first; save it as a usual one"
        if not set(self.tags.get(FORMAT, (_UNSIGNED,))) <= {_UNSIGNED, _FLOAT}:
            return "its numbers are signed, so white is unknown; save it as 16-bit grey, or as float in [0, 1]"
        if not self.planes:
            return None
        if self.pages:
            return "it holds several pages; save each as a file of its own"
        if len(set(self._bits)) > 1:
            return f"its planes have {name_some(list(map(str, self._bits)))} bits; save it as grey or RGB of 8 or 16"
        if self._count > 1 and self._photometric > _RGB:
            return "its planes lie apart and are neither grey nor RGB; save it as RGB"
        if self._extra[:1] == (_MULTIPLIED,):
            return "its planes lie apart and are multiplied by the transparency; save it without"
        return None

    @property
    def kind(self) -> str:
        """The tags by which kinds differ, as in a sentence."""
        named = {
            BITS: "bits",
            FORMAT: "sample format",
            PHOTOMETRIC: "photometric",
            PLANAR: "planar",
            259: "compression",
        }
        said = ((name, self.tags.get(tag, ())[:6]) for tag, name in named.items())
        return ", ".join(f"{name} {'/'.join(map(str, values))}" for name, values in said if values)

    @classmethod
    def of_pillow(cls, tags: Mapping[int, Any]) -> "Tiff":
        """The same of a file that Pillow has open."""
        found = {tag: tags[tag] for tag in _READ if tag in tags}
        whole = {tag: value if isinstance(value, tuple) else (value,) for tag, value in found.items()}
        return cls("<", big=False, tags=whole, pages=False)

    @property
    def white_is_zero(self) -> bool:
        """Whether the largest number is black."""
        return self._photometric == _WHITE_IS_ZERO

    @property
    def planes(self) -> int:
        """How many planes are to be read one by one; 0 where Pillow reads the file right as it is."""
        if self._count == 1:
            return int(self.white_is_zero and max(self._bits) > 8)
        if self.tags.get(PLANAR) != (_APART,):
            return 0
        return self._colours + (self._extra[:1] == (_TRANSPARENCY,))

    @property
    def _bits(self) -> tuple[int, ...]:
        return self.tags.get(BITS, (1,))

    @property
    def _photometric(self) -> int:
        return self.tags.get(PHOTOMETRIC, (_BLACK_IS_ZERO,))[0]

    @property
    def _count(self) -> int:
        return self.tags.get(SAMPLES, (1,))[0]

    @property
    def _colours(self) -> int:
        return 1 if self._photometric < _RGB else 3

    @property
    def _extra(self) -> tuple[int, ...]:
        """What the samples behind the colours are; taken for the transparency where nothing is said, as by Pillow."""
        return self.tags.get(EXTRA, (_TRANSPARENCY,) * (self._count - self._colours))

    def plane(self, file: Stream, index: int, *, whole: bool = True) -> io.BytesIO:
        """A grey TIFF of one plane, black as zero or as the file has it; without pixels unless `whole`."""
        tags = {tag: values for tag, values in self.tags.items() if tag in _KEPT}
        for tag in _OF_PLANES & set(tags):
            share = len(tags[tag]) // self._count if self._count > 1 else len(tags[tag])
            tags[tag] = tags[tag][index * share : (index + 1) * share]
        tags |= {BITS: self._bits[:1], PHOTOMETRIC: (_BLACK_IS_ZERO,), SAMPLES: (1,)}
        tags[FORMAT] = self.tags.get(FORMAT, (_UNSIGNED,))[:1]
        file.seek(0)
        made = io.BytesIO(file.read() if whole else file.read(16))
        start = made.seek(0, io.SEEK_END)
        made.write(_directory(tags, self.order, start, big=self.big))
        made.seek(8 if self.big else 4)
        made.write(struct.pack(self.order + ("Q" if self.big else "I"), start))
        made.seek(0)
        return made


def read_tiff(file: Stream) -> Tiff | None:
    """What the tags of a TIFF say; None where the file is none. Raises ValueError or `struct.error` for garbage."""
    end = file.seek(0, io.SEEK_END)
    take = partial(_take, file, end)
    head = take(min(end, 4), 0)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    if not order or head[2:] not in {struct.pack(order + "H", 42), struct.pack(order + "H", 43)}:
        return None
    big = 43 in head
    offset, count, entry, room = ("Q", "Q", "HHQ", 8) if big else ("I", "H", "HHI", 4)
    (first,) = struct.unpack(order + offset, take(room, room))
    (number,) = struct.unpack(order + count, take(struct.calcsize(count), first))
    entries = list(struct.iter_unpack(f"{order}{entry}{room}s", take((struct.calcsize(order + entry) + room) * number)))
    (following,) = struct.unpack(order + offset, take(room))
    tags = {}
    for tag, kind, length, value in entries:
        if tag in _READ and kind in _KINDS:
            size = struct.calcsize(_KINDS[kind]) * length
            packed = value[:size] if size <= room else take(size, *struct.unpack(order + offset, value))
            tags[tag] = struct.unpack(f"{order}{length}{_KINDS[kind]}", packed)
    return Tiff(order, big, tags, pages=bool(following))


def _take(file: Stream, end: int, size: int, at: int | None = None) -> bytes:
    if size > end:
        raise ValueError("a tag is longer than the file")
    if at is not None:
        file.seek(at)
    return file.read(size)


def _directory(tags: Tags, order: str, start: int, *, big: bool) -> bytes:
    """A directory of tags that begins at `start`; what is too long for it lies behind it."""
    kind, letter, count, entry, room = (16, "Q", "Q", "HHQ", 8) if big else (4, "I", "H", "HHI", 4)
    entries = struct.pack(order + count, len(tags))
    behind = start + len(entries) + len(tags) * (struct.calcsize(order + entry) + room) + room
    longer = b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        entries += struct.pack(order + entry, tag, kind, len(values))
        if len(packed) > room:
            packed, longer = struct.pack(order + letter, behind + len(longer)), longer + packed
        entries += packed.ljust(room, b"\0")
    return entries + bytes(room) + longer
