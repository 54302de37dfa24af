"""The specification: k-means in NumPy and `math.fsum`, slow, short and obviously right.

Every fast path of fastkm returns the same bits as the functions of this module.
The words used throughout:

- samples `X` (n_samples, n_features) and `centers` (n_clusters, n_features) share
  one dtype, float32 or float64; `weights` (n_samples,) are float64, or None for ones;
- distances are *squared* Euclidean distances in float64;
- an *exact* sum is the real sum of float64 terms, rounded once to float64;
- a cluster is empty when the weights of its samples add up to zero.

The contract, in the order in which an iteration uses it:

1. `squared_distances`: features in ascending order, every operation rounded in
   float64, no fused multiply-add.
2. `assign`: the nearest center, the lowest index among equals.
3. `sum_clusters`: exact sums of the float64 products weight * sample.
4. `refill`: each empty cluster takes the sample farthest from its center.
5. `move`: sum / weight in float64, rounded to the dtype of X. A frozen center does not
   move, and its cluster may stay empty.
6. `kmeans`: stops when no center changed, or the centers' summed squared movement
   is at most `tol` times the mean variance of the features, or after `max_iter`.
   Then labels, inertia and centers that belong together.

Seeding (`random_samples`, `kmeans_plusplus`, `farthest_first`) draws from a
`numpy.random.Generator` on exact distances and exact sums, so that it has one
answer too; for a small X (MOST_SORTED) it is one for all orders of the samples.

References
----------
Lloyd, Least squares quantization in PCM (1982), section "Method I".
Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007),
section 2.2; the greedy form is in section 5.
Bahmani, Moseley, Vattani, Kumar and Vassilvitskii, Scalable k-means++ (2012),
algorithm 2.
Gonzalez, Clustering to minimize the maximum intercluster distance (1985), section 2.
Lattanzi and Sohler, A better k-means++ algorithm via local search (2019),
algorithm LocalSearch++.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Generator = np.random.Generator

MOST_SORTED = 2**15  # numbers in X up to which their order is no matter to seeding


class Result(NamedTuple):
    """What `kmeans` returns; the fields belong together."""

    centers: Array
    labels: Array
    inertia: float
    n_iter: int
    stop: str


def exact_sum(terms: Iterable[float]) -> float:
    """Real sum of `terms`, rounded once; a zero sum is +0.0."""
    return math.fsum(terms) + 0.0


def unit_weights(X: Array, weights: Array | None) -> Array:
    """Give `weights`, or ones where they are None."""
    return np.ones(len(X)) if weights is None else weights


def squared_distances(X: Array, centers: Array) -> Array:
    """All distances D(i, j), (n_samples, n_clusters) float64.

    >>> squared_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [1.0, 0.0]]))
    array([[25.,  1.]])
    """
    X, centers = X.astype(np.float64), centers.astype(np.float64)
    distances = np.zeros((len(X), len(centers)))
    for f in range(X.shape[1]):
        difference = X[:, f, None] - centers[None, :, f]
        distances += difference * difference
    return distances


def assign(X: Array, centers: Array) -> tuple[Array, Array]:
    """Label (int32) and distance of the nearest center of each sample."""
    distances = squared_distances(X, centers)
    labels = distances.argmin(axis=1)
    return labels.astype(np.int32), distances[np.arange(len(X)), labels]


def nearest_centers(X: Array, centers: Array, n_nearest: int) -> tuple[Array, Array]:
    """Labels and distances (n_samples, n_nearest), the nearest first.

    Equal distances are in the order of the centers.
    """
    distances = squared_distances(X, centers)
    labels = distances.argsort(axis=1, kind="stable")[:, :n_nearest]
    return labels.astype(np.int32), np.take_along_axis(distances, labels, axis=1)


def sum_clusters(
    X: Array, labels: Array, n_clusters: int, weights: Array | None = None
) -> tuple[Array, Array]:
    """Exact sums (n_clusters, n_features) and weights (n_clusters,) of the clusters."""
    weights = unit_weights(X, weights)
    terms = weights[:, None] * X.astype(np.float64)
    sums = np.zeros((n_clusters, X.shape[1]))
    cluster_weights = np.zeros(n_clusters)
    for j in range(n_clusters):
        members = labels == j
        sums[j] = [exact_sum(column) for column in terms[members].T]
        cluster_weights[j] = exact_sum(weights[members])
    return sums, cluster_weights


def step(
    X: Array, centers: Array, weights: Array | None = None
) -> tuple[Array, Array, Array]:
    """Assign, then sum: labels, exact sums and weights of the clusters."""
    labels, _ = assign(X, centers)
    return labels, *sum_clusters(X, labels, len(centers), weights)


def move(
    centers: Array,
    sums: Array,
    cluster_weights: Array,
    frozen: Array | None = None,
) -> Array:
    """Compute the new centers sum / weight; empty clusters' and frozen centers stay."""
    moved = centers.copy()
    filled = cluster_weights > 0
    if frozen is not None:
        filled &= ~frozen
    moved[filled] = (sums[filled] / cluster_weights[filled, None]).astype(centers.dtype)
    return moved


