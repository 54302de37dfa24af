"""Chosen: the samples that a seeding has chosen, and how near every sample is to them.

What `fastkm.seeding` asks of the samples, in one array or in chunks.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from fastkm.engines.base import Array, Held, join_chunks
from fastkm.engines.chunks import Chunked
from fastkm.engines.lanes import Lanes
from fastkm.engines.sketch import Sketch
from fastkm.exactsum import ExactSum
from fastkm.kernels import exact, seeding
from fastkm.kernels.seeding import BLOCK
from fastkm.kernels.simd import MASK
from fastkm.kernels.vectors import LANES_32


class Chosen(ABC):
    """The samples chosen so far, and every sample's distance to the nearest of them.

    8 bytes per sample, and 24 per BLOCK of them.
    """

    def __init__(self, samples: Held) -> None:
        self.samples = samples
        self.nearest = np.full(samples.n_samples, np.inf)
        # Exact sums of weight * nearest.
        self.blocks = np.full((-(-samples.n_samples // BLOCK), 3), np.inf)
        self.indices: list[int] = []

    @abstractmethod
    def add(self, i: int) -> None:
        """Choose a sample."""

    @abstractmethod
    def potentials(self, candidates: Array) -> list[float]:
        """Inertia that each of the candidates (indices) would leave."""

    @abstractmethod
    def choose(self, t: int) -> None:
        """Choose one of the last candidates."""

    def _n_chunks(self, nanoseconds: float) -> int:
        """Threads for so much work per sample."""
        n_chunks = self.samples.n_chunks(nanoseconds * self.samples.n_samples)
        return min(n_chunks, len(self.blocks))

    def draw(self, threshold: float) -> int:
        """Draw one sample as `reference.draw` does from weight * nearest."""
        i = int(
            exact.draw(
                self.nearest,
                self.samples.kernel_weights,
                self.blocks,
                BLOCK,
                threshold,
            )
        )
        if i >= 0:
            return i
        weights = self.samples.weights
        return draw(
            self.nearest if weights is None else weights * self.nearest, threshold
        )


class ChosenInMemory(Chosen):
    """Most distances are ruled out by the `Sketch`, which see.

    4 bytes per sample and a bit per candidate of a step besides.
    """

    def __init__(self, samples: Lanes, n_clusters: int, n_trials: int) -> None:
        super().__init__(samples)
        self.engine = samples
        self.sketch = Sketch(samples, n_clusters, n_trials)
        n_tiles = -(-samples.n_samples // LANES_32)
        self.limits = np.full(n_tiles * LANES_32, -np.inf, np.float32)
        self.masks = np.empty((n_tiles, 0), MASK)

    def add(self, i: int) -> None:
        if self.indices:
            self.potentials(np.array([i]))
        else:  # nearer than none, to all
            self.candidates = np.array([i])
            self.masks = np.full((len(self.masks), 1), -1).astype(MASK)
        self.choose(0)

    def choose(self, t: int) -> None:
        self.indices.append(int(self.candidates[t]))
        seeding.choose(
            self._n_chunks(2.0),
            self.engine.X,
            self.samples.kernel_weights,
            self.engine.X[self.candidates].astype(np.float64),
            t,
            self.masks.shape[1],
            self.masks.ravel(),
            self.sketch.squares,
            self.nearest,
            self.limits,
            self.blocks,
        )

    def potentials(self, candidates: Array) -> list[float]:
        self.candidates = candidates
        packed, norms = self.sketch.candidates(candidates)
        if self.masks.shape[1] != norms.size:
            self.masks = np.empty((len(self.masks), norms.size), MASK)
        n_chunks = self._n_chunks(0.1 * packed.size + 2.0 * norms.size)
        totals = np.zeros((n_chunks, len(candidates), 3))
        rows = self.engine.X[candidates].astype(np.float64)
        seeding.potentials(
            n_chunks,
            self.engine.X,
            self.samples.kernel_weights,
            self.nearest,
            self.limits,
            self.blocks,
            self.sketch.packed,
            rows,
            packed,
            norms,
            self.masks.ravel(),
            totals,
        )
        joined = join_chunks(np.moveaxis(totals, 2, 1))
        return settled(self.engine, self.nearest, rows, joined)


class ChosenInChunks(Chosen):
    """Every distance is computed: one pass for the potentials, one for the choice."""

    def __init__(self, samples: Chunked) -> None:
        super().__init__(samples)
        self.chunks = samples

    def add(self, i: int) -> None:
        self.candidates = np.array([i])
        self.candidate_rows = self.chunks.rows(self.candidates)
        self.choose(0)

    def choose(self, t: int) -> None:
        self.indices.append(int(self.candidates[t]))
        _, distances = self.chunks.assign(self.candidate_rows[t : t + 1])
        np.minimum(self.nearest, distances, out=self.nearest)
        seeding.sum_blocks(
            self._n_chunks(4.0), self.nearest, self.samples.kernel_weights, self.blocks
        )

    def potentials(self, candidates: Array) -> list[float]:
        self.candidates = candidates
        self.candidate_rows = self.chunks.rows(candidates)
        parts = []
        for rows, part, table in self.chunks.distance_tables(self.candidate_rows):
            remaining = np.minimum(self.nearest[rows, None], table).T.copy()
            totals = [part.weighted_total(distances) for distances in remaining]
            parts.append(np.transpose([(t.high, t.low, t.slack) for t in totals]))
        total = join_chunks(np.array(parts))
        return settled(self.chunks, self.nearest, self.candidate_rows, total)


def settled(
    samples: Lanes | Chunked, nearest: Array, candidates: Array, total: ExactSum
) -> list[float]:
    """Potentials (n_candidates,) rounded once, those that are uncertain summed anew."""
    values, uncertain = total.rounded()
    for t in np.flatnonzero(uncertain):
        _, distances = samples.assign(candidates[t : t + 1])
        values[t] = samples.inertia(np.minimum(nearest, distances))
    return [float(value) for value in values]


def begin(
    samples: Lanes | Chunked, first: int, n_clusters: int, n_trials: int
) -> Chosen:
    """Begin with a first sample."""
    chosen: Chosen
    if isinstance(samples, Lanes):
        chosen = ChosenInMemory(samples, n_clusters, n_trials)
    else:
        chosen = ChosenInChunks(samples)
    chosen.add(first)
    return chosen


def draw(terms: Array, threshold: float) -> int:
    """First index whose exact prefix sum is above the threshold, by bisection."""
    positive = np.flatnonzero(terms > 0)
    low, high = 0, len(positive) - 1
    while low < high:
        middle = (low + high) // 2
        if math.fsum([*terms[: positive[middle] + 1], -threshold]) > 0:
            high = middle
        else:
            low = middle + 1
    return int(positive[low])
