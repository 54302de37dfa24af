"""Sieves: what `engines.prefix` knows of centers, one for all parts of the samples.

A basis, how numbers are rounded to images in it, the images of the centers, and which
first sieve costs least: found from some samples, good for all. So samples that come in
chunks share them, and the centers are looked at once in a step, not once in a chunk.
"""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array, read_only, worth
from fastkm.engines.basis import make_basis
from fastkm.engines.integers import rounding
from fastkm.engines.tiles import float32_serves, shift_of
from fastkm.kernels import integers, prefix
from fastkm.kernels.simd_rows import DOT_STEP, INTEGERS
from fastkm.kernels.vectors import GROUP

WIDEST = 96  # integers of the second sieve, about
LEADS = (7, 11, 15, 19, 23, 31, 47, 63)  # coordinates of the first sieve, and the rest
BASIS_ROWS, PILOT_ROWS, LAST_PILOT = 1024, 128, 4
WORTHWHILE = 0.9  # of what the tiles cost
MOST_CANDIDATES = 0.125  # of the centers; a sample with more is left to the tiles

# Costs in multiply-adds of a tile (0.02 ns of one thread of a Zen 3): of bookkeeping
# per pair, per integer, per pair that passed the first sieve, per feature of one that
# passed both.
PER_PAIR, PER_INTEGER, PER_PASSED, PER_FEATURE = 4.0, 0.7, 1500.0, 25.0


class Images(NamedTuple):
    """Integers (n, width), and the sums of their squares."""

    integers: Array
    norms: Array


class Packed(NamedTuple):
    """Some centers, by their numbers, packed for the first sieve."""

    ids: Array
    integers: Array
    norms: Array


class Look(NamedTuple):
    """Centers (float64) as the sieves see them: `prefix.label_by_prefix` explains.

    before : the centers of the step before
    moved : which of them are others now, or None where there are no such centers
    everyone, some : all centers, and those that moved
    reach : no center's |c'|^2 is larger; with some room, so that limits that hold for
        it serve again
    serves : whether these may be used at all
    """

    before: Array
    centers: Array
    moved: Array | None
    rows: Array
    norms: Array
    images: Images
    everyone: Packed
    some: Packed
    reach: float
    serves: bool


