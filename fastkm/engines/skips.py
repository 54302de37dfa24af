"""Skips: samples whose nearest center cannot have changed are not read.

When the label a of a sample is found, so is a lower bound L on how much nearer its
center is than any other. While center a has moved by P_a in all, and no other by more
than P, distances differ by at least L - P_a - P, and while that is positive the label
stays (Hamerly, Making k-means even faster, 2010, section 3, its two bounds merged into
one). room[a] adds up the movement of center a and the largest of the others; the key of
a sample is L plus the room of its label when it was found. So a sample is skipped while
room[label] < key: 8 bytes are read for it.

Why a computed L is safe. With the notation of `tiles.score_margin`, let s, s' be the
computed scores of the nearest and the second nearest center and e the margin, at least
twice their error and that of D. Real distances d, d' and scores r, r' obey
d'^2 - d^2 = 2 (r' - r) >= 2 (s' - s - e), and both are at most
R = sqrt(N^2 + 2 s' + e), so d' - d >= (s' - s - e) / R.

The label is the reference's as long as D, computed, differs in the sense of the real
distances: D has a relative error below (n_features + 3) v and, where squares underflow,
an absolute one below n_features 2^-1074. A difference of distances above
2.3 (n_features + 3) v R + sqrt(3 n_features 2^-1074) makes up for both, as the distance
to center a stays below d' and so R while the sample is skipped; `kernels.tiles.lead_of`
takes off more than that, and a part in 2^40 for its own rounding. Movements are rounded
up, keys down.
"""

from __future__ import annotations

import numpy as np

from fastkm.engines.base import Array
from fastkm.engines.lanes import NONE
from fastkm.engines.tiles import NO_KEYS, Tiles
from fastkm.kernels import skips


class Skips(Tiles):
    """The engine of this module (see there).

    Memory beyond X: that of `Tiles`, and 4 bytes per sample.

    Counts the samples that were labelled, and those that were skipped.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        self.keys = np.empty(self.n_samples, np.float32)
        self.room = np.empty(0)
        self._n_open = self.n_samples  # that the last call labelled

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        per_sample = self.n_features * (0.5 + len(centers) / 48)
        work = 2.0 * self.n_samples + self.foreseen(self._n_open) * per_sample
        n_chunks = self.n_chunks(work)
        if len(self._centers) != len(centers):
            n_open, left = self.n_samples, NONE
            room = np.zeros(len(centers))
            if keep:
                self.keys.fill(-np.inf)
        else:
            added = added_room(self._centers, centers)
            room = np.nextafter(self.room + added, np.inf)
            counts = skips.list_open(
                n_chunks, self._labels, self.keys, room, keep, labels, self.queue
            )
            left = np.array(counts)
            n_open = int(left.sum())
        self._n_open = n_open
        self.counts["samples labelled"] += n_open
        self.counts["samples skipped"] += self.n_samples - n_open
        if n_open:
            keys = self.keys if keep else NO_KEYS
            self.find_queued(n_chunks, self.queue, left, centers, labels, keys, room)
        if keep:
            self.room = room


def added_room(centers: Array, moved: Array) -> Array:
    """For each cluster, its center's movement plus the largest of another center.

    Rounded up: the factor covers every rounding of a movement and of their sum, the
    smallest number squares that underflow.
    """
    n_clusters, n_features = centers.shape
    with np.errstate(over="ignore", invalid="ignore"):
        squares = ((moved - centers) ** 2).sum(axis=1) + n_features * 2.0**-1074
    steps = np.sqrt(squares) * (1 + (n_features + 16) * 2.0**-51)
    steps[(moved == centers).all(axis=1)] = 0.0
    others = np.zeros(n_clusters)
    if n_clusters > 1:
        order = np.argpartition(steps, -2)
        others[:] = steps[order[-1]]
        others[order[-1]] = steps[order[-2]]
    return steps + others
