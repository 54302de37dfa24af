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
from fastkm.kernels.integers import LARGEST_BYTE, LARGEST_NORM
from fastkm.kernels.simd_rows import DOT_STEP, INTEGERS
from fastkm.kernels.vectors import GROUP

FEW, WIDEST = 128, 95  # features that all have a coordinate, and coordinates of more
LEADS = (7, 11, 15, 19, 23, 31, 47, 63, 95)  # coordinates of the first sieve, or all
BASIS_ROWS, LAST_PILOT = 1024, 4
PILOT_ROWS, FEW_ROWS, PILOT_TERMS = 128, 48, 2**27  # fewer rows where each costs much
WORTHWHILE = 0.9  # of what the tiles cost
TINY = 2.0**-20  # more than the roundings of numbers that become bytes
MOST_CANDIDATES = 0.375  # of the centers; a sample with more is left to the tiles

# Costs in multiply-adds of a tile (0.02 ns of one thread of a Zen 3): of bookkeeping
# per pair, per byte, per pair that passed the first sieve, of one that is only listed,
# per feature of one that passed both.
PER_PAIR, PER_BYTE, PER_PASSED, PER_LISTED, PER_FEATURE = 5.0, 0.36, 1500.0, 150.0, 25.0
# What fits into bytes: a share of the samples; and by how much rounding to them moves a
# sample and a center together, in square roots of their numbers, about.
USUAL, LOSS = 0.98, 0.62


class Images(NamedTuple):
    """Integers (n, width), and the sums of their squares."""

    integers: Array
    norms: Array


class Lead(NamedTuple):
    """Bytes (n, a multiple of 4), their squared norms, and what rounding moved."""

    numbers: Array
    norms: Array
    losses: Array


class Packed(NamedTuple):
    """Some centers, by their numbers, packed for the first sieve.

    packed : words of four bytes, offsets, norms (`kernels.integers.pack_centers`)
    """

    ids: Array
    packed: tuple[Array, Array, Array]


