"""Argument checks: each raises one `InputError` that says what was wanted, what came and how to mend it."""

import contextlib
import difflib
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from jaxad._addresses import is_address, shown

FLOATS = (np.float16, np.float32, np.float64)
"""What the device takes. Longer floats, and those in another machine's order of bytes, are none of these."""

ROUNDING = 1e-6
"""How far float values may lie outside [0, 1]: resizing and converting leave their last digits there."""


class InputError(ValueError):
    """What the caller gave cannot be used; the message says what was wanted, what came and the mend."""


def raise_problems(problems: Iterable[str]) -> None:
    """Raise one `InputError` that lists every problem, or nothing where there is none."""
    found = list(problems)
    if found:
        raise InputError(found[0] if len(found) == 1 else "\n".join(["several problems:", *(f"  {p}" for p in found)]))


@contextlib.contextmanager
def needing(extra: str, *, what: str) -> Iterator[None]:
    """Say of a package whose import fails inside which extra of jaxad brings it, and what it is for."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"{what} takes {error.name}, which is not installed: pip install 'jaxad[{extra}]'") from None


@contextlib.contextmanager
def naming(place: int) -> Iterator[None]:
    """Say of what is refused inside which image of many it is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"image {place} cannot be scored: {error}") from None


def name_some(words: Sequence[str], *, most: int = 10) -> str:
    """The first words for a sentence, and how many more there are.

    >>> name_some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def name_changes(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What two descriptions of one thing do not agree on, each in words.

    >>> name_changes({"epochs": 3, "seed": 0}, {"epochs": 5, "seed": 0})
    ['epochs was 3 and is now 5']
    """
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} was {before.get(name)!r} and is now {now.get(name)!r}" for name in names]


def need_fields(document: object, kind: Any, *, what: str, of: str = "this version of jaxad") -> Any:
    """What was read from JSON as the type `kind`; refuse fields of other types, missing and unknown ones."""
    try:
        value = msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{what} does not have the fields of {of}: {error}") from None
    try:
        known = msgspec.to_builtins(value)
    except TypeError as error:
        raise InputError(f"{what} has a field that no file could hold: {error}") from None
    unknown = _unknown(document, known)
    raise_problems(f"{what} has an unknown field {name!r}, which {of} lacks" for name in unknown)
    return value


def _unknown(document: object, known: object, holder: str = "") -> Iterator[str]:
    if isinstance(document, Mapping) and isinstance(known, Mapping):
        for name, entry in document.items():
            if name in known:
                yield from _unknown(entry, known[name], f"{holder}{name}.")
            else:
                yield f"{holder}{name}"


def need_pair(value: Any, *, what: str) -> tuple[int, int]:
    """The value as two whole numbers, down and across."""
    try:
        pair = tuple(need_whole(each, what=what) for each in value)
    except (TypeError, InputError):
        pair = ()
    if len(pair) != 2:
        raise InputError(f"{what} must be two whole numbers, down and across, such as (8, 8), got {value!r}")
    return pair


def need_whole(value: Any, *, what: str) -> int:
    """The value as a whole number; a truth value is none."""
    with contextlib.suppress(TypeError):
        if not isinstance(value, bool):
            return operator.index(value)
    raise InputError(f"{what} must be a whole number, got {value!r}")


def need_one_of(value: object, choices: Iterable[object], *, what: str) -> None:
    """Refuse a value that is not among the choices, and name the closest one."""
    known = [str(choice) for choice in choices]
    if str(value) in known:
        return
    close = difflib.get_close_matches(str(value), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"unknown {what} {str(value)!r}: choose one of {', '.join(known)}{hint}")


def need_at_least(value: int | float, low: int | float, *, what: str) -> None:
    """Refuse a number below `low`."""
    if not value >= low:
        raise InputError(f"{what} must be at least {low}, got {value}")


def need_share(value: float, *, what: str) -> None:
    """Refuse what is no number strictly between 0 and 1."""
    try:
        inside = bool(0 < value < 1)
    except (TypeError, ValueError):
        inside = False
    if not inside:
        raise InputError(f"{what} must lie strictly between 0 and 1, got {value}")


