"""Batches of samples, and clusters that learn from one after the other.

A cluster's center is the mean of all samples that it has been given (Sculley, Web-scale
k-means clustering, 2010, algorithm 1: a step of size 1 / count towards each sample). It
is computed as such, from a running float64 sum, to which each batch adds its exact sum:
threads and engines do not change a bit, and a float32 center does not stop moving when
its count grows large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm import engines, lloyd, seeding

Array = NDArray[Any]
Generator = np.random.Generator


class Clusters:
    """What is known of the clusters between two batches.

    centers : (n_clusters, n_features)
    sums, weights : float64, of all samples that each cluster was given so far
    n_since : samples since small clusters were last looked for
    """

    def __init__(self, centers: Array) -> None:
        self.centers = centers
        self.sums = np.zeros(centers.shape)
        self.weights = np.zeros(len(centers))
        self.n_since = 0


@dataclass
class Smoothed:
    """An exponentially weighted average of inertias, and since when it is not lower."""

    share: float
    average: float | None = None
    least: float = math.inf
    n_worse: int = 0

    def see(self, value: float) -> None:
        """Take in the next value."""
        if self.average is not None:
            value = self.average * (1 - self.share) + value * self.share
        self.average = value
        self.n_worse = 0 if value < self.least else self.n_worse + 1
        self.least = min(self.least, value)


def learn(
    clusters: Clusters,
    X: Array,
    weights: Array | None,
    rng: Generator,
    reassignment_ratio: float,
    n_threads: int,
) -> float:
    """Let the clusters take in a batch; returns its inertia about the old centers."""
    centers, n_clusters = clusters.centers, len(clusters.centers)
    clusters.n_since += len(X)
    is_due = clusters.n_since >= 10 * n_clusters or (clusters.weights == 0).any()
    choice = engines.choose(X, weights, n_clusters, n_threads, n_steps=1)
    step = choice.engine.step(centers)
    labels, distances = choice.engine.assign(centers)
    totals = lloyd.exact_totals(choice.engine, step, labels)
    clusters.sums += totals[:, :-1]
    clusters.weights += totals[:, -1]
    reached = totals[:, -1] > 0
    clusters.centers = centers.copy()
    clusters.centers[reached] = clusters.sums[reached] / clusters.weights[reached, None]
    if is_due:
        clusters.n_since = 0
        replace(clusters, X, weights, rng, reassignment_ratio)
    return choice.engine.inertia(distances)


def replace(
    clusters: Clusters, X: Array, weights: Array | None, rng: Generator, ratio: float
) -> None:
    """Move small clusters to samples of the batch, of which at most half are taken.

    They get the weight of the smallest of the others, so as not to be small at once.
    """
    small = clusters.weights < ratio * clusters.weights.max()
    order = np.argsort(clusters.weights, kind="stable")
    small[order[len(X) // 2 :]] = False
    if not small.any():
        return
    samples = engines.Lanes(X, weights, 1)
    chosen = seeding.random_samples(samples, int(small.sum()), rng)
    clusters.centers[small] = X[chosen]
    clusters.weights[small] = clusters.weights[~small].min()
    clusters.sums[small] = clusters.centers[small].astype(np.float64)
    clusters.sums[small] *= clusters.weights[small, None]


def cumulated(weights: Array | None) -> Array | None:
    """Sums of the first weights, for `draw`."""
    return None if weights is None else np.cumsum(weights)


def draw(n_samples: int, cumulative: Array | None, size: int, rng: Generator) -> Array:
    """Indices of samples, with replacement, in proportion to their weights."""
    if cumulative is None:
        return rng.integers(0, n_samples, size)
    total = cumulative[-1]
    drawn = np.searchsorted(cumulative, rng.random(size) * total, side="right")
    # A product that rounds to the total belongs to the last sample of positive weight.
    return np.minimum(drawn, np.searchsorted(cumulative, total))
