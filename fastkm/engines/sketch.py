"""Sketch: few small integers per sample that rule out most candidates of a seeding.

They are images as in `engines.integers`: all features less a shift, or coordinates in
a basis. A candidate outside of a sample's reach, with its distance to the nearest
sample chosen so far, would not come nearer. With very many features, samples that some
leading coordinates leave are looked at through more of them before their distance is
computed.
"""

from __future__ import annotations

import math

import numpy as np

from fastkm.engines.base import Array, read_only
from fastkm.engines.basis import Basis, make_basis
from fastkm.engines.integers import rounding
from fastkm.engines.lanes import Lanes
from fastkm.engines.products import product
from fastkm.kernels import integers, prefix, seeding
from fastkm.kernels.integers import ROUNDED
from fastkm.kernels.simd_rows import INTEGERS
from fastkm.kernels.tiles import LARGEST_REACH
from fastkm.kernels.vectors import LANES_32

FEW_FEATURES = 8  # up to which all are kept
# Pairs for each sample, and of all samples, up to which more features than these are
# not sketched (2000 x 50, k=20: 13 -> 7 ms, and 1 s less of a first fit's compilation).
FEW_PAIRS, FEW_IN_ALL = 36, 300_000
LEADS = (4, 8, 16, 32, 64)  # coordinates of a basis
WIDE, MANY_PAIRS = 192, 1000  # numbers of a closer look, and pairs that repay it
SOME_ROWS, PILOT_ROWS, PILOT_CANDIDATES, MOST_CHOSEN = 1024, 256, 16, 256

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
        distances = sums - 2 * product(rows, some.T)
        limits = distances[:, :n_chosen].min(axis=1, keepdims=True)

        def cost(bounds: Array, n_packed: int) -> float:
            passed = float((bounds[:, n_chosen:] < limits).mean())
            packing = n_packed * (1 + PER_PACKED / n_pairs)
            n_computed = WIDE if is_wide else n_features
            return packing + passed * n_computed * PER_EXACT

        costs = [cost(distances, n_features) if itemsize >= 4 else math.inf]
        for n, lead in enumerate(leads):
            inner = product(y[:, :lead], z[:, :lead].T)
            inner += np.outer(rest[n], other_rest[n])
            projecting = n_features * lead * PER_PROJECTED / n_pairs
            costs.append(cost(sums - 2 * inner, lead + 1) + projecting)
    best = int(np.argmin(costs))
    if best == 0:
        return None
    lead = int(leads[best - 1])
    # Its leading directions are a basis as well, with smaller errors.
    return basis if is_wide else basis._replace(n_coordinates=lead), lead


def parted(basis: Basis, rows: Array, leads: Array) -> tuple[Array, Array]:
    """Coordinates of rows, and the norms of the rest after so many of them."""
    coordinates = product(rows, basis.directions())
    inside = np.square(coordinates).cumsum(axis=1)[:, leads - 1]
    square = np.square(rows).sum(axis=1)[:, None]
    return coordinates, np.sqrt(np.maximum(square - inside, 0.0)).T


class NoSketch:
    """In the place of a sketch that would not pay: no candidate is ruled out.

    Also what a `Sketch` begins with: no closer look.
    """

    packed, closer = np.empty(0, np.int16), np.empty((0, 0), np.int16)
    scale = rounded = 0.0
    closer_norms = np.empty(0, np.int32)

    def __init__(self, samples: Lanes) -> None:
        self.own_reaches = np.zeros(samples.n_samples)
        self.norms = np.zeros(samples.n_samples, np.int32)


class Sketch(NoSketch):
    """The sketch of some samples (see the module).

    2 bytes per sample for each coordinate, at most 64 of them or all features, and 12
    more; 388 for a closer look. While it is made, 6 for each of these numbers.
    """

    def __init__(self, samples: Lanes, n_clusters: int, n_trials: int) -> None:
        X = samples.X
        every = max(1, len(X) // SOME_ROWS)
        some = read_only(X[::every].astype(np.float64))
        # Of the samples' dtype, which is what `project` takes.
        shift = some.mean(axis=0).astype(samples.dtype).astype(np.float64)
        origin = np.zeros(len(X), np.int32)  # the one center of all
        squares = samples.own_distances(shift[None], origin)
        chosen = choose_basis(some, shift, n_clusters, n_trials, X.itemsize)
        basis, lead = chosen or (None, 0)
        images = X
        if basis is not None:
            images = read_only(self._project(samples, shift, basis))
            shift = np.zeros(images.shape[1])
        how = rounding(images[::every] - shift, samples.n_features, basis)
        is_closer = basis is not None and lead < basis.n_coordinates
        n_columns = images.shape[1]
        if is_closer:
            n_columns = -(-n_columns // INTEGERS) * INTEGERS
        rows = np.zeros((len(X), n_columns), np.int16)
        self.norms = np.empty(len(X), np.int32)
        self.scale, per_norm, rounding_error = how.margin.tolist()
        with np.errstate(all="ignore"):
            self.own_reaches = per_norm * np.sqrt(squares) + rounding_error
        self.own_reaches[~(squares < LARGEST_REACH)] = np.inf
        n_chunks = samples.n_chunks(1.5 * images.size)
        integers.round_rows(
            n_chunks, images, shift, how.scale, how.radius, rows, self.norms
        )
        if is_closer:
            self.closer, self.closer_norms = rows, self.norms
            rows, self.norms = shortened(samples, rows, lead)
            self.rounded = ROUNDED
        n_tiles = -(-len(X) // LANES_32)
        n_pairs = -(-rows.shape[1] // 2)
        self.packed = np.zeros(n_tiles * n_pairs * 2 * LANES_32, np.int16)
        n_chunks = min(samples.n_chunks(1.0 * rows.size), n_tiles)
        seeding.pack_sketch(n_chunks, rows, self.packed)

    def _project(self, samples: Lanes, shift: Array, basis: Basis) -> Array:
        """Coordinates of X - shift, and the norm of the rest in the last column."""
        X, n_coordinates = samples.X, basis.n_coordinates
        coordinates = np.empty((len(X), n_coordinates + 1), np.float32)
        prefix.project(
            samples.n_chunks(0.05 * X.size * n_coordinates),
            X,
            shift.astype(samples.dtype),
            basis.packed,
            n_coordinates,
            basis.rest_error,
            coordinates,
        )
        return coordinates


def shortened(samples: Lanes, rows: Array, n_lead: int) -> tuple[Array, Array]:
    """Give the leading integers and the norm of the others, and their norms."""
    lead = np.empty((len(rows), n_lead + 1), np.int16)
    norms = np.empty(len(rows), np.int32)
    integers.shorten(samples.n_chunks(1.0 * rows.size), rows, n_lead, lead, norms)
    return lead, norms


def repays(n_samples: int, n_features: int, n_pairs: int) -> bool:
    """Whether a sketch costs less than what so many candidates per sample do."""
    if n_features <= FEW_FEATURES:
        return True
    return n_pairs > FEW_PAIRS and n_pairs * n_samples > FEW_IN_ALL


def make_sketch(samples: Lanes, n_clusters: int, n_trials: int) -> NoSketch:
    """Give a sketch, if the steps of a seeding repay it."""
    n_pairs = (n_clusters - 1) * n_trials
    if repays(samples.n_samples, samples.n_features, n_pairs):
        return Sketch(samples, n_clusters, n_trials)
    return NoSketch(samples)
