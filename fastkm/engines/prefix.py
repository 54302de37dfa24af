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

Samples whose label cannot have changed are skipped, as in `engines.skips`. The tiles
find out how much nearer their center is than any other. To that end the first sieve
looks farther, by some `delta`, than what may win. Let d be the distance that a score
within the limit of the hint stands for at most, so that no winner is farther. What the
first sieve rules out is farther than d + delta; of what the second one does, integers
|v(x) - v(c)| apart, the reach says how near it is at least; for the others there are
scores, as in the tiles. The least of these, less the distance that the label's score
stands for at most, is how much nearer that is, but for the roundings of D, which
`engines.skips` takes off as well (`kernels.prefix.lead_beyond`). Of a sample whose
center rests, and that looked only at those that moved, the others are where they were:
it leads them by what was left of its key before.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import NONE, Array
from fastkm.engines.movements import movements, with_others
from fastkm.engines.sieves import (
    BASIS_ROWS,
    WORTHWHILE,
    Look,
    Packed,
    Sieves,
    no_images,
    no_lead,
)
from fastkm.engines.tiles import NO_KEYS, NO_ROOM, Target, Tiles, score_margin
from fastkm.kernels import prefix
from fastkm.kernels.integers import BIAS
from fastkm.kernels.simd_rows import dot_depth

UNKNOWN = np.empty((0, 2), np.float32)
# How far beyond what may win to look: AHEAD steps like the last one, but not beyond a
# share of a usual distance, as SOME samples tell; and a share of skipped samples that
# repays it. Movements of centers for less than PER_CLUSTER samples each cost too much.
AHEAD, FAR, SOME, REPAID, PER_CLUSTER = 2.0, 0.05, 1024, 0.1, 50


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

    def n_samples(self, n_samples: int) -> int:
        """How many, of so many in all."""
        return int(self.left.sum()) if self.left.size else n_samples

    def share(self, n_samples: int, n_clusters: int) -> float:
        """Share of all pairs."""
        share = self.n_samples(n_samples) / n_samples
        return share * len(self.centers.ids) / n_clusters


class Bounds(NamedTuple):
    """What says which samples are skipped (`engines.skips`), and what is kept of that.

    keys, new_keys : (n_samples,), or empty where there are none yet, or not to be kept
    before, room : of the last step and of this one; step : what is between them
    """

    keep: bool
    keys: Array
    new_keys: Array
    before: Array
    room: Array
    step: float


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
    coordinate (some 400 in all) and 36 more. While the coordinates are made, 4 bytes
    for each of them.

    Counts pairs of sample and center: all, those that the first sieve let pass, those
    that were computed in full; and samples that exact distances decided, that were left
    to the tiles as sieves would not pay, and that were skipped.
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
        self.keys, self.room = np.full(self.n_samples, -np.inf, np.float32), NO_ROOM
        self.beyond, self.failed = 0.0, np.inf  # see `_beyond`

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        moved = self._moved if keep else None
        look = self.sieves.look(self._centers, centers, moved)
        bounds = self._bounds(look, keep)
        if keep:
            self.room = NO_ROOM  # until the keys are good for it
        n_chunks = self.n_chunks(0.2 * self.n_samples * len(centers))
        works = self._divide(n_chunks, look, bounds, labels)
        n_open = sum(work.n_samples(self.n_samples) for work in works)
        share = sum(work.share(self.n_samples, len(centers)) for work in works)
        self.counts["samples skipped"] += self.n_samples - n_open
        if keep:
            self.beyond = self._beyond(bounds.step, n_open)
        # The tiles find out more for the keys: as many as are skipped now may then be
        # open that are not.
        worthwhile = WORTHWHILE * (n_open / self.n_samples) ** 2
        if look.serves and share * self.sieves.cost < worthwhile:
            self._prepare(look)
            for work in works:
                self._label(n_chunks, look, work, bounds, labels)
        elif n_open:
            self.counts["samples labelled"] += n_open
            self.reduced.scores[:, 1] = np.inf
            for work in works:
                self._leave(n_chunks, look, work, bounds, labels)
        if keep:
            self.room = bounds.room

    def _bounds(self, look: Look, keep: bool) -> Bounds:
        """Room for the keys."""
        before, keys = self.room, self.keys
        repays = self.n_samples >= PER_CLUSTER * len(look.centers)
        new_keys = keys if keep and repays else NO_KEYS
        if not repays or look.moved is None or len(before) != len(look.centers):
            new_keys.fill(-np.inf)
            before = room = np.zeros(len(look.centers))
            self.beyond, self.failed = 0.0, np.inf
            return Bounds(keep, NO_KEYS, new_keys, before, room, 0.0)
        steps = np.zeros(len(look.centers))
        moved = look.moved
        steps[moved] = movements(look.before[moved], look.centers[moved])
        added = with_others(steps)
        room = np.nextafter(before + added, np.inf)
        return Bounds(keep, keys, new_keys, before, room, float(np.median(added)))

    def _beyond(self, step: float, n_open: int) -> float:
        """How far beyond what may win to look, for keys: 0.0 where that does not pay.

        Some steps like the last one, if these are not too far. Where hardly a sample
        was skipped for what was found out in the last step, not again before the
        centers move half as far.
        """
        reduced = self.reduced
        if not (step and len(reduced.squares)):
            return 0.0
        if self.beyond and n_open > (1 - REPAID) * self.n_samples:
            self.failed = step
        some = slice(None, None, max(1, self.n_samples // SOME))
        squares = reduced.squares[some] + 2.0 * reduced.scores[some, 0]
        known = squares[np.isfinite(squares)]
        usual = math.sqrt(max(float(np.median(known)), 0.0)) if len(known) else 0.0
        pays = step < self.failed / 2 and AHEAD * step <= FAR * usual
        return AHEAD * step if pays else 0.0

    def _divide(
        self, n_chunks: int, look: Look, bounds: Bounds, labels: Array
    ) -> list[Queue]:
        """Queue the samples: those whose center rests can go only to one that moved.

        But for those that are skipped.
        """
        if look.moved is None:
            return [Queue(self.queue, NONE, look.everyone, NONE, UNKNOWN)]
        labels[:] = self._labels
        others = np.empty(self.n_samples, np.int64)
        sizes = prefix.split(
            n_chunks,
            self._labels,
            look.moved,
            bounds.keys,
            bounds.room,
            self.reduced.scores if bounds.keep else UNKNOWN,
            self.queue,
            others,
        )
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
        self, n_chunks: int, look: Look, work: Queue, bounds: Bounds, labels: Array
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
            self.beyond if bounds.keep else 0.0,
            bounds.before,
            bounds.room,
            labels,
            reduced.scores if bounds.keep else UNKNOWN,
            bounds.new_keys,
        )
        left, passed, full, exact = np.array(counts).T
        n_samples = work.n_samples(self.n_samples)
        self.counts["pairs of sample and center"] += n_samples * len(look.centers)
        self.counts["pairs past the first sieve"] += int(passed.sum())
        self.counts["pairs computed in full"] += int(full.sum())
        self.counts["samples decided by exact distances"] += int(exact.sum())
        if left.any():
            self._leave(n_chunks, look, work._replace(left=left.copy()), bounds, labels)

    def _leave(
        self, n_chunks: int, look: Look, work: Queue, bounds: Bounds, labels: Array
    ) -> None:
        """Leave what is queued to the tiles."""
        if not work.left.size or work.left.any():
            target = Target(work.samples, labels, bounds.new_keys, bounds.room)
            self.find_queued(n_chunks, work.left, look.centers, target)
