"""Work on many files at once, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def mapped(function: Callable[[In], Out], items: Iterable[In], workers: int) -> Iterator[Out]:
    """`map` on `workers` threads (without threads up to 1), at most twice as many items in flight as threads."""
    if workers <= 1:
        yield from map(function, items)
        return
    items = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(items, 2 * workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
