"""Prefix: many features and clusters; most pairs are ruled out by a few coordinates.

Let Q be an orthonormal basis of p leading directions of the (shifted) samples, y = Q'x
the coordinates of a sample, r the norm of the rest, z and s those of a center. By
Cauchy-Schwarz x.c <= y.z + r s, so the score |c|^2 / 2 - y.z - r s is never above the
score in all features (see `tiles`). A center whose reduced score is above the full
score of a good candidate cannot win; the candidate is the center of the last step. On
images, 16 of 784 coordinates rule out 98.5 % of 4000 centers, 95 coordinates 99.96 %.

Of the samples whose own center has not moved since the last step, only the centers that
moved are looked at: the others lost then, and would lose again (Kaukoranta, Fränti and
Nevalainen, A fast exact GLA based on code vector activity detection, 2000, section 3).

While the pairs that are left would cost more than all pairs cost the tiles, as a pilot
estimates, the tiles find the labels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array
from fastkm.engines.lanes import NONE
from fastkm.engines.tiles import Tiles, score_margin
from fastkm.kernels import prefix
from fastkm.kernels.simd_rows import DOT_STEP, dot_depth
from fastkm.kernels.vectors import GROUP

UNKNOWN = np.empty((0, 2), np.float32)
WIDEST = 96  # coordinates of the second sieve, about
LEADS = (8, 12, 16, 20, 24, 32, 48, 64)  # coordinates of the first sieve
BASIS_ROWS, PILOT_ROWS, LAST_PILOT = 1024, 128, 8
MOST_CANDIDATES = 0.125  # of the centers: a sample with more is left to the tiles

# Costs in multiply-adds of a tile (0.02 ns of one thread of a Zen 3): of bookkeeping
# per pair, per pair that passed the first sieve, per feature of one that passed both.
PER_PAIR, PER_PASSED, PER_FEATURE = 4.0, 2500.0, 25.0


class Basis(NamedTuple):
    """Leading directions, packed, and the errors of coordinates.

    `error` bounds |y~ - Q'x| / |x| for computed coordinates y~: the rounding of y~ to
    float32, the distance of the directions from an orthonormal basis (singular values
    within `defect` of 1: the polar factor Q is that near), and a sum of n_features
    products in float64 for each of the coordinates. `rest_error` bounds that of
    |x|^2 - |y~|^2, relative to |x|^2: twice as much, and the sums.
    """

    packed: Array
    n_coordinates: int
    error: float
    rest_error: float

    def directions(self) -> Array:
        """Unpack them, (n_features, n_coordinates)."""
        n_groups = -(-self.n_coordinates // GROUP)
        groups = self.packed.reshape(n_groups, -1, GROUP).transpose(1, 0, 2)
        return groups.reshape(-1, n_groups * GROUP)[:, : self.n_coordinates]


def leading_directions(rows: Array, n_coordinates: int) -> Array:
    """Directions of largest variance of rows (n_rows, n_features), about zero.

    Randomized subspace iteration: Halko, Martinsson and Tropp, Finding structure with
    randomness (2011), algorithm 4.4. They need not be good, only orthonormal.
    """
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((rows.shape[1], n_coordinates))
    for _ in range(2):
        directions = np.linalg.qr(rows.T @ (rows @ directions))[0]
    reduced = rows @ directions
    _, rotation = np.linalg.eigh(reduced.T @ reduced)
    return directions @ rotation[:, ::-1]


def rests(coordinates: Array, leads: Array) -> Array:
    """Norms of what lies beyond the first leads[l] coordinates."""
    squares = coordinates[:, ::-1].astype(np.float64) ** 2
    return np.sqrt(np.cumsum(squares, axis=1)[:, ::-1][:, leads])


def make_basis(rows: Array, n_coordinates: int) -> Basis:
    """Basis from some rows; any orthonormal one where their squares overflow."""
    with np.errstate(all="ignore"):
        scaled: Array = rows / np.abs(rows).max(initial=1e-300)
        if not np.isfinite(scaled).all():
            scaled = np.zeros_like(rows)
    directions = leading_directions(scaled, n_coordinates)
    n_features = len(directions)
    gram = directions.T @ directions - np.eye(n_coordinates)
    defect = float(np.linalg.norm(gram)) + 2 * n_coordinates * n_features * 2.0**-53
    n_groups = -(-n_coordinates // GROUP)
    padded = np.zeros((n_features, n_groups * GROUP))
    padded[:, :n_coordinates] = directions
    groups = padded.reshape(n_features, n_groups, GROUP).transpose(1, 0, 2)
    sums = 1.1 * math.sqrt(n_coordinates) * (n_features + 4) * 2.0**-53
    error = 1.05 * 2.0**-24 + defect + sums
    rest_error = 2.2 * error + 4 * (n_features + n_coordinates + 8) * 2.0**-53
    packed = np.ascontiguousarray(groups).ravel()
    return Basis(packed, n_coordinates, error, rest_error)


def sieve_margin(
    n_features: int, width: int, row_width: int, reach: float, basis: Basis
) -> Array:
    """Give `score_margin` of a limit that holds for reduced and for full scores.

    A center is out when its computed score, reduced or full, is above the computed full
    score of the candidate plus m0 + m1 N + m2 N^2. With the notation of `score_margin`,
    y~ and z~ the stored coordinates, all or the leading ones, r and s the stored norms
    of the rest, and e = basis.error:

    - |y~ - Q'x'| <= e N and |z~ - Q'c'| <= e C, so y~.z~ is off by at most
      (2 + e) e N C <= 2.1 e N C: `projection`;
    - r and s are not below the true norms of the rest: what is stored is |x'|^2 less
      the squares of the coordinates that are not in the rest, plus rest_error |x'|^2,
      of which 2 e make up for those squares and the remainder for the sums;
    - so in real numbers the reduced score exceeds the full one by 2.1 e N C at most;
    - computed, it is a sum of products with |y~.z~| + r s <= (1 + rest_error)^2 N C,
      of which no term goes through more roundings than one of the leading sieve, from
      the half norm on (a product, the terms, the rest), or of a `dot`; the half norm is
      off as in 3, and there is no error 2.

    So the error of every score in question is at most half of m0 + m1 N + m2 N^2, whose
    2.02 has room for the (1 + rest_error)^2 and the rounding of the limit. `reach` is
    twice the largest half norm after rounding to float32, off by less than the factors
    of C in `score_margin`.
    """
    return score_margin(
        np.float32,
        n_features,
        reach,
        n_roundings=max(LEADS[-1] + 2, dot_depth(width), dot_depth(row_width)),
        from_norm=True,
        projection=2.1 * basis.error,
    )


class Centers(NamedTuple):
    """What the sieves see of centers (float64): `prefix.label_by_prefix` explains."""

    given: Array
    rows: Array
    norms: Array
    coordinates: Array


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

    Memory beyond X: that of `Tiles`, and per sample 4 bytes for each coordinate (some
    480 in all) and 24 more; per center 12 bytes per feature, 4 per coordinate.

    Counts pairs of sample and center: all, those that the first sieve let pass, those
    that were computed in full; and samples that exact distances decided.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        # At most three quarters of the features: more would save nothing.
        widest = min(WIDEST, self.n_features * 3 // 4)
        self.width = max(1, widest // DOT_STEP) * DOT_STEP
        self.row_width = -(-self.n_features // DOT_STEP) * DOT_STEP
        self.n_lead = 0  # coordinates of the first sieve
        self.cost = np.inf  # of a pair there, tiles = 1
        self.lead = np.empty((0, 0), np.float32)
        self._n_finds = 0
        self._seen = self._no_centers(0)
        # Score and limit of the last step's labels, where known.
        self._scores = np.empty((self.n_samples, 2), np.float32)
        self._reach = -1.0  # for which the limits hold
        self.basis = make_basis(
            self._some_rows(BASIS_ROWS), min(self.width - 1, self.n_features)
        )
        self.coordinates = np.empty((0, self.width), np.float32)  # made when they pay

    def _some_rows(self, n_rows: int) -> Array:
        """Some samples, shifted, in float64."""
        return self._every(n_rows) - self.shift

    def _every(self, n_rows: int) -> Array:
        """Samples at equal distances, n_rows of them or all."""
        return self.X[:: max(1, self.n_samples // n_rows)][:n_rows]

    def _no_centers(self, n_clusters: int) -> Centers:
        return Centers(
            np.empty((n_clusters, self.n_features)),
            np.zeros((n_clusters, self.row_width), np.float32),
            np.empty(n_clusters, np.float32),
            np.empty((n_clusters, self.width), np.float32),
        )

    def _project(self, X: Array) -> Array:
        coordinates = np.zeros((len(X), self.width), np.float32)
        n_coordinates = self.basis.n_coordinates
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

    def _shorten(self, coordinates: Array, n_lead: int) -> Array:
        lead = np.empty((len(coordinates), n_lead + 1), np.float32)
        n_chunks = self.n_chunks(1.0 * coordinates.size)
        prefix.shorten(n_chunks, coordinates, n_lead, self.basis.rest_error, lead)
        return lead

    def _see(self, centers: Array) -> Array:
        """Bring what the sieves see up to date; returns which centers changed."""
        if len(self._seen.given) == len(centers):
            changed = (centers != self._seen.given).any(axis=1)
        else:
            self._seen = self._no_centers(len(centers))
            changed = np.ones(len(centers), bool)
        _, rows, norms, coordinates = self._seen
        some = centers[changed]
        n_chunks = self.n_chunks(1.0 * some.size)
        prefix.shift_rows(
            n_chunks, some, np.flatnonzero(changed), self.shift, rows, norms
        )
        coordinates[changed] = self._project(some)
        self._seen = Centers(centers, rows, norms, coordinates)
        return changed

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        queues = self.queue, np.empty(self.n_samples, np.int64)
        n_chunks = self.n_chunks(0.2 * self.n_samples * len(centers))
        works = self._divide(n_chunks, centers, queues)
        reach = 2.0 * float(self._seen.norms.max())
        served = self._float32_serves(len(centers), reach)
        # After finds 0, 1, 2, 4, 8; later only as long as sieving does not pay.
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
        centers, rows, norms, coordinates = self._seen
        margin = sieve_margin(
            self.n_features, self.width, self.row_width, self._reach, self.basis
        )
        counts = prefix.label_by_prefix(
            n_chunks,
            self.X,
            work.samples,
            work.left,
            work.hints,
            self.shift,
            margin,
            self.lead,
            self.coordinates,
            *self._pack(work.ids),
            work.ids,
            coordinates.ravel(),
            rows.ravel(),
            norms,
            centers,
            max(16, int(MOST_CANDIDATES * len(work.ids))),
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
        n_groups = max(1, -(-len(ids) // GROUP))
        padded = np.zeros((n_groups * GROUP, self.n_lead + 1), np.float32)
        padded[: len(ids)] = -self._shorten(self._seen.coordinates[ids], self.n_lead)
        norms = np.full(n_groups * GROUP, np.inf, np.float32)
        norms[: len(ids)] = self._seen.norms[ids]
        packed = padded.reshape(n_groups, GROUP, -1).transpose(0, 2, 1)
        return np.ascontiguousarray(packed).ravel(), norms

    def _choose_lead(self) -> None:
        """Choose the first sieve, and find its cost, by what some samples let pass."""
        _, center_rows, norms, center_coordinates = self._seen
        some = np.zeros((min(PILOT_ROWS, self.n_samples), self.row_width), np.float32)
        with np.errstate(over="ignore"):  # the tiles will see to such values
            some[:, : self.n_features] = self._some_rows(PILOT_ROWS)
        coordinates = self._project(self._every(PILOT_ROWS))
        leads = np.array([n_lead for n_lead in LEADS if n_lead < self.width])
        n_chunks = self.n_chunks(0.1 * len(some) * center_rows.size)
        passed = np.zeros((n_chunks, len(leads) + 1), np.int64)
        prefix.count_passed(
            n_chunks,
            some,
            coordinates,
            rests(coordinates, leads),
            center_rows.ravel(),
            norms,
            center_coordinates.ravel(),
            rests(center_coordinates, leads),
            leads,
            passed,
        )
        shares = passed.sum(axis=0) / (len(some) * len(norms))
        costs = leads + 1 + PER_PAIR + shares[:-1] * PER_PASSED
        costs += shares[-1] * PER_FEATURE * self.n_features
        best = int(costs.argmin())
        self.n_lead = int(leads[best])
        self.cost = float(costs[best]) / (self.n_features + PER_PAIR)

    def _prepare(self) -> None:
        """Make the coordinates of all samples, when they are first used."""
        if not len(self.coordinates):
            self.coordinates = self._project(self.X)
        if self.lead.shape[1] != self.n_lead + 1:
            self.lead = self._shorten(self.coordinates, self.n_lead)
