"""What the benchmarks work on: seeded samples, and the work that is done on them.

Parameters of suites are ordered from cheap to dear: the tests run the first.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import engines, kmeans_plusplus, validation
from fastkm.datasets import load_mnist, make_blobs_and_tail, make_diagonal

Array = NDArray[Any]

LONGEST = 10_000  # iterations: never reached, a whole fit ends by itself
N_THREADS = validation.check_n_threads(None)  # as many as fastkm takes by itself


class Case(NamedTuple):
    """What is clustered, into how many clusters, and how often the centers move.

    start : seed of random initial centers; None for those of k-means++
    """

    make: Callable[[], Array]
    n_clusters: int
    n_iter: int
    start: int | None = 0


class Work(NamedTuple):
    """A case, made: samples, initial centers, iterations."""

    X: Array
    centers: Array
    n_iter: int


class Timed:
    """What asv is told of work that `setup` has done once: one process, no warming.

    Every sample is one call. asv sets up again before each, so setups keep what they
    make (`functools.lru_cache`); each process has one set of parameters.
    """

    timeout = 900
    rounds = 1
    repeat = (2, 10, 5.0)  # least and most samples, seconds
    warmup_time = 0


def mixture(n: int, d: int, n_blobs: int, spread: float, dtype: str) -> Array:
    """Gaussian blobs around Gaussian centers; `spread` 1 overlaps."""
    rng = np.random.default_rng(n + d)
    X = rng.normal(size=(n_blobs, d)).astype(dtype)[rng.integers(0, n_blobs, n)]
    X *= X.dtype.type(spread)
    for start in range(0, n, 65_536):  # no second array of that size
        part = X[start : start + 65_536]
        part += rng.standard_normal(part.shape, dtype=X.dtype)
    return X


def colours(n: int) -> Array:
    """Pixels of a picture: 8-bit colours along some ramps, with noise."""
    rng = np.random.default_rng(n)
    ends = rng.uniform(0, 255, (12, 2, 3))
    ramp = rng.integers(0, len(ends), n)
    at = rng.beta(0.7, 0.7, (n, 1))
    X = ends[ramp, 0] * (1 - at) + ends[ramp, 1] * at + rng.normal(size=(n, 3)) * 6
    return X.round().clip(0, 255)


def embedding(n: int, d: int) -> Array:
    """Unit vectors around some directions, with a spectrum that decays."""
    rng = np.random.default_rng(n + d)
    scales = np.arange(1, d + 1, dtype=np.float32) ** -0.5
    directions = rng.standard_normal((1000, d), dtype=np.float32)
    X = directions[rng.integers(0, len(directions), n)]
    for start in range(0, n, 65_536):
        part = X[start : start + 65_536]
        part += 0.7 * rng.standard_normal(part.shape, dtype=np.float32)
        part *= scales
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return X


def noise(n: int, d: int) -> Array:
    return np.random.default_rng(n + d).random((n, d), dtype=np.float32)


def mnist(dtype: str) -> Array:
    """Training images; FASTKM_MNIST names their folder."""
    if "FASTKM_MNIST" not in os.environ:
        raise NotImplementedError("FASTKM_MNIST is not set")
    return load_mnist().train_images.astype(dtype)


CASES = {
    "plane": Case(lambda: make_blobs_and_tail(2_500_000, random_state=0), 6, 20, 29),
    "plane++": Case(
        lambda: make_blobs_and_tail(2_500_000, random_state=0), 6, 20, None
    ),
    "cells": Case(lambda: mixture(2_000_000, 2, 300, 3.0, "float64"), 1000, 1),
    "colours": Case(lambda: colours(1_000_000), 256, 2),
    "line": Case(lambda: mixture(5_000_000, 1, 64, 10.0, "float64"), 64, 3),
    "diagonal": Case(lambda: make_diagonal(1_000_000, random_state=0), 6, 20),
    "narrow": Case(lambda: mixture(1_000_000, 16, 100, 3.0, "float64"), 100, 10),
    "wide": Case(lambda: mixture(200_000, 128, 1024, 1.0, "float32"), 1024, 4),
    "blobs": Case(lambda: mixture(1_000_000, 100, 50, 3.0, "float32"), 50, 10),
    "embedding": Case(lambda: embedding(300_000, 384), 2000, 2),
    "noise": Case(lambda: noise(200_000, 128), 256, 4),
    "mnist": Case(lambda: mnist("float32"), 4000, 2),
    "mnist64": Case(lambda: mnist("float64"), 4000, 2),
}

# The study notebook's curves, its numbers of samples 3 floor(1.3^8 ... 1.3^52), every
# fourth of them, by their logarithms: a graph of seconds against these with a
# logarithmic axis of seconds is the notebook's, where linear growth is slope 1.
CURVES: dict[str, Callable[..., Array]] = {
    "2-D": make_blobs_and_tail,
    "100-D": make_diagonal,
}
SIZES = {
    round(math.log10(n), 2): n
    for n in (3 * math.floor(1.3**exponent) for exponent in range(8, 53, 4))
}
CURVE_CLUSTERS = 6


def initial_centers(X: Array, n_clusters: int, start: int = 0) -> Array:
    """Different samples, the same for everyone."""
    chosen = np.random.default_rng(1 + start).choice(len(X), n_clusters, replace=False)
    return X[np.sort(chosen)].copy()


@functools.lru_cache(maxsize=1)
def work(name: str) -> Work:
    """Make a case."""
    case = CASES[name]
    X, k = case.make(), case.n_clusters
    if case.start is None:
        centers, _ = kmeans_plusplus(X, k, random_state=0, n_threads=N_THREADS)
    else:
        centers = initial_centers(X, k, case.start)
    return Work(X, centers, case.n_iter)


@functools.lru_cache(maxsize=1)
def curve_samples(curve: str, n_samples: int) -> Array:
    """Make the samples of a point of a curve."""
    return CURVES[curve](n_samples, random_state=0)


def elapsed(call: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def twice(call: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of the faster of two calls, away from those of another library.

    Threads of BLAS and of OpenMP wait awake for some 30 ms after a call.
    """
    time.sleep(0.1)
    return min(elapsed(call, *arguments) for _ in range(2))


def make_engine(name: str, X: Array, n_clusters: int) -> Any:
    """Give an engine that holds the samples and expects a long fit."""
    try:
        choice = engines.choose(X, None, n_clusters, N_THREADS, name, n_steps=300)
    except ValueError as error:
        raise NotImplementedError(f"not for these samples: {error}") from None
    return choice.engine
