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

import numpy as np

from fastkm.engines.base import NO_CHANGES, NONE, Array
from fastkm.engines.movements import added_room
from fastkm.engines.span import Spans
from fastkm.engines.tiles import (
    NO_KEYS,
    NO_ROOM,
    OPEN,
    Target,
    Tiles,
    label_by,
    nanoseconds,
)

SOME = 1024  # samples that tell about how many are skipped


class Skips(Tiles):
    """The engine of this module (see there).

    Memory beyond X: that of `Tiles`, 4 bytes per sample, 16 for each whose label
    changes in a step, and 4 (n_clusters + 1) or up to twice as many where `Spans`
    serve.

    Counts the samples that were labelled, how many of them by coordinates, and those
    that were skipped.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        self.keys = np.empty(self.n_samples, np.float32)
        self.room = np.empty(0)
        self._n_open = self.n_samples  # in the last step
        self._changes = np.empty((self.n_samples, 2), np.int64)
        self._spans = Spans(self.X, self.shift)

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        if len(self._centers) == len(centers):
            labels[:] = self._labels
            keys = self.keys if keep else self.keys.copy()
            self._label(centers, labels, keys, NO_CHANGES, keep)
            return
        n_chunks = self.n_chunks(self.n_samples * nanoseconds(centers.shape))
        keys, room = (self.keys, np.zeros(len(centers))) if keep else (NO_KEYS, NO_ROOM)
        self.find_queued(
            n_chunks, NONE, centers, Target(self.queue, labels, keys, room)
        )
        self.counts["samples labelled"] += self.n_samples
        if keep:
            self.room, self._n_open = room, self.n_samples
            self._spans.begin()

    def relabel(self, centers: Array, touched: Array) -> int:
        if len(self._centers) != len(centers):
            return super().relabel(centers, touched)
        changes = self._label(centers, self._labels, self.keys, self._changes, True)
        changed = np.concatenate(changes)
        if not len(changed):
            return 0
        samples, before = changed.T
        return self.update(
            before.astype(np.int32),
            self._labels,
            self._totals,
            touched,
            samples=samples.copy(),
        )

    def _label(
        self, centers: Array, labels: Array, keys: Array, changes: Array, keep: bool
    ) -> list[Array]:
        """Write labels and keys of the samples that are not skipped.

        With `keep` they are those of the last step. Returns lists of what changed.
        """
        room = np.nextafter(self.room + added_room(self._centers, centers), np.inf)
        target = Target(self.queue, labels, keys, room, changes)
        per_sample = nanoseconds(centers.shape)
        expected = self.foreseen(self._n_open) * per_sample
        n_chunks = self.n_chunks(2.0 * self.n_samples + expected)
        left, changed = np.full(n_chunks, OPEN), []
        span = None
        if keep and self._spans.serve(centers):
            share = 0.0 if self._spans.span else self._open_share(room)
            span = self._spans.current(n_chunks, centers, share)
        if span:
            left, n_open, some = label_by(span.scores(centers), n_chunks, left, target)
            changed.append(some)
            n_left = int(left.sum())
            self._spans.learn(n_open, n_left)
            self.counts["samples labelled by coordinates"] += n_open - n_left
            n_chunks, left = self.fewer_chunks(n_chunks, self.queue, left, per_sample)
        if left.any():
            n_taken, more = self.find_queued(n_chunks, left, centers, target)
            changed += more
            if not span:
                n_open = n_taken
                self._spans.learn(n_open, n_open)
        self.counts["samples labelled"] += n_open
        self.counts["samples skipped"] += self.n_samples - n_open
        if keep:
            self.room, self._n_open = room, n_open
        return changed

    def _open_share(self, room: Array) -> float:
        """Share of the samples that are not skipped, by some of them."""
        some = slice(None, None, max(1, self.n_samples // SOME))
        is_skipped = room[self._labels[some]] < self.keys[some]
        return 1 - float(is_skipped.mean())
