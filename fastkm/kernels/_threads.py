"""The threads: `parallel` runs the chunks of a kernel on threads of our own.

`parallel` compiles a loop over one share of the samples, a *chunk*; the chunks run
without the GIL. Numba's own parallel loops were measured and left: they compile
everything that they call once more (12.0 s against 5.7 s for the labels of `tiles`),
and of its threading layers one ends the process when two Python threads use it at once
(workqueue) and another in a forked child (GNU OpenMP). Here no state is shared but a
pool of threads that any caller may use, and a forked child starts its own. A fork waits
for a compilation in another thread: the child would find the compiler locked for ever,
and half changed.

To wake a thread that sleeps takes some 60 us, as long as many a step. So a thread that
has run a chunk lingers for about 1 ms: it waits for the next one awake, and starts it
within 15 us; unless there are more threads than CPUs. Where it cannot, for want of
memory to compile `wait`, all goes on, later.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock
from numpy.typing import NDArray

from fastkm.kernels._atomics import look, publish
from fastkm.kernels._cpus import usable_cpus
from fastkm.kernels._jit import rolled, serial

Flag = NDArray[np.int64]

__all__ = ["default_threads", "in_chunks", "most_threads", "parallel"]

# Of waiting awake, some 30 ns each; few where more threads wait or run than there are
# CPUs: they would keep each other from working (8 threads on 2 CPUs, a fit of 4000 x 12
# in many short steps: 7.9 s, so 3.0). With a third of the turns a seeding, which calls
# two or three times in a step of 3 ms, found every second time nobody awake (1500
# clusters of MNIST: 4.9 s, so 4.6).
TURNS, FEW_TURNS = 30_000, 100
# Turns that a called thread waits on: the caller still holds the GIL, and whoever finds
# it taken goes to sleep.
DELAY = 100


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


@serial
@rolled
def wait(done: Flag, flag: Flag, value: int, turns: int, delay: int) -> None:
    """Set done[0]; then wait till flag[0] is not `value`, but so many turns at most.

    After the change `delay` turns more.
    """
    publish(done, 1)
    turn = 0
    while turn < turns and look(flag) == value:
        turn += 1
    for _ in range(delay):
        look(flag)


def parallel(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Compile function(chunk, n_chunks, ...); the result runs all chunks.

    It is called with (n_chunks, ...) and returns the chunks' results in their order.
    """
    return in_chunks(serial(function))


def in_chunks(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Do as `parallel`, for what needs no compiler."""

    def run(n_chunks: int, *arguments: Any) -> list[Any]:
        if n_chunks == 1:
            return [function(0, 1, *arguments)]
        jobs = _pool.start(function, n_chunks, arguments)
        try:
            first = function(0, n_chunks, *arguments)
            rest = [
                function(chunk, n_chunks, *arguments)
                for chunk in range(len(jobs) + 1, n_chunks)
            ]
        finally:  # also on Ctrl-C: they write to the caller's arrays
            for job in jobs:
                job.join()
        return [first, *(job.result() for job in jobs), *rest]

    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    return run


class _Job:
    """A chunk that another thread runs."""

    value: Any
    error: BaseException | None = None

    def __init__(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.kernel, self.arguments = kernel, arguments
        self.done = _flag()
        self.running = threading.Lock()
        self.running.acquire()

    def run(self) -> None:
        try:
            self.value = self.kernel(*self.arguments)
        except BaseException as error:  # for the caller
            self.error = error
        self.running.release()

    def join(self) -> None:
        """Wait for the end, awake at first."""
        with contextlib.suppress(Exception):
            wait(_flag(), self.done, 0, _pool.turns(), 0)
        with self.running:
            pass

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class _Helper:
    """A thread that runs jobs; `call` is counted up for each that it gets waiting."""

    def __init__(self, job: _Job) -> None:
        self.job: _Job | None = job
        self.call = _flag()


class _Pool:
    """Helpers, started when first needed, and anew after a fork."""

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
        self.n_helpers = 0  # at work or lingering
        self.n_cpus = 1  # as of when a helper was started last
        self.lingering: list[_Helper] = []

    def start(
        self, kernel: Callable[..., Any], n_chunks: int, arguments: tuple[Any, ...]
    ) -> list[_Job]:
        """Give the chunks from 1 on to helpers, as far as there are any to be had.

        There are none while other callers keep them, or the interpreter shuts down.
        """
        jobs: list[_Job] = []
        for chunk in range(1, n_chunks):
            job = _Job(kernel, (chunk, n_chunks, *arguments))
            if not self.hand_over(job):
                break
            jobs.append(job)
        return jobs

    def hand_over(self, job: _Job) -> bool:
        """Give a job to a helper; returns whether one took it."""
        most = most_threads() - 1
        with self.lock:
            if self.lingering:
                helper = self.lingering.pop()
                helper.job = job
                helper.call[0] += 1
                return True
            if self.n_helpers >= most:
                return False
            if self.executor is None:
                self.executor = ThreadPoolExecutor(most, thread_name_prefix="fastkm")
            try:
                self.executor.submit(self.help, _Helper(job))
            except RuntimeError:  # no new threads at exit
                return False
            self.n_helpers += 1
            self.n_cpus = usable_cpus()
            return True

    def turns(self) -> int:
        """Turns that a thread waits awake."""
        return TURNS if self.n_helpers < self.n_cpus else FEW_TURNS

    def help(self, helper: _Helper) -> None:
        """Run a helper's job, and those that come while it lingers."""
        job = helper.job
        while job is not None:
            job.run()
            done, helper.job, job = job.done, None, None
            n_calls = int(helper.call[0])
            with self.lock:
                self.lingering.append(helper)
            with contextlib.suppress(Exception):
                wait(done, helper.call, n_calls, self.turns(), DELAY)
            with self.lock:
                job = helper.job
                if job is None:  # nobody called, or Ctrl-C came in between
                    self.n_helpers -= 1
                    if helper in self.lingering:
                        self.lingering.remove(helper)


def _flag() -> Flag:
    """Give a flag for `wait`, not set."""
    return np.zeros(1, np.int64)


_pool = _Pool()
