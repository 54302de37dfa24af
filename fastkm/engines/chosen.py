"""Chosen: the samples that a seeding has chosen, and how near every sample is to them.

What `fastkm.seeding` asks of the samples, in one array; `engines.chosen_in_parts` asks
it of parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fastkm.engines.base import Array, join_chunks
from fastkm.engines.lanes import Lanes
from fastkm.engines.sketch import make_sketch
from fastkm.kernels import exact, seeding
from fastkm.kernels.integers import HIGHEST
from fastkm.kernels.seeding import BLOCK
from fastkm.kernels.simd import MASK
from fastkm.kernels.vectors import GROUP, LANES_32

ALL = np.iinfo(MASK).max
LOOSE = 1 + 2.0**-11  # more than what float32 sums of gains lose
NOTHING = np.zeros(3)  # an exact sum of no terms


class Chosen(Protocol):
    """The samples chosen so far."""

    indices: list[int]

    def potential(self) -> float:
        """Inertia about them."""

    def draw(self, thresholds: Array) -> Array:
        """Draw samples as `reference.draw` does from weight * squared distance."""

    def potentials(self, candidates: Array) -> list[float]:
        """Inertia that each of the candidates (indices) would leave.

        Or inf, where another leaves less.
        """

    def choose(self, t: int) -> None:
        """Choose one of the last candidates."""

    def choose_farthest(self) -> None:
        """Choose the sample of positive weight that is farthest from all of them.

        The first among equals. Samples of weight zero come last, and none twice.
        """


class ChosenInMemory:
    """Most distances are ruled out by the `Sketch`, which see, or not needed at all.

    By how much a candidate lowers the inertia is bounded by its sketch alone. One that
    another outdoes for certain leaves, as it were, an infinite inertia.

    20 bytes per sample, 48 per BLOCK of them, and a bit per candidate of a step.
    """

    def __init__(
        self, samples: Lanes, first: int, n_clusters: int, n_trials: int
    ) -> None:
        self.samples = samples
        self.indices = [first]
        self.sketch = make_sketch(samples, n_clusters, n_trials)
        center = samples.rows(np.array([first])).astype(np.float64)
        labels = np.zeros(samples.n_samples, np.int32)
        self.nearest = samples.own_distances(center, labels)
        # Exact sums of weight * nearest.
        self.blocks = np.empty((-(-samples.n_samples // BLOCK), 3))
        n_tiles = -(-samples.n_samples // LANES_32)
        self.width = self.sketch.packed.size // (n_tiles * LANES_32)
        self.limits = np.full(n_tiles * LANES_32, -HIGHEST, np.int32)
        self.heaviest = float(samples.kernel_weights.max())
        self.kept, self.place_kept = np.empty(samples.n_samples), -1
        self.kept_blocks = np.empty_like(self.blocks)
        self.masks = np.empty((n_tiles, 0), MASK)
        self.share, self.is_decisive = 1.0, True
        totals = np.array(seeding.begin(self._n_chunks(5.0), *self._own()))
        self.total = join_chunks(totals[:, :3])
        self.n_unbounded = totals[:, 3].sum()

    def _n_chunks(self, nanoseconds: float) -> int:
        """Threads for so much work per sample."""
        n_chunks = self.samples.n_chunks(nanoseconds * self.samples.n_samples)
        return min(n_chunks, len(self.blocks))

    def _own(self) -> tuple[Any, ...]:
        """What is kept about every sample, and what this takes."""
        sketch = self.sketch
        return (
            self.samples.kernel_weights,
            *(sketch.own_reaches, sketch.norms, sketch.scale, sketch.rounded),
            *(self.nearest, self.limits, self.blocks),
        )

    def potential(self) -> float:
        value, uncertain = self.total.rounded()
        return self.samples.inertia(self.nearest) if uncertain else float(value)

    def draw(self, thresholds: Array) -> Array:
        weights = self.samples.kernel_weights
        return draw_after(NOTHING, self.nearest, weights, self.blocks, thresholds)

    def choose_farthest(self) -> None:
        positive = self.samples.positive()
        self.potentials(np.array([farthest(self.nearest, positive, self.indices)[1]]))
        self.choose(0)

    def choose(self, t: int) -> None:
        if t != self.place_kept:
            self._find(np.array([t]), self.kept)
        self.indices.append(int(self.candidates[t]))
        n_chunks = self._n_chunks(0.5 + 5.0 * self.share)
        kept = self.kept, self.kept_blocks
        changes = seeding.choose(n_chunks, t, self.masks, *kept, *self._own())
        n_improved, n_unbounded = map(sum, zip(*changes, strict=True))
        self.share = n_improved / self.samples.n_samples
        self.n_unbounded += n_unbounded

    def potentials(self, candidates: Array) -> list[float]:
        self.candidates = candidates
        n_places = -(-len(candidates) // GROUP) * GROUP
        if self.masks.shape[1] != n_places:
            self.masks = np.empty((len(self.masks), n_places), MASK)
        least = self._least()
        values = np.full(len(candidates), np.inf)
        # The most promising first, as what it does may rule out the others; where few
        # were the last time, all at once.
        left = np.argsort(least)
        n_next, kept = 1 if self.is_decisive else len(left), self.kept
        self.place_kept = int(left[0])
        while len(left):
            some, left = left[:n_next], left[n_next:]
            values[some] = self._find(some, kept)
            left = left[~(least[left] > values.min())]
            n_next, kept = 2 * n_next, NOTHING[:0]
        n_possible = int(np.count_nonzero(~(least > values.min())))
        self.is_decisive = n_possible <= len(candidates) // 2
        return [float(value) for value in values]

    def _least(self) -> Array:
        """Potentials of the candidates, at least; marks the samples to look at.

        Total less gain (`engines.integers`), with room for the roundings of exact sums'
        parts, of weights and distances multiplied, of gains added up.
        """
        n_candidates = len(self.candidates)
        if not self.sketch.packed.size:  # every sample is looked at
            self.masks.fill(ALL)
            return np.full(n_candidates, -np.inf)
        n_chunks = self._n_chunks((0.05 * self.width + 2.0) * self.masks.shape[1])
        gains = np.zeros((n_chunks, n_candidates))
        seeding.bound_gains(
            n_chunks,
            self.samples.kernel_weights,
            self.nearest,
            self.limits,
            self.sketch.packed,
            self.sketch.own_reaches,
            self.sketch.norms,
            self.sketch.closer,
            self.sketch.closer_norms,
            self.sketch.scale,
            self.candidates,
            self.masks,
            gains,
        )
        if self.n_unbounded and not self.sketch.closer.size:
            return np.full(n_candidates, -np.inf)
        with np.errstate(all="ignore"):
            most = LOOSE * gains.sum(axis=0) / self.sketch.scale / self.sketch.scale
            if not self.sketch.closer.size:
                most *= self.heaviest
            high, low, slack = self.blocks.sum(axis=0)
            room = 2 * slack + high * (len(self.blocks) + 8) * 2.0**-50
            least: Array = high + low - room - len(self.nearest) * 2.0**-1073 - most
        least[~np.isfinite(least)] = -np.inf
        return least

    def _find(self, places: Array, kept: Array) -> Array:
        """Potentials of some candidates; keeps the new distances of the first."""
        each = 0.5 + 0.6 * self.share * self.samples.n_features
        n_chunks = self._n_chunks(each * len(places))
        totals = np.zeros((n_chunks, len(places), 3))
        seeding.potentials(
            n_chunks,
            self.samples.X,
            self.samples.kernel_weights,
            self.nearest,
            self.blocks,
            self.candidates,
            places,
            self.masks,
            kept,
            self.kept_blocks,
            totals,
        )
        values, uncertain = join_chunks(totals.transpose(0, 2, 1)).rounded()
        for p in np.flatnonzero(uncertain):
            center = self.samples.X[self.candidates[places[p : p + 1]]]
            _, distances = self.samples.assign(center)
            values[p] = self.samples.inertia(np.minimum(self.nearest, distances))
        return values


def farthest(
    nearest: Array, positive: Array | None, chosen: list[int]
) -> tuple[float, int]:
    """Rank and index of the next sample of `Chosen.choose_farthest`.

    Those of weight zero have rank -1, those chosen already rank -2.
    """
    rank = nearest.copy() if positive is None else np.where(positive, nearest, -1.0)
    rank[chosen] = -2.0
    i = int(rank.argmax())
    return float(rank[i]), i


def draw_after(
    before: Array | list[float],
    nearest: Array,
    weights: Array,
    blocks: Array,
    thresholds: Array,
) -> Array:
    """Indices of draws (`Chosen.draw`), from exact sums of blocks of terms.

    Before them comes an exact sum (3,), or a short exact list. -1 where the slack of
    the former leaves it open.
    """
    if isinstance(before, list):
        terms = weights * nearest
        return np.array([draw(terms, threshold, before) for threshold in thresholds])
    indices = np.empty(len(thresholds), np.int64)
    exact.draw(nearest, weights, blocks, BLOCK, before, thresholds, indices)
    if before[2] == 0:
        for t in np.flatnonzero(indices < 0):
            indices[t] = draw(weights * nearest, thresholds[t], before[:2].tolist())
    return indices


def draw(terms: Array, threshold: float, before: Sequence[float] = ()) -> int:
    """First index whose exact prefix sum is above the threshold, by bisection.

    Without one the last of a positive term. Prefixes begin with the terms of `before`.
    """
    positive = np.flatnonzero(terms > 0)
    low, high = 0, len(positive) - 1
    while low < high:
        middle = (low + high) // 2
        prefix = terms[: positive[middle] + 1]
        if math.fsum([*before, *prefix, -threshold]) > 0:
            high = middle
        else:
            low = middle + 1
    return int(positive[low])