def refill(
    X: Array,
    labels: Array,
    distances: Array,
    n_clusters: int,
    weights: Array | None = None,
    frozen: Array | None = None,
) -> Array:
    """Labels in which each empty cluster, in ascending order, has taken a sample.

    It takes the sample of positive weight that is farthest from its center, the
    lowest index among equals, out of a cluster that holds other samples as well,
    together with all copies of that sample (so that repeating a sample and giving
    it weight have the same effect). Where there is no such sample, there are fewer
    distinct samples than clusters, and the cluster stays empty. So does a cluster
    whose center is frozen: the sample could not draw it near.
    """
    weights = unit_weights(X, weights)
    labels = labels.copy()
    for empty in range(n_clusters):
        held = frozen is not None and frozen[empty]
        if held or (weights[labels == empty] > 0).any():
            continue
        for i in sorted(range(len(X)), key=lambda i: (-distances[i], i)):
            cluster = labels == labels[i]
            copies = cluster & (X == X[i]).all(axis=1)
            if weights[i] > 0 and (weights[cluster & ~copies] > 0).any():
                labels[copies] = empty
                break
    return labels


def inertia(distances: Array, weights: Array | None = None) -> float:
    """Exact sum of weight * distance over the samples."""
    return exact_sum(unit_weights(distances, weights) * distances)


def mean_variance(X: Array, weights: Array | None = None) -> float:
    """Variance of the features, averaged: the scale of `tol`.

    It is the inertia about the mean (float64) per weight and feature.
    """
    sums, total = sum_clusters(X, np.zeros(len(X), np.int32), 1, weights)
    _, distances = assign(X, sums / total)
    return inertia(distances, weights) / (float(total[0]) * X.shape[1])


def movement(centers: Array, moved: Array) -> float:
    """Exact sum over the clusters of the distance that the center moved."""
    return exact_sum(
        squared_distances(centers[j : j + 1], moved[j : j + 1])[0, 0]
        for j in range(len(centers))
    )


def kmeans(
    X: Array,
    centers: Array,
    weights: Array | None = None,
    *,
    max_iter: int = 300,
    tol: float = 1e-4,
    frozen: Array | None = None,
) -> Result:
    """Lloyd's iteration from the given centers, of which some may be frozen.

    >>> X = np.array([[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]])
    >>> result = kmeans(X, X[[0, 2]])
    >>> result.centers.tolist(), result.inertia, result.n_iter
    ([[0.0, 1.0], [9.0, 1.0]], 4.0, 2)
    """
    n_clusters = len(centers)
    threshold = tol * mean_variance(X, weights) if tol > 0 else 0.0
    stop = "max_iter"
    n_iter = 0
    while n_iter < max_iter and stop == "max_iter":
        n_iter += 1
        labels, distances = assign(X, centers)
        labels = refill(X, labels, distances, n_clusters, weights, frozen)
        moved = move(centers, *sum_clusters(X, labels, n_clusters, weights), frozen)
        if np.array_equal(moved, centers):
            stop = "unchanged"
        elif movement(centers, moved) <= threshold:
            stop = "tol"
        centers = moved
    # The last move may have emptied a cluster: no result leaves one that could be
    # filled. Each round lowers the inertia; the bound is for rounding to float32.
    labels, distances = assign(X, centers)
    for _ in range(n_clusters):
        filled = refill(X, labels, distances, n_clusters, weights, frozen)
        if np.array_equal(filled, labels):
            break
        centers = move(centers, *sum_clusters(X, filled, n_clusters, weights), frozen)
        labels, distances = assign(X, centers)
    return Result(centers, labels, inertia(distances, weights), n_iter, stop)


