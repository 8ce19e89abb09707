"""A folder as people bring them: photographs of as many sizes as there are photographs, and among them whatever lies
about in real folders. Nothing here imports jaxad."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

TRAIN = 0.15
"""Share of the photographs that is there to learn from."""
EVERY = 20
"""One in so many photographs is odd, one in so many cannot be read, and one in so many is a copy of another."""
HUGE = ((40, 6000), (2300, 2300))
"""Heights and widths; the second is shown in parts."""
PLAIN = (".png", ".jpg", ".png", ".bmp", ".png", ".tif", ".png", ".webp")


class Folder(NamedTuple):
    """What was written: names are paths below the root, in POSIX form."""

    root: Path
    scored: list[str]
    """Photographs that `jaxad score` must score, odd, huge and doubled ones among them."""
    unreadable: list[str]
    """Named as photographs are, and damaged, or one pixel high: less than windows are."""
    aside: list[str]
    """To train on, or no photographs; hidden ones are not among them."""
    not_learnt: list[str]
    """Among those to train on, cut off or copies."""


def texture(size: tuple[int, int], seed: int) -> np.ndarray:
    """A woven surface, grey in [0, 1]: `[h, w]`."""
    drawn = np.random.default_rng(seed)
    rows, columns = (np.arange(length, dtype=np.float32) for length in size)
    weave = np.sin(rows[:, None] / 2 + drawn.uniform(0, 6)) * np.cos(columns[None] / 3 + drawn.uniform(0, 6))
    noise = drawn.standard_normal(size, dtype=np.float32)
    return np.clip(0.45 + 0.1 * weave + 0.03 * noise, 0, 1)


def write_folder(root: Path, *, count: int, sides: tuple[int, int] = (24, 120), huge: bool = True) -> Folder:
    """So many photographs of so many sizes, in the layout of MVTec AD, with `sides` from the first to the last."""
    folder = Folder(root, [], [], [], [])
    spread = sides[1] + 1 - sides[0]
    places = np.random.default_rng(0).permutation(spread * spread)[:count]
    sizes = [(int(sides[0] + place // spread), int(sides[0] + place % spread)) for place in places]
    for name in ("train/good", "test/good", "test/bad", "ground_truth/bad"):
        (root / name).mkdir(parents=True)
    learnt = round(TRAIN * count)
    for index, size in enumerate(sizes):
        if index < learnt:
            _write_learnt(folder, index, size)
        elif index % EVERY == 3:
            _write_odd(folder, index, size)
        elif index % EVERY == 7:
            _write_damaged(folder, index, size)
        elif index % EVERY == 11:
            _write_copy(folder, index, size)
        elif index % 4 == 0:
            _write_bad(folder, index, size)
        else:
            name = f"test/good/{index:05}{PLAIN[index % len(PLAIN)]}"
            _save(folder, name, _bytes(texture(size, index)))
    for index, size in enumerate(HUGE if huge else ()):
        _save(folder, f"test/good/huge{index}.png", _bytes(texture(size, count + index)))
    _write_junk(folder)
    return folder


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels * 255).astype(np.uint8)


def _save(folder: Folder, name: str, pixels: np.ndarray | Image.Image) -> None:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(folder.root / name)
    folder.scored.append(name)


def _write_learnt(folder: Folder, index: int, size: tuple[int, int]) -> None:
    """To train on; every 30th is cut off, every 15th a copy of the one before."""
    name = f"train/good/{index:05}.png"
    if index % 15 == 1:
        (folder.root / name).write_bytes((folder.root / f"train/good/{index - 1:05}.png").read_bytes())
    else:
        Image.fromarray(_bytes(texture(size, index))).save(folder.root / name)
    if index % 30 == 5:
        (folder.root / name).write_bytes((folder.root / name).read_bytes()[:300])
    folder.aside.append(name)
    if index % 15 == 1 or index % 30 == 5:
        folder.not_learnt.append(name)


def _write_bad(folder: Folder, index: int, size: tuple[int, int]) -> None:
    """With a bright square, and its mask."""
    pixels, mask = texture(size, index), np.zeros(size, np.uint8)
    top, left = size[0] // 3, size[1] // 3
    side = min(size) // 4
    pixels[top : top + side, left : left + side] = 1
    mask[top : top + side, left : left + side] = 255
    _save(folder, f"test/bad/{index:05}.png", _bytes(pixels))
    Image.fromarray(mask).save(folder.root / f"ground_truth/bad/{index:05}_mask.png")


ODD: tuple[Callable[[np.ndarray], tuple[str, np.ndarray | Image.Image]], ...] = (
    lambda pixels: ("one.png", _bytes(pixels[:1, :1])),
    lambda pixels: ("row.png", _bytes(pixels[:1])),
    lambda pixels: ("deep.png", np.rint(pixels * 65535).astype(np.uint16)),
    lambda pixels: ("float.tif", pixels.astype(np.float32)),
    lambda pixels: ("colour.png", np.stack([_bytes(pixels)] * 3, axis=-1)),
    lambda pixels: ("alpha.png", np.stack([*[_bytes(pixels)] * 3, np.full(pixels.shape, 200, np.uint8)], axis=-1)),
    lambda pixels: ("palette.gif", Image.fromarray(_bytes(pixels)).convert("P")),
    lambda pixels: ("black and white.png", Image.fromarray(_bytes(pixels)).convert("1")),
)
TINY = 2
"""How many of them are one pixel high; they come first."""


def _write_odd(folder: Folder, index: int, size: tuple[int, int]) -> None:
    turn = index // EVERY % (len(ODD) + 1)
    if turn < len(ODD):
        name, image = ODD[turn](texture(size, index))
        _save(folder, f"test/good/{index:05} {name}", image)
        if turn < TINY:
            folder.unreadable.append(folder.scored.pop())
        return
    exif = Image.Exif()
    exif[0x0112] = 6
    name = f"test/good/{index:05} turned.jpg"
    Image.fromarray(_bytes(texture(size, index))).save(folder.root / name, exif=exif)
    folder.scored.append(name)


def _write_damaged(folder: Folder, index: int, size: tuple[int, int]) -> None:
    stream = io.BytesIO()
    Image.fromarray(_bytes(texture(size, index))).save(stream, ("png", "tiff")[index // EVERY % 2])
    whole = stream.getvalue()
    middle = len(whole) // 2
    flipped = bytes(255 - byte for byte in whole[middle : middle + 64])
    kinds = {
        "empty.png": b"",
        "cut.png": whole[:middle],
        "flipped.png": whole[:middle] + flipped + whole[middle + 64 :],
        "words.jpg": b"these are words\n" * 20,
        "head.tif": whole[:8],
    }
    # What is flipped in a TIFF is a pixel like others.
    if whole[:2] in (b"II", b"MM"):
        del kinds["flipped.png"]
    kind = list(kinds)[index // EVERY % len(kinds)]
    name = f"test/good/{index:05} {kind}"
    (folder.root / name).write_bytes(kinds[kind])
    folder.unreadable.append(name)


def _write_copy(folder: Folder, index: int, size: tuple[int, int]) -> None:
    """The same bytes twice, the same pixels in two formats, or one that is learnt from."""
    kind = index // EVERY % 4
    pixels = _bytes(texture(size, index))
    if kind == 3:
        with Image.open(folder.root / "train/good/00000.png") as learnt:
            pixels = np.asarray(learnt)
    other = ("again.png", "again.bmp", "again.tif", "as one learnt.png")[kind]
    for name in (f"test/good/{index:05}.png", f"test/good/{index:05} {other}"):
        _save(folder, name, pixels)


def _write_junk(folder: Folder) -> None:
    for name in ("notes.txt", "test/good/Thumbs.db", "train/good/readme.md", "test/numbers"):
        (folder.root / name).write_bytes(b"no photograph")
        folder.aside.append(name)
    (folder.root / "test/bad/0001.heic").write_bytes(b"no photograph")
    folder.unreadable.append("test/bad/0001.heic")
    for name in (".DS_Store", "test/good/._00001.png", "train/good/.hidden.png"):
        (folder.root / name).write_bytes(b"hidden")
