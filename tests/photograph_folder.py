"""Small folders of photographs for tests, and recipes that fit on them in seconds."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jaxad import Detector
from jaxad.detector import template
from jaxad.methods import GRADIENT_NEIGHBOURS, PATCH_VAE
from jaxad.methods.rows import PATCH_COMPONENTS
from jaxad.recipes import Recipe

QUICK = dataclasses.replace(
    PATCH_VAE, window=(8, 8), stride=(4, 4), filters=(4,), latent_dim=2, crops=500, epochs=1, pool="max"
)
WHOLE = dataclasses.replace(GRADIENT_NEIGHBOURS, transform="none", count=1)
AT_ONCE = dataclasses.replace(PATCH_COMPONENTS, crops=500, scales=((4, 2, 4),))
"""Of windows, fitted in closed form."""
SPOT = (slice(12, 20), slice(16, 24))
"""Where a bad photograph is white: rows 12 to 19 and columns 16 to 23."""


def untrained(recipe: Recipe, shape: tuple[int, int, int]) -> Detector:
    """A detector with random variables, for images of height, width and channels."""
    rng = np.random.default_rng(0)
    shapes = template(recipe, shape, {})
    return Detector(recipe, shape, jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype("f4"), shapes))


def photograph(
    index: int, size: tuple[int, int] = (32, 40), *, bad: bool = False, dtype: type = np.uint8
) -> np.ndarray:
    """A dim slanted wave with noise, grey [h, w]; a bad one has a white square in SPOT."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[: size[0], : size[1]]
    wave = 0.3 + 0.1 * np.sin((rows + 2 * columns) / 3 + rng.uniform(0, 6)) + rng.normal(0, 0.02, size)
    if bad:
        wave[SPOT] = 1.0
    return np.rint(wave * np.iinfo(dtype).max).astype(dtype)


def unlike_each_other(count: int) -> np.ndarray:
    """Images [count, 24, 24, 1] in [0, 1] from even to rough: they differ as much as any defect would make them."""
    rng = np.random.default_rng(0)
    rough = rng.random((count, 24, 24, 1)) ** rng.uniform(0.1, 8, (count, 1, 1, 1))
    images = rng.random((count, 1, 1, 1)) * rough
    even = np.broadcast_to(images.mean((1, 2), keepdims=True), images.shape)
    return np.where(rng.integers(0, 2, (count, 1, 1, 1)) == 1, even, images).astype(np.float32)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_set(root: Path, *, train: int = 12, good: int = 4, bad: int = 4) -> Path:
    """A set in the layout of MVTec AD: grey photographs of one size, the bad ones with their masks."""
    mask = np.zeros((32, 40), np.uint8)
    mask[SPOT] = 255
    for index in range(train):
        save(root / "train" / "good" / f"{index:03}.png", photograph(index))
    for index in range(good):
        save(root / "test" / "good" / f"{index:03}.png", photograph(100 + index))
    for index in range(bad):
        save(root / "test" / "spot" / f"{index:03}.png", photograph(200 + index, bad=True))
        save(root / "ground_truth" / "spot" / f"{index:03}_mask.png", mask)
    return root
