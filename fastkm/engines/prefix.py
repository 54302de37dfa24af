"""Prefix: many features and clusters; most pairs are ruled out by a few coordinates.

Samples and centers have images in small integers, coordinates in an orthonormal basis
of leading directions and the norm of the rest (`engines.integers`). A center out of
reach of a sample, with its distance to a good candidate, cannot win; the candidate is
the center of the last step. On images, bytes of 31 of 784 coordinates rule out 99.4 %
of 4000 centers, 95 coordinates 99.96 %. Where samples have no leading directions, bytes
of all 128 of them leave 2 to 4 of 1024 centers, at a third of what the tiles cost.

The distance to the candidate is that of a float32 score in all features. With the
notation of `score_margin`, a center that wins has a real score at most m0 + m1 N +
m2 N^2 above the candidate's computed one, so |x - c|^2 = N^2 + 2 score is at most so
much, and what N^2, which is computed as D, is off by.

Of the samples whose own center has not moved since the last step, only the centers that
moved are looked at: the others lost then, and would lose again (Kaukoranta, Fränti and
Nevalainen, A fast exact GLA based on code vector activity detection, 2000, section 3).

A sample with so many centers in reach that all of them cost less is left to the tiles,
as those of a group that has no center yet; and while that would be true of too many, as
a pilot estimates, the tiles find all labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastkm.engines.base import NONE, Array
from fastkm.engines.sieves import (
    BASIS_ROWS,
    WORTHWHILE,
    Look,
    Packed,
    Sieves,
    no_images,
    no_lead,
)
from fastkm.engines.tiles import Tiles, score_margin
from fastkm.kernels import prefix
from fastkm.kernels.integers import BIAS
from fastkm.kernels.simd_rows import dot_depth

UNKNOWN = np.empty((0, 2), np.float32)


class Queue(NamedTuple):
    """Samples to label: left[chunk] in each chunk's part of the queue, or all.

    Centers that may win them, hints at good ones, and known their scores and limits,
    where these are known.
    """

    samples: Array
    left: Array
    centers: Packed
    hints: Array
    known: Array

    def share(self, n_samples: int, n_clusters: int) -> float:
        """Share of all pairs."""
        n_queued = self.left.sum() if self.left.size else n_samples
        return float(n_queued / n_samples * len(self.centers.ids) / n_clusters)


class Reduced:
    """What is kept about samples; good for all engines that share `Sieves`.

    Empty until it pays. squares are |x'|^2, lead are bytes of n_lead coordinates, for
    the first sieve, scores (n_samples, 2) those of the labels of the last step, and
    limits for a reach.
    """

    def __init__(self) -> None:
        self.squares = np.empty(0)
        self.images, self.lead = no_images(0, 0), no_lead(0, 0)
        self.n_lead = 0
        self.scores = UNKNOWN
        self.reach = -1.0


class Prefix(Tiles):
    """The engine of this module (see there).

    Memory beyond X: that of `Tiles` and of `Sieves`, and per sample 3 bytes for each
    coordinate (some 400 in all) and 32 more. While the coordinates are made, 4 bytes
    for each of them.

    Counts pairs of sample and center: all, those that the first sieve let pass, those
    that were computed in full; and samples that exact distances decided.
    """

    def __init__(
        self,
        X: Array,
        weights: Array | None,
        n_threads: int,
        sieves: Sieves | None = None,
    ) -> None:
        super().__init__(X, weights, n_threads)
        some = self.X[:: max(1, self.n_samples // BASIS_ROWS)][:BASIS_ROWS]
        self.sieves = sieves or Sieves(some, n_threads)
        self.shift = self.sieves.shift
        self.reduced = Reduced()

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        look, n_clusters = self.sieves.look(self._centers, centers), len(centers)
        n_chunks = self.n_chunks(0.2 * self.n_samples * n_clusters)
        works = self._divide(n_chunks, look)
        share = sum(work.share(self.n_samples, n_clusters) for work in works)
        if not (look.serves and share * self.sieves.cost < WORTHWHILE):
            self.reduced.scores[:, 1] = np.inf
            super().find(centers, labels, keep)
            return
        self._prepare(look)
        for work in works:
            self._label(n_chunks, look, work, labels, keep)

    def _divide(self, n_chunks: int, look: Look) -> list[Queue]:
        """Queue the samples: those whose center rests can go only to one that moved."""
        if look.moved is None:
            return [Queue(self.queue, NONE, look.everyone, NONE, UNKNOWN)]
        others = np.empty(self.n_samples, np.int64)
        sizes = prefix.split(n_chunks, self._labels, look.moved, self.queue, others)
        n_moved, n_others = np.array(sizes).T.copy()
        hints = self._labels
        return [
            Queue(self.queue, n_moved, look.everyone, hints, UNKNOWN),
            Queue(others, n_others, look.some, hints, self.reduced.scores),
        ]

    def _prepare(self, look: Look) -> None:
        """Make the images of all samples, when they are first used."""
        reduced, sieves = self.reduced, self.sieves
        if not len(reduced.squares):
            origin = np.zeros(self.n_samples, np.int32)  # the one center of all
            shift = self.shift[None].astype(np.float64)
            reduced.images = sieves.images(self.X, self.n_threads)
            reduced.scores = np.full((self.n_samples, 2), np.inf, np.float32)
            # Last: they tell that all is there, also after an exception.
            reduced.squares = self.own_distances(shift, origin)
        if reduced.n_lead != sieves.n_lead:
            lead = sieves.lead(reduced.images, self.n_threads, BIAS)
            # A word is copied as fast as a byte.
            reduced.lead = lead._replace(numbers=lead.numbers.view(np.int32))
            reduced.n_lead = sieves.n_lead
        if look.reach != reduced.reach:
            reduced.reach = look.reach
            reduced.scores[:, 1] = np.inf

    def _label(
        self, n_chunks: int, look: Look, work: Queue, labels: Array, keep: bool
    ) -> None:
        reduced = self.reduced
        margin = score_margin(
            np.float32,
            self.n_features,
            reduced.reach,
            n_roundings=dot_depth(self.sieves.row_width),
        )
        counts = prefix.label_by_prefix(
            n_chunks,
            self.X,
            work.samples,
            work.left,
            work.hints,
            self.shift,
            margin,
            reduced.squares,
            self.sieves.rounding.margin,
            *reduced.lead,
            self.sieves.scale,
            look.loss,
            *reduced.images,
            *work.centers.packed,
            work.centers.ids,
            *look.images,
            look.rows.ravel(),
            look.norms,
            look.centers,
            self.sieves.most(len(work.centers.ids)),
            work.known,
            labels,
            reduced.scores if keep else UNKNOWN,
        )
        left, passed, full, exact = np.array(counts).T
        n_samples = work.left.sum() if work.left.size else self.n_samples
        self.counts["pairs of sample and center"] += int(n_samples) * len(look.centers)
        self.counts["pairs past the first sieve"] += int(passed.sum())
        self.counts["pairs computed in full"] += int(full.sum())
        self.counts["samples decided by exact distances"] += int(exact.sum())
        if left.any():
            self.find_queued(n_chunks, work.samples, left.copy(), look.centers, labels)