class Sieves:
    """What this module is about (see there), from some samples.

    Memory: these samples (1024); per center 20 bytes per feature, 2 per
    coordinate.

    n_lead : coordinates of the first sieve
    cost : of a pair there, tiles = 1
    """

    def __init__(self, some: Array, n_threads: int) -> None:
        self.n_features, self.n_threads = some.shape[1], n_threads
        # At most three quarters of the features: more would save nothing.
        widest = min(WIDEST, self.n_features * 3 // 4)
        self.width = max(1, widest // INTEGERS) * INTEGERS
        self.row_width = -(-self.n_features // DOT_STEP) * DOT_STEP
        self.shift = shift_of(some)
        self.some = some = read_only(np.ascontiguousarray(some))
        n_coordinates = min(self.width - 1, self.n_features)
        self.basis = make_basis(some - self.shift.astype(np.float64), n_coordinates)
        self.rounding = rounding(
            self._project(some, n_threads), self.n_features, self.basis
        )
        self.n_lead, self.cost = 0, np.inf
        self._n_looks = 0
        self._reach = -1.0
        self._lock = Lock()
        self._look: Look | None = None

    def images(self, X: Array, n_threads: int) -> Images:
        """Give images of X."""
        values = self._project(X, n_threads)
        images = no_images(len(X), self.width)
        scale, radius, _ = self.rounding
        n_chunks = worth(n_threads, len(X), 1.5 * values.size)
        origin = np.zeros(values.shape[1])
        integers.round_rows(n_chunks, values, origin, scale, radius, *images)
        return images

    def shorten(self, images: Images, n_threads: int) -> Images:
        """Give images for the first sieve: some coordinates and the rest, in pairs."""
        lead = no_images(len(images.norms), lead_width(self.n_lead))
        n_chunks = worth(n_threads, len(images.norms), 1.0 * images.integers.size)
        integers.shorten(n_chunks, images.integers, self.n_lead, *lead)
        return lead

    def _project(self, X: Array, n_threads: int) -> Array:
        """Coordinates, and the norm of the rest in the last column."""
        n_coordinates = self.basis.n_coordinates
        coordinates = np.empty((len(X), n_coordinates + 1), np.float32)
        prefix.project(
            worth(n_threads, len(X), 0.05 * X.size * n_coordinates),
            X,
            self.shift,
            self.basis.packed,
            n_coordinates,
            self.basis.rest_error,
            coordinates,
        )
        return coordinates

    def look(self, before: Array, centers: Array) -> Look:
        """Look at centers; once, where the same two arrays are asked about again."""
        with self._lock:
            last, self._look = self._look, None  # what it holds is written over
            if last is None or last.before is not before or last.centers is not centers:
                last = self._look_at(last, before, centers)
            self._look = last
            return last

    def _look_at(self, last: Look | None, before: Array, centers: Array) -> Look:
        rows, norms, images, moved = self._seen(last, before, centers)
        reach = 2.0 * float(norms.max())
        if reach > self._reach:
            self._reach = 1.25 * reach
        serves = float32_serves(centers.shape, reach)
        # After looks 0, 1, 2, 4; later only as long as sieving does not pay.
        is_pilot = not self._n_looks & (self._n_looks - 1)
        if serves and is_pilot and (self._n_looks <= LAST_PILOT or self.cost > 1):
            self.choose_lead(rows, norms, images)
        self._n_looks += 1
        lead = self.shorten(images, self.n_threads)
        everyone = packed(np.arange(len(centers)), lead)
        some = everyone if moved is None else packed(np.flatnonzero(moved), lead)
        return Look(
            *(before, centers, moved, rows, norms, images),
            *(everyone, some, self._reach, serves),
        )

    def _seen(
        self, last: Look | None, before: Array, centers: Array
    ) -> tuple[Array, Array, Images, Array | None]:
        """Rows, half norms and images of the centers, and which of them moved.

        What was seen in the last look is not computed again.
        """
        n_clusters = len(centers)
        if last is None or len(last.centers) != n_clusters:
            rows = np.zeros((n_clusters, self.row_width), np.float32)
            norms = np.empty(n_clusters, np.float32)
            images = no_images(n_clusters, self.width)
            changed = np.ones(n_clusters, bool)
        else:
            rows, norms, images = last.rows, last.norms, last.images
            changed = (centers != last.centers).any(axis=1)
        some, ids = centers[changed], np.flatnonzero(changed)
        n_chunks = worth(self.n_threads, len(some), 1.0 * some.size)
        prefix.shift_rows(n_chunks, some, ids, self.shift, rows, norms)
        for values, new in zip(images, self.images(some, self.n_threads), strict=True):
            values[changed] = new
        if len(before) != n_clusters:
            return rows, norms, images, None
        if last is None or before is not last.centers:
            changed = (centers != before).any(axis=1)
        return rows, norms, images, changed

    def may_pay(self) -> bool:
        """Whether a pilot has found that they do, or some are still to come."""
        return self.cost < WORTHWHILE or self._n_looks <= LAST_PILOT

    def choose_lead(self, rows: Array, norms: Array, images: Images) -> None:
        """Choose the first sieve, and find its cost, by what some samples let pass."""
        X = self.some[:: max(1, len(self.some) // PILOT_ROWS)][:PILOT_ROWS]
        some = np.zeros((len(X), self.row_width), np.float32)
        with np.errstate(over="ignore"):  # the tiles will see to such values
            shifted = X - self.shift.astype(np.float64)
            some[:, : self.n_features] = shifted
            squares = np.square(shifted).sum(axis=1)
        some_images = self.images(X, self.n_threads)
        leads = np.array([n_lead for n_lead in LEADS if n_lead < self.width])
        n_chunks = worth(self.n_threads, len(some), 0.1 * len(some) * rows.size)
        passed = np.zeros((len(some), len(leads) + 1), np.int64)
        prefix.count_passed(
            n_chunks,
            some,
            rows.ravel(),
            norms,
            squares,
            self.rounding.margin,
            some_images.integers,
            images.integers,
            rests(some_images, leads),
            rests(images, leads),
            leads,
            passed,
        )
        tile = self.n_features + PER_PAIR
        per_pair = PER_INTEGER * (leads + 1) + PER_PAIR
        more = passed[:, :-1] * PER_PASSED
        more += passed[:, -1:] * PER_FEATURE * self.n_features
        is_left = passed[:, :-1] > self.most(len(norms))
        per_row = np.where(is_left, tile, more / len(norms))
        costs = per_pair + per_row.mean(axis=0)
        best = int(costs.argmin())
        self.n_lead, self.cost = int(leads[best]), float(costs[best]) / tile

    def most(self, n_clusters: int) -> int:
        """Candidates above which all pairs of a sample cost less."""
        share = min(MOST_CANDIDATES, 0.5 * self.n_features / PER_PASSED)
        return max(16, int(share * n_clusters))


def no_images(n: int, width: int) -> Images:
    """Give room for images."""
    return Images(np.zeros((n, width), np.int16), np.empty(n, np.int32))


def packed(ids: Array, lead: Images) -> Packed:
    """Pack some centers for the first sieve; the last group is filled up."""
    n_places = max(1, -(-len(ids) // GROUP)) * GROUP
    width = lead.integers.shape[1]
    places, norms = np.empty(n_places * width, np.int16), np.empty(n_places, np.int32)
    integers.pack_centers(lead.integers[ids], lead.norms[ids], places, norms)
    return Packed(ids, places, norms)


def lead_width(n_lead: int) -> int:
    """Columns for so many coordinates and the rest."""
    return (n_lead + 2) // 2 * 2


def rests(images: Images, leads: Array) -> Array:
    """Norms of what lies beyond the first leads[l] integers."""
    squares = images.integers[:, ::-1].astype(np.float64) ** 2
    return np.sqrt(np.cumsum(squares, axis=1)[:, ::-1][:, leads])
