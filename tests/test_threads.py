"""What threads do ahead comes back in order, and no more is begun than allowed."""

import threading
import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxad._threads import in_order


@given(
    count=st.integers(0, 12),
    workers=st.integers(1, 4),
    ahead=st.integers(1, 6),
    first_alone=st.booleans(),
    seed=st.randoms(),
)
def test_everything_comes_back_in_order(count, workers, ahead, first_alone, seed):
    waits = [seed.random() / 500 for _ in range(count)]

    def slow(item):
        time.sleep(waits[item])
        return -item

    found = list(in_order(slow, range(count), workers=workers, ahead=ahead, first_alone=first_alone))
    assert found == [(item, -item) for item in range(count)]


@pytest.mark.parametrize(("first_alone", "taken"), [(False, 3), (True, 1)])
def test_no_more_is_begun_than_allowed(first_alone, taken):
    given_out = []

    def items():
        for item in range(10):
            given_out.append(item)
            yield item

    with closing(in_order(abs, items(), workers=2, ahead=3, first_alone=first_alone)) as found:
        assert next(found) == (0, 0)
        assert len(given_out) == taken
        for item in range(1, 8):
            assert next(found) == (item, item)
            assert len(given_out) == min(item + 3, 10)


def test_what_is_heavy_is_begun_alone():
    given_out = []

    def items():
        for item in range(10):
            given_out.append(item)
            yield item

    weights = [1, 1, 1, 9, 9, 1, 1, 1, 1, 1]
    begun = []
    results = in_order(begun.append, items(), workers=1, ahead=4, weigh=weights.__getitem__, most=4)
    with closing(results):
        for item, _ in results:
            ahead = [other for other in begun if other > item]
            assert len(ahead) <= 1 or sum(weights[other] for other in ahead) <= 4
    assert begun == list(range(10))


def test_closed_early_it_waits_for_what_runs_and_begins_nothing_more():
    begun, go_on = [], threading.Event()

    def wait(item):
        begun.append(item)
        if item:
            go_on.wait(10)
            time.sleep(0.01)
        return item

    results = in_order(wait, range(10), workers=1, ahead=4)
    assert next(results) == (0, 0)
    threading.Timer(0.05, go_on.set).start()
    results.close()
    assert begun in ([0], [0, 1])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("jaxad_")]


def test_an_error_of_the_function_is_raised_at_its_place():
    results = in_order(lambda item: 1 / (2 - item), range(5), workers=2, ahead=5)
    assert [next(results)[1] for _ in range(2)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
