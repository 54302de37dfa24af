"""Sketch: few small integers per sample that rule out most candidates of a seeding.

They are images as in `engines.integers`, of the kind that costs least (`images`). A
candidate outside of a sample's reach, with its distance to the nearest sample chosen so
far, would not come nearer. With very many features, samples that some leading
coordinates leave are looked at through more of them before their distance is computed.
"""

from __future__ import annotations

import numpy as np

from fastkm.engines.base import Array, read_only
from fastkm.engines.basis import Basis
from fastkm.engines.images import FEW_FEATURES, SOME_ROWS, Choice, choose_images
from fastkm.engines.integers import rounding
from fastkm.engines.lanes import Lanes
from fastkm.kernels import integers, prefix, seeding
from fastkm.kernels.integers import ROUNDED
from fastkm.kernels.simd_rows import INTEGERS
from fastkm.kernels.tiles import LARGEST_REACH
from fastkm.kernels.vectors import LANES_32

# Pairs for each sample, and what those of all samples cost, up to which more features
# than these are not sketched. A sketch may save 2 ms there (20,000 x 16, k=8: 8 -> 6),
# and a first fit compiles for 1 to 2 s more.
FEW_PAIRS, FEW_TERMS = 9, 27e6
PER_PAIR = 30  # features that cost as much as all else of a pair


class NoSketch:
    """In the place of a sketch that would not pay: no candidate is ruled out.

    Also what a `Sketch` begins with: no closer look.
    """

    packed, closer = np.empty(0, np.int16), np.empty((0, 0), np.int16)
    scale = rounded = 0.0
    closer_norms = np.empty(0, np.int32)

    def __init__(self, samples: Lanes) -> None:
        self.own_reaches = np.zeros(1)
        self.norms = np.zeros(samples.n_samples, np.int32)


class Sketch(NoSketch):
    """The sketch of some samples (see the module).

    2 bytes per sample and feature, and 4 more; of a basis at most 142 per sample, 388
    more for a closer look, and while it is made 6 for each coordinate.
    """

    def __init__(self, samples: Lanes, n_clusters: int, n_trials: int) -> None:
        X = samples.X
        every = max(1, len(X) // SOME_ROWS)
        some = read_only(X[::every].astype(np.float64))
        # Of the samples' dtype, which is what `project` takes.
        shift = some.mean(axis=0).astype(samples.dtype).astype(np.float64)
        choice = choose_images(some, shift, len(X), n_clusters, n_trials, X.itemsize)
        if choice.basis is None:
            self._round_features(samples, some, shift, choice)
        else:
            self._round_coordinates(samples, every, shift, choice.basis, choice.n_lead)

    def _round_features(
        self, samples: Lanes, some: Array, shift: Array, choice: Choice
    ) -> None:
        """Round all features, or some and the norm of the rest, in one pass."""
        n_samples, n_features = samples.X.shape
        is_short = choice.n_lead < n_features
        how = rounding(some - shift, n_features)
        self.scale, _, rounding_error = how.margin.tolist()
        self.own_reaches = np.array([rounding_error])  # of all
        self.rounded = ROUNDED if is_short else 0.0
        self.norms = np.empty(n_samples, np.int32)
        self.packed, n_tiles = room_packed(n_samples, choice.n_lead + is_short)
        seeding.sketch_features(
            min(samples.n_chunks(2.0 * samples.X.size), n_tiles),
            *(samples.X, shift, how.scale, how.radius),
            *(choice.order, choice.n_lead, self.packed, self.norms),
        )

    def _round_coordinates(
        self, samples: Lanes, every: int, shift: Array, basis: Basis, n_lead: int
    ) -> None:
        """Round coordinates and the norm of the rest; the leading ones are packed."""
        n_samples = samples.n_samples
        origin = np.zeros(n_samples, np.int32)  # the one center of all
        squares = samples.own_distances(shift[None], origin)
        images = read_only(self._project(samples, shift, basis))
        how = rounding(images[::every], samples.n_features, basis)
        self.scale, per_norm, rounding_error = how.margin.tolist()
        with np.errstate(all="ignore"):
            self.own_reaches = per_norm * np.sqrt(squares) + rounding_error
        self.own_reaches[~(squares < LARGEST_REACH)] = np.inf
        is_closer = n_lead < basis.n_coordinates
        n_columns = images.shape[1]
        if is_closer:
            n_columns = -(-n_columns // INTEGERS) * INTEGERS
        rows, self.norms = room(n_samples, n_columns)
        integers.round_rows(
            samples.n_chunks(1.5 * images.size),
            *(images, np.zeros(images.shape[1]), how.scale, how.radius),
            *(rows, self.norms),
        )
        if is_closer:
            self.closer, self.closer_norms = rows, self.norms
            rows, self.norms = room(n_samples, n_lead + 1)
            n_chunks = samples.n_chunks(1.0 * self.closer.size)
            integers.shorten(n_chunks, self.closer, n_lead, rows, self.norms)
            self.rounded = ROUNDED
        self.packed, n_tiles = room_packed(*rows.shape)
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


def room(n_samples: int, n_columns: int) -> tuple[Array, Array]:
    """Room for integers of some samples, and for their norms."""
    return np.zeros((n_samples, n_columns), np.int16), np.empty(n_samples, np.int32)


def room_packed(n_samples: int, n_columns: int) -> tuple[Array, int]:
    """Room for packed integers, zeros, and how many tiles these are."""
    n_tiles = -(-n_samples // LANES_32)
    return np.zeros(n_tiles * -(-n_columns // 2) * 2 * LANES_32, np.int16), n_tiles


def repays(n_samples: int, n_features: int, n_pairs: int) -> bool:
    """Whether a sketch costs less than what so many candidates per sample do."""
    if n_features <= FEW_FEATURES:
        return True
    n_terms = n_samples * n_pairs * (n_features + PER_PAIR)
    return n_pairs > FEW_PAIRS and n_terms > FEW_TERMS


def make_sketch(samples: Lanes, n_clusters: int, n_trials: int) -> NoSketch:
    """Give a sketch, if the steps of a seeding repay it."""
    n_pairs = (n_clusters - 1) * n_trials
    if repays(samples.n_samples, samples.n_features, n_pairs):
        return Sketch(samples, n_clusters, n_trials)
    return NoSketch(samples)
