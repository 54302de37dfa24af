"""What the machine can do: multiply-adds and bytes per second, on all threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from fastkm.kernels import simd, vectors
from fastkm.kernels.vectors import GROUP


@njit(nogil=True)
def _multiply_add(samples, centers, n_features, norms, best, second, index, n_runs):
    """Register tiles whose operands stay in the L1 cache."""
    partial = norms
    for _ in range(n_runs):
        simd.tile(
            samples, 0, centers, 0, n_features, False, True,
            partial, 0, norms, 0, 0, best, second, index, 0,
        )  # fmt: skip


@njit(nogil=True)
def _read(values):
    total = 0.0
    for i in range(0, values.size, 8):  # one number of each cache line
        total += values[i]
    return total


def _rate(work: float, call, n_threads: int, n_runs: int) -> float:
    """Most work per second on n_threads at once.

    Many short runs: other processes of the machine leave some of them undisturbed.
    """
    call()
    best = np.inf
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(n_runs):
            start = time.perf_counter()
            for task in [pool.submit(call) for _ in range(n_threads)]:
                task.result()
            best = min(best, time.perf_counter() - start)
    return n_threads * work / best


def flops(dtype: str, n_threads: int) -> float:
    """Floating-point operations per second of fused multiply-adds."""
    lanes, n_features, n_runs = vectors.tile_lanes(np.dtype(dtype).type), 256, 4_000
    rng = np.random.default_rng(0)
    samples = rng.normal(size=n_features * lanes).astype(dtype)
    centers = rng.normal(size=n_features * GROUP).astype(dtype)
    norms = np.zeros(GROUP, dtype)
    best, second, index = np.zeros((3, lanes), dtype)

    def call():
        _multiply_add(samples, centers, n_features, norms, best, second, index, n_runs)

    work = 2.0 * n_runs * n_features * lanes * GROUP
    return _rate(work, call, n_threads, n_runs=40)


def bytes_read(n_threads: int) -> float:
    """Bytes per second read from memory."""
    values = np.ones(2**25)
    return _rate(values.nbytes, lambda: _read(values), n_threads, n_runs=10)


def iteration(n: int, d: int, k: int, dtype: str, n_threads: int) -> float:
    """Least seconds of a Lloyd iteration that computes every pair by scores.

    The samples are read once and every pair costs d multiply-adds; float64 samples are
    computed in float32, as fastkm does where the labels can be certified.
    """
    size = np.dtype(dtype).itemsize
    compute = 2.0 * n * d * k / flops("float32", n_threads)
    return max(compute, float(n) * d * size / bytes_read(n_threads))