def drawing_order(X: Array) -> Array:
    """Indices of the samples in the order in which they stand for a draw.

    Few samples are sorted by their first feature, then the second and so on: which of
    them are chosen does not depend on the order in which they came.
    """
    if X.size > MOST_SORTED:
        return np.arange(len(X))
    return np.lexsort(X.T[::-1])


Chooser = Callable[..., Array]


def in_drawing_order(choose: Chooser) -> Chooser:
    """Let a function choose from the samples in their drawing order."""

    @functools.wraps(choose)
    def chosen(
        X: Array,
        n_clusters: int,
        rng: Generator,
        weights: Array | None = None,
        **options: Any,
    ) -> Array:
        order = drawing_order(X)
        weights = unit_weights(X, weights)[order]
        return order[choose(X[order], n_clusters, rng, weights, **options)]

    return chosen


def draw(terms: Array, threshold: float) -> int:
    """First index whose exact prefix sum of the (non-negative) terms is > threshold.

    Where rounding left no such index, the last positive term's.
    """
    positive = np.flatnonzero(terms > 0)
    low, high = 0, len(positive) - 1
    while low < high:
        middle = (low + high) // 2
        if math.fsum([*terms[: positive[middle] + 1], -threshold]) > 0:
            high = middle
        else:
            low = middle + 1
    return int(positive[low])


def first_sample(rng: Generator, weights: Array) -> int:
    """One sample, drawn in proportion to its weight."""
    return draw(weights, rng.random() * exact_sum(weights))


@in_drawing_order
def random_samples(
    X: Array, n_clusters: int, rng: Generator, weights: Array | None = None
) -> Array:
    """Indices of different samples, each draw in proportion to weight.

    With unequal weights by the method of Efraimidis and Spirakis, Weighted random
    sampling with a reservoir (2006), section 3, in its exponential form.
    """
    if weights is None or (weights == weights[0]).all():
        return rng.choice(len(X), n_clusters, replace=False)
    with np.errstate(divide="ignore", over="ignore"):
        arrivals = rng.standard_exponential(len(X)) / weights
    return np.lexsort((arrivals, weights == 0))[:n_clusters]


@in_drawing_order
def kmeans_plusplus(
    X: Array,
    n_clusters: int,
    rng: Generator,
    weights: Array | None = None,
    *,
    n_local_trials: int | None = None,
) -> Array:
    """Indices of the samples chosen by greedy k-means++.

    Each step draws `n_local_trials` candidates (2 + floor(log(n_clusters)) when
    None; 1 is plain k-means++) in proportion to weight * squared distance to the
    nearest sample chosen so far, and keeps the one that leaves the least inertia,
    the first among equals. When no distance is left (fewer distinct samples than
    clusters), the lowest index not yet chosen is taken.
    """
    weights = unit_weights(X, weights)
    n_trials = n_local_trials or 2 + int(math.log(n_clusters))
    chosen = [first_sample(rng, weights)]
    nearest = squared_distances(X, X[chosen])[:, 0]
    potential = inertia(nearest, weights)
    while len(chosen) < n_clusters:
        thresholds = rng.random(n_trials) * potential
        if potential == 0:
            chosen.append(min(set(range(len(X))) - set(chosen)))
            continue
        candidates = [draw(weights * nearest, r) for r in thresholds]
        remaining = np.minimum(nearest[:, None], squared_distances(X, X[candidates]))
        potentials = [inertia(column, weights) for column in remaining.T]
        best = int(np.argmin(potentials))
        chosen.append(candidates[best])
        nearest, potential = remaining[:, best], potentials[best]
    return np.array(chosen)


