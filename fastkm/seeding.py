"""Where the first centers come from: same draws and same bits as `reference`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm import engines, validation
from fastkm.engines import Chunked, Lanes
from fastkm.engines.base import Held
from fastkm.engines.chosen import begin, draw

Array = NDArray[Any]
Generator = np.random.Generator

N_ROUNDS = 5  # of k-means||
MOST_SORTED = 2**15  # as in `reference`: to sort so many numbers takes about 1 ms
SIGN = np.int64(-(2**63))


def lexicographic(X: Array) -> Array:
    """Order of the samples: np.lexsort(X.T[::-1]), several times as fast.

    Rows of bytes are compared at once. The bits of floats are ordered as the floats
    are once those of negative ones are turned; zeros get one sign before.
    """
    bits = (X.astype(np.float64) + 0.0).view(np.int64)
    keys = np.where(bits < 0, ~bits, bits ^ SIGN).astype(">i8")
    rows = keys.view(f"V{keys[0].nbytes}").ravel()
    return rows.argsort(kind="stable")


def drawing_order(X: Array) -> Array | None:
    """Order of the samples for draws (None: as they are), `reference.drawing_order`."""
    return None if X.size > MOST_SORTED else lexicographic(X)


def in_drawing_order(choose: Callable[..., Array]) -> Callable[..., Array]:
    """Let a function choose from the samples in `reference.drawing_order`."""

    @functools.wraps(choose)
    def chosen(
        samples: Lanes | Chunked, n_clusters: int, rng: Generator, *options: Any
    ) -> Array:
        if samples.n_samples * samples.n_features > MOST_SORTED:
            return choose(samples, n_clusters, rng, *options)
        X = samples.rows(np.arange(samples.n_samples))
        order = lexicographic(X)
        weights = None if samples.weights is None else samples.weights[order]
        ordered = Lanes(X[order], weights, samples.n_threads)
        return order[choose(ordered, n_clusters, rng, *options)]

    return chosen


def first_sample(samples: Held, rng: Generator) -> int:
    """One sample in proportion to its weight."""
    u = rng.random()
    if samples.weights is None:
        # The first prefix sum 1, 2, 3 ... above u * n_samples.
        return min(math.floor(u * samples.n_samples), samples.n_samples - 1)
    return draw(samples.weights, u * math.fsum(samples.weights))


@in_drawing_order
def random_samples(samples: Held, n_clusters: int, rng: Generator) -> Array:
    """Different samples in proportion to weight: `reference.random_samples`."""
    weights = samples.weights
    if weights is None or (weights == weights[0]).all():
        return rng.choice(samples.n_samples, n_clusters, replace=False)
    with np.errstate(divide="ignore", over="ignore"):
        arrivals = rng.standard_exponential(samples.n_samples) / weights
    return np.lexsort((arrivals, weights == 0))[:n_clusters]


def n_uniforms(init: str, n_clusters: int) -> int:
    """Uniform numbers that a seeding draws: one, for k-means++ the trials' as well."""
    steps = n_clusters - 1 if init == "k-means++" else 0
    return 1 + steps * n_trials_of(n_clusters)


def n_trials_of(n_clusters: int) -> int:
    """Candidates per step of greedy k-means++."""
    return 2 + int(math.log(n_clusters))


@in_drawing_order
def plusplus(
    samples: Lanes | Chunked,
    n_clusters: int,
    rng: Generator,
    n_local_trials: int | None = None,
) -> Array:
    """Greedy k-means++: `reference.kmeans_plusplus`."""
    n_trials = n_local_trials or n_trials_of(n_clusters)
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


@in_drawing_order
def parallel(samples: Lanes | Chunked, n_clusters: int, rng: Generator) -> Array:
    """k-means||: `reference.kmeans_parallel`."""
    taken = np.array([first_sample(samples, rng)])
    _, nearest = _assign(samples, taken)
    n_rounds = 0
    while n_rounds < N_ROUNDS or len(taken) < n_clusters:
        n_rounds += 1
        cost = samples.inertia(nearest)
        if cost == 0:
            break
        uniforms = rng.random(samples.n_samples)
        terms = nearest if samples.weights is None else samples.weights * nearest
        with np.errstate(over="ignore"):
            new = np.flatnonzero(uniforms * cost < 2 * n_clusters * terms)
        if len(new):
            np.minimum(nearest, _assign(samples, new)[1], out=nearest)
            taken = np.concatenate([taken, new])
    free = np.setdiff1d(np.arange(samples.n_samples), taken)
    taken = np.concatenate([taken, free[: max(0, n_clusters - len(taken))]])
    masses = _masses(_assign(samples, taken)[0], samples.weights, len(taken))
    candidates = Lanes(samples.rows(taken), masses, samples.n_threads)
    chosen: Array = taken[plusplus(candidates, n_clusters, rng)]
    return chosen


def _assign(samples: Lanes | Chunked, centers: Array) -> tuple[Array, Array]:
    """Labels and distances of all samples, about some of them (indices)."""
    source = samples.X if isinstance(samples, Lanes) else samples.samples
    engine = engines.choose(source, None, len(centers), samples.n_threads).engine
    return engine.assign(samples.rows(centers))


def _masses(labels: Array, weights: Array | None, n_clusters: int) -> Array:
    """Exact weights of the clusters."""
    sizes = np.bincount(labels, minlength=n_clusters)
    if weights is None:
        return sizes.astype(np.float64)
    in_order = weights[np.argsort(labels, kind="stable")]
    return np.array(
        [math.fsum(some) for some in np.split(in_order, sizes.cumsum()[:-1])]
    )


@in_drawing_order
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
    "k-means||": parallel,
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
