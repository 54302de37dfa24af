"""Prefix: many features and clusters; most pairs are ruled out by a few coordinates.

Samples and centers have images in small integers, coordinates in an orthonormal basis
of leading directions and the norm of the rest (`engines.integers`). A center out of
reach of a sample, with its distance to a good candidate, cannot win; the candidate is
the center of the last step. On images, 15 of 784 coordinates rule out 98.5 % of 4000
centers, 95 coordinates 99.96 %.

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

from fastkm.engines.base import Array
from fastkm.engines.basis import make_basis
from fastkm.engines.integers import rounding
from fastkm.engines.lanes import NONE
from fastkm.engines.tiles import Tiles, score_margin
from fastkm.kernels import integers, prefix
from fastkm.kernels.simd_rows import DOT_STEP, INTEGERS, dot_depth
from fastkm.kernels.vectors import GROUP

UNKNOWN = np.empty((0, 2), np.float32)
WIDEST = 96  # integers of the second sieve, about
LEADS = (7, 11, 15, 19, 23, 31, 47, 63)  # coordinates of the first sieve, and the rest
BASIS_ROWS, PILOT_ROWS, LAST_PILOT = 1024, 128, 4
MOST_CANDIDATES = 0.125  # of the centers; a sample with more is left to the tiles

# Costs in multiply-adds of a tile (0.02 ns of one thread of a Zen 3): of bookkeeping
# per pair, per integer, per pair that passed the first sieve, per feature of one that
# passed both.
PER_PAIR, PER_INTEGER, PER_PASSED, PER_FEATURE = 4.0, 0.7, 1500.0, 25.0


class Images(NamedTuple):
    """Integers (n, width), and the sums of their squares."""

    integers: Array
    norms: Array


class Centers(NamedTuple):
    """What the sieves see of centers (float64): `prefix.label_by_prefix` explains."""

    given: Array
    rows: Array
    norms: Array
    images: Images


class Queue(NamedTuple):
    """Samples to label: left[chunk] in each chunk's part of the queue, or all.

    ids are the centers that may win them, hints good ones, and known their scores and
    limits, where these are known.
    """

    samples: Array
    left: Array
    ids: Array
    hints: Array
    known: Array

    def share(self, n_samples: int, n_clusters: int) -> float:
        """Share of all pairs."""
        n_queued = self.left.sum() if self.left.size else n_samples
        return float(n_queued / n_samples * len(self.ids) / n_clusters)


class Prefix(Tiles):
    """The engine of this module (see there).

    Memory beyond X: that of `Tiles`, and per sample 2 bytes for each coordinate (some
    240 in all) and 32 more; per center 12 bytes per feature, 2 per coordinate. While
    the coordinates are made, 4 bytes for each of them.

    Counts pairs of sample and center: all, those that the first sieve let pass, those
    that were computed in full; and samples that exact distances decided.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        # At most three quarters of the features: more would save nothing.
        widest = min(WIDEST, self.n_features * 3 // 4)
        self.width = max(1, widest // INTEGERS) * INTEGERS
        self.row_width = -(-self.n_features // DOT_STEP) * DOT_STEP
        self.n_lead = 0  # coordinates of the first sieve
        self.cost = np.inf  # of a pair there, tiles = 1
        self._n_finds = 0
        self.basis = make_basis(
            self._some_rows(BASIS_ROWS), min(self.width - 1, self.n_features)
        )
        self.rounding = rounding(
            self._project(self._every(BASIS_ROWS)), self.n_features, self.basis
        )
        self._seen = self._no_centers(0)
        # Score and limit of the last step's labels, where known.
        self._scores = np.empty((self.n_samples, 2), np.float32)
        self._reach = -1.0  # for which the limits hold
        # Made when they pay.
        self.squares = np.empty(0)
        self.images = self.lead = self._no_images(0, 0)

    def _some_rows(self, n_rows: int) -> Array:
        """Some samples, shifted, in float64."""
        return self._every(n_rows) - self.shift.astype(np.float64)

    def _every(self, n_rows: int) -> Array:
        """Samples at equal distances, n_rows of them or all."""
        return self.X[:: max(1, self.n_samples // n_rows)][:n_rows]

    def _no_images(self, n: int, width: int) -> Images:
        return Images(np.zeros((n, width), np.int16), np.empty(n, np.int32))

    def _no_centers(self, n_clusters: int) -> Centers:
        return Centers(
            np.empty((n_clusters, self.n_features)),
            np.zeros((n_clusters, self.row_width), np.float32),
            np.empty(n_clusters, np.float32),
            self._no_images(n_clusters, self.width),
        )

    def _project(self, X: Array) -> Array:
        """Coordinates, and the norm of the rest in the last column."""
        n_coordinates = self.basis.n_coordinates
        coordinates = np.empty((len(X), n_coordinates + 1), np.float32)
        prefix.project(
            self.n_chunks(0.05 * X.size * n_coordinates),
            X,
            self.shift,
            self.basis.packed,
            n_coordinates,
            self.basis.rest_error,
            coordinates,
        )
        return coordinates

    def _images(self, X: Array) -> Images:
        """Give images of X."""
        values, images = self._project(X), self._no_images(len(X), self.width)
        scale, most, _ = self.rounding
        n_chunks, origin = self.n_chunks(1.5 * values.size), np.zeros(values.shape[1])
        integers.round_rows(n_chunks, values, origin, scale, most, *images)
        return images

    def _shorten(self, images: Images, n_lead: int) -> Images:
        """Give images of n_lead coordinates and the rest, in pairs."""
        lead = self._no_images(len(images.norms), lead_width(n_lead))
        n_chunks = self.n_chunks(1.0 * images.integers.size)
        integers.shorten(n_chunks, images.integers, n_lead, *lead)
        return lead

    def _see(self, centers: Array) -> Array:
        """Bring what the sieves see up to date; returns which centers changed."""
        if len(self._seen.given) == len(centers):
            changed = (centers != self._seen.given).any(axis=1)
        else:
            self._seen = self._no_centers(len(centers))
            changed = np.ones(len(centers), bool)
        _, rows, norms, images = self._seen
        some = centers[changed]
        n_chunks = self.n_chunks(1.0 * some.size)
        prefix.shift_rows(
            n_chunks, some, np.flatnonzero(changed), self.shift, rows, norms
        )
        for values, new in zip(images, self._images(some), strict=True):
            values[changed] = new
        self._seen = Centers(centers, rows, norms, images)
        return changed

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        queues = self.queue, np.empty(self.n_samples, np.int64)
        n_chunks = self.n_chunks(0.2 * self.n_samples * len(centers))
        works = self._divide(n_chunks, centers, queues)
        reach = 2.0 * float(self._seen.norms.max())
        served = self._float32_serves(len(centers), reach)
        # After finds 0, 1, 2, 4; later only as long as sieving does not pay.
        is_pilot = not self._n_finds & (self._n_finds - 1)
        if served and is_pilot and (self._n_finds <= LAST_PILOT or self.cost > 1):
            self._choose_lead()
        self._n_finds += 1
        share = sum(work.share(self.n_samples, len(centers)) for work in works)
        if not (served and share * self.cost < 0.9):
            self._scores[:, 1] = np.inf
            super().find(centers, labels, keep)
            return
        self._prepare()
        if reach > self._reach:  # with some room: limits hold for a smaller reach, too
            self._reach = 1.25 * reach
            self._scores[:, 1] = np.inf
        for work in works:
            self._label(n_chunks, work, labels, keep)

    def _divide(
        self, n_chunks: int, centers: Array, queues: tuple[Array, Array]
    ) -> list[Queue]:
        """Samples whose center moved may go anywhere, others only to centers that did.

        The centers become the seen ones.
        """
        seen_are_known = self._seen.given is self._centers
        moved = self._see(centers)
        everyone = np.arange(len(centers))
        if len(self._centers) != len(centers):
            return [Queue(queues[0], NONE, everyone, NONE, UNKNOWN)]
        if not seen_are_known:
            moved = (centers != self._centers).any(axis=1)
        sizes = prefix.split(n_chunks, self._labels, moved, *queues)
        n_moved, n_others = np.array(sizes).T.copy()
        some = np.flatnonzero(moved)
        return [
            Queue(queues[0], n_moved, everyone, self._labels, UNKNOWN),
            Queue(queues[1], n_others, some, self._labels, self._scores),
        ]

    def _label(self, n_chunks: int, work: Queue, labels: Array, keep: bool) -> None:
        centers, rows, norms, images = self._seen
        margin = score_margin(
            np.float32,
            self.n_features,
            self._reach,
            n_roundings=dot_depth(self.row_width),
        )
        counts = prefix.label_by_prefix(
            n_chunks,
            self.X,
            work.samples,
            work.left,
            work.hints,
            self.shift,
            margin,
            self.squares,
            self.rounding.margin,
            *self.lead,
            *self.images,
            *self._pack(work.ids),
            work.ids,
            *images,
            rows.ravel(),
            norms,
            centers,
            self._most(len(work.ids)),
            work.known,
            labels,
            self._scores if keep else UNKNOWN,
        )
        left, passed, full, exact = np.array(counts).T
        n_samples = work.left.sum() if work.left.size else self.n_samples
        self.counts["pairs of sample and center"] += int(n_samples) * len(centers)
        self.counts["pairs past the first sieve"] += int(passed.sum())
        self.counts["pairs computed in full"] += int(full.sum())
        self.counts["samples decided by exact distances"] += int(exact.sum())
        if left.any():
            self.find_queued(n_chunks, work.samples, left.copy(), centers, labels)

    def _pack(self, ids: Array) -> tuple[Array, Array]:
        """Pack some centers for the first sieve; the last group is filled up."""
        some = Images(*(values[ids] for values in self._seen.images))
        lead = self._shorten(some, self.n_lead)
        n_places = max(1, -(-len(ids) // GROUP)) * GROUP
        packed = np.empty(n_places * lead_width(self.n_lead), np.int16)
        norms = np.empty(n_places, np.int32)
        integers.pack_centers(*lead, packed, norms)
        return packed, norms

    def _choose_lead(self) -> None:
        """Choose the first sieve, and find its cost, by what some samples let pass."""
        _, center_rows, norms, center_images = self._seen
        some = np.zeros((min(PILOT_ROWS, self.n_samples), self.row_width), np.float32)
        with np.errstate(over="ignore"):  # the tiles will see to such values
            shifted = self._some_rows(PILOT_ROWS)
            some[:, : self.n_features] = shifted
            squares = np.square(shifted).sum(axis=1)
        images = self._images(self._every(PILOT_ROWS))
        leads = np.array([n_lead for n_lead in LEADS if n_lead < self.width])
        n_chunks = self.n_chunks(0.1 * len(some) * center_rows.size)
        passed = np.zeros((len(some), len(leads) + 1), np.int64)
        prefix.count_passed(
            n_chunks,
            some,
            center_rows.ravel(),
            norms,
            squares,
            self.rounding.margin,
            images.integers,
            center_images.integers,
            rests(images, leads),
            rests(center_images, leads),
            leads,
            passed,
        )
        tile = self.n_features + PER_PAIR
        per_pair = PER_INTEGER * (leads + 1) + PER_PAIR
        more = passed[:, :-1] * PER_PASSED
        more += passed[:, -1:] * PER_FEATURE * self.n_features
        per_row = np.where(
            passed[:, :-1] > self._most(len(norms)), tile, more / len(norms)
        )
        costs = per_pair + per_row.mean(axis=0)
        best = int(costs.argmin())
        self.n_lead, self.cost = int(leads[best]), float(costs[best]) / tile

    def _most(self, n_clusters: int) -> int:
        """Candidates above which all pairs of a sample cost less."""
        share = min(MOST_CANDIDATES, 0.5 * self.n_features / PER_PASSED)
        return max(16, int(share * n_clusters))

    def _prepare(self) -> None:
        """Make the images of all samples, when they are first used."""
        if not len(self.squares):
            origin = np.zeros(self.n_samples, np.int32)  # the one center of all
            shift = self.shift[None].astype(np.float64)
            self.squares = self.own_distances(shift, origin)
            self.images = self._images(self.X)
        if self.lead.integers.shape[1] != lead_width(self.n_lead):
            self.lead = self._shorten(self.images, self.n_lead)


def lead_width(n_lead: int) -> int:
    """Columns for so many coordinates and the rest."""
    return (n_lead + 2) // 2 * 2


def rests(images: Images, leads: Array) -> Array:
    """Norms of what lies beyond the first leads[l] integers."""
    squares = images.integers[:, ::-1].astype(np.float64) ** 2
    return np.sqrt(np.cumsum(squares, axis=1)[:, ::-1][:, leads])
