"""Canvases: whatever sizes come, every photograph is shown whole, on few canvases of which little is empty."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad._check import InputError
from jaxad.canvases import MOST_CANVASES, MOST_EXACT, SIDE, Canvases
from tests.drawn import examples

SQUARES = 7
"""Powers of two from 32 pixels, which hold what no canvas of 16 holds, to `SIDE`."""

lengths = st.one_of(
    st.integers(1, 40), st.integers(1, SIDE), st.sampled_from([SIDE, SIDE + 1]), st.integers(SIDE, 9000)
)
sizes = st.tuples(lengths, lengths)
READS = [{"reach": reach, "step": step} for reach, step in [(0, 1), (7, 2), (24, 4), (48, 1), (15, 12)]]


def need_shown(canvases: Canvases, size: tuple[int, int]) -> None:
    """Views lie as models demand, and what is taken from them is the photograph, every pixel once."""
    views = canvases.views(size)
    assert canvases.is_exact(size) == (size in canvases.exact)
    if canvases.is_exact(size):
        assert [(view.canvas, view.core) for view in views] == [(size, (0, 0, *size))]
    assert len({view.canvas for view in views}) == 1
    spans = [], []
    for view in views:
        assert view.canvas in (*canvases.exact, *canvases.shapes)
        assert max(view.canvas) <= SIDE
        for axis, begin in enumerate((view.top, view.left)):
            first, end = view.core[axis], view.core[axis + 2]
            assert begin % canvases.step == 0
            assert first >= (begin + canvases.reach if begin else 0)
            goes_on = begin + view.canvas[axis] < size[axis]
            assert end <= (begin + view.canvas[axis] - canvases.reach if goes_on else size[axis])
            spans[axis].append((first, end))
    down, across = (sorted(set(some)) for some in spans)
    assert len(views) == len(down) * len(across) == len({view.core for view in views})
    for some, length in zip((down, across), size, strict=True):
        assert [some[0][0], *(end for _, end in some)] == [*(first for first, _ in some), length]
        assert all(first < end for first, end in some)


def need_few(canvases: Canvases) -> None:
    assert len(canvases.exact) <= MOST_EXACT == 4
    assert len(canvases.shapes) == len(set(canvases.shapes)) <= MOST_CANVASES + SQUARES == 17


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.lists(sizes, max_size=6), max_size=12), st.sampled_from(READS))
def test_whatever_comes_is_shown_whole_on_few_canvases(batches, reads):
    canvases = Canvases(**reads)
    seen = set()
    for batch in batches:
        canvases.admit(batch)
        seen.update(batch)
        for size in seen:
            need_shown(canvases, size)
        need_few(canvases)


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
@pytest.mark.parametrize("longest", [40, 1200, 6000])
def test_thousands_of_sizes_are_few_canvases(longest, together):
    """From 1 pixel up, most small, thin and thick ones among them."""
    drawn = np.random.default_rng(longest).random((5000, 2)) ** 3 * longest
    some = [(int(height), int(width)) for height, width in 1 + drawn]
    canvases = Canvases(reach=24, step=4)
    for batch in [some] if together else [[size] for size in some]:
        canvases.admit(batch)
    need_few(canvases)
    for size in some:
        need_shown(canvases, size)


def test_one_size_has_a_canvas_of_its_own_whatever_came_before():
    canvases = Canvases(reach=7, step=2).admit([(31, 47)] * 9)
    assert canvases.views((31, 47))[0].canvas == (31, 47)
    canvases.admit([(30, 40)] * 9 + [(20, 20), (25, 21)])
    assert canvases.is_exact((30, 40))
    assert not canvases.is_exact((20, 20))
    before = canvases.views((20, 20))
    assert canvases.admit([(20, 20)] * 100).views((20, 20)) == before


def filled(canvases: Canvases, some: list[tuple[int, int]]) -> float:
    """Share of the pixels of canvases that show photographs."""
    given = sum(math.prod(view.canvas) for size in some for view in canvases.views(size))
    return sum(map(math.prod, some)) / given


@pytest.mark.parametrize(("least", "count"), [(600, 300), (1000, 40), (300, 3000)])
def test_little_is_wasted_where_sizes_are_known(least, count):
    """Lengths differ by a factor of two, and there are many pixels in all."""
    drawn = np.random.default_rng(0).integers(least, 2 * least, (count, 2))
    some = [(int(height), int(width)) for height, width in drawn]
    assert filled(Canvases(reach=24, step=4).admit(some), some) >= 0.6


def test_few_sizes_with_many_pixels_waste_next_to_nothing():
    some = [(480, 640)] * 50 + [(640, 480)] * 50 + [(1080, 1920)] * 50
    canvases = Canvases(reach=24, step=4).admit(some)
    assert filled(canvases, some) >= 0.95
    assert len(canvases.exact) + len(canvases.shapes) == len(Counter(some))


def test_few_pixels_are_not_worth_a_program_each():
    some = [(height, width) for height in range(20, 50) for width in range(20, 50)]
    assert len(Canvases(reach=7, step=2).admit(some).shapes) == 1


def test_parts_of_a_large_photograph_are_not_much_more_than_it():
    """A canvas shows what its neighbours need of the surroundings beside its own part."""
    for size in ((2049, 2048), (4000, 6000), (9000, 300)):
        assert filled(Canvases(reach=24, step=4).admit([size]), [size]) >= 0.8


def test_a_model_that_sees_further_than_a_part_is_refused_larger_photographs():
    canvases = Canvases(reach=SIDE // 2, step=1)
    canvases.admit([(SIDE, 64)])
    need_shown(canvases, (SIDE, 64))
    with pytest.raises(InputError, match="scale them down to 2048 pixels a side at most"):
        canvases.admit([(SIDE, 64), (SIDE + 1, 64)]).need((SIDE + 1, 64))