def need_images(images: object, *, what: str = "images", any_dtype: bool = False) -> None:
    """Refuse what is not a float [n, h, w, c] array, or one of any dtype; values are not looked at."""
    shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
    if shape is None or dtype is None:
        listed = images if isinstance(images, list | tuple) and images else [images]
        first, mended = listed[0], "put images of one size together by numpy.stack"
        if len({getattr(one, "shape", None) for one in listed}) > 1:
            mended = "bring them to one size, or save them as files, which jaxad.folders.fit_folder takes in any sizes"
        if isinstance(first, str | os.PathLike):
            mended = "files are fitted on by jaxad.folders.fit_folder, on the command line by jaxad fit DIR"
        raise InputError(f"{what} must be a float32 array [n, h, w, c], got {type(images).__name__}; {mended}")
    if len(shape) != 4:
        mend = {2: "add both axes: x[None, ..., None]", 3: "add the missing axis: x[..., None] or x[None]"}
        raise InputError(
            f"{what} must have four axes [n, h, w, c], got shape {tuple(shape)}; "
            + mend.get(len(shape), "reshape it to [n, h, w, c]")
        )
    if not any_dtype and dtype not in FLOATS:
        white = " / 255" if getattr(dtype, "kind", "") in ("i", "u") else ""
        raise InputError(f"{what} must be float32 in [0, 1], got {dtype}; convert it: x.astype('float32'){white}")
    if 0 in shape:
        raise InputError(f"{what} must hold at least one image and one pixel, got shape {tuple(shape)}")


def need_floats(values: object, axes: str, *, what: str) -> None:
    """Refuse what is not a float array with axes such as "n h w", or with any where "..."; values are not looked at."""
    wanted = f"{what} must be a float32 array [{', '.join(axes.split())}]"
    shape, dtype = getattr(values, "shape", None), getattr(values, "dtype", None)
    if shape is None or dtype is None:
        raise InputError(f"{wanted}, got {type(values).__name__}")
    if (axes != "..." and len(shape) != len(axes.split())) or 0 in shape:
        raise InputError(f"{wanted} with no axis of length 0, got shape {tuple(shape)}")
    if dtype not in FLOATS and dtype.name != "bfloat16":
        raise InputError(f"{wanted}, got {dtype}; convert it: x.astype('float32')")


