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

Where the centers lie near a space of few dimensions, coordinates in it decide most of
the other samples, unread as well (`engines.span`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastkm.engines.base import NONE, Array
from fastkm.engines.movements import added_room
from fastkm.engines.span import Spans
from fastkm.engines.tiles import (
    NO_KEYS,
    NO_ROOM,
    Scores,
    Tiles,
    label_by,
    nanoseconds,
)
from fastkm.kernels import skips

# Share of the samples above which sums look for changes among all, in their order:
# 100,000 x 8 float32, k=10, 20 steps: 32 ms, not 42.
MANY = 1 / 4


class Open(NamedTuple):
    """Samples that are not skipped: left[chunk] of each chunk, first in its queue.

    n_samples : how many
    samples : all of them; empty where they are MANY, or none
    room : of these centers
    """

    n_chunks: int
    left: Array
    n_samples: int
    samples: Array
    room: Array


class Skips(Tiles):
    """The engine of this module (see there).

    Memory beyond X: that of `Tiles`, 4 bytes per sample, up to 4 more in a step, and
    4 (n_clusters + 1) more where `Spans` serve.

    Counts the samples that were labelled, how many of them by coordinates, and those
    that were skipped.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        self.keys = np.empty(self.n_samples, np.float32)
        self.room = np.empty(0)
        self._n_open = self.n_samples  # in the last step
        self._spans = Spans(self.X, self.shift)

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        if len(self._centers) == len(centers):
            labels[:] = self._labels
            self._label(self._list(centers, keep), centers, labels, keep)
            return
        n_chunks = self.n_chunks(self.n_samples * nanoseconds(centers.shape))
        keys, room = (self.keys, np.zeros(len(centers))) if keep else (NO_KEYS, NO_ROOM)
        keys.fill(-np.inf)
        self.find_queued(n_chunks, self.queue, NONE, centers, labels, keys, room)
        self.counts["samples labelled"] += self.n_samples
        if keep:
            self.room, self._n_open = room, self.n_samples
            self._spans.begin()

    def relabel(self, centers: Array, touched: Array) -> int:
        if len(self._centers) != len(centers):
            return super().relabel(centers, touched)
        opened = self._list(centers, keep=True)
        if not opened.n_samples:
            return 0
        labels, samples = self._labels, opened.samples
        before = labels[samples] if len(samples) else labels.copy()
        self._label(opened, centers, labels, keep=True)
        expected = self._n_changed
        return self.update(
            before, labels, self._totals, touched, expected=expected, samples=samples
        )

    def _list(self, centers: Array, keep: bool) -> Open:
        """List the samples that are not skipped; with `keep` their keys are void."""
        per_sample = nanoseconds(centers.shape)
        expected = self.foreseen(self._n_open)
        n_chunks = self.n_chunks(2.0 * self.n_samples + expected * per_sample)
        room = self.room + added_room(self._centers, centers)
        room = np.nextafter(room, np.inf)
        parts = skips.list_open(
            n_chunks, self._labels, self.keys, room, keep, self.queue
        )
        n_open = sum(n for _, n in parts)
        samples = NONE
        if n_open <= MANY * self.n_samples:
            queued = [self.queue[first : first + n] for first, n in parts]
            samples = np.concatenate(queued)
        left = np.array([n for _, n in parts])
        n_chunks, left = self.fewer_chunks(n_chunks, self.queue, left, per_sample)
        self.counts["samples labelled"] += n_open
        self.counts["samples skipped"] += self.n_samples - n_open
        if keep:
            self.room, self._n_open = room, n_open
        return Open(n_chunks, left, n_open, samples, room)

    def _label(self, opened: Open, centers: Array, labels: Array, keep: bool) -> None:
        n_chunks, left, n_open, _, room = opened
        keys = self.keys if keep else NO_KEYS
        if keep and n_open and self._spans.serve(centers):

            def label(scores: Scores, left: Array) -> Array:
                return label_by(scores, n_chunks, self.queue, left, labels, keys, room)

            left = self._spans.label(n_chunks, left, centers, label)
            self.counts["samples labelled by coordinates"] += n_open - int(left.sum())
            n_chunks, left = self.fewer_chunks(
                n_chunks, self.queue, left, nanoseconds(centers.shape)
            )
        if left.any():
            self.find_queued(n_chunks, self.queue, left, centers, labels, keys, room)
