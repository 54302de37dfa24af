"""The one place for Numba's options, its disk cache and its threads.

`serial` compiles a function. `parallel` compiles a loop over chunks twice, as a
parallel and as a serial loop over the same body, and picks one at every call. The
serial twin serves a single thread, and the cases in which Numba's threading layers
are known to end the process: a forked child (GNU OpenMP), and a second Python thread
while a first one is inside a parallel loop (workqueue).

The disk cache (`NUMBA_CACHE_DIR`) notices changes in the file of a function, not in
the files of the functions that it calls: set a new cache folder after such a change.
"""

from __future__ import annotations

import os
import threading
import types
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba import prange

__all__ = ["available_threads", "parallel", "prange", "serial"]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# No fastmath flag anywhere: the bits of distances and of error-free sums depend on
# every single rounding.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

# Only prange: the other rewrites of the parallel pass multiply the time to compile
# by three and find nothing to do in a loop over chunks.
PRANGE_ONLY = dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil"),
    False,
) | {"fusion": False, "prange": True}


class _Threads:
    """Who may enter a parallel loop."""

    def __init__(self) -> None:
        self.inside = threading.Lock()
        self.forked = False

    def after_fork(self) -> None:
        self.inside = threading.Lock()
        self.forked = True


_threads = _Threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.after_fork)


def available_threads() -> int:
    """Return the number of threads that Numba can start in this process."""
    return int(vars(numba.config)["NUMBA_NUM_THREADS"])  # set when first imported


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    """Jit with the disk cache where there is a folder for it, else without."""
    try:
        return numba.njit(function, cache=True, **OPTIONS, **options)
    except RuntimeError:  # read-only installation and no home folder
        return numba.njit(function, **OPTIONS, **options)


def serial(function: Kernel) -> Kernel:
    """Compile a function that runs on the calling thread."""
    compiled: Kernel = _compile(function)
    return compiled


def _copy(function: types.FunctionType, suffix: str) -> types.FunctionType:
    """Give the same code another name: the disk cache knows functions by it."""
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__ + suffix
    )
    copy.__qualname__ = function.__qualname__ + suffix
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    return copy


def parallel(function: Any) -> Callable[..., Any]:
    """Compile a loop over chunks; the result takes `n_threads` before the arguments."""
    in_parallel = _compile(_copy(function, "_parallel"), parallel=dict(PRANGE_ONLY))
    in_serial = _compile(_copy(function, "_serial"))

    def call(n_threads: int, *arguments: Any) -> Any:
        if (
            n_threads == 1
            or _threads.forked
            or not _threads.inside.acquire(blocking=False)
        ):
            return in_serial(*arguments)
        try:
            before = numba.get_num_threads()
            numba.set_num_threads(min(n_threads, available_threads()))
            try:
                return in_parallel(*arguments)
            finally:
                numba.set_num_threads(before)
        finally:
            _threads.inside.release()

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call
