"""TIFF files as Pillow itself cannot write them."""

import struct
import zlib

import numpy as np


def tiff(
    values: np.ndarray,
    *,
    photometric: int,
    order: str = "<",
    apart: bool = False,
    rows: int = 7,
    deflated: bool = False,
    tile: tuple[int, int] | None = None,
    big: bool = False,
    extra: tuple[int, ...] = (),
    turned: int = 1,
    pages: int = 1,
) -> bytes:
    """A TIFF of values [h, w, c], as Pillow itself cannot write it: strips or tiles, planes together or apart."""
    height, width, count = values.shape
    stored = values.astype(values.dtype.newbyteorder(order))
    pieces = []
    for plane in np.moveaxis(stored[None], -1, 0)[..., None] if apart else stored[None, None]:
        for top in range(0, height, tile[0] if tile else rows):
            if not tile:
                pieces.append(plane[0, top : top + rows])
                continue
            for left in range(0, width, tile[1]):
                cut = plane[0, top : top + tile[0], left : left + tile[1]]
                pieces.append(np.pad(cut, [(0, tile[0] - cut.shape[0]), (0, tile[1] - cut.shape[1]), (0, 0)]))
    packed = [zlib.compress(piece.tobytes()) if deflated else piece.tobytes() for piece in pieces]
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    long, room, head = ("Q", 8, 16) if big else ("I", 4, 8)
    offsets = np.cumsum([head, *map(len, packed)])
    placed, lengths = tuple(offsets[:-1].tolist()), tuple(map(len, packed))
    tags = {
        **{256: (width,), 257: (height,), 258: (8 * values.dtype.itemsize,) * count, 259: (8 if deflated else 1,)},
        **{262: (photometric,), 274: (turned,), 277: (count,), 284: (2 if apart else 1,), 339: (kind,) * count},
        **({322: (tile[1],), 323: (tile[0],), 324: placed, 325: lengths} if tile else {}),
        **({} if tile else {273: placed, 278: (rows,), 279: lengths}),
        **({338: extra} if extra else {}),
    }
    body = b"".join(packed)
    start = head + len(body)
    directories = b""
    for page in range(pages):
        here = start + len(directories)
        entries, longer = b"", b""
        behind = here + (8 if big else 2) + len(tags) * (4 + 2 * room) + room
        for tag, found in sorted(tags.items()):
            short = tag not in {273, 279, 324, 325}
            data = struct.pack(f"{order}{len(found)}{'H' if short else long}", *found)
            entries += struct.pack(f"{order}HH{long}", tag, 3 if short else 16 if big else 4, len(found))
            entries += (data if len(data) <= room else struct.pack(order + long, behind + len(longer))).ljust(
                room, b"\0"
            )
            longer += data if len(data) > room else b""
        following = behind + len(longer) if page + 1 < pages else 0
        number = struct.pack(order + ("Q" if big else "H"), len(tags))
        directories += number + entries + struct.pack(order + long, following) + longer
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    return (
        mark
        + (struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start))
        + body
        + directories
    )
