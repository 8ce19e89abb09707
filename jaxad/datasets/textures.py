"""Textures with drawn defects, from three photographs inside scikit-image's wheel: no network, no files.

Images are grey, float32 in [0, 1], in steps of 1/255; positions and sizes are in pixels.
The left part of each 512 x 512 photograph is for training, the right part for testing,
and a gap between them keeps texture elements apart.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from jaxad._check import InputError, need_at_least, need_one_of
from jaxad.datasets.image_set import ImageSet

PHOTOGRAPHS = ("brick", "grass", "gravel")
COLUMNS = {"train": slice(0, 248), "test": slice(264, 512)}

FURTHEST, TILT = 1.25, 4.0
"""Of crops seen by hand: the distance, and 1 over the nearest; degrees."""

Photograph = Float[np.ndarray, "h w"]
Crop = Float[np.ndarray, "s s"]
Layer = tuple[Crop, Crop]
"""Opacity and paint, both in [0, 1]: the defect is opacity * paint over (1 - opacity) * image."""


def textures(
    name: str, split: str, *, seed: int = 0, size: int = 128, count: int = 100, by_hand: bool = False
) -> ImageSet:
    """Random crops of a photographed texture; in the test split every second one has a drawn defect.

    The same arguments give the same bits, and a smaller `count` gives the beginning of a larger one.
    Defects take turns (see `DEFECTS`) at random places, sizes and contrasts.
    A mask is True exactly where something was drawn, that is where the opacity is above zero: outside it
    the crop is untouched; inside it a pixel may keep its value by chance.

    Args:
      name: "brick", "grass" or "gravel".
      split: "train", all good, or "test"; the two share no pixel of the photograph.
      seed: of all random choices.
      size: height and width of the crops, 32 to 248 pixels, or to 185 `by_hand`.
      count: number of crops.
      by_hand: see each crop as a camera held by hand would: mirrored or not, from .8 to 1.25 times the distance, tilted
        by up to 4 degrees, in its own light and with its own noise. Without that crops of one split share pixels, and a
        limit by some of them is too low for any others.

    Returns:
      images [count, size, size, 1], labels [count] (0 good, 1 defective), masks [count, size, size],
      names "good" or the name of the defect.

    Raises:
      InputError: the texture or split is unknown, or the seed, size or count out of range.
    """
    need_one_of(name, PHOTOGRAPHS, what="texture")
    need_one_of(split, COLUMNS, what="split")
    need_at_least(seed, 0, what="seed")
    need_at_least(size, 32, what="size of a texture crop")
    need_at_least(count, 1, what="count of texture crops")
    widest = COLUMNS[split].stop - COLUMNS[split].start
    if by_hand:
        widest = int(widest / (FURTHEST * (1 + math.sin(math.radians(TILT)))))
    if size > widest:
        what = "what a hand shows of the width of a split" if by_hand else "the width of a split"
        raise InputError(f"size of a texture crop must be at most {widest}, {what}, got {size}")

    photograph = _photograph(name)[:, COLUMNS[split]]
    others = [_photograph(other)[:, COLUMNS[split]] for other in PHOTOGRAPHS if other != name]
    kinds = tuple(DEFECTS)
    images = np.empty((count, size, size, 1), np.float32)
    masks = np.zeros((count, size, size), bool)
    names = []
    for index in range(count):
        rng = np.random.default_rng([seed, PHOTOGRAPHS.index(name), list(COLUMNS).index(split), index])
        crop = (_seen_by_hand if by_hand else _crop)(photograph, rng, size=size)
        kind = kinds[index // 2 % len(kinds)] if split == "test" and index % 2 else "good"
        if kind != "good":
            crop, masks[index] = _drawn(crop, DEFECTS[kind](crop, others, rng))
        # The photographs have 8 bits; a finer drawing would give the defect away by its digits.
        images[index, ..., 0] = np.rint(crop * 255).astype(np.float32) / np.float32(255)
        names.append(kind)
    labels = np.array([kind != "good" for kind in names], np.int64)
    return ImageSet(images=images, labels=labels, masks=masks, names=tuple(names))


def _scratch(crop: Crop, others: list[Photograph], rng: np.random.Generator) -> Layer:
    """A thin bent line, lighter or darker than its surroundings."""
    from skimage.draw import line
    from skimage.filters import gaussian

    size = len(crop)
    length, angle = size * rng.uniform(0.25, 0.6), rng.uniform(0, np.pi)
    along = np.array([np.sin(angle), np.cos(angle)])
    middle = size * rng.uniform(0.38, 0.62, 2)
    bend = rng.uniform(-0.2, 0.2) * length * along[::-1] * (1, -1)
    # A quadratic curve through both ends; the bend moves its middle sideways.
    steps = np.linspace(-1, 1, 24)[:, None]
    points = middle + steps * length / 2 * along + (1 - steps**2) * bend
    points = np.rint(np.clip(points, 3, size - 4)).astype(int)
    opacity = np.zeros_like(crop)
    for start, end in itertools.pairwise(points):
        opacity[line(*start, *end)] = 1.0
    opacity = gaussian(opacity, rng.uniform(0.5, 1.1) * size / 128)
    paint = np.full_like(crop, rng.choice([0.02, 0.95]))
    return _firm(opacity / opacity.max()) * rng.uniform(0.65, 1.0), paint


def _stain(crop: Crop, others: list[Photograph], rng: np.random.Generator) -> Layer:
    """A blot with a ragged soft rim through which the texture still shows."""
    opacity = _blob(rng, size=len(crop), radius=rng.uniform(0.07, 0.2), ragged=0.5, soft=0.02)
    paint = np.clip(crop * rng.uniform(0.1, 0.4) if rng.random() < 0.7 else crop * 0.3 + 0.7, 0, 1)
    return opacity * rng.uniform(0.5, 0.9), paint


def _foreign_texture(crop: Crop, others: list[Photograph], rng: np.random.Generator) -> Layer:
    """A patch of another photograph, brought half way to the brightness of its new place."""
    patch = _crop(others[rng.integers(len(others))], rng, size=len(crop))
    opacity = _blob(rng, size=len(crop), radius=rng.uniform(0.1, 0.22), ragged=0.2, soft=0.015)
    return opacity, np.clip(patch + 0.5 * (crop.mean() - patch.mean()), 0, 1)


def _missing_piece(crop: Crop, others: list[Photograph], rng: np.random.Generator) -> Layer:
    """A sharp-edged hole with straight sides, nearly even in its depth."""
    from skimage.draw import polygon
    from skimage.filters import gaussian

    size = len(crop)
    radius = size * rng.uniform(0.06, 0.18)
    middle = rng.uniform(radius + 2, size - radius - 3, 2)
    corners = rng.integers(4, 8)
    angles = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
    reach = radius * rng.uniform(0.6, 1.0, (corners, 1))
    points = middle + reach * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    opacity = np.zeros_like(crop)
    opacity[polygon(points[:, 0], points[:, 1], crop.shape)] = 1.0
    grain = gaussian(rng.normal(size=crop.shape), 1.0) * 0.06
    return opacity, np.clip(rng.uniform(0.05, 0.3) + grain, 0, 1)


DEFECTS: dict[str, Callable[[Crop, list[Photograph], np.random.Generator], Layer]] = {
    "scratch": _scratch,
    "stain": _stain,
    "foreign_texture": _foreign_texture,
    "missing_piece": _missing_piece,
}


def _photograph(name: str) -> Photograph:
    import skimage.data

    return getattr(skimage.data, name)().astype(np.float64) / 255


def _crop(photograph: Photograph, rng: np.random.Generator, *, size: int) -> Crop:
    top, left = (rng.integers(length - size + 1) for length in photograph.shape)
    return photograph[top : top + size, left : left + size]


def _seen_by_hand(photograph: Photograph, rng: np.random.Generator, *, size: int) -> Crop:
    from scipy.ndimage import map_coordinates

    distance = rng.uniform(1 / FURTHEST, FURTHEST)
    tilt = math.radians(rng.uniform(-TILT, TILT))
    down, across = distance * (np.mgrid[:size, :size] - (size - 1) / 2)
    across = across * rng.choice([-1, 1])
    reach = distance * size * (math.cos(tilt) + abs(math.sin(tilt))) / 2
    middle = [rng.uniform(reach, length - reach) - 0.5 for length in photograph.shape]
    places = (
        middle[0] + down * math.cos(tilt) - across * math.sin(tilt),
        middle[1] + down * math.sin(tilt) + across * math.cos(tilt),
    )
    seen = map_coordinates(photograph, places, order=1, mode="nearest")
    lit = rng.uniform(0.85, 1.15) * seen + rng.uniform(-0.05, 0.05)
    return np.clip(lit + rng.normal(0, 0.02, lit.shape), 0, 1).astype(np.float32)


def _drawn(crop: Crop, layer: Layer) -> tuple[Crop, Bool[np.ndarray, "s s"]]:
    opacity, paint = layer
    return np.where(opacity > 0, opacity * paint + (1 - opacity) * crop, crop), opacity > 0


def _firm(opacity: Crop) -> Crop:
    # A rim too faint to see would make the mask wider than the defect.
    return np.where(opacity < 0.2, 0.0, opacity)


def _blob(rng: np.random.Generator, *, size: int, radius: float, ragged: float, soft: float) -> Crop:
    """Opacity of a random blob; `radius` and `soft` are shares of the size, `ragged` is a share of the radius."""
    from skimage.filters import gaussian

    margin = radius * (1 + ragged) + 3 * soft
    middle = size * rng.uniform(margin, 1 - margin, 2)
    stretch, angle = rng.uniform(0.7, 1.0), rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:size, :size]
    down, right = rows - middle[0], columns - middle[1]
    turned = np.hypot(
        down * np.cos(angle) + right * np.sin(angle), (right * np.cos(angle) - down * np.sin(angle)) / stretch
    )
    noise = gaussian(rng.normal(size=(size, size)), size * radius / 4)
    edge = size * radius * (1 + ragged * np.clip(noise / (2 * noise.std()), -1, 1))
    return _firm(gaussian((turned < edge).astype(np.float64), size * soft))
