"""Work done ahead by threads, handed back in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int,
    first_alone: bool = False,
    weigh: Callable[[Item], int] = lambda _: 0,
    most: int = 0,
) -> Generator[tuple[Item, Result], None, None]:
    """Every item with what `function` makes of it, in the order of the items; never more than `ahead` are begun.

    Nor, unless it is a single one, do those that are begun weigh more than `most` together. With `first_alone` the
    second is begun once the first is done. Closed early, it waits for what is running and begins nothing more.
    """
    begun: deque[tuple[Item, Future[Result], int]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="jaxad")

    def first() -> tuple[Item, Result]:  # what it gives must not stay in a variable here while the next is made
        item, made, _ = begun.popleft()
        return item, made.result()

    try:
        for number, item in enumerate(items):
            weight = weigh(item)
            while begun and weight + sum(other for _, _, other in begun) > most:
                yield first()
            begun.append((item, pool.submit(function, item), weight))
            if len(begun) == ahead or (first_alone and not number):
                yield first()
        while begun:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)
