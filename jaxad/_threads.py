"""Work done ahead by threads, handed back in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int, first_alone: bool = False
) -> Generator[tuple[Item, Result], None, None]:
    """Every item with what `function` makes of it, in the order of the items; never more than `ahead` are begun.

    With `first_alone` the second is begun once the first is done. Closed early, it waits for what is running and begins
    nothing more.
    """
    begun: deque[tuple[Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="jaxad")
    try:
        for number, item in enumerate(items):
            begun.append((item, pool.submit(function, item)))
            if len(begun) == ahead or (first_alone and not number):
                first, made = begun.popleft()
                yield first, made.result()
        while begun:
            first, made = begun.popleft()
            yield first, made.result()
    finally:
        pool.shutdown(cancel_futures=True)
