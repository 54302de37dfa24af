"""Swaps of a center and a sample: a local search out of a local minimum.

Lloyd's iteration cannot move a center across the data: where two centers share a
cluster and one has two, it stays so. A swap can. The distances to the nearest and to
the second nearest center are kept, so that one pass over the samples finds what the
inertia would be for every center that a candidate might replace; after a swap, only
samples that lost one of their two centers look at all of them again.

Same bits as `reference.swap`. Lattanzi and Sohler, A better k-means++ algorithm via
local search (2019), algorithm LocalSearch++; that two distances suffice is from
Schubert and Rousseeuw, Fast and eager k-medoids clustering (2021), section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm.engines.base import join_chunks
from fastkm.engines.chosen import draw
from fastkm.engines.lanes import Lanes, block_rows
from fastkm.kernels import exact, swaps

Array = NDArray[Any]


class Neighbours:
    """Every sample's nearest and second nearest center. 24 bytes per sample."""

    def __init__(self, samples: Lanes, centers: Array) -> None:
        self.samples = samples
        self.centers = centers.copy()
        n_samples = samples.n_samples
        self.labels, self.others = np.empty((2, n_samples), np.int32)
        self.nearest, self.second = np.empty((2, n_samples))
        self._find(np.arange(n_samples))

    def _find(self, queue: Array) -> None:
        work = 0.3 * len(queue) * self.centers.size
        swaps.nearest_two(
            self.samples.n_chunks(work),
            self.samples.X,
            queue,
            self.centers.astype(np.float64),
            block_rows(self.samples.n_features),
            self.labels,
            self.others,
            self.nearest,
            self.second,
        )

    def draw(self, threshold: float) -> int:
        """Draw one sample as `reference.draw` does from weight * nearest."""
        weights = self.samples.weights
        terms = self.nearest if weights is None else weights * self.nearest
        prefixes: Array = terms.cumsum()
        i = int(exact.drawn(prefixes, threshold))
        return i if i >= 0 else draw(terms, threshold)

    def costs(self, distances: Array) -> Array:
        """Inertia when a candidate at these distances replaces each of the centers."""
        n_chunks = self.samples.n_chunks(10.0 * self.samples.n_samples)
        totals = np.zeros((n_chunks, len(self.centers) + 1, 3))
        swaps.costs(
            n_chunks,
            self.samples.kernel_weights,
            self.labels,
            self.nearest,
            self.second,
            distances,
            totals,
        )
        joined = join_chunks(np.moveaxis(totals, 2, 1))
        everyone = np.full(len(self.centers), len(self.centers))
        values, uncertain = (
            joined.of(everyone) + joined.of(np.arange(len(self.centers)))
        ).rounded()
        for j in np.flatnonzero(uncertain):
            left = np.where(self.labels == j, self.second, self.nearest)
            values[j] = self.samples.inertia(np.minimum(left, distances))
        return values

    def swap(self, j: int, i: int, distances: Array) -> None:
        """Put sample i in the place of center j."""
        self.centers[j] = self.samples.X[i]
        lost = (self.labels == j) | (self.others == j)
        follows = ~lost & (distances < self.second)
        leads = follows & (distances < self.nearest)
        self.others[follows], self.second[follows] = j, distances[follows]
        self.others[leads], self.second[leads] = self.labels[leads], self.nearest[leads]
        self.labels[leads], self.nearest[leads] = j, distances[leads]
        self._find(np.flatnonzero(lost))


def swap(
    samples: Lanes,
    centers: Array,
    rng: np.random.Generator,
    n_swaps: int,
    frozen: Array | None = None,
) -> tuple[Array, int]:
    """Centers after `n_swaps` attempts, and how many of them succeeded.

    Centers that are `frozen` (n_clusters,) stay.
    """
    near = Neighbours(samples, centers)
    n_done = 0
    cost = samples.inertia(near.nearest)
    for _ in range(n_swaps):
        if cost == 0:
            break
        i = near.draw(rng.random() * cost)
        distances = samples.distance_table(samples.X[i : i + 1]).ravel()
        costs = near.costs(distances)
        if frozen is not None:
            costs[frozen] = np.inf
        j = int(costs.argmin())
        if costs[j] < cost:
            near.swap(j, i, distances)
            cost = float(costs[j])
            n_done += 1
    return near.centers, n_done
