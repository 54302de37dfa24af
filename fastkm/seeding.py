"""Where the first centers come from: same draws and same bits as `reference`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm import validation
from fastkm.engines.base import join_chunks
from fastkm.engines.lanes import Lanes, block_rows
from fastkm.kernels import exact, lanes

Array = NDArray[Any]
Generator = np.random.Generator

BLOCK = 1024  # samples whose exact sum a draw can pass in one step


class Chosen:
    """The samples chosen so far, and every sample's distance to the nearest of them.

    16 bytes per sample.
    """

    def __init__(self, samples: Lanes, first: int) -> None:
        self.samples = samples
        self.nearest = np.full(samples.n_samples, np.inf)
        self.blocks = np.empty((-(-samples.n_samples // BLOCK), 3))
        self.indices: list[int] = []
        self.add(first)

    def add(self, i: int) -> None:
        """Choose sample i."""
        self.indices.append(i)
        samples = self.samples
        n_chunks = min(samples.n_chunks(2.0 * samples.X.size), len(self.blocks))
        lanes.choose(
            n_chunks,
            samples.X,
            samples.kernel_weights,
            samples.X[i].astype(np.float64),
            block_rows(samples.n_features),
            BLOCK,
            self.nearest,
            self.blocks,
        )

    def draw(self, threshold: float) -> int:
        """Draw one sample as `reference.draw` does from weight * nearest."""
        i = int(
            exact.draw(
                self.nearest,
                self.samples.kernel_weights,
                self.blocks,
                BLOCK,
                threshold,
            )
        )
        if i >= 0:
            return i
        weights = self.samples.weights
        return draw(
            self.nearest if weights is None else weights * self.nearest, threshold
        )

    def potentials(self, candidates: Array) -> list[float]:
        """Inertia that each of the candidates (indices) would leave."""
        samples = self.samples
        n_chunks = samples.n_chunks(1.0 * samples.X.size * len(candidates))
        totals = np.zeros((n_chunks, len(candidates), 3))
        rows = samples.X[candidates].astype(np.float64)
        lanes.potentials(
            n_chunks,
            samples.X,
            samples.kernel_weights,
            self.nearest,
            rows,
            block_rows(samples.n_features),
            totals,
        )
        values, uncertain = join_chunks(np.moveaxis(totals, 2, 1)).rounded()
        for t in np.flatnonzero(uncertain):
            _, distances = samples.assign(rows[t : t + 1])
            values[t] = samples.inertia(np.minimum(self.nearest, distances))
        return [float(value) for value in values]


def draw(terms: Array, threshold: float) -> int:
    """First index whose exact prefix sum is above the threshold, by bisection."""
    positive = np.flatnonzero(terms > 0)
    low, high = 0, len(positive) - 1
    while low < high:
        middle = (low + high) // 2
        if math.fsum([*terms[: positive[middle] + 1], -threshold]) > 0:
            high = middle
        else:
            low = middle + 1
    return int(positive[low])


def first_sample(samples: Lanes, rng: Generator) -> int:
    """One sample in proportion to its weight."""
    u = rng.random()
    if samples.weights is None:
        # The first prefix sum 1, 2, 3 ... above u * n_samples.
        return min(math.floor(u * samples.n_samples), samples.n_samples - 1)
    return draw(samples.weights, u * math.fsum(samples.weights))


def random_samples(samples: Lanes, n_clusters: int, rng: Generator) -> Array:
    """Different samples in proportion to weight: `reference.random_samples`."""
    weights = samples.weights
    if weights is None or (weights == weights[0]).all():
        return rng.choice(samples.n_samples, n_clusters, replace=False)
    with np.errstate(divide="ignore", over="ignore"):
        arrivals = rng.standard_exponential(samples.n_samples) / weights
    return np.lexsort((arrivals, weights == 0))[:n_clusters]


def plusplus(
    samples: Lanes, n_clusters: int, rng: Generator, n_local_trials: int | None = None
) -> Array:
    """Greedy k-means++: `reference.kmeans_plusplus`."""
    n_trials = n_local_trials or 2 + int(math.log(n_clusters))
    chosen = Chosen(samples, first_sample(samples, rng))
    potential = samples.inertia(chosen.nearest)
    while len(chosen.indices) < n_clusters:
        thresholds = rng.random(n_trials) * potential
        if potential == 0:
            chosen.add(_lowest_free(chosen.indices))
            continue
        candidates = np.array([chosen.draw(r) for r in thresholds])
        potentials = chosen.potentials(candidates)
        best = int(np.argmin(potentials))
        chosen.add(int(candidates[best]))
        potential = potentials[best]
    return np.array(chosen.indices)


def _lowest_free(indices: list[int]) -> int:
    taken = set(indices)
    return next(i for i in range(len(taken) + 1) if i not in taken)


def farthest(samples: Lanes, n_clusters: int, rng: Generator) -> Array:
    """Farthest-first: `reference.farthest_first`."""
    chosen = Chosen(samples, first_sample(samples, rng))
    positive = samples.positive()
    while len(chosen.indices) < n_clusters:
        rank = chosen.nearest.copy()
        if positive is not None:
            rank[~positive] = -1.0
        rank[chosen.indices] = -2.0
        chosen.add(int(rank.argmax()))
    return np.array(chosen.indices)


CHOOSERS = {"k-means++": plusplus, "random": random_samples, "farthest": farthest}


def initial_centers(
    samples: Lanes, n_clusters: int, init: Any, rng: Generator
) -> Array:
    """Centers (n_clusters, n_features) of the samples' dtype, for a checked `init`."""
    if isinstance(init, str):
        return samples.X[CHOOSERS[init](samples, n_clusters, rng)]
    if callable(init):
        return validation.as_init(
            init(samples.X, n_clusters, random_state=rng),
            samples.X,
            n_clusters,
            samples.total_weight(),
            name="the result of init",
        )
    return init