class Look(NamedTuple):
    """Centers (float64) as the sieves see them: `prefix.label_by_prefix` explains.

    before : the centers of the step before
    moved : which of them are others now, or None where there are no such centers
    everyone, some : all centers, and those that moved
    loss : none of their bytes lost more
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
    loss: float
    reach: float
    serves: bool


class Sieves:
    """What this module is about (see there), from some samples.

    Memory: these samples (1024); per center 20 bytes per feature, 2 per
    coordinate.

    n_lead, scale : coordinates of the first sieve, and how they become bytes
    cost : of a pair there, tiles = 1
    """

    def __init__(self, some: Array, n_threads: int) -> None:
        self.n_features, self.n_threads = some.shape[1], n_threads
        is_narrow = self.n_features <= FEW
        self.n_coordinates = self.n_features if is_narrow else WIDEST
        self.width = -(-(self.n_coordinates + 1) // INTEGERS) * INTEGERS
        self.row_width = -(-self.n_features // DOT_STEP) * DOT_STEP
        self.shift = shift_of(some)
        self.some = some = read_only(np.ascontiguousarray(some))
        self.basis = make_basis(
            some - self.shift.astype(np.float64), self.n_coordinates
        )
        values = self._project(some, n_threads)
        self.rounding = rounding(values, self.n_features, self.basis)
        self._some_images = self._round(values, n_threads)
        self.use_lead(self.n_coordinates, np.inf)
        self._n_looks = 0
        self._reach = -1.0
        self._lock = Lock()
        self._look: Look | None = None

    def images(self, X: Array, n_threads: int) -> Images:
        """Give images of X."""
        return self._round(self._project(X, n_threads), n_threads)

    def _round(self, values: Array, n_threads: int) -> Images:
        images = no_images(len(values), self.width)
        scale, radius, _ = self.rounding
        n_chunks = worth(n_threads, len(values), 1.5 * values.size)
        origin = np.zeros(values.shape[1])
        integers.round_rows(n_chunks, values, origin, scale, radius, *images)
        return images

    def use_lead(self, n_lead: int, cost: float) -> None:
        """Let the first sieve be so many coordinates, and the norm of the rest."""
        self.n_lead, self.cost = n_lead, cost
        (self.scale,) = self._scales(np.array([n_lead])).tolist()

    def _scales(self, leads: Array) -> Array:
        """Scales at which bytes of so many coordinates clip few samples."""
        images = self._some_images
        largest = np.maximum.accumulate(np.abs(images.integers), axis=1)
        largest = np.maximum(largest[:, leads - 1], rests(images, leads))
        norms = np.sqrt(images.norms)
        extents = np.maximum(
            np.quantile(largest, USUAL, axis=0) / LARGEST_BYTE,
            np.quantile(norms, USUAL) / (LARGEST_NORM - np.sqrt(leads + 1) / 2),
        )
        return 1.0 / np.maximum(extents, 1.0)

    def lead(self, images: Images, n_threads: int, bias: int = 0) -> Lead:
        """Give bytes for the first sieve; `bias` is added to them."""
        lead = no_lead(len(images.norms), self.n_lead)
        n_chunks = worth(n_threads, len(images.norms), 1.0 * images.integers.size)
        integers.to_bytes(
            n_chunks, images.integers, self.n_lead, self.scale, bias, *lead
        )
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

    def look(self, before: Array, centers: Array, moved: Array | None = None) -> Look:
        """Look at centers; once, where the same two arrays are asked about again.

        moved : which are not the same in both, if that is known
        """
        with self._lock:
            last, self._look = self._look, None  # what it holds is written over
            if last is None or last.before is not before or last.centers is not centers:
                last = self._look_at(last, before, centers, moved)
            self._look = last
            return last

    def _look_at(
        self, last: Look | None, before: Array, centers: Array, moved: Array | None
    ) -> Look:
        rows, norms, images, moved = self._seen(last, before, centers, moved)
        reach = 2.0 * float(norms.max())
        if reach > self._reach:
            self._reach = 1.25 * reach
        serves = float32_serves(centers.shape, reach)
        # After looks 0, 1, 2, 4; later only as long as sieving does not pay.
        is_pilot = not self._n_looks & (self._n_looks - 1)
        if serves and is_pilot and (self._n_looks <= LAST_PILOT or self.cost > 1):
            self.choose_lead(rows, norms, images, 2 if moved is None else 1)
        self._n_looks += 1
        lead = self.lead(images, self.n_threads)
        loss = float(lead.losses.max()) + TINY
        everyone = packed(np.arange(len(centers)), lead)
        some = everyone if moved is None else packed(np.flatnonzero(moved), lead)
        return Look(
            *(before, centers, moved, rows, norms, images),
            *(everyone, some, loss, self._reach, serves),
        )

    def _seen(
        self, last: Look | None, before: Array, centers: Array, moved: Array | None
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
            changed = differing(last.centers, before, centers, moved)
        some, ids = centers[changed], np.flatnonzero(changed)
        n_chunks = worth(self.n_threads, len(some), 1.0 * some.size)
        prefix.shift_rows(n_chunks, some, ids, self.shift, rows, norms)
        for values, new in zip(images, self.images(some, self.n_threads), strict=True):
            values[changed] = new
        if len(before) != n_clusters:
            return rows, norms, images, None
        if last is None or before is not last.centers:
            changed = differing(before, before, centers, moved)
        return rows, norms, images, changed

    def may_pay(self) -> bool:
        """Whether a pilot has found that they do, or some are still to come."""
        return self.cost < WORTHWHILE or self._n_looks <= LAST_PILOT

    def choose_lead(
        self, rows: Array, norms: Array, images: Images, n_walks: int
    ) -> None:
        """Choose the first sieve, and find its cost, by what some samples let pass.

        n_walks past all centers: one more without hints at good ones.
        """
        n_rows = min(PILOT_ROWS, max(FEW_ROWS, PILOT_TERMS // rows.size))
        every = slice(None, None, max(1, len(self.some) // n_rows))
        X = self.some[every][:n_rows]
        some = np.zeros((len(X), self.row_width), np.float32)
        with np.errstate(over="ignore"):  # the tiles will see to such values
            shifted = X - self.shift.astype(np.float64)
            some[:, : self.n_features] = shifted
            squares = np.square(shifted).sum(axis=1)
        some_images = Images(*(v[every][:n_rows] for v in self._some_images))
        few = [n_lead for n_lead in LEADS if n_lead < self.n_coordinates]
        leads = np.array([*few, self.n_coordinates])
        losses = LOSS * np.sqrt(leads + 1) / self._scales(leads)
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
            losses,
            passed,
        )
        tile = self.n_features + PER_PAIR
        per_pair = n_walks * PER_BYTE * (leads + 1) + PER_PAIR
        more = passed[:, :-1] * PER_PASSED
        more += passed[:, -1:] * PER_FEATURE * self.n_features
        is_left = passed[:, :-1] > self.most(len(norms))
        listed = passed[:, :-1] * PER_LISTED / len(norms)
        per_row = np.where(is_left, tile + listed, more / len(norms))
        costs = per_pair + per_row.mean(axis=0)
        best = int(costs.argmin())
        self.use_lead(int(leads[best]), float(costs[best]) / tile)

    def most(self, n_clusters: int) -> int:
        """Candidates above which all pairs of a sample cost less."""
        share = min(MOST_CANDIDATES, self.n_features / PER_PASSED)
        return max(16, int(share * n_clusters))


def differing(
    others: Array, before: Array, centers: Array, moved: Array | None
) -> Array:
    """Which centers differ from others, or, where these are `before`, have `moved`."""
    if others is before and moved is not None:
        return moved
    changed: Array = (centers != others).any(axis=1)
    return changed


def no_images(n: int, width: int) -> Images:
    """Give room for images."""
    return Images(np.zeros((n, width), np.int16), np.empty(n, np.int32))


def no_lead(n: int, n_lead: int) -> Lead:
    """Give room for so many coordinates and the rest, in words of four bytes."""
    numbers = np.zeros((n, (n_lead + 4) // 4 * 4), np.int8)
    return Lead(numbers, np.empty(n, np.int32), np.empty(n, np.float32))


def packed(ids: Array, lead: Lead) -> Packed:
    """Pack some centers for the first sieve; the last group is filled up."""
    n_places = max(1, -(-len(ids) // GROUP)) * GROUP
    places = np.empty(n_places * lead.numbers.shape[1], np.int8)
    offsets, norms = np.empty((n_places, 2), np.int16), np.empty(n_places, np.int32)
    integers.pack_centers(lead.numbers[ids], lead.norms[ids], places, offsets, norms)
    return Packed(ids, (places.view(np.int32), offsets.view(np.int32).ravel(), norms))


def rests(images: Images, leads: Array) -> Array:
    """Norms of what lies beyond the first leads[l] integers."""
    squares = images.integers[:, ::-1].astype(np.float64) ** 2
    return np.sqrt(np.cumsum(squares, axis=1)[:, ::-1][:, leads])
