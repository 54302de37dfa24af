"""The pool of threads: every chunk runs once, whoever is there to run it."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from fastkm.kernels import _threads
from fastkm.kernels._atomics import look, publish
from fastkm.kernels._jit import serial
from fastkm.kernels._threads import _Helper, _Job, _Pool, wait

SOON = 60  # seconds until a test gives up


@pytest.fixture
def pool(monkeypatch):
    """A pool of its own, with three helpers at most and a CPU for each thread."""
    monkeypatch.setattr(_threads, "most_threads", lambda: 4)
    monkeypatch.setattr(_threads, "usable_cpus", lambda: 4)
    pool = _Pool()
    monkeypatch.setattr(_threads, "_pool", pool)
    yield pool
    if pool.executor:
        pool.executor.shutdown()


@pytest.fixture
def run(pool, monkeypatch):
    """`parallel` without the compiler."""
    monkeypatch.setattr(_threads, "serial", lambda function: function)
    return _threads.parallel


def until(condition):
    """Wait for what a helper does by itself."""
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("n_chunks", [1, 2, 3, 4, 9])
def test_results_come_in_the_order_of_the_chunks(n_chunks, run):
    squares = run(lambda chunk, n_chunks, x: x + chunk**2)
    for _ in range(20):
        assert squares(n_chunks, 5) == [5 + chunk**2 for chunk in range(n_chunks)]


def test_helpers_linger_and_are_called_again(pool, run, monkeypatch):
    monkeypatch.setattr(_threads, "TURNS", 10**8)
    together = threading.Barrier(4)

    def name(chunk, n_chunks):
        together.wait(SOON)
        return threading.current_thread().name

    names = run(name)
    first = names(4)
    until(lambda: len(pool.lingering) == 3)
    assert sorted(names(4)) == sorted(first)
    assert pool.n_helpers == 3
    for helper in pool.lingering:  # let them go
        helper.call[0] += 1
    until(lambda: not pool.n_helpers)


@pytest.mark.parametrize(("n_cpus", "waits_long"), [(1, False), (4, True)])
def test_threads_wait_long_where_each_has_a_cpu(n_cpus, waits_long, run, monkeypatch):
    monkeypatch.setattr(_threads, "usable_cpus", lambda: n_cpus)
    seen = []

    def spy(done, flag, value, turns, delay):
        if delay:  # a helper, not the caller
            seen.append(turns == _threads.TURNS)
        wait(done, flag, value, turns, delay)

    monkeypatch.setattr(_threads, "wait", spy)
    together = threading.Barrier(4)
    run(lambda chunk, n_chunks: together.wait(SOON))(4)
    until(lambda: len(seen) == 3)
    assert set(seen) == {waits_long}


def test_helpers_leave_and_keep_nothing(pool, run):
    add = run(lambda chunk, n_chunks, X: X[chunk])
    X = np.arange(4.0)
    assert add(4, X) == [0.0, 1.0, 2.0, 3.0]
    until(lambda: not pool.n_helpers and not pool.lingering)
    X_is_there = weakref.ref(X)
    del X
    gc.collect()
    assert X_is_there() is None
    assert add(4, np.arange(4.0)) == [0.0, 1.0, 2.0, 3.0]


def test_the_caller_runs_what_no_helper_takes(pool, run):
    """Three helpers are kept by another thread until all of this is over."""
    over = threading.Event()
    begun = threading.Semaphore(0)

    def keep(chunk, n_chunks):
        begun.release()
        return over.wait(SOON)

    names = run(lambda chunk, n_chunks: threading.current_thread().name)
    other = threading.Thread(target=run(keep), args=(4,))
    other.start()
    for _ in range(4):
        assert begun.acquire(timeout=SOON)
    assert set(names(6)) == {threading.current_thread().name}
    over.set()
    other.join(SOON)
    assert len(set(names(4))) > 1


def test_errors_of_helpers_reach_the_caller(pool, run):
    def fail(chunk, n_chunks):
        if chunk == bad:
            raise MemoryError(f"chunk {chunk}")
        return chunk

    for bad in (0, 1, 3):
        with pytest.raises(MemoryError, match=f"chunk {bad}"):
            run(fail)(4)
    bad = 9
    assert run(fail)(4) == [0, 1, 2, 3]


def test_all_chunks_are_over_when_one_fails(run):
    """They write to arrays that are the caller's."""
    ended = []

    def fail(chunk, n_chunks):
        if chunk == 0:
            raise KeyboardInterrupt
        time.sleep(0.05)
        ended.append(chunk)

    with pytest.raises(KeyboardInterrupt):
        run(fail)(4)
    assert sorted(ended) == [1, 2, 3]


def test_a_helper_whose_caller_was_interrupted_leaves(pool, run):
    """Ctrl-C after it was taken from the list, before it got its job."""
    helper = _Helper(_Job(lambda: 5, ()))
    job = helper.job
    pool.n_helpers = 1

    class Forgetful(list):
        def append(self, helper):
            pass

    pool.lingering = Forgetful()
    pool.help(helper)
    assert job.result() == 5
    assert pool.n_helpers == 0 and helper.job is None


def test_nothing_is_lost_where_nobody_can_wait_awake(pool, run, monkeypatch):
    """As where memory ends while that is compiled."""

    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(_threads, "wait", fail)
    numbers = run(lambda chunk, n_chunks: chunk)
    for _ in range(20):
        assert numbers(4) == [0, 1, 2, 3]
    until(lambda: not pool.n_helpers and not pool.lingering)


def test_wait_ends_by_the_flag_or_by_itself():
    done, flag = np.zeros(1, np.int64), np.zeros(1, np.int64)
    wait(done, flag, 0, 10, 0)  # nobody sets it
    assert done[0] == 1
    box = []
    waiting = threading.Thread(target=lambda: box.append(wait(done, flag, 0, 10**9, 5)))
    waiting.start()
    assert not box
    flag[0] = 1
    waiting.join(SOON)
    assert box == [None]


@serial
def play(me, n_turns, numbers, flag):
    """Take turns at counting numbers up, each a different one of 64."""
    for turn in range(n_turns):
        if turn % 2 == me:
            numbers[turn % 64] = numbers[(turn + 63) % 64] + 1
            publish(flag, turn + 1)
        else:
            while look(flag) <= turn:
                pass


def test_what_was_written_before_a_flag_is_seen_after_it():
    """Two threads hand a number to each other without the GIL."""
    n_turns = 6400
    numbers, flag = np.zeros(64, np.int64), np.zeros(1, np.int64)
    play(0, 0, numbers, flag)
    players = [
        threading.Thread(target=play, args=(me, n_turns, numbers, flag))
        for me in range(2)
    ]
    for player in players:
        player.start()
    for player in players:
        player.join(SOON)
    assert flag[0] == numbers.max() == n_turns
