"""Sketch: few small integers per sample that rule out most candidates of a seeding.

A sample's sketch is a rounded image u(x) under a map that never lengthens distances:
two samples whose sketches lie farther apart than the rounding explains are at least as
far apart themselves. Exact integers need no analysis of sums.

With few features u(x) = x - shift; with many, coordinates y = Q'(x - shift) in an
orthonormal basis and the norm r of the rest. |u(x) - u(c)| <= |x - c|, because
|x - c|^2 = |y - z|^2 + |rest of x - rest of c|^2, the latter at least (r - s)^2.
The sketch is v = clip(round(scale u~)), p integers from -most to most, of the computed
u~. Clipping lengthens no distance either, and rounding moves a point by sqrt(p) / 2 at
most. Let N = |x - shift|, and let |u~ - u| <= a N. Then for every candidate c

    |v(x) - v(c)| <= scale (|x - c| + a (N + N_c)) + sqrt(p),    N_c <= N + |x - c|.

A candidate that does not come nearer than the sample's current distance m (both as
computed: D) changes nothing. With d features and w = 2^-53, D >= |x - c|^2 (1 - 1.01
(d + 2) w) up to underflow, so one that does come nearer has |x - c| <= (1 + (d + 4) w)
sqrt(m) + sqrt(d t), t the smallest number above 0, and

    |v(x) - v(c)|^2 <= (scale ((1 + (d + 4) w + a) sqrt(m) + 2 a N) + 1.01 sqrt(p))^2.

1.01 instead of 1 has room for the underflow, as scale sqrt(d t) is tiny, and for the
roundings of scale u~ (most 2^-51) and of the coefficients. The square is computed in
float64 with a relative error of 2^-49; where it fits into an int32 that is less than 1,
and `seeding.limit_of` adds 2. Left of it |v(x)|^2 + |v(c)|^2 - 2 v(x).v(c) is taken
apart: what is the sample's goes into its limit, the rest is the candidate's score, at
most 3 p most^2 < 2^31 in every partial sum.

What a is: without a basis, one rounding of each difference, 2^-52. With one, |y~ - y|
<= e N with e = `Basis.error`; and the square of the computed norm of the rest is above
that of the norm, by at most 2.1 `Basis.rest_error` N^2, before it is rounded up to
float32: e + sqrt(2.1 rest_error) + 2^-22 for both; twice as much under the root once
`prefix.shorten` has put further coordinates into the rest. Coordinates that underflow
in float32 are off by 2^-150 sqrt(p) more, less than 0.001 sqrt(p) as scale is below
2^14 / 2^-126.

With very many features, samples that the leading coordinates leave are looked at
through a second sketch of WIDE numbers before their distance is computed.

Where N^2 is 1e37 or more, float32 coordinates may overflow: such samples have no limit,
and such candidates no score.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array, read_only
from fastkm.engines.lanes import Lanes
from fastkm.engines.prefix import Basis, make_basis
from fastkm.kernels import prefix, seeding
from fastkm.kernels.simd_rows import INTEGERS
from fastkm.kernels.vectors import LANES_32

FEW_FEATURES = 8  # up to which all are kept
FEW_PAIRS = 36  # for each sample, up to which more features than these are not sketched
LEADS = (4, 8, 16, 32, 64)  # coordinates of a basis
WIDE, MANY_PAIRS = 192, 1000  # numbers of a closer look, and pairs that repay it
SOME_ROWS, PILOT_ROWS, PILOT_CANDIDATES, MOST_CHOSEN = 1024, 256, 16, 256
LARGEST, SQUARES = 2**14 - 1, 2**29  # an integer of a sketch, and the sum of squares
USUAL, ROOM = 0.98, 2.0  # share of the samples that fit in so many times over

# Costs in columns of a pair that the sieve takes (0.01 ns with two threads of a
# Zen 3): a column of what is fetched by itself, of a projection, of packing.
PER_EXACT, PER_PROJECTED, PER_PACKED = 20.0, 4.0, 75.0


def choose_basis(
    X: Array, shift: Array, n_clusters: int, n_trials: int, itemsize: int
) -> tuple[Basis, int] | None:
    """Give a basis, and how many leading coordinates cost least on some samples.

    The basis has more of them where a closer look pays. None: all features cost less.
    Many features of less than 4 bytes are not all kept: that would be a wide copy.
    """
    n_features = len(shift)
    if n_features <= FEW_FEATURES or len(X) < SOME_ROWS:
        return None
    n_pairs = n_clusters * n_trials  # for each sample
    leads = np.array([lead for lead in LEADS if lead <= n_features * 3 // 4])
    is_wide = n_features >= 2 * WIDE and n_pairs >= MANY_PAIRS
    basis = make_basis(X - shift, WIDE - 1 if is_wide else leads[-1])
    # As many are chosen as when the average number of samples improves.
    n_chosen = min(MOST_CHOSEN, 1 + int(n_clusters / (1 + math.log(n_clusters))))
    rows = X[:PILOT_ROWS] - shift
    some = X[PILOT_ROWS:][: n_chosen + PILOT_CANDIDATES] - shift
    with np.errstate(all="ignore"):
        # Not by `project`: most shapes never need that kernel, 1 s to compile.
        (y, rest), (z, other_rest) = (parted(basis, of, leads) for of in (rows, some))
        sums = np.square(rows).sum(axis=1)[:, None] + np.square(some).sum(axis=1)
        distances = sums - 2 * rows @ some.T
        limits = distances[:, :n_chosen].min(axis=1, keepdims=True)

        def cost(bounds: Array, n_packed: int) -> float:
            passed = float((bounds[:, n_chosen:] < limits).mean())
            packing = n_packed * (1 + PER_PACKED / n_pairs)
            n_computed = WIDE if is_wide else n_features
            return packing + passed * n_computed * PER_EXACT

        costs = [cost(distances, n_features) if itemsize >= 4 else math.inf]
        for n, lead in enumerate(leads):
            products = y[:, :lead] @ z[:, :lead].T + np.outer(rest[n], other_rest[n])
            projecting = n_features * lead * PER_PROJECTED / n_pairs
            costs.append(cost(sums - 2 * products, lead + 1) + projecting)
    best = int(np.argmin(costs))
    if best == 0:
        return None
    lead = int(leads[best - 1])
    # Its leading directions are a basis as well, with smaller errors.
    return basis if is_wide else basis._replace(n_coordinates=lead), lead


def parted(basis: Basis, rows: Array, leads: Array) -> tuple[Array, Array]:
    """Coordinates of rows, and the norms of the rest after so many of them."""
    coordinates = rows @ basis.directions()
    inside = np.square(coordinates).cumsum(axis=1)[:, leads - 1]
    square = np.square(rows).sum(axis=1)[:, None]
    return coordinates, np.sqrt(np.maximum(square - inside, 0.0)).T


class Rounding(NamedTuple):
    """How numbers become integers, and the coefficients of `seeding.limit_of`."""

    scale: float
    most: float
    margin: Array


def rounding(some: Array, n_features: int, error: float) -> Rounding:
    """Give the rounding of numbers like some (n_some, p), with a = error.

    Outliers are clipped: they do not make the integers of all others small.
    """
    n_values = some.shape[1]
    most = min(LARGEST, math.isqrt(SQUARES // n_values))
    sizes = np.sort(np.abs(some), axis=0)
    usual = float(sizes[int(USUAL * (len(sizes) - 1))].max())
    if not 0 < usual < math.inf:
        usual = 1.0
    scale = most / max(ROOM * usual, float(np.finfo(np.float32).tiny))
    own = scale * (1 + (n_features + 4) * 2.0**-53 + error)
    margin = np.array([own, 2 * scale * error, 1.01 * math.sqrt(n_values)])
    return Rounding(scale, float(most), margin)


class NoSketch:
    """In the place of a sketch that would not pay: no candidate is ruled out.

    Also what a `Sketch` begins with: no closer look.
    """

    packed, closer = np.empty(0, np.int16), np.empty((0, 0), np.int16)
    margin = closer_margin = np.zeros(3)
    closer_norms = np.empty(0, np.int32)

    def __init__(self, samples: Lanes) -> None:
        self.squares = np.zeros(samples.n_samples)
        self.norms = np.zeros(samples.n_samples, np.int32)


class Sketch(NoSketch):
    """The sketch of some samples (see the module).

    2 bytes per sample for each coordinate, at most 64 of them or all features, and 12
    more; 388 for a closer look. While it is made, 4 for each number of a basis.
    """

    def __init__(self, samples: Lanes, n_clusters: int, n_trials: int) -> None:
        X, d = samples.X, samples.n_features
        every = max(1, len(X) // SOME_ROWS)
        some = read_only(X[::every].astype(np.float64))
        shift = some.mean(axis=0)
        origin = np.zeros(len(X), np.int32)  # the one center of all
        self.squares = samples.own_distances(shift[None], origin)
        chosen = choose_basis(some, shift, n_clusters, n_trials, X.itemsize)
        values, error = X, 2.0**-52
        if chosen:
            basis, lead = chosen
            values = self._project(samples, shift, basis)
            error = basis.error + 2.0**-22 + math.sqrt(2.1 * basis.rest_error)
            if lead < basis.n_coordinates:
                self._round_rows(samples, values, rounding(values[::every], d, error))
                error = basis.error + 2.0**-22 + math.sqrt(4.2 * basis.rest_error)
                wide, n_chunks = values, samples.n_chunks(1.0 * values.size)
                values = np.empty((len(X), lead + 1), np.float32)
                prefix.shorten(n_chunks, wide, lead, basis.rest_error, values)
            shift = np.zeros(values.shape[1])
            values = read_only(values)
        how = rounding(values[::every] - shift, d, error)
        self.margin = how.margin
        n_tiles = -(-len(X) // LANES_32)
        n_pairs = -(-values.shape[1] // 2)
        self.packed = np.zeros(n_tiles * n_pairs * 2 * LANES_32, np.int16)
        self.norms = np.empty(len(X), np.int32)
        n_chunks = min(samples.n_chunks(1.5 * values.size), n_tiles)
        seeding.pack_sketch(
            n_chunks, values, shift, how.scale, how.most, self.packed, self.norms
        )

    def _project(self, samples: Lanes, shift: Array, basis: Basis) -> Array:
        """Coordinates of X - shift, and the norm of the rest in the last column."""
        X, n_coordinates = samples.X, basis.n_coordinates
        coordinates = np.empty((len(X), n_coordinates + 1), np.float32)
        prefix.project(
            samples.n_chunks(0.05 * X.size * n_coordinates),
            X,
            shift,
            basis.packed,
            n_coordinates,
            basis.rest_error,
            coordinates,
        )
        return coordinates

    def _round_rows(self, samples: Lanes, values: Array, how: Rounding) -> None:
        """Make what the closer look needs."""
        width = -(-values.shape[1] // INTEGERS) * INTEGERS
        self.closer = np.zeros((len(values), width), np.int16)
        self.closer_norms = np.empty(len(values), np.int32)
        self.closer_margin = how.margin
        n_chunks = samples.n_chunks(1.5 * values.size)
        seeding.round_rows(
            n_chunks, values, how.scale, how.most, self.closer, self.closer_norms
        )


def make_sketch(samples: Lanes, n_clusters: int, n_trials: int) -> NoSketch:
    """Give a sketch, if the steps of a seeding repay it."""
    n_pairs = (n_clusters - 1) * n_trials
    if samples.n_features > FEW_FEATURES and n_pairs <= FEW_PAIRS:
        return NoSketch(samples)
    return Sketch(samples, n_clusters, n_trials)
