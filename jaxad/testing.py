"""Laws that every recipe keeps, yours too: run them in your own tests."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxad._check import InputError, need_images, raise_problems
from jaxad.detector import Detector, Scores
from jaxad.fitting import fit
from jaxad.pipeline import load
from jaxad.recipes import Recipe, from_document, to_document

RELATIVE = 1e-4
"""Of the largest score: what other batches, or jit, may change by rounding."""
SIDE = 32


def check_recipe(recipe: Recipe, *, images: Float[np.ndarray, "n h w c"] | None = None) -> None:
    """Fit a recipe on few images and check what all of jaxad relies on.

    Fitted twice with one key it gives the same bits, and so does its detector when it is saved and loaded. Scores are
    finite, one an image, with a map of its size; neither the order of images, nor which are scored together, nor jit
    changes them but by rounding. It comes back from JSON as it was, takes or refuses other sizes as it says, and no
    pixel counts further away than its `reach`, as far as one larger image shows that.

    Args:
        recipe: with few epochs, for it is trained twice.
        images: normal images `[n, h, w, c]` in [0, 1], n at least 8; by default 40 drawn ones of 32 x 32 pixels, grey.

    Raises:
        InputError: what is not kept, all of it at once; or what fitting refuses.

    >>> import jaxad
    >>> check_recipe(jaxad.RECIPES["gradient-neighbours"])
    """
    normal = _drawn() if images is None else np.asarray(images, np.float32)
    need_images(normal)
    key = jax.random.key(0)
    detector, again = (fit(key, recipe, normal)[0] for _ in range(2))
    some = normal[: min(8, len(normal))]
    scores = detector.score(some)
    laws: tuple[Callable[[], Iterator[str]], ...] = (
        lambda: _as_data(recipe),
        lambda: _of_shape(scores, some),
        lambda: _same_bits(scores, again.score(some), "fitted twice with the same key"),
        lambda: _saved(detector, some, scores),
        lambda: _alone(detector, some, scores),
        lambda: _compiled(detector, some, scores),
        lambda: _other_sizes(detector, some),
        lambda: _reach(detector, some),
    )
    what = f"recipe {recipe.name!r}"
    raise_problems(f"{what}: {problem}" for law in laws for problem in law())


def _as_data(recipe: Recipe) -> Iterator[str]:
    try:
        back = from_document(json.loads(json.dumps(to_document(recipe))))
    except (TypeError, InputError) as error:
        yield f"it must be written as JSON and read again, and is not: {error}; fields hold numbers, strings and tuples"
        return
    if back != recipe:
        yield f"read from its JSON it is another recipe, {back}"


def _of_shape(scores: Scores, images: np.ndarray) -> Iterator[str]:
    for name, values, shape in (("scores", scores.score, images.shape[:1]), ("maps", scores.map, images.shape[:3])):
        if np.shape(values) != shape or not np.isfinite(values).all():
            yield f"{name} of {len(images)} images must be finite and of shape {shape}, got shape {np.shape(values)}"


def _same_bits(scores: Scores, others: Scores, when: str) -> Iterator[str]:
    if not (np.array_equal(scores.score, others.score) and np.array_equal(scores.map, others.map)):
        yield f"{when} it scores otherwise, by up to {_furthest(scores, others):.3g}"


def _close(scores: Scores, others: Scores, when: str) -> Iterator[str]:
    limit = RELATIVE * max(np.abs(scores.score).max(), np.abs(scores.map).max())
    if not _furthest(scores, others) <= limit:
        yield f"{when} it scores otherwise, by up to {_furthest(scores, others):.3g}, where rounding is {limit:.3g}"


def _furthest(scores: Scores, others: Scores) -> float:
    return float(max(np.abs(scores.score - others.score).max(), np.abs(scores.map - others.map).max()))


def _saved(detector: Detector, images: np.ndarray, scores: Scores) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first.jaxad", Path(folder) / "second.jaxad"
        detector.save(first)
        loaded: Any = load(first)
        loaded.save(second)
        if first.read_bytes() != second.read_bytes():
            yield "loaded and saved again it is another file"
    before, after = str(jax.tree.structure(detector)), str(jax.tree.structure(loaded))
    if before != after:
        yield f"loaded its variables are otherwise arranged: {after}"
    yield from _same_bits(scores, loaded.score(images), "saved and loaded")


def _alone(detector: Detector, images: np.ndarray, scores: Scores) -> Iterator[str]:
    order = np.arange(len(images))[::-1]
    turned = detector.score(images[order])
    yield from _close(scores, Scores(turned.score[order], turned.map[order]), "in another order")
    one = detector.score(images[:1])
    yield from _close(Scores(scores.score[:1], scores.map[:1]), one, "alone")


def _compiled(detector: Detector, images: np.ndarray, scores: Scores) -> Iterator[str]:
    found = jax.jit(lambda detector, images: detector.apply(images)[detector.score_name])(detector, images)
    yield from _close(scores, Scores(np.asarray(found.score), np.asarray(found.map)), "under jax.jit")


def _other_sizes(detector: Detector, images: np.ndarray) -> Iterator[str]:
    """Larger images: refused by name, or scored, and alike whatever is scored beside them."""
    height, width = images.shape[1:3]
    larger = np.pad(images[:2], ((0, 0), (0, 5), (0, 3), (0, 0)), mode="reflect")
    if detector.recipe.compares_positions:
        try:
            detector.need_shape(larger.shape[1:])
        except InputError:
            return
        yield f"fitted on {height} x {width} pixels it takes {height + 5} x {width + 3}, though it compares positions"
        return
    mixed = detector.score([larger[0], *images[:2], larger[1, : height + 2]])
    alone = [detector.score(one) for one in (larger[0], *images[:2], larger[1, : height + 2])]
    for image, score_map, one in zip(mixed.score, mixed.map, alone, strict=True):
        yield from _close(one, Scores(image[None], score_map[None]), f"beside other sizes, at {score_map.shape},")


def _reach(detector: Detector, images: np.ndarray) -> Iterator[str]:
    """One pixel in a corner made otherwise: further off than the recipe reaches, the map stays as it is."""
    reach = detector.recipe.reach
    if reach is None or detector.recipe.compares_positions:
        return
    whole = np.pad(images[:1], ((0, 0), (0, 5), (0, 3), (0, 0)), mode="reflect")
    changed = whole.copy()
    changed[:, 0, 0] = whole[:, 0, 0] < 0.5
    before, after = (detector.score(some).map[0] for some in (whole, changed))
    away = np.maximum(*np.indices(before.shape))
    moved = np.abs(after - before) > RELATIVE * np.abs(before).max()
    if away[moved].max(initial=0) > reach:
        yield f"a pixel counts in the map {away[moved].max()} pixels away, and by its reach {reach} is the furthest"


def _drawn() -> Float[np.ndarray, "n h w c"]:
    """Bright and dark waves with noise, somewhat shifted."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    shifts = rng.normal(0, 0.02, (40, 1, 1))
    waves = 0.5 + 0.3 * np.sin(9 * (rows[None] + shifts)) * np.cos(7 * columns[None])
    return np.clip(waves + 0.05 * rng.normal(size=waves.shape), 0, 1).astype(np.float32)[..., None]
