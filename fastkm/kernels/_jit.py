"""The one place for Numba's options, its disk cache and the threads.

`serial` compiles a function, `nested` and `inlined` one that only kernels call.
`parallel` compiles a loop over one share of the samples, a *chunk*, and runs the chunks
on threads of our own, without the GIL. Numba's own parallel loops were measured and
left: they compile everything that they call once more (12.0 s against 5.7 s for the
labels of `tiles`), and of its threading layers one ends the process when two Python
threads use it at once (workqueue) and another in a forked child (GNU OpenMP). Here no
state is shared but a pool of threads that any caller may use, and a forked child
starts its own. A fork waits for a compilation in another thread: the child would find
the compiler locked for ever, and half changed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numba
from numba.core.compiler_lock import global_compiler_lock

from fastkm.kernels._cache import KernelCache
from fastkm.kernels._cpus import usable_cpus

# Versions of Numba whose insides `_parts` and `_lowering` are known to fit: with others
# code might be wrong, and not only longer, so these compile in their own way.
KNOWN = {(0, 68)}

COMPILER: dict[str, Any] = {}
if numba.version_info.short in KNOWN:
    with contextlib.suppress(ImportError, AttributeError):  # as they say
        from fastkm.kernels._parts import KernelCompiler, Part

        COMPILER = {"pipeline_class": KernelCompiler}

__all__ = [
    "default_threads",
    "inlined",
    "most_threads",
    "nested",
    "parallel",
    "rolled",
    "serial",
]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# No fastmath flag anywhere: the bits of distances and of error-free sums depend on
# every single rounding.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
OPTIONS["no_cfunc_wrapper"] = True  # for calls from C


def most_threads() -> int:
    """Return the number of threads that Numba may use: the CPUs, or what is set."""
    return int(vars(numba.config)["NUMBA_NUM_THREADS"])


def default_threads() -> int:
    """Return the threads to use when none are asked for: what the CPUs can feed.

    That is `NUMBA_NUM_THREADS` where it is set, else the CPUs of the process's affinity
    at present, or the container's quota where that is less.
    """
    if "NUMBA_NUM_THREADS" in os.environ:
        return most_threads()
    return min(most_threads(), usable_cpus())


def serial(function: Kernel) -> Kernel:
    """Compile a function when it is first called, or take it from the disk cache."""
    return _compile(function)


def nested(function: Kernel) -> Kernel:
    """Compile for kernels that call it, as a function of theirs."""
    return _compile_part(function)


def inlined(function: Kernel) -> Kernel:
    """Compile into the callers: a call would pass every array field by field."""
    return _compile_part(function, forceinline=True)


def rolled(function: Kernel) -> Kernel:
    """Mark a kernel whose loops are not to be unrolled, as that takes time.

    For kernels that run once or twice in a fit and wait for memory, or for their own
    last result. Of others, those that loop over 2 features need it: without,
    `blocks.descend` takes 1.5 times as long.
    """
    vars(function)["is_rolled"] = True
    return function


def _compile(function: Kernel, **options: Any) -> Kernel:
    compiled: Any = numba.njit(function, **OPTIONS, **COMPILER, **options)
    compiled._cache = KernelCache(function)
    return compiled


def _compile_part(function: Kernel, **options: Any) -> Kernel:
    if not COMPILER:
        return _compile(function, **options)
    compiled: Any = Part(function, {**OPTIONS, **options})
    return compiled


def parallel(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Compile function(chunk, n_chunks, ...); the result runs all chunks.

    It is called with (n_chunks, ...) and returns the chunks' results in their order.
    """
    compiled = serial(function)

    def run(n_chunks: int, *arguments: Any) -> list[Any]:
        if n_chunks == 1:
            return [compiled(0, 1, *arguments)]
        others = _pool.submit(compiled, n_chunks, arguments)
        try:
            results = [compiled(0, n_chunks, *arguments)]
        finally:  # also on Ctrl-C: they write to the caller's arrays
            for other in others:
                other.exception()
        results += [other.result() for other in others]
        for chunk in range(len(results), n_chunks):
            results.append(compiled(chunk, n_chunks, *arguments))
        return results

    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    return run


class _Pool:
    """Threads that run chunks; started when first needed, and anew after a fork."""

    def __init__(self) -> None:
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=global_compiler_lock.acquire,
                after_in_parent=global_compiler_lock.release,
                after_in_child=self.start_anew,
            )

    def start_anew(self) -> None:
        """In a forked child: of all threads only the one that forked is left."""
        global_compiler_lock.release()
        self.reset()

    def reset(self) -> None:
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None

    def submit(
        self, kernel: Callable[..., Any], n_chunks: int, arguments: tuple[Any, ...]
    ) -> list[Future[Any]]:
        """Start the chunks from 1 on; fewer when the interpreter is shutting down."""
        futures: list[Future[Any]] = []
        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(
                    max(1, most_threads() - 1), thread_name_prefix="fastkm"
                )
        try:
            for chunk in range(1, n_chunks):
                task = self.executor.submit(kernel, chunk, n_chunks, *arguments)
                futures.append(task)
        except RuntimeError:  # no new threads at exit: the caller runs the rest
            pass
        return futures


_pool = _Pool()
