"""Seeded data for the benchmarks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm.datasets import load_mnist, make_blobs_and_tail, make_diagonal

Array = NDArray[Any]


class Case(NamedTuple):
    """What is clustered, into how many clusters, and how often the centers move."""

    make: Callable[[], Array]
    n_clusters: int
    n_iter: int


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


def mnist(dtype: str) -> Array:
    """Training images; FASTKM_MNIST names their folder."""
    if "FASTKM_MNIST" not in os.environ:
        raise NotImplementedError("FASTKM_MNIST is not set")
    return load_mnist().train_images.astype(dtype)


CASES = {
    "plane": Case(lambda: make_blobs_and_tail(2_500_000, random_state=0), 6, 20),
    "plane++": Case(lambda: make_blobs_and_tail(2_500_000, random_state=0), 6, 20),
    "cells": Case(lambda: mixture(2_000_000, 2, 300, 3.0, "float64"), 1000, 1),
    "colours": Case(lambda: colours(1_000_000), 256, 2),
    "line": Case(lambda: mixture(5_000_000, 1, 64, 10.0, "float64"), 64, 3),
    "diagonal": Case(lambda: make_diagonal(500_000, random_state=0), 6, 20),
    "wide": Case(lambda: mixture(200_000, 128, 1024, 1.0, "float32"), 1024, 4),
    "mnist": Case(lambda: mnist("float32"), 4000, 2),
    "mnist64": Case(lambda: mnist("float64"), 4000, 2),
    "narrow": Case(lambda: mixture(1_000_000, 16, 100, 3.0, "float64"), 100, 10),
}


def initial_centers(X: Array, n_clusters: int, seed: int = 1) -> Array:
    """Different samples, the same for everyone."""
    chosen = np.random.default_rng(seed).choice(len(X), n_clusters, replace=False)
    return X[np.sort(chosen)].copy()
