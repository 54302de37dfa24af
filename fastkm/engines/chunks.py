"""Chunks: an engine made of engines, for samples that are never one dense array.

The samples come as dense chunks of rows, in order, as often as is asked (`Chunks`).
Each chunk is handed to an engine of its own, which assigns it and brings the sums of
all samples up to date; then the next one takes its place. Sums are exact and distances
belong to one sample, so the result does not depend on where a chunk ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Protocol

import numpy as np

from fastkm.engines.base import Array, Held, InMemory, Step
from fastkm.engines.lanes import Lanes

CHUNK_BYTES = 2**24  # of a dense chunk


class Chunks(Protocol):
    """Samples in dense chunks: what a source of them has to offer.

    shape : (n_samples, n_features)
    dtype : float32 or float64, of every chunk
    largest : float, the largest absolute value; so all of them are finite
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    largest: float

    def __len__(self) -> int:
        """Return the number of samples."""

    def __iter__(self) -> Iterator[Array]:
        """Go through the samples: C-contiguous (n_rows, n_features), n_rows >= 1.

        Every pass gives the same values. A chunk may be overwritten by the next.
        """

    def rows(self, indices: Array) -> Array:
        """Give samples by index, dense."""

    def given(self) -> Any:
        """Give the samples to a function of the user's."""


# Makes the engine of a chunk: X, weights, n_clusters, n_threads.
Make = Callable[[Array, Array | None, int, int], InMemory]


def lanes(X: Array, weights: Array | None, n_clusters: int, n_threads: int) -> Lanes:
    """Make the engine that computes every distance."""
    return Lanes(X, weights, n_threads)


class Chunked(Held):
    """The engine of this module (see there).

    Memory beyond the samples: a dense chunk and what its engine keeps; 12 bytes per
    sample (label and distance of the last step), three tables of sums per thread.
    A step is one pass through the samples.

    Counts what the engines of the chunks count.
    """

    def __init__(
        self,
        samples: Chunks,
        weights: Array | None,
        n_threads: int,
        make: Make = lanes,
    ) -> None:
        super().__init__(samples.shape, samples.dtype, weights, n_threads)
        self.samples = samples
        self.make = make
        self._labels = np.empty(0, np.int32)
        self._distances = np.empty(self.n_samples)
        self._totals = self.no_totals(0)
        self._centers = np.empty((0, self.n_features))  # of these labels

    def _walk(self) -> Iterator[tuple[slice, Array, Array | None]]:
        """Go through the chunks: their places, samples and weights."""
        start = 0
        for chunk in self.samples:
            rows = slice(start, start + len(chunk))
            yield rows, chunk, None if self.weights is None else self.weights[rows]
            start = rows.stop

    def _parts(self, n_clusters: int) -> Iterator[tuple[slice, InMemory]]:
        """Go through the chunks: their places and their engines."""
        for rows, X, weights in self._walk():
            part = self.make(X, weights, n_clusters, self.n_threads)
            yield rows, part
            self.counts.update(part.counts)

    def _lanes(self) -> Iterator[tuple[slice, Lanes]]:
        """Go through the chunks where nothing is to be labelled."""
        for rows, X, weights in self._walk():
            yield rows, Lanes(X, weights, self.n_threads)

    def step(self, centers: Array) -> Step:
        n_clusters = len(centers)
        # As `InMemory.step`.
        anew = n_clusters != len(self._centers) or self._totals[:, 2].any()
        if anew:
            self._labels = np.full(self.n_samples, -1, np.int32)
            self._totals = self.no_totals(n_clusters)
        self._centers = np.empty((0, self.n_features))  # if a pass is not completed
        touched, n_changed = np.full(n_clusters, anew), 0
        for rows, part in self._parts(n_clusters):
            labels, self._distances[rows] = part.assign(centers)
            before = self._labels[rows]
            n_changed += part.update(before, labels, self._totals, touched)
            self._labels[rows] = labels
        self._centers = centers.copy()
        return Step(self.joined(self._totals, n_clusters), n_changed, touched)

    def assign(self, centers: Array) -> tuple[Array, Array]:
        if np.array_equal(centers, self._centers):  # as after the last step
            return self._labels.copy(), self._distances.copy()
        labels = np.empty(self.n_samples, np.int32)
        distances = np.empty(self.n_samples)
        for rows, part in self._parts(len(centers)):
            labels[rows], distances[rows] = part.assign(centers)
        return labels, distances

    def sums(self, labels: Array, n_clusters: int) -> Step:
        totals, touched = self.no_totals(n_clusters), np.zeros(n_clusters, bool)
        n_changed = 0
        for rows, part in self._lanes():
            nowhere = np.full(part.n_samples, -1, np.int32)
            n_changed += part.update(nowhere, labels[rows], totals, touched)
        return Step(self.joined(totals, n_clusters), n_changed, touched)

    def expansions(self, labels: Array, cells: Array) -> list[list[float]]:
        answers: list[list[float]] = [[] for _ in cells]
        if len(cells):
            for rows, part in self._lanes():
                some = part.expansions(labels[rows], cells)
                answers = [
                    list(chain(*pair)) for pair in zip(answers, some, strict=True)
                ]
        return answers

    def distance_tables(self, others: Array) -> Iterator[tuple[slice, Lanes, Array]]:
        """Go through the chunks: places, engine, squared distances to the others."""
        for rows, part in self._lanes():
            yield rows, part, part.distance_table(others)

    def distance_table(self, others: Array) -> Array:
        """All squared distances (n_samples, n_others), float64."""
        table = np.empty((self.n_samples, len(others)))
        for rows, _, part in self.distance_tables(others):
            table[rows] = part
        return table

    def rows(self, indices: Array) -> Array:
        return self.samples.rows(indices)

    def given(self) -> Any:
        return self.samples.given()
