"""Sketch: few float32 numbers per sample that rule out most candidates of a seeding.

Let x' = x - shift, c' = c - shift, N = |x'|, s = |c'|^2 / 2 - x'.c' the real score of a
candidate c, so that |x - c|^2 = N^2 + 2 s. A candidate that does not come nearer than
the sample's current distance m (both as computed: D) changes nothing. That is certain
where the computed score is above

    limit = (m - N^2) / 2 + (d + 8) 2^-52 (m + N^2)

in spite of its own error e. The second part covers, with d features and v = 2^-53:

- D >= |x - c|^2 (1 - 1.01 (d + 2) v) up to underflow: 0.51 (d + 2) v m;
- N^2 / 2 is computed with an error of at most 0.51 (d + 2) v N^2;
- the roundings of the limit itself, below 2 v (m + N^2); it is then rounded up.

e is at most m0 + m1 N with the coefficients of `tiles.score_margin`, which hold twice
the error of a score and all underflow. So m0 is taken off the candidate's norm, and N,
rounded up, is one more feature of a sample, with m1 as the candidate's: the sieve
(`simd.sift`) needs no margin of its own. The spare half of m0 + m1 N is there
for the rounding of the norm less m0, and for the sums, each term of which is counted
with all its roundings: the added feature adds less than m1 N / 64 to their error for
up to 2^16 features, and the rest (below) makes the terms' absolute sum at most
(1 + 2^-18) N C instead of N C, with C = |c'|.

With many features, the sketch holds coordinates y in an orthonormal basis and the norm
of the rest, r >= |x' - Qy|; by Cauchy-Schwarz y.z + r r_c >= x'.c' (`engines.prefix`),
so that scores can only come out lower, but for the error of coordinates that
`Basis.error` bounds.

Samples of N^2 or m of 1e37 and more have no limit; such candidates, and all where there
are more features than 2^16, have no norm: they are never ruled out. Below, no float32
sum overflows (`tiles.LARGEST_REACH`).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from fastkm.engines.base import Array, read_only
from fastkm.engines.lanes import Lanes
from fastkm.engines.prefix import Basis, make_basis
from fastkm.engines.tiles import MOST_FEATURES, score_margin
from fastkm.kernels import prefix, seeding
from fastkm.kernels.tiles import LARGEST_REACH
from fastkm.kernels.vectors import GROUP, LANES_32

FEW_FEATURES = 8  # up to which all are kept
FEW_PAIRS = 36  # for each sample, up to which more features than these are not sketched
LEADS = (4, 8, 16, 32, 64)  # coordinates of a basis
SOME_ROWS, PILOT_ROWS, PILOT_CANDIDATES = 512, 256, 16
MOST_CHOSEN = 32  # by a pilot; one choice of many comes late, when few samples improve

# Costs in features of a pair that the sieve takes (0.05 ns with two threads of a
# Zen 3): a feature of an exact distance, of a projection, of packing.
PER_EXACT, PER_PROJECTED, PER_PACKED = 6.0, 1.0, 30.0


def project(n_chunks: int, X: Array, shift: Array, basis: Basis) -> Array:
    """Coordinates of X - shift, and the norm of the rest in the last column."""
    coordinates = np.empty((len(X), basis.n_coordinates + 1), np.float32)
    prefix.project(
        n_chunks,
        X,
        shift,
        basis.packed,
        basis.n_coordinates,
        basis.rest_error,
        coordinates,
    )
    return coordinates


def choose_basis(
    X: Array, shift: Array, n_clusters: int, n_trials: int, itemsize: int
) -> Basis | None:
    """Give the basis that costs least on some samples; None: all features do.

    Many features of less than 4 bytes are not all kept: that would be a wide copy.
    """
    n_features = len(shift)
    if n_features <= FEW_FEATURES or len(X) < SOME_ROWS:
        return None
    n_chosen = min(MOST_CHOSEN, 1 + n_clusters // 3)
    n_pairs = n_clusters * n_trials  # for each sample
    leads = np.array([lead for lead in LEADS if lead <= n_features * 3 // 4])
    basis = make_basis(X - shift, leads[-1])
    rows = X[:PILOT_ROWS] - shift
    some = slice(n_chosen + PILOT_CANDIDATES)
    with np.errstate(all="ignore"):
        # Not by `project`: most shapes never need that kernel, 1 s to compile.
        coordinates = rows @ basis.directions()
        squares = np.square(rows).sum(axis=1)
        inside = np.square(coordinates).cumsum(axis=1)[:, leads - 1]
        rest = np.sqrt(np.maximum(squares[:, None] - inside, 0.0))
        sums = squares[:, None] + squares[some]
        distances = sums - 2 * rows @ rows[some].T
        limits = distances[:, :n_chosen].min(axis=1, keepdims=True)

        def cost(bounds: Array, n_packed: int) -> float:
            passed = float((bounds[:, n_chosen:] < limits).mean())
            packing = n_packed * (1 + PER_PACKED / n_pairs)
            return packing + passed * n_features * PER_EXACT

        costs = [cost(distances, n_features) if itemsize >= 4 else math.inf]
        for n, lead in enumerate(leads):
            y, r = coordinates[:, :lead], rest[:, n]
            bounds = sums - 2 * (y @ y[some].T + np.outer(r, r[some]))
            projecting = n_features * lead * PER_PROJECTED / n_pairs
            costs.append(cost(bounds, lead + 1) + projecting)
    best = int(np.argmin(costs))
    # Its leading directions are a basis as well, with smaller errors.
    return basis._replace(n_coordinates=int(leads[best - 1])) if best else None


class NoSketch:
    """In the place of a sketch that would not pay: no candidate is ruled out."""

    packed = np.empty(0, np.float32)

    def __init__(self, samples: Lanes) -> None:
        self.squares = np.zeros(samples.n_samples)

    def candidates(self, indices: Array) -> tuple[Array, Array]:
        n_places = -(-len(indices) // GROUP) * GROUP
        return self.packed, np.zeros(n_places, np.float32)


class Sketch:
    """The sketch of some samples (see the module).

    4 bytes per sample for each coordinate, at most 64 of them or all features, and 16
    more.
    """

    def __init__(self, samples: Lanes, n_clusters: int, n_trials: int) -> None:
        X, self.n_features = samples.X, samples.n_features
        some = read_only(X[:: max(1, len(X) // SOME_ROWS)].astype(np.float64))
        shift = some.mean(axis=0)
        origin = np.zeros(len(X), np.int32)  # the one center of all
        self.squares = samples.own_distances(shift[None], origin)
        basis = choose_basis(some, shift, n_clusters, n_trials, X.itemsize)
        values, projection = X, 0.0
        if basis is not None:
            n_chunks = samples.n_chunks(0.05 * X.size * basis.n_coordinates)
            values = read_only(project(n_chunks, X, shift, basis))
            shift, projection = np.zeros(values.shape[1]), 2.1 * basis.error
        self.width = values.shape[1] + 1
        self.margin = functools.partial(
            score_margin,
            np.float32,
            self.n_features,
            n_roundings=self.width + 2,
            from_norm=True,
            projection=projection,
        )
        *_, floor, stretch = self.margin(0.0)
        n_tiles = -(-len(X) // LANES_32)
        self.packed = np.empty(n_tiles * self.width * LANES_32, np.float32)
        n_chunks = min(samples.n_chunks(1.0 * self.packed.size), n_tiles)
        seeding.pack_sketch(
            n_chunks, values, shift, self.squares, floor, stretch, self.packed
        )

    def candidates(self, indices: Array) -> tuple[Array, Array]:
        """Some samples as the sieve wants candidates: packed and norms."""
        squares = self.squares[indices]
        m0, m1, *_ = self.margin(min(float(squares.max()), LARGEST_REACH))
        n_places = -(-len(indices) // GROUP) * GROUP
        rows = np.zeros((n_places, self.width), np.float32)
        tiles = self.packed.reshape(-1, self.width, LANES_32)
        rows[: len(indices)] = tiles[indices // LANES_32, :, indices % LANES_32]
        rows[: len(indices), -1] = np.nextafter(np.float32(m1), np.float32(np.inf))
        packed = -rows.reshape(-1, GROUP, self.width).transpose(0, 2, 1)
        norms = np.full(n_places, np.inf, np.float32)
        serves = (squares < LARGEST_REACH) & (self.n_features <= MOST_FEATURES)
        norms[: len(indices)] = np.where(serves, 0.5 * squares - m0, -np.inf)
        return np.ascontiguousarray(packed).ravel(), norms


def make_sketch(samples: Lanes, n_clusters: int, n_trials: int) -> Sketch | NoSketch:
    """Give a sketch, if the steps of a seeding repay it."""
    n_pairs = (n_clusters - 1) * n_trials
    if samples.n_features > FEW_FEATURES and n_pairs <= FEW_PAIRS:
        return NoSketch(samples)
    return Sketch(samples, n_clusters, n_trials)
