"""Lanes: every distance of every sample, SIMD over samples; any shape and dtype.

Each thread transposes its samples block by block into float64 and walks over all
centers while the block is in its cache. Distance, label and sums come out of one pass;
the sums are updated only for samples whose label changed (`kernels.lanes.step`).

Memory beyond X: 4 bytes per sample (labels), and per thread three tables of sums.
"""

from __future__ import annotations

import numpy as np

from fastkm.engines.base import Array, InMemory, Step, join_chunks
from fastkm.kernels import lanes


def block_lanes(n_features: int) -> int:
    """Samples per block: columns and buffers of a block stay in the near cache."""
    return 512 if n_features <= 4 else 64


class Lanes(InMemory):
    """The engine of this module (see there)."""

    name = "lanes"

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        self.lanes = block_lanes(self.n_features)
        self._labels = np.empty(0, np.int32)
        self._totals = np.empty((0, 3, 0, 0))

    def step(self, centers: Array) -> Step:
        n_clusters = len(centers)
        # Sums that had to round somewhere would gather slack with every difference.
        if self._totals.shape[2] != n_clusters or self._totals[:, 2].any():
            n_chunks = self.n_chunks(3 * self.X.size * n_clusters)
            self._labels = np.full(self.n_samples, -1, np.int32)
            self._totals = np.zeros((n_chunks, 3, n_clusters, self.n_features + 1))
        changed = np.zeros(len(self._totals), np.int64)
        lanes.step(
            len(changed),
            self.X,
            self.kernel_weights,
            centers.astype(np.float64),
            self.lanes,
            self._labels,
            self._totals,
            changed,
        )
        return Step(join_chunks(self._totals.copy()), int(changed.sum()))

    def assign(self, centers: Array) -> tuple[Array, Array]:
        labels = np.empty(self.n_samples, np.int32)
        distances = np.empty(self.n_samples)
        n_chunks = self.n_chunks(3 * self.X.size * len(centers))
        lanes.assign(
            n_chunks,
            self.X,
            centers.astype(np.float64),
            self.lanes,
            n_chunks,
            labels,
            distances,
        )
        return labels, distances

    def distance_table(self, others: Array) -> Array:
        """All squared distances (n_samples, n_others), float64."""
        table = np.empty((self.n_samples, len(others)))
        n_chunks = self.n_chunks(3 * self.X.size * len(others))
        lanes.distance_table(
            n_chunks, self.X, others.astype(np.float64), self.lanes, n_chunks, table
        )
        return table
