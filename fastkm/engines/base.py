"""What an engine is: the samples in the form it likes, and the questions it answers.

`Engine` is all that `fastkm.lloyd` knows. `InMemory` answers the questions that have
the same answer in every engine whose samples are one array.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastkm.engines.assignment import Assignment, InOneArray, Labelled
from fastkm.exactsum import ExactSum, expansion
from fastkm.kernels import exact, sums

Array = NDArray[Any]

# Sums per table above which threads share one table, column by column, instead of
# adding to tables of their own that are joined afterwards.
SHARED_SUMS = 2**15
PART = 2**18  # distances that are found and added up in one go


def read_only(array: Array) -> Array:
    """Give a view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


UNIT_WEIGHT = read_only(np.ones(1))  # of every sample
NONE = np.empty(0, np.int64)  # no list of samples: a kernel takes all
NO_CHANGES = np.empty((0, 2), np.int64)  # changed labels are not listed


class Step(NamedTuple):
    """The sums of one assignment.  Steps over parts of the samples add up.

    totals : exact sums (n_clusters, n_features + 1), of the weighted samples of each
        cluster and, in the last column, of their weights
    n_changed : int, samples whose label differs from the last step's
    touched : (n_clusters,) bool, clusters that such a sample may have left or entered

    A step may share memory with its engine: it is good until the next one.
    """

    totals: ExactSum
    n_changed: int
    touched: Array

    def join(self, other: Step) -> Step:
        """Give the step over both parts of the samples."""
        return Step(
            self.totals + other.totals,
            self.n_changed + other.n_changed,
            self.touched | other.touched,
        )


class Engine(Protocol):
    """The ways to carry out a Lloyd step; `centers` have the dtype of the samples."""

    n_samples: int
    n_features: int
    counts: Counter[str]  # what happened, for the user's report

    def step(self, centers: Array, moved: Array | None = None) -> Step:
        """Assign every sample, sum the clusters.

        moved : (n_clusters,) bool, which centers are not those of the step before;
            None where nobody knows
        """

    def assignment(self, centers: Array) -> Assignment:
        """Every sample and its nearest center."""

    def undivided(self) -> Assignment:
        """All samples in one cluster; without distances."""

    def squares(self, centers: Array, moved: Array) -> Array:
        """Squared distance of each center to where it moved."""


class Whole(Protocol):
    """An engine that takes and gives labels of all samples in one array."""

    def assign(self, centers: Array) -> tuple[Array, Array]:
        """Labels (int32) and distances (float64) of all samples."""

    def sums(self, labels: Array, n_clusters: int) -> Step:
        """Sum the clusters of given labels."""

    def expansions(self, labels: Array, cells: Array) -> list[list[float]]:
        """For each (cluster, column) of `cells`, its terms as a short exact list."""

    def inertia(self, distances: Array) -> float:
        """Exact sum of weight * distance."""

    def rows(self, indices: Array) -> Array:
        """Give samples by index."""

    def positive(self) -> Array | None:
        """Which samples have a positive weight (None: all)."""


class Values(Protocol):
    """What takes values of the samples: an array, or a file."""

    def __setitem__(self, rows: slice, values: Array) -> None:
        """Take the values of some rows."""


