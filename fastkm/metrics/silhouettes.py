"""Silhouettes: how much nearer a sample is to its own cluster than to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import validation
from fastkm.engines.base import read_only
from fastkm.engines.lanes import block_rows
from fastkm.kernels import silhouettes
from fastkm.metrics.partition import Partition, as_partition

Array = NDArray[Any]

TERMS = 2**33  # of distances between two looks at Ctrl-C: a few seconds
ROWS = 512  # at least, so that threads have a block each


def silhouette_samples(
    X: ArrayLike, labels: ArrayLike, *, n_threads: int | None = None
) -> Array:
    """Silhouette of each sample, from -1 (misplaced) to 1 (far from other clusters).

    With a the mean distance (not squared) to the other samples of its cluster and b
    the least mean distance to the samples of another cluster:

        s = (b - a) / max(a, b),  and 0 for a cluster of one sample

    Costs O(n^2 d), spread over the threads, and 16 bytes per sample beyond a float64
    copy of X: no n x n array. Differences are squared, not expanded, so far-off data
    lose no digits.

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite
    labels : array-like (n_samples,) of integers
        Any integers; equal labels make a cluster. From 2 to n_samples - 1 clusters.
    n_threads : int, optional

    Returns
    -------
    (n_samples,) float64

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Rousseeuw, Silhouettes: a graphical aid to the interpretation and validation of
    cluster analysis (1987), section 2.

    Examples
    --------
    >>> silhouette_samples([[0.0], [2.0], [9.0], [11.0]], [0, 0, 1, 1]).round(2)
    array([0.8 , 0.75, 0.75, 0.8 ])
    """
    return silhouette(as_partition(X, labels, n_threads))


def silhouette_score(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    sample_size: int | None = None,
    random_state: validation.Seed = None,
    n_threads: int | None = None,
) -> float:
    """Mean of `silhouette_samples`; high is good.

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite
    labels : array-like (n_samples,) of integers
        Any integers; equal labels make a cluster. From 2 to n_samples - 1 clusters.
    sample_size : int, optional
        Take so many samples, drawn without replacement, for the whole data set: the
        work grows with their square. All when None, or where there are no more.
    random_state : int, Generator, RandomState, SeedSequence or None
        For that draw.
    n_threads : int, optional

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it. That the labels are those
        of 2 to n_samples - 1 clusters must hold for the drawn samples.

    Examples
    --------
    >>> round(silhouette_score([[0.0], [2.0], [9.0], [11.0]], [0, 0, 1, 1]), 3)
    0.775
    """
    if sample_size is None:
        return float(silhouette_samples(X, labels, n_threads=n_threads).mean())
    X = validation.as_samples(X)
    labels = validation.as_labels(labels, len(X))
    size = validation.check_integer(sample_size, "sample_size")
    rng = validation.check_random_state(random_state)
    drawn = draw_samples(len(X), size, rng)
    return float(
        silhouette_samples(X[drawn], labels[drawn], n_threads=n_threads).mean()
    )


def draw_samples(n_samples: int, size: int, rng: np.random.Generator) -> Array:
    """Indices of different samples in ascending order; all, without a draw, if few."""
    if size >= n_samples:
        return np.arange(n_samples)
    return np.sort(rng.choice(n_samples, size, replace=False, shuffle=False))


def simplified_silhouette_samples(
    X: ArrayLike, labels: ArrayLike, *, n_threads: int | None = None
) -> Array:
    """Silhouette of each sample with the clusters represented by their means.

    As `silhouette_samples`, with a the distance of a sample to the mean of its cluster
    and b that to the nearest other mean. Costs O(n k d) instead of O(n^2 d).

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite
    labels : array-like (n_samples,) of integers
        Any integers; equal labels make a cluster. From 2 to n_samples - 1 clusters.
    n_threads : int, optional

    Returns
    -------
    (n_samples,) float64

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Hruschka, de Castro and Campello, Evolutionary algorithms for clustering
    gene-expression data (2004), section 3.2.

    Examples
    --------
    >>> simplified_silhouette_samples([[0.0], [2.0], [9.0], [11.0]], [0, 0, 1, 1])
    array([0.9  , 0.875, 0.875, 0.9  ])
    """
    return simplified_silhouette(as_partition(X, labels, n_threads))


def simplified_silhouette_score(
    X: ArrayLike, labels: ArrayLike, *, n_threads: int | None = None
) -> float:
    """Mean of `simplified_silhouette_samples`; high is good.

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

    Examples
    --------
    >>> simplified_silhouette_score([[0.0], [2.0], [9.0], [11.0]], [0, 0, 1, 1])
    0.8875
    """
    return float(simplified_silhouette_samples(X, labels, n_threads=n_threads).mean())


def silhouette(partition: Partition) -> Array:
    """`silhouette_samples` of a checked partition."""
    sizes, labels = partition.sizes, partition.labels
    members = np.argsort(labels, kind="stable")
    others = partition.samples.X[members].astype(np.float64)
    own, nearest = _distances(partition, others, np.append(0, np.cumsum(sizes)))
    own /= np.maximum(sizes - 1, 1)[labels]
    values = _silhouettes(own, nearest)
    values[sizes[labels] == 1] = 0.0
    return values


def simplified_silhouette(partition: Partition) -> Array:
    """`simplified_silhouette_samples` of a checked partition."""
    starts = np.arange(len(partition.sizes) + 1)
    return _silhouettes(*_distances(partition, partition.means, starts))


def _silhouettes(own: Array, nearest: Array) -> Array:
    larger = np.maximum(own, nearest)
    return (nearest - own) / np.where(larger > 0, larger, 1.0)


def _distances(
    partition: Partition, others: Array, starts: Array
) -> tuple[Array, Array]:
    """For each sample, what the kernel says of others[starts[c]:starts[c + 1]]."""
    samples = partition.samples
    own, nearest = np.empty(samples.n_samples), np.empty(samples.n_samples)
    step = max(ROWS, TERMS // others.size)
    for start in range(0, samples.n_samples, step):
        rows = slice(start, start + step)
        X = samples.X[rows]
        silhouettes.own_and_nearest(
            min(len(X), samples.n_chunks(0.3 * len(X) * others.size)),
            X,
            partition.labels[rows],
            read_only(others),
            starts,
            block_rows(samples.n_features),
            own[rows],
            nearest[rows],
        )
    return own, nearest
