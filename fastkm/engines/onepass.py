"""OnePass: few features and clusters, all of a step in one pass over the samples.

Labels, exact distances and exact sums are found block by block in the L1 cache
(`kernels.passes`), and only what is asked for is written: nothing but labels that
change, where the samples stay.
"""

from __future__ import annotations

import numpy as np

from fastkm.engines.base import Array, join_chunks
from fastkm.engines.lanes import Lanes, block_rows
from fastkm.exactsum import ExactSum
from fastkm.kernels import passes

MOST_FEATURES = 3  # from 4 on, tiles find labels as fast as this does all


class OnePass(Lanes):
    """The engine of this module (see there).

    Memory beyond X: that of `InMemory`.
    """

    def relabel(self, centers: Array, touched: Array) -> int:
        return self.advance(centers, self._labels, self._totals, touched)

    def assign(self, centers: Array) -> tuple[Array, Array]:
        labels = np.empty(self.n_samples, np.int32)
        distances = np.empty(self.n_samples)
        n_chunks = self.n_chunks(self.X.size * (1.0 + len(centers) / 6))
        passes.assign(n_chunks, self.X, centers.astype(np.float64), labels, distances)
        return labels, distances

    def advance(
        self, centers: Array, labels: Array, totals: Array, touched: Array
    ) -> int:
        changed = passes.step(
            len(totals),
            self.X,
            self.kernel_weights,
            centers.astype(np.float64),
            labels,
            totals,
            touched,
        )
        return sum(changed)


def exact_lanes(X: Array, weights: Array | None, n_threads: int) -> Lanes:
    """Give the engine that computes every distance, in one pass where that pays."""
    kind = OnePass if X.shape[1] <= MOST_FEATURES else Lanes
    return kind(X, weights, n_threads)


def approach(samples: Lanes, centers: Array, nearest: Array) -> None:
    """Bring distances to the nearest center up to date with a few more, in place."""
    n_chunks = samples.n_chunks(0.7 * samples.X.size * len(centers))
    block = block_rows(samples.n_features)
    passes.approach(n_chunks, samples.X, centers.astype(np.float64), block, nearest)


def potentials(samples: Lanes, nearest: Array, candidates: Array) -> ExactSum:
    """Sums of weight * the lesser of `nearest` and the distance to each candidate."""
    n_chunks = samples.n_chunks(0.7 * samples.X.size * len(candidates))
    totals = np.zeros((n_chunks, 3, len(candidates), 1))
    passes.potentials(
        n_chunks,
        samples.X,
        samples.kernel_weights,
        nearest,
        candidates.astype(np.float64),
        block_rows(samples.n_features),
        totals,
    )
    return join_chunks(totals[..., 0])
