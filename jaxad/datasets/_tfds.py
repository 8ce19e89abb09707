"""MNIST and its relatives, read through TensorFlow Datasets (TFDS). Images are float32 in [0, 1].

TFDS needs TensorFlow to prepare a set, but none to read one that is stored as array records.
Decoding 60,000 records takes half a minute, so the decoded pixels are kept in the user's cache folder.
"""

import contextlib
import hashlib
import importlib.util
import logging
import os
import sys
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from jaxad._check import InputError, need_one_of
from jaxad._files import cache_folder, replacing
from jaxad.datasets.image_set import ImageSet

SETS = ("mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn_cropped")
SPLITS = ("train", "test")

# Images per class: what tells a set that was stored under another one's name.
_COUNTS = {
    "mnist": {
        "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    },
    "fashion_mnist": {"train": (6000,) * 10, "test": (1000,) * 10},
}

_RECORDS_AT_ONCE = 2000
_SECONDS_TO_ANSWER = 5.0


class _Decoded(NamedTuple):
    images: UInt8[np.ndarray, "n h w c"]
    labels: Int[np.ndarray, " n"]
    classes: np.ndarray


def tfds(
    name: str,
    split: str,
    *,
    labels: Sequence[int] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> ImageSet:
    """Load one split of a TFDS image classification set, in the order of its records.

    A set that is not prepared is downloaded and prepared where TensorFlow is installed.
    The first load decodes and fills the cache; later ones read the cache, until the set's files change.

    Args:
      name: "mnist" or "fashion_mnist"; further sets of one fixed image size are in `SETS`, less tested.
      split: "train" or "test".
      labels: keep only the images of these classes; all where None.
      data_dir: the folder that holds TFDS sets; where None, the environment variable TFDS_DATA_DIR
        and then ~/tensorflow_datasets, as in TFDS.
      cache_dir: the folder for decoded pixels; where None, the environment variable JAXAD_CACHE_DIR
        and then the user's cache folder. A folder that cannot be written costs time and a warning.

    Returns:
      images [n, h, w, c], labels [n] with the set's own classes, no masks, names of the classes.

    Raises:
      InputError: the set, split or label is not offered, or the set is not there and cannot be prepared.

    Warns:
      UserWarning: MNIST or Fashion-MNIST does not have its known number of images in every class.
    """
    need_one_of(name, SETS, what="data set")
    need_one_of(split, SPLITS, what="split")
    if data_dir is not None and not Path(data_dir).expanduser().is_dir():
        what = "it is a file" if Path(data_dir).expanduser().exists() else "no such folder"
        raise InputError(f"data_dir must be a folder that holds prepared sets, got {str(data_dir)!r}: {what}")
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser().resolve()

    file = _cache_file(cache_dir, name, split, root)
    decoded = _read_cache(file, _stamp(root / name))
    if decoded is None:
        decoded = _decode(name, split, root)
        _write_cache(file, decoded, _stamp(root / name))

    _warn_of_stranger(decoded, name, split, root)
    rows = _rows(decoded, labels, name)
    chosen = decoded.labels[rows]
    return ImageSet(
        images=decoded.images[rows].astype(np.float32) / np.float32(255),
        labels=chosen,
        names=tuple(decoded.classes[chosen].tolist()),
    )


def _warn_of_stranger(decoded: _Decoded, name: str, split: str, root: Path) -> None:
    counts = tuple(np.bincount(decoded.labels, minlength=len(decoded.classes)).tolist())
    wanted = _COUNTS.get(name, {}).get(split)
    if wanted is None or counts == wanted:
        return
    owners = [other for other, splits in _COUNTS.items() if splits[split] == counts]
    whose = f"the counts of {owners[0]!r}, so these are its images" if owners else f"{counts}"
    warnings.warn(
        f"data set {name!r} in {str(root)!r} is not what its name says: it should have {wanted} images a class and "
        f"has {whose}; remove {str(root / name)!r} and prepare it anew: {_command(name, root)}",
        stacklevel=3,
    )


def _rows(decoded: _Decoded, labels: Sequence[int] | None, name: str) -> np.ndarray | slice:
    if labels is None:
        return slice(None)
    if np.ndim(labels) != 1 or np.size(labels) == 0:
        raise InputError(f"labels must be a list of at least one class such as [1], or None for all, got {labels!r}")
    for label in labels:
        need_one_of(label, range(len(decoded.classes)), what=f"label of {name}")
    return np.isin(decoded.labels, [int(label) for label in labels])


def _decode(name: str, split: str, root: Path) -> _Decoded:
    with _quiet():
        import tensorflow_datasets

        builder: Any = tensorflow_datasets.builder(name, data_dir=root)
        if not builder.is_prepared():
            _prepare(builder, name, root)
            builder = tensorflow_datasets.builder(name, data_dir=root)
        try:
            source = builder.as_data_source(split)
            images = np.empty((len(source), *builder.info.features["image"].shape), np.uint8)
            labels = np.empty(len(source), np.int64)
            for start in range(0, len(source), _RECORDS_AT_ONCE):
                rows = range(start, min(start + _RECORDS_AT_ONCE, len(source)))
                records = source.__getitems__(list(rows))
                images[rows.start : rows.stop] = [record["image"] for record in records]
                labels[rows.start : rows.stop] = [record["label"] for record in records]
        except NotImplementedError:
            raise InputError(
                f"data set {name!r} in {str(root)!r} is stored as {builder.info.file_format.value}, "
                f"which only TensorFlow reads; prepare it as array_record in another folder: {_command(name, None)}"
            ) from None
        except ImportError as error:
            raise InputError(
                f"reading {name!r} needs a package that is not here ({error.msg}); pip install array-record, "
                "which has no build for Windows"
            ) from error
        except (OSError, ValueError, RuntimeError, IndexError) as error:
            raise InputError(
                f"data set {name!r} in {str(root)!r} cannot be read ({_first_line(error)}); "
                f"remove {str(root / name)!r} and prepare it anew: {_command(name, root)}"
            ) from error
        return _Decoded(images, labels, np.array(builder.info.features["label"].names))


def _prepare(builder: Any, name: str, root: Path) -> None:
    # TFDS itself would retry silently for minutes, so both of its needs are looked at first.
    if importlib.util.find_spec("tensorflow") is None:
        cause = "TensorFlow, which has to prepare it once, is not installed"
    else:
        try:
            _need_answer(getattr(builder, "URL", "https://storage.googleapis.com"))
            # TFDS prints on the standard output, which belongs to the caller's results.
            with contextlib.redirect_stdout(sys.stderr):
                builder.download_and_prepare(file_format="array_record")
            cause = f"an unfinished {str(builder.data_path)!r} is in the way, remove it"
        except Exception as error:
            cause = f"preparing it failed ({_first_line(error)})"
        if builder.is_prepared():
            return
    raise InputError(
        f"data set {name!r} is not prepared in {str(root)!r}: {cause}; "
        "point data_dir (--data-dir, TFDS_DATA_DIR) to a folder that holds it, "
        f"or prepare it: {_command(name, root)}"
    )


def _need_answer(url: str) -> None:
    # Any answer, even a refusal of the bare folder, shows that the network is there.
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS_TO_ANSWER).close()


def _command(name: str, root: Path | None) -> str:
    # Not `tfds build`: in TFDS 4.9.10 it fails without apache_beam.
    folder = "FOLDER" if root is None else str(root)
    code = (
        "import tensorflow_datasets as t; "
        f"t.builder({name!r}, data_dir={folder!r}).download_and_prepare(file_format='array_record')"
    )
    return f'pip install "jaxad[prepare]" && python -c "{code}"'


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # absl must make its own logger first: one of the plain class would stay for the whole process.
    import absl.logging  # noqa: F401

    logger = logging.getLogger("absl")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _cache_file(cache_dir: str | os.PathLike[str] | None, name: str, split: str, root: Path) -> Path:
    folder = Path(cache_dir) if cache_dir else cache_folder()
    source = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return folder.expanduser() / f"{name}-{split}-{source}.npz"


def _stamp(folder: Path) -> str:
    """Digest of the versions, sizes and times of a set's files; empty where there are none."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    facts = [(str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns) for path, stat in found]
    return hashlib.sha256(repr(facts).encode()).hexdigest() if facts else ""


def _read_cache(file: Path, stamp: str) -> _Decoded | None:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            if stamp and str(stored["stamp"]) == stamp:
                return _Decoded(stored["images"], stored["labels"], stored["classes"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


def _write_cache(file: Path, decoded: _Decoded, stamp: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as beside:
            np.savez(beside, stamp=np.array(stamp), **decoded._asdict())
    except OSError as error:
        warnings.warn(
            f"decoded images cannot be kept in {str(file.parent)!r} ({error.strerror}), so every load decodes anew; "
            "choose a writable folder with cache_dir or JAXAD_CACHE_DIR",
            stacklevel=3,
        )
