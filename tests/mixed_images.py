"""Maps and masks of images of any sizes, for hypothesis."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# Sums of at most a few hundred float64 shares in two orders.
EXACT = 1e-12


def mask_of(*rows):
    return np.array([[[letter == "#" for letter in row] for row in rows]])


@st.composite
def mixed_images(draw):
    """Masks, maps and what counts, each a list of images of any sizes, with a good and a bad pixel that count."""
    shapes = draw(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4))
    masks, inside = ([draw(hnp.arrays(bool, shape)) for shape in shapes] for _ in range(2))
    if draw(st.booleans()):
        inside = [np.ones(shape, bool) for shape in shapes]
    seen = np.concatenate([mask[where] for mask, where in zip(masks, inside, strict=True)])
    assume(seen.any() and not seen.all())
    values = draw(st.sampled_from([st.integers(0, 3), st.integers(-1000, 1000)])).map(lambda v: v / 8)
    return masks, [draw(hnp.arrays(np.float32, shape, elements=values)) for shape in shapes], inside
