"""Tiles: every pair at the speed of fused multiply-adds, every label certified.

The nearest center minimizes the score |c'|^2 / 2 - x'.c' with x' = x - shift and
c' = c - shift, half the squared distance less a term of the sample alone. Scores are
computed in float32 for samples of either dtype. A label is taken where the second best
score is farther from the best than rounding can have moved them (`score_margin`); the
samples that are left are decided by float64 scores, and what is left of these by exact
distances. So the labels are the reference's, ties and far-off data included.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastkm.engines.base import NO_CHANGES, NONE, Array, InMemory, center_dtype
from fastkm.engines.lanes import block_rows, pack_distances
from fastkm.kernels import tiles
from fastkm.kernels.tiles import LARGEST_REACH
from fastkm.kernels.vectors import GROUP

# Features and centers up to which float32 is used: m * u stays small in the bound,
# and a center's index is exact in float32.
MOST_FEATURES, MOST_CENTERS = 2**16, 2**24
NO_KEYS, NO_ROOM = np.empty(0, np.float32), np.empty(0)
OPEN = -1  # samples left in a chunk: those that are not skipped
# Nanoseconds of scores below which float64 is used at once: another pass for what
# float32 leaves would take longer.
FEW = 200_000
UNDECIDED = {
    np.float32: "samples undecided by float32",
    np.float64: "samples undecided by float64",
}


def score_margin(
    dtype: Any,
    n_features: int,
    reach: float,
    *,
    n_roundings: int | None = None,
) -> Array:
    """Give the coefficients of a gap between scores that certifies a label.

    Let u be the unit roundoff of `dtype`, v = 2^-53, d = n_features, x', c' real,
    x~, c~ the packed numbers (one rounding in float64, one in `dtype`), N at least
    |x'| and |x~|, C at least |c'| and |c~| for all centers, and g(m) = m u / (1 - m u).
    The computed score of a center is off by at most

    1. g(m) N C with m = n_roundings: the sum x~.c~, of which no term goes through more
       than m roundings (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
       ed., section 3.1); d for a chain of d fused or multiplied and added terms;
    2. 2.1 u N C: |x~ - x'| <= 1.01 u |x'|, |c~ - c'| <= 1.01 u |c'| and Cauchy-Schwarz;
    3. 0.6 (u + (d + 4) v) C^2: the half norm, summed in float64, then rounded;
    4. 1.1 u (C^2 / 2 + N C): the final addition of the two;

    and half the reference's own distance, which decides, by

    5. 0.6 (d + 2) v (N + C)^2: d differences, squares and additions in float64.

    Where a result is subnormal its rounding error is not relative; each of the fewer
    than 4 (d + 4) operations on numbers of size 1 + N + C or products of them adds at
    most the smallest subnormal t times that size. When best and second best scores
    differ by more than twice the sum of 1 to 5 and the underflow, the reference's
    distances differ in the same sense, strictly. The factor 2.02 covers the rounding
    of the gap and of this evaluation itself. As N is quadratic in 5, the margin is
    m0 + m1 N + m2 N^2.

    N is computed as floor + stretch * |x~|, where |x~|^2 was summed in `dtype`: stretch
    covers its relative error, g(d + 4), and floor the d squares lost to underflow.

    Parameters
    ----------
    dtype : float32 or float64
    n_features : int
    reach : float
        The largest |c'|^2, as computed in float64.
    n_roundings : int, optional
        n_features when None.

    Returns
    -------
    (m0, m1, m2, floor, stretch, 0, n_features) : (7,) float64
    """
    info = np.finfo(dtype)
    u, v, d = float(info.eps) / 2, 2.0**-53, n_features
    tiny = float(info.smallest_subnormal)
    m = d if n_roundings is None else n_roundings
    chain = m * u / (1 - m * u)
    C = math.sqrt(reach) * (1 + 4 * u + d * v) + math.sqrt(d * tiny)
    pair = chain + 2.1 * u + 1.1 * u
    square = 0.6 * (u + (d + 4) * v) + 0.55 * u
    own = 0.6 * (d + 2) * v
    lost = 4 * (d + 4) * tiny
    m0 = 2.02 * ((square + own) * C * C + lost * (1 + C))
    m1 = 2.02 * ((pair + 2 * own) * C + lost)
    m2 = 2.02 * own
    stretch = 1 + (d + 4) * u / (1 - (d + 4) * u)
    return np.array([m0, m1, m2, math.sqrt(d * tiny), stretch, 0, d])


def float32_serves(shape: tuple[int, ...], reach: float) -> bool:
    """Whether scores of so many centers and features may be computed in float32."""
    n_clusters, n_features = shape
    return (
        reach <= LARGEST_REACH
        and n_features <= MOST_FEATURES
        and n_clusters <= MOST_CENTERS
    )


def shift_of(some: Array) -> Array:
    """Mean of some samples, in the dtype of centers.

    Any shift is valid; this one makes the norms, and with them the margins, small. What
    it leaves of a float32 number is rounded to float32 only once.
    """
    return some.mean(axis=0, dtype=np.float64).astype(center_dtype(some.dtype))


def nanoseconds(shape: tuple[int, ...]) -> float:
    """Of the scores of a sample and so many centers of so many features, about."""
    n_clusters, n_features = shape
    return n_features * (0.5 + n_clusters / 48)


class Scores(NamedTuple):
    """Samples, and centers packed for them: see `kernels.tiles.label_by_scores`."""

    X: Array
    shift: Array
    centers: Array
    norms: Array
    margin: Array


class Target(NamedTuple):
    """What is written about samples: see `kernels.tiles.label_by_scores`.

    queue : (n_samples,) int64
    labels, keys, room : see `engines.skips`; where no keys are kept, these are empty
    changes : (n_samples, 2) int64, or empty where changes are not listed
    """

    queue: Array
    labels: Array
    keys: Array = NO_KEYS
    room: Array = NO_ROOM
    changes: Array = NO_CHANGES

    def changed(self, counts: Array) -> Array:
        """Give the changes that a kernel listed, so many in each chunk."""
        parts = []
        for chunk, n_changed in enumerate(counts.tolist()):
            # As `kernels.exact.chunk_bounds`.
            first = chunk * len(self.labels) // len(counts)
            parts.append(self.changes[first : first + n_changed])
        return np.concatenate(parts)


class Outcome(NamedTuple):
    """What came of labelling: how many samples of each chunk are left.

    n_samples : how many there were, and changed : (n, 2), those whose label changed and
    what it was
    """

    left: Array
    n_samples: int
    changed: Array


class Tiles(InMemory):
    """The engine of this module (see there).

    Memory beyond X: that of `InMemory`, 8 bytes per sample (a queue, touched as far as
    samples are undecided), and 12 bytes per center and feature.

    Counts the samples that were labelled, and those of them that float32 and float64
    scores left undecided.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        self.shift = shift_of(self.X[:: max(32, self.n_samples // 1024)])
        self.queue = np.empty(self.n_samples, np.int64)

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        n_chunks = self.n_chunks(self.n_samples * nanoseconds(centers.shape))
        self.find_queued(n_chunks, NONE, centers, Target(self.queue, labels))
        self.counts["samples labelled"] += self.n_samples

    def find_queued(
        self, n_chunks: int, left: Array, centers: Array, target: Target
    ) -> tuple[int, list[Array]]:
        """Write the labels of left[chunk] samples from each chunk's place in the queue.

        With `left` empty, of all samples, and where it is OPEN, of those that are not
        skipped. Returns how many these were, and lists of those that changed.
        """
        per_sample = nanoseconds(centers.shape)
        n_samples, changes = 0, []
        few = left.size and 0 <= int(left.sum()) * per_sample < FEW
        for dtype in (np.float64,) if few else (np.float32, np.float64):
            packed, norms, reach = self._pack_scores(centers, dtype)
            if dtype is np.float32 and not float32_serves(centers.shape, reach):
                continue
            margin = score_margin(dtype, self.n_features, reach)
            scores = Scores(self.X, self.shift, packed, norms, margin)
            left, n_taken, changed = label_by(scores, n_chunks, left, target)
            n_samples = max(n_samples, n_taken)
            changes.append(changed)
            n_left = int(left.sum())
            self.counts[UNDECIDED[dtype]] += n_left
            if not n_left:
                break
            n_chunks, left = self.fewer_chunks(n_chunks, target.queue, left, per_sample)
        else:
            packed, norms = pack_distances(centers, self.n_chunks(1.0 * centers.size))
            counts = tiles.label_by_distances(
                n_chunks,
                self.X,
                target.queue,
                left,
                packed,
                norms,
                block_rows(self.n_features, packed.nbytes),
                target.labels,
                target.changes,
            )
            changes.append(target.changed(np.array(counts)))
        return n_samples, changes

    def fewer_chunks(
        self, n_chunks: int, queue: Array, left: Array, per_sample: float
    ) -> tuple[int, Array]:
        """Make one chunk of a queue that more than one thread is not worth."""
        n_left = int(left.sum())
        if n_chunks == 1 or self.n_chunks(n_left * per_sample) > 1:
            return n_chunks, left
        end = left[0]
        for chunk in range(1, n_chunks):
            first = chunk * len(queue) // n_chunks  # `kernels.exact.chunk_bounds`
            queue[end : end + left[chunk]] = queue[first : first + left[chunk]]
            end += left[chunk]
        return 1, np.array([n_left])

    def _pack_scores(self, centers: Array, dtype: Any) -> tuple[Array, Array, float]:
        n_clusters, n_features = centers.shape
        n_groups = -(-n_clusters // GROUP)
        packed = np.empty(n_groups * GROUP * n_features, dtype)
        norms = np.empty(n_groups * GROUP, dtype)
        n_chunks = self.n_chunks(1.0 * centers.size)
        reaches = tiles.pack_scores(n_chunks, centers, self.shift, packed, norms)
        return packed, norms, max(reaches)


def label_by(scores: Scores, n_chunks: int, left: Array, target: Target) -> Outcome:
    """Write the labels that scores decide."""
    counts = tiles.label_by_scores(
        n_chunks,
        scores.X,
        target.queue,
        left,
        scores.shift,
        scores.centers,
        scores.norms,
        scores.margin,
        block_rows(scores.X.shape[1], scores.centers.nbytes),
        target.labels,
        target.keys,
        target.room,
        target.changes,
    )
    undecided, changed, taken = np.array(counts).T.copy()
    return Outcome(undecided, int(taken.sum()), target.changed(changed))
