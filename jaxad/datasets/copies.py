"""Copies of one photograph: files of the same bytes, or of the same pixels in another form.

A photograph that lies on both sides of a split makes a detector look better, and its threshold lower, than they are.
Copies that were compressed anew, and frames of one film, have other pixels: they are not left out, but told.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image

from jaxad._addresses import at
from jaxad.datasets.folder import Survey
from jaxad.datasets.layouts import GOOD
from jaxad.images.photograph import Photograph, UnreadableError, read_photographs

SMALL_SIDE = 32
"""Pixels of the small picture by which near copies are found."""
NEAR = 1 / 255
"""Root mean square of what two small pictures differ in: at most one grey level. Those of one photograph that was saved
anew differed in half of one, those of different parts in the same place in two at least."""
NEARER = 0.1
"""And at most this share of what two photographs differ in by the median: all pictures of an even surface are alike."""
MOST_SMALL = 1000
"""Photographs of which a small picture is kept: their number is not bounded, and memory is."""


class Copies(NamedTuple):
    """Copies that a split has to look after, each with the file that it is a copy of."""

    repeated: dict[Path, Path]
    """Normal images to learn from that are there already."""
    leaked: dict[Path, Path]
    """Good test images that are among those to learn from."""
    contradictory: dict[Path, Path]
    """Images that are good by one of their files and defective by another."""
    doubled: dict[Path, Path]
    """Test images that are there already, under the same label or that of another defect."""

    def not_learned(self, root: Path) -> list[tuple[Path, str]]:
        """Normal images that are not to be learned from, each with the reason."""

        def name(path: Path) -> str:
            return repr(path.relative_to(root).as_posix())

        return [
            *(
                (path, f"the same photograph as {name(first)}, which counts once")
                for path, first in self.repeated.items()
            ),
            *(
                (path, f"the same photograph as {name(other)}, of which one is good and one defective")
                for path, other in self.contradictory.items()
            ),
        ]


def group_copies(*digests: Mapping[Path, str]) -> list[tuple[Path, ...]]:
    """Files that share a digest of any kind, directly or by others between them; a file without copies stands alone.

    Each mapping is of one kind and may leave files out. Groups and files in them keep the order of the mappings.

    >>> group_copies({Path("a"): "1", Path("b"): "2", Path("c"): "1"}, {Path("b"): "x", Path("d"): "x"})
    [(PosixPath('a'), PosixPath('c')), (PosixPath('b'), PosixPath('d'))]
    """
    groups: dict[Path, list[Path]] = {}
    for kind in digests:
        first: dict[str, Path] = {}
        for path, digest in kind.items():
            mine = groups.setdefault(path, [path])
            theirs = groups[first.setdefault(digest, path)]
            if mine is not theirs:
                theirs += mine
                groups |= dict.fromkeys(mine, theirs)
    order = {path: place for place, path in enumerate(dict.fromkeys(path for kind in digests for path in kind))}
    whole = {id(group): group for group in groups.values()}.values()
    return sorted((tuple(sorted(group, key=order.__getitem__)) for group in whole), key=lambda group: order[group[0]])


def file_sum(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with at(path).open("rb") as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


def pixel_sum(samples: Shaped[np.ndarray, "h w c"]) -> str:
    """SHA-256 of decoded samples and their shape `[h, w, c]`, in hexadecimal digits.

    8 bits saved as 16 are the same; grey saved as colour is another photograph.
    """
    if samples.dtype == np.uint16 and not (samples % 257).any():
        samples = (samples // 257).astype(np.uint8)
    digest = hashlib.sha256(repr((samples.shape, samples.dtype.str)).encode())
    digest.update(np.ascontiguousarray(samples).data)
    return digest.hexdigest()


def find_copies(found: Survey) -> Copies:
    """The copies among the images of a folder that must not be taken for different photographs.

    Only files of the same size have their bytes read. Pixels are decoded only of images of the same height, width and
    channels and the same stem in another form, such as 000.png and 000.bmp; other copies in another form show where
    images are decoded anyway.
    """
    defects = {item.path: item.defect for item in (*found.train, *found.test)}
    train = {item.path for item in found.train}
    copies = Copies({}, {}, {}, {})
    for group in group_copies(dict(zip(defects, map(str, defects), strict=True)), *_digests(found, list(defects))):
        good = [path for path in group if defects[path] == GOOD]
        bad = [path for path in group if defects[path] != GOOD]
        learned, tested = [path for path in good if path in train], [path for path in group if path not in train]
        if good and bad:
            copies.contradictory.update(dict.fromkeys(good, bad[0]) | dict.fromkeys(bad, good[0]))
        elif learned:
            copies.repeated.update(dict.fromkeys(learned[1:], learned[0]))
            copies.leaked.update(dict.fromkeys(tested, learned[0]))
        else:
            copies.doubled.update(dict.fromkeys(tested[1:], tested[0]))
    return copies


class Sums(NamedTuple):
    """By what a photograph is known again: SHA-256 of the file's bytes, and of what `pixel_sum` looks at."""

    file: str
    pixels: str
    small: Float[np.ndarray, "side side"] | None = None
    """It in grey, made small; of the first thousand."""


