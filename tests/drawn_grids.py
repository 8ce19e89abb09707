"""Grids of windows for hypothesis, and images of whole numbers, whose sums are exact."""

import numpy as np
from hypothesis import strategies as st

from jaxad import patches


@st.composite
def axes(draw, cover):
    """Length, window and stride of one axis; the stride need not divide what is left of the length."""
    size = draw(st.integers(1, 5))
    stride = draw(st.integers(1, size))
    return draw(st.integers(size + stride * (cover == "seed"), 12)), size, stride


@st.composite
def grids(draw):
    """The shape of images and the arguments `size`, `stride` and `cover`."""
    cover = draw(st.sampled_from(patches.COVERS))
    (h, p, down), (w, q, across) = draw(axes(cover)), draw(axes(cover))
    shape = (draw(st.integers(1, 2)), h, w, draw(st.integers(1, 3)))
    return shape, {"size": (p, q), "stride": (down, across), "cover": cover}


def whole_numbers(shape, seed=0):
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)