class Held:
    """Samples and their weights, wherever the samples are: what needs only the weights.

    shape : (n_samples, n_features)
    dtype : of centers; that of the samples, or float64 where these are integers
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        weights: Array | None,
        n_threads: int,
    ) -> None:
        self.n_samples, self.n_features = self.shape = shape
        self.dtype = center_dtype(dtype)
        self.weights = weights
        self.kernel_weights = UNIT_WEIGHT if weights is None else read_only(weights)
        self.has_weights = weights is not None
        self.n_threads = n_threads
        self.counts: Counter[str] = Counter()

    @property
    def is_uneven(self) -> bool:
        """Whether samples differ in weight."""
        weights = self.weights
        return weights is not None and bool((weights != weights[0]).any())

    def n_chunks(self, nanoseconds: float) -> int:
        """Threads that pay for so much work."""
        return worth(self.n_threads, self.n_samples, nanoseconds)

    def foreseen(self, n_last: int) -> int:
        """Samples to expect after so many in the last step: a new run begins anew."""
        return max(n_last, self.n_samples // 16)

    def no_totals(self, n_clusters: int) -> Array:
        """Tables for `sums.update`, one for each thread."""
        n_columns = self.n_features + 1
        # Unused rows at the end keep two threads from writing to one cache line:
        # 96 -> 32 ms for the first sums of 2.5M x 2 samples.
        n_rows = n_clusters + 1 + 16 // n_columns
        n_parts = self.n_chunks(1.0 * self.n_samples * self.n_features)
        if n_columns * n_clusters > SHARED_SUMS:
            n_parts = 1
        return np.zeros((n_parts, 3, n_rows, n_columns))

    def joined(self, totals: Array, n_clusters: int) -> ExactSum:
        """Add up the threads' tables; one table is not copied."""
        if len(totals) == 1:
            return ExactSum(*totals[0, :, :n_clusters])
        joined = np.empty((3, n_clusters, self.n_features + 1))
        sums.join(self.n_chunks(3.0 * joined.size), totals, joined)
        return ExactSum(*joined)

    def squares(self, centers: Array, moved: Array) -> Array:
        """Squared distance of each center to where it moved.

        4000 x 784 in 5 ms; NumPy's accumulation, which adds in order as well, takes 20.
        """
        before, own = centers.astype(np.float64), np.arange(len(centers))
        squares, n_chunks = np.empty(len(centers)), self.n_chunks(1.0 * centers.size)
        sums.own_distances(
            n_chunks, read_only(moved), before, own.astype(np.int32), squares
        )
        return squares

    def weighted_total(self, distances: Array) -> ExactSum:
        """Sum of weight * distance."""
        n_chunks = self.n_chunks(4.0 * self.n_samples)
        totals = exact.weighted_total(n_chunks, distances, self.kernel_weights)
        return join_chunks(np.array(totals))

    def inertia(self, distances: Array) -> float:
        value, uncertain = self.weighted_total(distances).rounded()
        if not uncertain:
            return float(value)
        return math.fsum(self.terms(distances))

    def terms(self, distances: Array) -> Array:
        """Weight * distance of each sample."""
        return distances if self.weights is None else self.weights * distances

    def total_weight(self) -> float:
        """Exact sum of the weights."""
        return (
            float(self.n_samples) if self.weights is None else math.fsum(self.weights)
        )

    def positive(self) -> Array | None:
        return None if self.weights is None else self.weights > 0


