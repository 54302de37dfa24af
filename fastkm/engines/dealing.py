"""Dealing: items in their order, each to whichever of a few threads is free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
END: Any = object()


def dealt(
    items: Iterable[Item], n_workers: int, work: Callable[[int, Item], Answer]
) -> list[Answer]:
    """Answers work(worker, item) in the order of the items.

    Worker 0 is the calling thread. When one fails, the others end what they are at.
    """
    numbered, lock = enumerate(items), threading.Lock()
    answers: dict[int, Answer] = {}
    ended = False

    def take(worker: int) -> None:
        nonlocal ended
        try:
            while True:
                with lock:
                    n, item = END, END
                    if not ended:
                        n, item = next(numbered, (END, END))
                if n is END:
                    return
                answers[n] = work(worker, item)
                del item  # not held while the next one is waited for
        finally:
            ended = True

    with ThreadPoolExecutor(max(1, n_workers - 1), "fastkm-dealt") as pool:
        others = [pool.submit(take, worker) for worker in range(1, n_workers)]
        take(0)
        for other in others:
            other.result()
    return [answers[n] for n in range(len(answers))]
