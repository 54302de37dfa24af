"""Indices that set the spread within clusters against the distance between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines
from fastkm.metrics.partition import Partition, as_partition

Array = NDArray[Any]

TABLE = 2**22  # distances between means that are held at once


def davies_bouldin_score(
    X: ArrayLike, labels: ArrayLike, *, n_threads: int | None = None
) -> float:
    """Mean likeness of each cluster to the one that is most like it; low is good.

    With m_j the mean of cluster j and s_j the mean distance of its samples to m_j:

        1/k sum_i max_{j != i} (s_i + s_j) / |m_i - m_j|

    A pair with equal means counts as 0, as in scikit-learn. Costs O(n d + k^2 d).

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite
    labels : array-like (n_samples,) of integers
        Any integers; equal labels make a cluster. From 2 to n_samples - 1 clusters.
    n_threads : int, optional

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Davies and Bouldin, A cluster separation measure (1979), with q = 1 and p = 2.

    Examples
    --------
    >>> davies_bouldin_score([[0.0], [2.0], [9.0], [9.0]], [0, 0, 1, 1])
    0.125
    """
    return davies_bouldin(as_partition(X, labels, n_threads))


def davies_bouldin(partition: Partition) -> float:
    """`davies_bouldin_score` of a checked partition."""
    means, sizes = partition.means, partition.sizes
    spread = np.bincount(partition.labels, np.sqrt(partition.distances)) / sizes
    worst = np.empty(len(means))
    step = max(1, TABLE // len(means))
    for start in range(0, len(means), step):
        rows = slice(start, start + step)
        some = engines.Lanes(means[rows], None, partition.samples.n_threads)
        apart = np.sqrt(some.distance_table(means))
        apart[apart == 0] = np.inf  # a cluster and itself, too
        worst[rows] = ((spread[rows, None] + spread) / apart).max(axis=1)
    return float(worst.mean())


def calinski_harabasz_score(
    X: ArrayLike, labels: ArrayLike, *, n_threads: int | None = None
) -> float:
    """Variance between the clusters in units of that within; high is good.

    With n_j samples and mean m_j in cluster j, m the mean of all:

        sum_j n_j |m_j - m|^2 / (k - 1)  over  sum_i |X_i - m_labels[i]|^2 / (n - k)

    1 where all samples are at their means, as in scikit-learn. Costs O(n d).

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite
    labels : array-like (n_samples,) of integers
        Any integers; equal labels make a cluster. From 2 to n_samples - 1 clusters.
    n_threads : int, optional

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Calinski and Harabasz, A dendrite method for cluster analysis (1974), section 3.

    Examples
    --------
    >>> calinski_harabasz_score([[0.0], [2.0], [9.0], [9.0]], [0, 0, 1, 1])
    64.0
    """
    return calinski_harabasz(as_partition(X, labels, n_threads))


def calinski_harabasz(partition: Partition) -> float:
    """`calinski_harabasz_score` of a checked partition."""
    means, sizes = partition.means, partition.sizes[:, None]
    n_samples, n_clusters = len(partition.labels), len(means)
    middle = (sizes * means).sum(axis=0) / n_samples
    between = float((sizes * (means - middle) ** 2).sum())
    within = partition.samples.inertia(partition.distances)
    if within == 0:
        return 1.0
    return between * (n_samples - n_clusters) / (within * (n_clusters - 1))
