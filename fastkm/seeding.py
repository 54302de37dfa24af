"""Where the first centers come from: same draws and same bits as `reference`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm import validation
from fastkm.engines import Chunked, Lanes
from fastkm.engines.base import Held
from fastkm.engines.chosen import begin, draw

Array = NDArray[Any]
Generator = np.random.Generator


def first_sample(samples: Held, rng: Generator) -> int:
    """One sample in proportion to its weight."""
    u = rng.random()
    if samples.weights is None:
        # The first prefix sum 1, 2, 3 ... above u * n_samples.
        return min(math.floor(u * samples.n_samples), samples.n_samples - 1)
    return draw(samples.weights, u * math.fsum(samples.weights))


def random_samples(samples: Held, n_clusters: int, rng: Generator) -> Array:
    """Different samples in proportion to weight: `reference.random_samples`."""
    weights = samples.weights
    if weights is None or (weights == weights[0]).all():
        return rng.choice(samples.n_samples, n_clusters, replace=False)
    with np.errstate(divide="ignore", over="ignore"):
        arrivals = rng.standard_exponential(samples.n_samples) / weights
    return np.lexsort((arrivals, weights == 0))[:n_clusters]


def plusplus(
    samples: Lanes | Chunked,
    n_clusters: int,
    rng: Generator,
    n_local_trials: int | None = None,
) -> Array:
    """Greedy k-means++: `reference.kmeans_plusplus`."""
    n_trials = n_local_trials or 2 + int(math.log(n_clusters))
    first = first_sample(samples, rng)
    if n_clusters == 1:
        return np.array([first])
    chosen = begin(samples, first, n_clusters, n_trials)
    potential = samples.inertia(chosen.nearest)
    while len(chosen.indices) < n_clusters:
        thresholds = rng.random(n_trials) * potential
        if potential == 0:
            chosen.indices.append(_lowest_free(chosen.indices))
            continue
        candidates = np.array([chosen.draw(r) for r in thresholds])
        potentials = chosen.potentials(candidates)
        best = int(np.argmin(potentials))
        chosen.choose(best)
        potential = potentials[best]
    return np.array(chosen.indices)


def _lowest_free(indices: list[int]) -> int:
    taken = set(indices)
    return next(i for i in range(len(taken) + 1) if i not in taken)


def farthest(samples: Lanes | Chunked, n_clusters: int, rng: Generator) -> Array:
    """Farthest-first: `reference.farthest_first`."""
    first = first_sample(samples, rng)
    if n_clusters == 1:
        return np.array([first])
    chosen = begin(samples, first, n_clusters, n_trials=1)
    positive = samples.positive()
    while len(chosen.indices) < n_clusters:
        rank = chosen.nearest
        if positive is not None:
            rank = np.where(positive, rank, -1.0)
        i = int(rank.argmax())
        if not rank[i] > 0:  # else it was not chosen before: it would be at distance 0
            rank = rank.copy()
            rank[chosen.indices] = -2.0
            i = int(rank.argmax())
        chosen.add(i)
    return np.array(chosen.indices)


CHOOSERS: dict[str, Callable[..., Array]] = {
    "k-means++": plusplus,
    "random": random_samples,
    "farthest": farthest,
}


def initial_centers(
    samples: Lanes | Chunked, n_clusters: int, init: Any, rng: Generator
) -> Array:
    """Centers (n_clusters, n_features) for the samples, from a checked `init`."""
    if isinstance(init, str):
        return samples.rows(CHOOSERS[init](samples, n_clusters, rng))
    if callable(init):
        return validation.as_init(
            init(samples.given(), n_clusters, random_state=rng),
            samples,
            n_clusters,
            samples.total_weight(),
            name="the result of init",
        )
    return init
