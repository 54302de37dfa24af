"""What an engine is: the samples in the form it likes, and the questions it answers.

`Engine` is all that `fastkm.lloyd` knows. `InMemory` answers the questions that have
the same answer in every engine whose samples are one array.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastkm.exactsum import ExactSum, expansion
from fastkm.kernels import exact, lanes

Array = NDArray[Any]


class Step(NamedTuple):
    """The sums of one assignment.  Steps over parts of the samples add up.

    totals : exact sums (n_clusters, n_features + 1), of the weighted samples of each
        cluster and, in the last column, of their weights
    n_changed : int, samples whose label differs from the last step's
    """

    totals: ExactSum
    n_changed: int

    def join(self, other: Step) -> Step:
        """Give the step over both parts of the samples."""
        return Step(self.totals + other.totals, self.n_changed + other.n_changed)


class Engine(Protocol):
    """The ways to carry out a Lloyd step; `centers` have the dtype of the samples."""

    n_samples: int
    n_features: int

    def step(self, centers: Array) -> Step:
        """Assign every sample, sum the clusters."""

    def assign(self, centers: Array) -> tuple[Array, Array]:
        """Labels (int32) and distances (float64) of all samples."""

    def sums(self, labels: Array, n_clusters: int) -> Step:
        """Sum the clusters of given labels."""

    def expansions(self, labels: Array, cells: Array) -> list[list[float]]:
        """For each (cluster, column) of `cells`, its terms as a short exact list."""

    def inertia(self, distances: Array) -> float:
        """Exact sum of weight * distance."""

    def rows(self, indices: Array) -> Array:
        """Give samples by index."""

    def positive(self) -> Array | None:
        """Which samples have a positive weight (None: all)."""


class InMemory:
    """Samples in one array: the answers that do not depend on the engine.

    Keeps X as it is (no copy) and 8 bytes per sample of weights where they are given.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        self.X = X.view()
        self.X.flags.writeable = False  # one type, so one compiled version, for all
        self.weights = weights
        self.kernel_weights = (np.ones(1) if weights is None else weights).view()
        self.kernel_weights.flags.writeable = False
        self.n_threads = n_threads
        self.n_samples, self.n_features = X.shape

    def n_chunks(self, work: int) -> int:
        """Threads that pay for `work` operations: starting one costs microseconds."""
        return max(1, min(self.n_threads, self.n_samples, work // 30_000))

    def sums(self, labels: Array, n_clusters: int) -> Step:
        n_chunks = self.n_chunks(10 * self.X.size)
        totals = np.zeros((n_chunks, 3, n_clusters, self.n_features + 1))
        lanes.sum_clusters(n_chunks, self.X, self.kernel_weights, labels, totals)
        return Step(join_chunks(totals), self.n_samples)

    def expansions(self, labels: Array, cells: Array) -> list[list[float]]:
        return [expansion(self._terms(labels == j, f)) for j, f in cells]

    def _terms(self, members: Array, column: int) -> Array:
        weights = (
            np.ones(int(members.sum()))
            if self.weights is None
            else self.weights[members]
        )
        if column == self.n_features:
            return weights
        return weights * self.X[members, column].astype(np.float64)

    def inertia(self, distances: Array) -> float:
        totals = np.zeros((self.n_chunks(10 * self.n_samples), 3))
        exact.weighted_total(len(totals), distances, self.kernel_weights, totals)
        value, uncertain = join_chunks(totals).rounded()
        if not uncertain:
            return float(value)
        weights = 1.0 if self.weights is None else self.weights
        return math.fsum(weights * distances)

    def rows(self, indices: Array) -> Array:
        return self.X[indices]

    def total_weight(self) -> float:
        """Exact sum of the weights."""
        return (
            float(self.n_samples) if self.weights is None else math.fsum(self.weights)
        )

    def positive(self) -> Array | None:
        return None if self.weights is None else self.weights > 0


def join_chunks(totals: Array) -> ExactSum:
    """Exact sums of totals (n_chunks, 3, ...) over the chunks."""
    joined = ExactSum(*totals[0])
    for chunk in totals[1:]:
        joined += ExactSum(*chunk)
    return joined
