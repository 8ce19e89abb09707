"""Choosing a recipe by normal images alone: which one tells them best from defects drawn on them?"""

import math
import time
import warnings
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxad import metrics
from jaxad._check import InputError, need_images, need_unit_range
from jaxad._types import Images, PRNGKey
from jaxad.defects import draw_on_each, mix, turn_by_half, turn_upside_down
from jaxad.detector import Candidate, Detector
from jaxad.fitting.health import BLIND
from jaxad.recipes import ChoiceRecipe, Recipe
from jaxad.thresholds import FEWEST, count_held_out

DRAWN = 400
"""Images with defects to judge by, at least, so that few held-out images are drawn on several times."""
VALUES = 2**23
"""Numbers of the images to judge by, and of those with defects: 93 grey images of 300 x 300; more time buys little."""
ROUNDS = 2
"""Times that defects are drawn on every image to judge by, at least, however large it is."""
FEWEST_JUDGED = 64
"""Images to judge by whatever their size, where there are so many: closed forms have some twenty numbers to find."""
WHOLE = (turn_upside_down, turn_by_half, mix)
"""What makes an image wrong as a whole."""
WAYS = ("with a defect drawn", "upside down", "turned by half", "mixed with another")
ALIGNED = 0.1
"""Share of the variance that aligned images have in common; see `choose`."""

TOLD = 0.7
"""AUROC of images with a defect drawn at which a candidate tells enough, though it be blind to the whole: a surface
looks the same upside down."""

OnCandidate = Callable[[int, int], None]


class NothingToldWarning(UserWarning):
    """No candidate of `auto` tells normal images from such that were made wrong."""


def choose(
    key: PRNGKey,
    recipe: ChoiceRecipe,
    images: Images,
    *,
    fit: Callable[[PRNGKey, Recipe, Images], Detector],
    on_candidate: OnCandidate | None = None,
) -> tuple[Recipe, tuple[Candidate, ...]]:
    """The candidate that separates best, and what was found about each, in the order of `recipe.candidates`.

    Candidates that compare images position by position are left out where the images show nothing at fixed positions,
    such as crops of a surface: there they would learn the held-out crops' neighbours by heart. Of large images fewer
    are judged by, so that the choice takes a minute and not hours. A `NothingToldWarning` says where even the best
    separates below `BLIND`, and tells drawn defects below `TOLD`.

    Args:
        key: draws the images to hold out, the defects, and what the candidates draw.
        recipe: the candidates, and how many images to judge them by.
        images: normal images `[n, h, w, c]`.
        fit: fits one candidate on some of the images.
        on_candidate: called with the candidates done and how many there are.

    Raises:
        InputError: wrong images, too few to hold 2 out and keep 2, or none of the candidates can be fitted.
    """
    need_images(images)
    need_unit_range(np.asarray(images))
    order_key, local_key, fit_key = jax.random.split(key, 3)
    affordable = VALUES // math.prod(images.shape[1:])
    most = min(recipe.images, max(FEWEST_JUDGED, affordable))
    some = np.asarray(jax.random.permutation(order_key, len(images)))[:most]
    count = count_held_out(len(some), share=recipe.holdout) or FEWEST
    if not 0 < recipe.holdout < 1 or len(some) < count + 2:
        raise InputError(
            f"{recipe.name} holds 2 images or more out to judge by and fits on 2 or more; got {len(images)} images, of "
            f"which its own holdout is {recipe.holdout:g}: use more images, or name a recipe"
        )
    held, rest = np.asarray(images)[some[:count]], np.asarray(images)[some[count:]]
    repeated = np.tile(held, (min(-(-DRAWN // count), max(ROUNDS, affordable // count)), 1, 1, 1))
    altered = [draw_on_each(local_key, repeated), *(alter(held) for alter in WHOLE)]
    shared, found = _shared_variance(rest), []
    told: dict[int, list[float]] = {}
    for i, candidate in enumerate(recipe.candidates):
        began, separation, reason = time.perf_counter(), None, ""
        try:
            if shared < ALIGNED and candidate.compares_positions:
                raise InputError(
                    f"it compares positions, but only {shared:.0%} of what the images vary is at fixed positions "
                    f"({ALIGNED:.0%} or more where they are aligned)"
                )
            detector = fit(jax.random.fold_in(fit_key, i), candidate, rest)
            normal = detector.score(held).score
            told[i] = [metrics.auroc_between(normal, detector.score(x).score) for x in altered]
            separation = float(np.mean(told[i]))
        except InputError as error:
            reason = str(error)
        found.append(Candidate(candidate.name, separation, time.perf_counter() - began, reason))
        if on_candidate is not None:
            on_candidate(i + 1, len(recipe.candidates))
    separations = [-1.0 if candidate.separation is None else candidate.separation for candidate in found]
    if max(separations, default=-1.0) < 0:
        reasons = "".join(f"\n  {candidate.name}: {candidate.reason}" for candidate in found)
        raise InputError(f"{recipe.name} could fit none of its candidates:{reasons}")
    best = int(np.argmax(separations))
    if separations[best] < BLIND and told[best][0] < TOLD:
        warnings.warn(_nothing_told(recipe, found[best], told[best], count=len(told)), NothingToldWarning, stacklevel=2)
    return recipe.candidates[best], tuple(found)


def _nothing_told(recipe: ChoiceRecipe, best: Candidate, told: Sequence[float], *, count: int) -> str:
    each = ", ".join(f"{auroc:.2f} {way}" for auroc, way in zip(told, WAYS, strict=True))
    return (
        f"{recipe.name} found no recipe that tells good images from copies made wrong: the best of {count}, "
        f"{best.name}, does so with a mean AUROC of {best.separation:.2f}, where chance is 0.50 and {BLIND:.2f} is "
        f"wanted ({each}); try the recipe surface, more photographs, or a region of interest"
    )


def _shared_variance(images: Images) -> float:
    """Share of the pixels' variance that lies between positions and not between images, in [0, 1].

    The intraclass correlation of Fisher, "Statistical methods for research workers", 1925: 0 on average where any pixel
    may stand at any position, 1 where all images are the same.
    """
    n = len(images)
    between, total = np.var(np.mean(images, axis=0), axis=(0, 1)).sum(), np.var(images, axis=(0, 1, 2)).sum()
    return float(np.clip((n * between / total - 1) / (n - 1), 0, 1)) if total > 0 else 1.0
