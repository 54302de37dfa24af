"""A clustering as the indices see it: samples, and the cluster of each."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines, lloyd, validation

Array = NDArray[Any]


class Partition:
    """Samples with labels 0, 1, ..., of which each occurs.

    The same numbers for any number of threads: sums of samples are exact, all others
    are added in the order of the samples.
    """

    def __init__(self, samples: engines.Lanes, labels: Array) -> None:
        self.samples = samples
        self.labels = labels.astype(np.int32)
        self.sizes = np.bincount(labels)

    @cached_property
    def means(self) -> Array:
        """Means of the clusters, (n_clusters, n_features) float64."""
        step = self.samples.sums(self.labels, len(self.sizes))
        totals = lloyd.exact_totals(self.samples, step, self.labels)
        return totals[:, :-1] / totals[:, -1:]

    @cached_property
    def distances(self) -> Array:
        """Squared distance of each sample to the mean of its cluster."""
        return self.samples.own_distances(self.means, self.labels)


def as_partition(X: ArrayLike, labels: ArrayLike, n_threads: int | None) -> Partition:
    """Check the arguments of an index; labels that do not occur are left out."""
    X = validation.as_samples(X)
    labels = validation.as_numbered_labels(labels, len(X))
    n_threads = validation.check_n_threads(n_threads)
    return Partition(engines.Lanes(X, None, n_threads), labels)