def need_numbers(values: object, *, what: str) -> np.ndarray:
    """The values as an array; refuse what is not made of real numbers, or of False and True."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{what} must be an array of numbers, got rows of different lengths") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be an array of numbers, got {array.dtype}; convert it: x.astype('float32')")
    return array


def mend_axes(shape: tuple[int, ...]) -> str:
    """How an array of this shape, which is no photograph and not many of them, becomes one."""
    number = len(shape)
    if number not in (3, 4) or 0 in shape:
        return "give each photograph its height and width, of at least one pixel"
    first, channels = shape[-3], shape[-1]
    if channels in (2, 4) and first > 4:
        return mend_opacity(channels)
    if first in (1, 3, 4) and min(shape[-2:]) > 4:
        moved = ("x.transpose(1, 2, 0)" if number == 3 else "x.transpose(0, 2, 3, 1)") + "[..., :3]" * (first == 4)
        grey = f"; or, if these are {first} grey images, add their axis of channels: x[..., None]"
        return f"move the channels last: {moved}{grey if number == 3 and first > 1 else ''}"
    if number == 3:
        return f"if these are {first} grey images, add their axis of channels: x[..., None]"
    return "keep 1 channel of grey or 3 of colour"


def mend_opacity(channels: int) -> str:
    """How images with so many channels, 2 or 4, of which the last one is opacity, lose it."""
    return f"drop the opacity: x[..., :{channels - 1}]"


def need_channels_last(shape: tuple[int, ...], *, what: str = "images") -> None:
    """Refuse axes `[n, c, h, w]`, as PyTorch has them: 1, 3 or 4 in place of the height and more than 4 channels.

    Any number of channels is taken; only together with so few rows, and more columns than 4, is it no image.
    """
    _, height, width, channels = shape
    if height in (1, 3, 4) and min(width, channels) > 4:
        raise InputError(
            f"{what} must have their channels last, [n, h, w, c], got shape {tuple(shape)}, which would be {channels} "
            f"channels of {height} x {width} pixels; move the axis: x.transpose(0, 2, 3, 1)"
        )


def need_unit_range(images: np.ndarray, *, any_range: bool = False, what: str = "images", place: int = 0) -> np.ndarray:
    """The images, those of rounding brought into [0, 1]; refuse NaN, infinities and, unless `any_range`, other values.

    The error names the first image that holds one, counted from `place`.
    """
    low, high = float(np.min(images)), float(np.max(images))
    if low >= 0.0 and high <= 1.0:
        return images
    axes = tuple(range(1, images.ndim))
    if not (np.isfinite(low) and np.isfinite(high)):
        first = place + int(np.argmax(~np.isfinite(images).all(axis=axes)))
        raise InputError(f"{what} must be finite, got NaN or infinity, first in image {first}; mend or drop it")
    if any_range:
        return images
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return np.clip(images, 0, 1)
    first = place + int(np.argmax(((images < -ROUNDING) | (images > 1 + ROUNDING)).any(axis=axes)))
    mend = "divide by 255" if low >= 0 and 1.5 < high <= 255 else "scale or clip them first"
    raise InputError(
        f"{what} must lie in [0, 1], got values from {low:.8g} to {high:.8g}, first outside in image {first}; {mend}"
    )


def need_window(shape: tuple[int, ...], size: tuple[int, int], stride: tuple[int, int]) -> None:
    """Refuse a window or stride that is no pair, or does not fit images of height and width `shape`."""
    size, stride = need_pair(size, what="size"), need_pair(stride, what="stride")
    problems, small = [], []
    for axis, length, window, step in zip(("height", "width"), shape, size, stride, strict=True):
        if window < 1 or step < 1:
            problems.append(f"window and stride must be at least 1 pixel, got {window} and {step} along the {axis}")
        elif window > length:
            small.append((f" {axis}", window, length))
        elif step > window:
            problems.append(
                f"stride must not exceed the window, or pixels go unscored: "
                f"got stride {step} for a window of {window} along the {axis}"
            )
    if small:
        axes, wanted, got = zip(*small, strict=True)
        problems.append(
            f"image{axes[0] if len(axes) == 1 else ''} must be at least the window's {' x '.join(map(str, wanted))} "
            f"pixels, got {' x '.join(map(str, got))}; use larger images or a smaller window"
        )
    raise_problems(problems)


def need_local(path: str | os.PathLike[str], *, what: str) -> None:
    """Refuse an address such as s3://bucket/folder."""
    if is_address(path):
        raise InputError(
            f"{what} must be on a disk, got {shown(path)!r}; write it there and copy it, for only results of "
            "`jaxad score` are written to addresses"
        )


def need_output_folder(path: str | os.PathLike[str], *, what: str = "output folder", option: str = "--out") -> Path:
    """Make the folder if need be and return it; refuse an address, and one that cannot be written."""
    need_local(path, what=what)
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{what} {str(folder)!r} cannot be made: {error.strerror}; choose another with {option}"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{what} {str(folder)!r} cannot be written; choose another with {option}")
    return folder


def need_same_shape(first: np.ndarray, second: np.ndarray, *, what: str) -> None:
    """Refuse two arrays of different shapes, which NumPy would broadcast in silence."""
    if first.shape != second.shape:
        raise InputError(f"{what} must have the same shape, got {first.shape} and {second.shape}")


def need_finite(values: np.ndarray, *, what: str) -> None:
    """Refuse NaN and infinities, and say how many there are."""
    bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise InputError(f"{what} must be finite, got NaN or infinity in {bad} of {np.size(values)} places")


def need_binary(values: np.ndarray, *, what: str) -> None:
    """Refuse an array that holds anything but 0 and 1, or False and True."""
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        other = np.setdiff1d(values, (0, 1))[0]
        raise InputError(f"{what} must be 0 or 1 (False or True), got {other}")
