"""Photographs of any sizes through few compiled programs, in batches of few sizes."""

import math
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, PyTree, Shaped

from jaxad._check import InputError
from jaxad.batching import BATCH_PIXELS, batch_size, run_ahead
from jaxad.canvases import Canvases, OneCanvas, View
from jaxad.detector.computing import Scored
from jaxad.extents import Batch, Extent
from jaxad.recipes import Recipe

BATCH_CANVASES = 256

Names = tuple[str, ...] | None
"""Which scores are wanted; None for all."""


class Shot(NamedTuple):
    """One photograph, prepared for the model, and which of its pixels count; see `jaxad.extents.Batch`."""

    pixels: Shaped[np.ndarray, "h w c"]
    counted: Bool[np.ndarray, "h w"] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


class Found(NamedTuple):
    """One score of one photograph, on the host."""

    score: float
    map: Float[np.ndarray, "h w"]


def score_shots(
    score: Callable[[Names, Batch], dict[str, Scored]],
    names: Names,
    shots: Sequence[Shot],
    recipe: Recipe,
    canvases: Canvases | OneCanvas | None,
    *,
    shares: int = 1,
) -> list[dict[str, Found] | InputError]:
    """Scores and maps of photographs of any sizes, by name, or why one cannot be scored, in their order.

    Args:
        score: names and a batch to scores `[b]` and maps `[b, h, w]` by name; compiled for each kind of batch.
        names: the scores that are wanted.
        shots: the photographs.
        recipe: puts the scores of parts together.
        canvases: what they are laid on; None where the model reads images of one size, which all have.
        shares: devices that share a batch.
    """
    refused: dict[int, InputError] = {}
    if canvases is not None:
        for index, shot in enumerate(shots):
            try:
                canvases.need(shot.size)
            except InputError as error:
                refused[index] = error
        canvases.admit(shot.size for shot in shots)
    of_parts = names and tuple(dict.fromkeys((*names, *(part.name for part in recipe.ingredients))))
    found: list[dict[str, Found]] = [{} for _ in shots]
    parts: dict[int, list[tuple[dict[str, float], int]]] = {}

    def run(laid: _Laid) -> PyTree | InputError:
        try:
            return score(of_parts if laid.kind.part else names, laid.batch)
        except InputError as error:
            return error

    for laid, scored in run_ahead(run, _batches(shots, canvases, shares, without=refused)):
        if isinstance(scored, InputError):
            refused |= {index: scored for index, _, _ in laid.places}
            continue
        for row, (index, view, count) in enumerate(laid.places):
            for name in names or scored:
                one = Found(float(scored[name].score[row]), scored[name].map[row])
                found[index][name] = _joined(found[index].get(name), one, view, shots[index].size)
            if laid.kind.part:
                images = {name: float(one.score[row]) for name, one in scored.items()}
                parts.setdefault(index, []).append((images, count))
    results: list[dict[str, Found] | InputError] = [refused.get(index, one) for index, one in enumerate(found)]
    for index, pieces in parts.items():
        if index in refused:
            continue
        scores, counts = zip(*pieces, strict=True)
        try:
            results[index] = {
                name: one._replace(score=recipe.whole(name, scores, counts, one.map, shots[index].counted))
                for name, one in found[index].items()
            }
        except InputError as error:
            results[index] = error
    return results


def _joined(before: Found | None, one: Found, view: View, size: tuple[int, int]) -> Found:
    """What one canvas says beside what others said of the same photograph."""
    top, left, bottom, right = view.core
    part = one.map[top - view.top : bottom - view.top, left - view.left : right - view.left]
    if part.shape == size:
        # A copy, or the whole batch would stay in memory.
        return Found(one.score, part.copy())
    whole = np.empty(size, part.dtype) if before is None else before.map
    whole[top:bottom, left:right] = part
    return Found(one.score, whole)


class _Kind(NamedTuple):
    """What the canvases of one batch have in common: each kind is another program."""

    canvas: tuple[int, int]
    exact: bool
    """Whether photographs fill their canvases."""
    part: bool
    """Whether canvases show parts of photographs."""
    channels: int
    dtype: np.dtype[Any]
    counted: bool


class _Laid(NamedTuple):
    """Canvases with photographs on them: of each which photograph, what of it, and how many of its pixels count."""

    kind: _Kind
    places: list[tuple[int, View, int]]
    batch: Batch


def _batches(
    shots: Sequence[Shot], canvases: Canvases | OneCanvas | None, shares: int, *, without: Container[int]
) -> Iterator[_Laid]:
    groups: dict[_Kind, list[tuple[int, View]]] = {}
    for index, shot in enumerate(shots):
        if index in without:
            continue
        views = [View(shot.size, 0, 0, (0, 0, *shot.size))] if canvases is None else canvases.views(shot.size)
        exact, part = canvases is None or canvases.is_exact(shot.size), len(views) > 1
        counted = part or shot.counted is not None
        for view in views:
            kind = _Kind(view.canvas, exact, part, shot.pixels.shape[2], shot.pixels.dtype, counted)
            groups.setdefault(kind, []).append((index, view))
    for kind, places in groups.items():
        most = min(BATCH_CANVASES, max(1, BATCH_PIXELS // math.prod(kind.canvas)))
        # Empty canvases cost little, and so have one program; copies of photographs cost as much as these.
        size = batch_size(len(places), most, shares=shares) if kind.exact else most * shares
        for begin in range(0, len(places), size):
            yield _laid_out(shots, places[begin : begin + size], size, kind)


def _laid_out(shots: Sequence[Shot], places: Sequence[tuple[int, View]], size: int, kind: _Kind) -> _Laid:
    """So many canvases; those behind the last photograph are copies of it where they are exact, else empty."""
    images = np.zeros((size, *kind.canvas, kind.channels), kind.dtype)
    counted = np.zeros((size, *kind.canvas), bool) if kind.counted else None
    extent = np.zeros((4, size), np.int32)
    kept = []
    for row, (index, view) in enumerate(places):
        shot, count = shots[index], math.prod(shots[index].size)
        window = np.s_[view.top : view.top + kind.canvas[0], view.left : view.left + kind.canvas[1]]
        pixels = shot.pixels[window]
        here = np.s_[row, : pixels.shape[0], : pixels.shape[1]]
        images[here] = pixels
        if counted is not None:
            top, left, bottom, right = view.core
            core = np.s_[row, top - view.top : bottom - view.top, left - view.left : right - view.left]
            counted[core] = True if shot.counted is None else shot.counted[top:bottom, left:right]
            count = int(np.count_nonzero(counted[row]))
        extent[:, row] = view.top, view.left, *shot.size
        kept.append((index, view, count))
    if not kind.exact:
        return _Laid(kind, kept, Batch(images, Extent(*extent), counted))
    for array in (images, counted):
        if array is not None:
            array[len(places) :] = array[len(places) - 1]
    return _Laid(kind, kept, Batch(images, None, counted))
