"""What a detector says of the images that it was fitted on, each left out of what it is judged by."""

from collections.abc import Iterator

import jax
import numpy as np

from jaxad._types import Images, Maps
from jaxad.batching import filled
from jaxad.detector.detector import Detector
from jaxad.recipes import PooledMap, SolvedRecipe

BATCH = 8
FEWEST = 3
"""Images to leave one out of; where there are fewer, hardly any others are left."""


def each_left_out(detector: Detector, images: Images) -> Iterator[Maps | PooledMap]:
    """What the recipe gives for each of the images `[n, h, w, c]`, all that it was solved on, in their order.

    Of one image each, not yet pooled; nothing where the recipe leaves none out: see `Recipe.leaves_out`.
    """
    recipe = detector.recipe
    if not isinstance(recipe, SolvedRecipe) or not recipe.leaves_out or detector.usual or len(images) < FEWEST:
        return
    variables = detector.for_scoring.variables
    for begin in range(0, len(images), BATCH):
        # The last batch is filled, so that there is one program.
        places = filled(np.arange(begin, min(begin + BATCH, len(images))), BATCH)
        found = jax.tree.map(np.asarray, recipe.score_left_out(variables, images[places], places))
        for i in range(min(BATCH, len(images) - begin)):
            yield jax.tree.map(lambda part, i=i: part[i : i + 1], found)