def near_copies(known: Mapping[Path, Sums]) -> dict[Path, Path]:
    """Photographs that differ from another one by hardly more than noise, each with the nearest."""
    small = {path: one.small for path, one in known.items() if one.small is not None}
    if len(small) < 2:
        return {}
    paths, rows = list(small), np.stack([one.ravel() for one in small.values()]).astype(np.float64)
    squares = np.sum(rows**2, axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0) / rows.shape[1])
    limit = min(NEAR, NEARER * float(np.median(distances[np.triu_indices(len(paths), 1)])))
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    return {path: paths[nearest[i]] for i, path in enumerate(paths) if distances[i, nearest[i]] <= limit}


def doubt_near_copies(known: Mapping[Path, Sums]) -> list[str]:
    """A sentence where some of the photographs that were fitted on are near copies of others."""
    near = near_copies(known)
    if not near:
        return []
    first, other = next(iter(near.items()))
    return [
        f"photographs that differ from another by hardly more than noise: {len(near)} of {len(known)}, first "
        f"{first.name!r} from {other.name!r}; held-out ones look like those learned from, so neither the threshold nor "
        "its interval holds for new parts: keep one of each"
    ]


class RepeatedError(UnreadableError):
    """A file that is a copy of another one, which counts once; nothing is wrong with it."""


class Once:
    """Photographs that were read with their sums, each once.

    Attributes:
        sums: the digests of each file that was taken.

    `known` are files that were taken elsewhere, likewise, of which no copy is to be taken.
    """

    def __init__(self, known: Mapping[Path, Sums]) -> None:
        self.sums: dict[Path, Sums] = {}
        self._first = {sums.pixels: path for path, sums in known.items()}

    def refuse(self, path: Path, photograph: Photograph) -> RepeatedError | None:
        """Take a file with these samples `[h, w, c]`, or say of which one it is a copy."""
        digest = pixel_sum(photograph.samples)
        first = self._first.setdefault(digest, path)
        if first != path:
            return RepeatedError(path, f"the same photograph as {first.name!r}, which counts once")
        small = _small(photograph.samples) if len(self.sums) < MOST_SMALL else None
        self.sums[path] = Sums(photograph.sha256, digest, small)
        return None


def _small(samples: Shaped[np.ndarray, "h w c"]) -> Float[np.ndarray, "side side"]:
    white = np.iinfo(samples.dtype).max if np.issubdtype(samples.dtype, np.integer) else 1
    grey = Image.fromarray(samples.mean(axis=-1, dtype=np.float32) / np.float32(white))
    return np.asarray(grey.resize((SMALL_SIDE, SMALL_SIDE), Image.Resampling.BOX))


def _digests(found: Survey, paths: Sequence[Path]) -> tuple[dict[Path, str], dict[Path, str]]:
    """Digests of bytes and of pixels, of files that may be copies of others."""

    def form(path: Path) -> tuple[object, ...]:
        header = found.headers[path]
        return header.height, header.width, header.channels, path.stem.casefold()

    of_bytes = {path: file_sum(path) for group in _alike(paths, lambda path: at(path).stat().st_size) for path in group}
    in_other_forms = [
        path for group in _alike(paths, form) if len({path.suffix.lower() for path in group}) > 1 for path in group
    ]
    of_pixels = {
        path: pixel_sum(read.samples)
        for path, read in read_photographs(in_other_forms)
        if not isinstance(read, UnreadableError)
    }
    return of_bytes, of_pixels


def _alike(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    """The paths by what a key gives, where it gives the same for several."""
    groups: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return [group for group in groups.values() if len(group) > 1]
