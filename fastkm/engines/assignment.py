"""Assignment: every sample and its cluster, wherever that is known.

`fastkm.lloyd` asks an assignment for sums over its clusters and, where one is empty,
for the sample that it is to take. `InOneArray` has the labels of all samples.
`engines.parts` asks for them part by part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from fastkm.engines.base import Array, InMemory, Step, Whole

PART = 2**16  # labels that are counted at once


class Sample(NamedTuple):
    """A sample in an assignment: squared distance, index, cluster, features."""

    distance: float
    i: int
    label: int
    row: Array


class Assignment(Protocol):
    """Samples and their clusters; `barred` is (n_clusters,) bool.

    labels : (n_samples,) int32, or empty where so many are not held
    """

    labels: Array

    def sizes(self) -> tuple[Array, Array]:
        """Samples of each cluster, and those of positive weight among them."""

    def farthest(self, barred: Array) -> Sample | None:
        """Farthest of positive weight outside barred clusters, the first among equals.

        None if there is no such sample.
        """

    def has_others(self, sample: Sample) -> bool:
        """Whether its cluster holds others, of positive weight, than its copies."""

    def take(self, sample: Sample, cluster: int) -> None:
        """Give the sample and all its copies to an empty cluster."""

    def step(self) -> Step:
        """Sum the clusters."""

    def expansions(self, cells: Array) -> list[list[float]]:
        """For each (cluster, column) of `cells`, its terms as a short exact list."""

    def inertia(self) -> float:
        """Exact sum of weight * distance."""


def count(labels: Array, n_clusters: int) -> Array:
    """Count the samples of each cluster.

    A part at a time: `bincount` makes a copy in 64 bits, which then stays in a cache.
    """
    size = max(PART, n_clusters)
    sizes = np.zeros(n_clusters, np.int64)
    for first in range(0, len(labels), size):
        sizes += np.bincount(labels[first : first + size], minlength=n_clusters)
    return sizes


class InOneArray:
    """An assignment whose labels and distances are arrays, over an engine."""

    def __init__(
        self, engine: Whole, n_clusters: int, labels: Array, distances: Array
    ) -> None:
        self.engine = engine
        self.n_clusters = n_clusters
        self.labels, self._distances = labels, distances
        self.positive = engine.positive()
        self._sizes: tuple[Array, Array] | None = None

    @property
    def distances(self) -> Array:
        """Squared distance of each sample to its center."""
        return self._distances

    def sizes(self) -> tuple[Array, Array]:
        if self._sizes is None:
            self._sizes = self._count()
        return self._sizes

    def _count(self) -> tuple[Array, Array]:
        sizes = count(self.labels, self.n_clusters)
        if self.positive is None:
            return sizes, sizes
        return sizes, count(self.labels[self.positive], self.n_clusters)

    def farthest(self, barred: Array) -> Sample | None:
        refused = barred[self.labels]
        if self.positive is not None:
            refused |= ~self.positive
        rank = np.where(refused, -1.0, self.distances)
        i = int(rank.argmax())
        if rank[i] < 0:
            return None
        (row,) = self.engine.rows(np.array([i]))
        return Sample(float(rank[i]), i, int(self.labels[i]), row)

    def has_others(self, sample: Sample) -> bool:
        members = self.labels == sample.label
        if self.positive is not None:
            members &= self.positive
        members[self._copies(sample)] = False
        return bool(members.any())

    def take(self, sample: Sample, cluster: int) -> None:
        self.labels[self._copies(sample)] = cluster
        self._sizes = None

    def _copies(self, sample: Sample) -> Array:
        # Copies have the same label and distance, so only such samples are compared.
        alike = np.flatnonzero(
            (self.labels == sample.label) & (self.distances == sample.distance)
        )
        return alike[(self.engine.rows(alike) == sample.row).all(axis=1)]

    def step(self) -> Step:
        return self.engine.sums(self.labels, self.n_clusters)

    def expansions(self, cells: Array) -> list[list[float]]:
        return self.engine.expansions(self.labels, cells)

    def inertia(self) -> float:
        return self.engine.inertia(self.distances)


class Labelled(InOneArray):
    """Samples of an engine in memory: their distances are found when they are needed.

    That is before a sample is taken. sizes : (n_clusters,) int64 or None, samples of
    each cluster where they are known.
    """

    def __init__(
        self, engine: InMemory, centers: Array, labels: Array, sizes: Array | None
    ) -> None:
        super().__init__(engine, len(centers), labels, np.empty(0))
        self.own, self.centers = engine, centers
        if sizes is not None:
            self._sizes = sizes, sizes

    @property
    def distances(self) -> Array:
        if not self._distances.size:
            self._distances = self.own.own_distances(self.centers, self.labels)
        return self._distances

    def inertia(self) -> float:
        if not self._distances.size:
            return self.own.own_inertia(self.centers, self.labels)
        return super().inertia()
