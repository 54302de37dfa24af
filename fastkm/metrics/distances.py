"""Squared distances, and the two losses that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines, validation
from fastkm.api import as_weighted

Array = NDArray[Any]


def squared_distances(
    X: ArrayLike, Y: ArrayLike, *, n_threads: int | None = None
) -> Array:
    """Squared Euclidean distances between the rows of X and of Y.

    The differences are squared, not expanded into |x|^2 - 2 x.y + |y|^2: no distance
    is ever negative, and equal rows are at distance 0. Same bits as
    `fastkm.reference.squared_distances`.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
    Y : array-like (n_others, n_features), finite
    n_threads : int, optional

    Returns
    -------
    (n_samples, n_others) float64

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> squared_distances([[0.0, 0.0], [1e8, 1.0]], [[1e8, 0.0]])
    array([[1.e+16],
           [1.e+00]])
    """
    samples = validation.as_input(X)
    Y = validation.as_centers(Y, n_features=samples.shape[1], name="Y")
    n_threads = validation.check_n_threads(n_threads)
    return engines.exact_engine(samples, None, n_threads).distance_table(Y)


def inertia(
    X: ArrayLike,
    centers: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    n_threads: int | None = None,
) -> float:
    """Sum over the samples of weight * squared distance to the nearest center.

    The exact sum, rounded once.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
    centers : array-like (n_clusters, n_features), finite
    sample_weight : array-like (n_samples,), not negative, optional
    n_threads : int, optional

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> inertia([[1.0], [3.0], [9.0]], [[2.0], [9.0]])
    2.0
    """
    samples, weights = as_weighted(X, sample_weight, validation.as_input)
    n_threads = validation.check_n_threads(n_threads)
    total_weight = len(samples) if weights is None else float(weights.sum())
    centers = validation.as_centers(
        centers, n_features=samples.shape[1], total_weight=total_weight
    )
    engine = engines.choose(samples, weights, len(centers), n_threads).engine
    return engine.inertia(engine.assign(centers)[1])


def cluster_loss(X: ArrayLike, labels: ArrayLike) -> float:
    """Sum over the clusters of their mean pairwise squared distance per sample.

    With n_j samples in cluster j and their mean m_j, over all ordered pairs (a sample
    and itself included, so a cluster of one sample adds 0):

        loss = sum_j  1/n_j * mean_{a, b in j} |a - b|^2
             = sum_j  2/n_j^2 * sum_{a in j} |a - m_j|^2

    The second form needs no n x n array. It rewards many samples in tight clusters,
    and compares clusterings of one data set.

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite
    labels : array-like (n_samples,) of integers
        Any integers; equal labels make a cluster.

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> cluster_loss([[0.0], [2.0], [7.0]], [0, 0, 1])
    1.0
    """
    X = validation.as_samples(X)
    labels = validation.as_labels(labels, len(X))
    names, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(names), X.shape[1]))
    np.add.at(means, index, X)
    means /= counts[:, None]
    spread = np.zeros(len(names))
    for f in range(X.shape[1]):
        spread += np.bincount(index, (X[:, f] - means[index, f]) ** 2)
    return float(np.sum(2 * spread / counts**2))
