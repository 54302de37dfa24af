"""Chunks: an engine made of engines, for samples that are never one dense array.

The samples come as dense chunks of rows, in order, as often as is asked (`Chunks`).
Each chunk is handed to an engine of its own, which assigns it and brings the sums of
all samples up to date; then the next one takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any, Protocol

import numpy as np

from fastkm.engines.assignment import Assignment, InOneArray
from fastkm.engines.base import Array, Step, Values
from fastkm.engines.parts import Make, Memory, Part, Parted, lanes

CHUNK_BYTES = 2**24  # of a dense chunk


class Chunks(Protocol):
    """Samples in dense chunks: what a source of them has to offer.

    shape : (n_samples, n_features)
    dtype : float32 or float64, of every chunk
    largest : float, the largest absolute value; so all of them are finite
    starts : (n_chunks + 1,) int64, first row of every chunk, then n_samples
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    largest: float
    starts: Array

    def __len__(self) -> int:
        """Return the number of samples."""

    def __iter__(self) -> Iterator[Array]:
        """Go through the samples: C-contiguous (n_rows, n_features), n_rows >= 1.

        Every pass gives the same values. A chunk may be overwritten by the next.
        """

    def chunk(self, c: int) -> Array:
        """Give one chunk by its number."""

    def rows(self, indices: Array) -> Array:
        """Give samples by index, dense."""

    def given(self) -> Any:
        """Give the samples to a function of the user's."""


class Chunked(Parted):
    """The engine of this module (see there).

    Memory beyond the samples: a few dense chunks and what the engine of one keeps;
    three tables of sums per thread; with `keeps`, 4 bytes per sample (label of the last
    step), while a seeding chooses samples 8. Without, labels and distances are found
    again with every question. A step is one pass through the samples.

    Counts what the engines of the chunks count.
    """

    def __init__(
        self,
        samples: Chunks,
        weights: Array | None,
        n_threads: int,
        make: Make = lanes,
        *,
        keeps: bool = True,
    ) -> None:
        super().__init__(samples.shape, samples.dtype, weights, n_threads)
        self.samples = samples
        self.starts = samples.starts
        self.make = make
        self.keeps = keeps
        self.memories = [Memory() for _ in self.starts[1:]]
        self._labels = np.empty(0, np.int32)
        self._totals = self.no_totals(0)
        self._centers = np.empty((0, self.n_features))  # of these labels

    def _part(self, c: int, chunk: Array) -> Part:
        start, stop = self.starts[c : c + 2]
        return Part(
            chunk,
            None if self.weights is None else self.weights[start:stop],
            int(start),
            self.n_threads,
            self._make,
            self.memories[c] if self.keeps else None,
        )

    def _make(
        self, X: Array, weights: Array | None, n_clusters: int, n_threads: int
    ) -> Any:
        engine = self.make(X, weights, n_clusters, n_threads)
        engine.counts = self.counts
        return engine

    def each(
        self, ask: Callable[..., Any], *shared: Any, own: Iterable[Any] | None = None
    ) -> Iterator[Any]:
        owned = repeat(()) if own is None else ((one,) for one in own)
        for (c, chunk), one in zip(enumerate(self.samples), owned, strict=False):
            yield ask(self._part(c, chunk), *shared, *one)

    def some(
        self, ask: Callable[..., Any], parts: Array, own: Iterable[Any]
    ) -> Iterator[Any]:
        for c, one in zip(parts.tolist(), own, strict=True):
            yield ask(self._part(c, self.samples.chunk(c)), one)

    def _parts(self) -> Iterator[tuple[slice, Part]]:
        """Go through the chunks: their places and themselves."""
        for c, chunk in enumerate(self.samples):
            part = self._part(c, chunk)
            yield slice(part.start, part.start + len(chunk)), part

    def step(self, centers: Array) -> Step:
        n_clusters = len(centers)
        # As `InMemory.step`.
        anew = n_clusters != len(self._centers) or bool(self._totals[:, 2].any())
        if anew:
            self._labels = np.full(self.n_samples if self.keeps else 0, -1, np.int32)
            self._totals = self.no_totals(n_clusters)
        self._centers = np.empty((0, self.n_features))  # if a pass is not completed
        touched, n_changed = np.full(n_clusters, anew), 0
        for rows, part in self._parts():
            engine = part.engine(n_clusters)
            labels = engine.label(centers)
            nowhere = np.full(len(labels), -1, np.int32)
            before = self._labels[rows] if self.keeps else nowhere
            n_changed += engine.update(before, labels, self._totals, touched)
            if self.keeps:
                self._labels[rows] = labels
        step = Step(self.joined(self._totals, n_clusters), n_changed, touched)
        if self.keeps:
            self._centers = centers.copy()
            return step
        return step._replace(n_changed=-1)

    def assign(self, centers: Array) -> tuple[Array, Array]:
        labels = np.empty(self.n_samples, np.int32)
        distances = np.empty(self.n_samples)
        self.assign_into(centers, labels, distances)
        return labels, distances

    def assign_into(
        self, centers: Array, labels: Values | None, distances: Values | None
    ) -> None:
        """Write labels and distances of all samples, chunk by chunk."""
        for rows, part in self._parts():
            known = np.array_equal(centers, self._centers)  # as after the last step
            label = part.engine(len(centers)).label
            some = self._labels[rows] if known else label(centers)
            if labels is not None:
                labels[rows] = some
            if distances is not None:
                distances[rows] = part.exact.own_distances(centers.astype(float), some)

    def assignment(self, centers: Array) -> Assignment:
        if self.keeps:
            return InOneArray(self, len(centers), *self.assign(centers))
        return super().assignment(centers)

    def sums(self, labels: Array, n_clusters: int) -> Step:
        """Sum the clusters of given labels."""
        totals, touched = self.no_totals(n_clusters), np.zeros(n_clusters, bool)
        n_changed = 0
        for rows, part in self._parts():
            nowhere = np.full(part.exact.n_samples, -1, np.int32)
            n_changed += part.exact.update(nowhere, labels[rows], totals, touched)
        return Step(self.joined(totals, n_clusters), n_changed, touched)

    def expansions(self, labels: Array, cells: Array) -> list[list[float]]:
        """For each (cluster, column) of `cells`, its terms as a short exact list."""
        answers: list[list[float]] = [[] for _ in cells]
        if len(cells):
            for rows, part in self._parts():
                some = part.exact.expansions(labels[rows], cells)
                answers = [
                    list(chain(*pair)) for pair in zip(answers, some, strict=True)
                ]
        return answers

    def distance_table(self, others: Array) -> Array:
        """All squared distances (n_samples, n_others), float64."""
        table = np.empty((self.n_samples, len(others)))
        for rows, part in self._parts():
            table[rows] = part.exact.distance_table(others)
        return table

    def rows(self, indices: Array) -> Array:
        return self.samples.rows(indices)

    def forget(self) -> None:
        for memory in self.memories:
            memory.forget()

    def given(self) -> Any:
        """Give the samples to a function of the user's."""
        return self.samples.given()