@in_drawing_order
def kmeans_parallel(
    X: Array, n_clusters: int, rng: Generator, weights: Array | None = None
) -> Array:
    """Indices of the samples chosen by k-means||.

    In each of five rounds every sample is taken with probability 2 n_clusters times its
    share of the inertia about those taken before; further rounds follow as long as they
    are fewer than n_clusters. Greedy k-means++ chooses among them, each with the weight
    of the samples that are nearest to it. When no distance is left too early, the
    lowest indices not yet taken make up for what is missing.

    Bahmani, Moseley, Vattani, Kumar and Vassilvitskii, Scalable k-means++ (2012),
    algorithm 2.
    """
    weights = unit_weights(X, weights)
    taken = np.array([first_sample(rng, weights)])
    nearest = squared_distances(X, X[taken])[:, 0]
    n_rounds = 0
    while n_rounds < 5 or len(taken) < n_clusters:
        n_rounds += 1
        cost = inertia(nearest, weights)
        if cost == 0:
            break
        uniforms = rng.random(len(X))
        new = np.flatnonzero(uniforms * cost < 2 * n_clusters * (weights * nearest))
        if len(new):
            nearest = np.minimum(nearest, assign(X, X[new])[1])
            taken = np.concatenate([taken, new])
    free = np.setdiff1d(np.arange(len(X)), taken)
    taken = np.concatenate([taken, free[: max(0, n_clusters - len(taken))]])
    labels, _ = assign(X, X[taken])
    masses = [exact_sum(weights[labels == j]) for j in range(len(taken))]
    return taken[kmeans_plusplus(X[taken], n_clusters, rng, np.array(masses))]


@in_drawing_order
def farthest_first(
    X: Array, n_clusters: int, rng: Generator, weights: Array | None = None
) -> Array:
    """Indices of a random first sample, then always the sample farthest from all.

    The lowest index among equals; samples of weight zero come last, and a sample
    is never chosen twice.
    """
    weights = unit_weights(X, weights)
    chosen = [first_sample(rng, weights)]
    nearest = squared_distances(X, X[chosen])[:, 0]
    while len(chosen) < n_clusters:
        rank = np.where(weights > 0, nearest, -1.0)
        rank[chosen] = -2.0
        chosen.append(int(rank.argmax()))
        nearest = np.minimum(nearest, squared_distances(X, X[chosen[-1:]])[:, 0])
    return np.array(chosen)


def swap_costs(X: Array, centers: Array, i: int, weights: Array | None = None) -> Array:
    """Inertia that each center's replacement by sample i would leave, (n_clusters,)."""
    n_clusters = len(centers)
    costs = np.empty(n_clusters)
    for j in range(n_clusters):
        swapped = np.concatenate([centers[:j], X[i : i + 1], centers[j + 1 :]])
        costs[j] = inertia(assign(X, swapped)[1], weights)
    return costs


def swap(
    X: Array,
    centers: Array,
    rng: Generator,
    weights: Array | None = None,
    *,
    n_swaps: int,
    frozen: Array | None = None,
) -> Array:
    """Centers of which some were replaced by samples, so that the inertia fell.

    `n_swaps` times a sample is drawn in proportion to weight * squared distance, and
    takes the place of the center whose replacement leaves the least inertia (the first
    among equals, never that of a `frozen` one) where that is less than before. Nothing
    is left to draw, and the search ends, at inertia 0.
    """
    centers = centers.copy()
    for _ in range(n_swaps):
        _, distances = assign(X, centers)
        cost = inertia(distances, weights)
        if cost == 0:
            break
        i = draw(unit_weights(X, weights) * distances, rng.random() * cost)
        costs = swap_costs(X, centers, i, weights)
        if frozen is not None:
            costs[frozen] = np.inf
        if costs.min() < cost:
            centers[costs.argmin()] = X[i]
    return centers