class InMemory(Held):
    """Samples in one array: all that does not depend on how labels are found.

    The array is float32, float64, or of integers of at most 16 bits; kernels convert
    what they read. An engine of this kind adds `find`. The sums of a step are those of
    the step before, brought up to date for the samples whose label changed.

    Memory beyond X: 8 bytes per sample (labels of two steps), 8 more where weights
    are given, three tables of sums per thread, and the centers of two steps in float64.
    """

    # Before the first step; set here, as many an engine takes none.
    _labels = _spare = np.empty(0, np.int32)
    _totals = np.empty((1, 3, 0, 0))
    # Float64, of these labels and of those before, and which of them differ.
    _centers = _older = np.empty((0, 0))
    _moved: Array | None = None
    _has_slack = False  # of the tables of sums
    _n_changed = 0  # by the last step

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X.shape, X.dtype, weights, n_threads)
        self.X = read_only(X)  # one type, so one compiled version, for all

    def find(self, centers: Array, labels: Array, keep: bool) -> None:
        """Write the labels of all samples; centers are float64.

        With `keep` they become those of the last step, about which an engine may
        remember more than the label.
        """
        raise NotImplementedError

    def step(self, centers: Array, moved: Array | None = None) -> Step:
        n_clusters = len(centers)
        # Sums that had to round somewhere would gather slack with every difference.
        is_first = n_clusters != len(self._centers)
        anew = is_first or self._has_slack
        before = self._labels
        if anew:
            self._labels = np.full(self.n_samples, -1, np.int32)
            self._totals = self.no_totals(n_clusters)
            self._spare = np.empty(self.n_samples, np.int32)
            self._centers = np.empty((0, self.n_features))
            self._n_changed = self.n_samples
            moved = None
        centers = self._converted(centers, moved)
        # Without the labels of the step before, what samples left is not known.
        touched = np.full(n_clusters, anew)
        self._n_changed = self.relabel(centers, touched)
        if anew and not is_first:
            self._n_changed = int(np.count_nonzero(self._labels != before))
        self._older, self._centers = self._centers, centers
        some = slice(None) if touched.all() else touched
        self._has_slack = bool(self._totals[:, 2, :n_clusters][:, some].any())
        totals = self.joined(self._totals, n_clusters)
        return Step(totals, self._n_changed, touched)

    def _converted(self, centers: Array, moved: Array | None) -> Array:
        """Give centers in float64; as far as possible those of the step before last.

        4000 x 784 of which few moved take 0.3 ms, and 4 to be converted.
        """
        stale, self._moved = self._moved, moved
        if moved is None or stale is None or self._older.shape != centers.shape:
            return centers.astype(np.float64)
        stale = stale | moved
        if stale.all():
            self._older[:] = centers
        else:
            self._older[stale] = centers[stale]
        return self._older

    def relabel(self, centers: Array, touched: Array) -> int:
        """Bring the last step's labels and tables of sums to the centers.

        Marks the clusters whose sums change; returns how many samples do.
        """
        before, labels, expected = self._labels, self._spare, self._n_changed
        self.find(centers, labels, keep=True)
        n_changed = self.update(
            before, labels, self._totals, touched, expected=expected
        )
        self._labels, self._spare = labels, before
        return n_changed

    def sums(self, labels: Array, n_clusters: int) -> Step:
        nowhere = np.full(self.n_samples, -1, np.int32)
        totals, touched = self.no_totals(n_clusters), np.zeros(n_clusters, bool)
        n_changed = self.update(nowhere, labels, totals, touched)
        return Step(self.joined(totals, n_clusters), n_changed, touched)

    def update(
        self,
        before: Array,
        after: Array,
        totals: Array,
        touched: Array,
        *,
        expected: int | None = None,
        samples: Array = NONE,
    ) -> int:
        """Bring tables of sums from labels to labels; returns how many changed.

        Where few are `expected` to (None: all), no thread is started for them, and one
        table takes all differences: what counts is the sum over the tables. Of some
        samples only, `before` has their labels, in the order of `samples`.
        """
        n_moved = self.n_samples if expected is None else self.foreseen(expected)
        n_moved = min(n_moved, len(before))
        most = self.n_chunks(1.0 * len(before) + 1.0 * n_moved * self.n_features)
        totals = totals[:most]
        n_chunks = len(totals)
        if n_chunks == 1:
            n_chunks = min(most, self.n_features // 8 + 1)
        changed = sums.update(
            n_chunks,
            self.X,
            self.kernel_weights,
            samples,
            before,
            after,
            totals,
            touched,
        )
        return changed[0] if len(totals) == 1 else sum(changed)

    def advance(
        self, centers: Array, labels: Array, totals: Array, touched: Array
    ) -> int:
        """Carry out a step for tables of sums that are the caller's, as the labels are.

        Of these there may be none: then the samples are added to the sums, else the
        sums brought up to date, and the labels. Returns how many changed.
        """
        found = self.label(centers)
        before = labels if len(labels) else np.full(self.n_samples, -1, np.int32)
        n_changed = self.update(before, found, totals, touched)
        if len(labels):
            labels[:] = found
        return n_changed

    def assign_into(
        self, centers: Array, labels: Values | None, distances: Values | None
    ) -> None:
        """Write labels and distances of all samples."""
        found = self.assign(centers)
        if labels is not None:
            labels[:] = found[0]
        if distances is not None:
            distances[:] = found[1]

    def label(self, centers: Array) -> Array:
        """Labels (int32) of all samples."""
        labels = np.empty(self.n_samples, np.int32)
        self.find(np.asarray(centers, np.float64), labels, keep=False)
        return labels

    def labels_of(self, centers: Array) -> Array:
        """Labels (int32) of all samples, found anew unless the last step found them."""
        if np.array_equal(centers, self._centers):
            return self._labels.copy()
        return self.label(centers)

    def assign(self, centers: Array) -> tuple[Array, Array]:
        centers = np.asarray(centers, np.float64)
        labels = self.labels_of(centers)
        return labels, self.own_distances(centers, labels)

    def assignment(self, centers: Array) -> Labelled:
        centers = np.asarray(centers, np.float64)
        labels = self.labels_of(centers)
        return Labelled(self, centers, labels, self.known_sizes(centers))

    def known_sizes(self, centers: Array) -> Array | None:
        """Samples of each cluster after a step with these centers: their weight.

        None where that is not known: there was no such step, or others have its sums.
        """
        is_known = self._totals.size and np.array_equal(centers, self._centers)
        if self.has_weights or not is_known:
            return None
        totals, _ = self.joined(self._totals, len(centers)).rounded()
        return totals[:, -1].astype(np.int64)

    def undivided(self) -> InOneArray:
        labels = np.zeros(self.n_samples, np.int32)
        return InOneArray(self, 1, labels, np.empty(0))

    def own_distances(self, centers: Array, labels: Array) -> Array:
        """Squared distance of each sample to the (float64) center of its label."""
        distances = np.empty(self.n_samples)
        n_chunks = self.n_chunks(1.0 * self.X.size)
        sums.own_distances(n_chunks, self.X, centers, labels, distances)
        return distances

    def own_inertia(self, centers: Array, labels: Array) -> float:
        """Exact sum of weight * distance, without an array of all distances.

        New memory costs more than the distances do: 2.5M x 2 take 9 ms, not 15.
        """
        distances = np.empty(min(self.n_samples, PART))
        totals: list[Any] = []
        for first in range(0, self.n_samples, PART):
            rows = slice(first, first + PART)
            X = self.X[rows]
            weights = self.kernel_weights[rows] if self.has_weights else UNIT_WEIGHT
            own = distances[: len(X)]
            n_chunks = worth(self.n_threads, len(X), 1.0 * X.size)
            sums.own_distances(n_chunks, X, centers, labels[rows], own)
            totals += exact.weighted_total(n_chunks, own, weights)
        value, uncertain = join_chunks(np.array(totals)).rounded()
        if not uncertain:
            return float(value)
        return math.fsum(self.terms(self.own_distances(centers, labels)))

    def expansions(self, labels: Array, cells: Array) -> list[list[float]]:
        return [expansion(self._terms(labels == j, f)) for j, f in cells]

    def _terms(self, members: Array, column: int) -> Array:
        weights = (
            np.ones(int(members.sum()))
            if self.weights is None
            else self.weights[members]
        )
        if column == self.n_features:
            return weights
        return weights * self.X[members, column].astype(np.float64)

    def rows(self, indices: Array) -> Array:
        return self.X[indices].astype(self.dtype, copy=False)

    def given(self) -> Array:
        """Give the samples to a function of the user's, in the dtype of centers."""
        return self.X.astype(self.dtype, copy=False)


def worth(n_threads: int, n_items: int, nanoseconds: float) -> int:
    """Threads that pay for so much work: one starts in 15 us, in 60 if it sleeps."""
    return max(1, min(n_threads, n_items, int(nanoseconds / 70_000)))


def center_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Dtype of centers for samples of a dtype: their own, float64 for integers."""
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def join_chunks(totals: Array) -> ExactSum:
    """Exact sums of totals (n_chunks, 3, ...) over the chunks."""
    joined = ExactSum(*totals[0])
    for chunk in totals[1:]:
        joined += ExactSum(*chunk)
    return joined
