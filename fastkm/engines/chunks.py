"""Chunks: an engine made of engines, for samples that are never one dense array.

The samples come as dense chunks of rows, in order, as often as is asked (`Chunks`). A
few threads take one after the other. Each chunk is handed to an engine of its own,
which assigns it and brings sums of its thread up to date; then it is let go of.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, Protocol, TypeVar

import numpy as np

from fastkm.engines.assignment import Assignment, InOneArray
from fastkm.engines.base import Array, InMemory, Step, Values
from fastkm.engines.dealing import dealt
from fastkm.engines.kept import Kept, advance, recall
from fastkm.engines.parts import Make, Memory, Part, Parted, lanes
from fastkm.engines.prefix import Prefix, Reduced

Answer = TypeVar("Answer")

CHUNK_BYTES = 2**24  # of a dense chunk
MOST_WORKERS = 4  # chunks that are computed on at a time

# What may be kept about samples between passes: nothing; what a step or a seeding
# remembers; labels and distances of assignments as well; their images, too, where
# `engines.prefix` serves.
NOTHING, STATE, ASSIGNMENTS, IMAGES = 0, 1, 2, 3
KEPT_BYTES = {STATE: 8, ASSIGNMENTS: 32, IMAGES: 480}  # per sample, at most
SOME_CHUNKS = 8  # that some samples are taken from


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

        Every pass gives the same values. A chunk is not written over by the next.
        """

    def some(self, chunks: Sequence[int]) -> Iterator[Array]:
        """Go through the chunks of these numbers, which ascend."""

    def rows(self, indices: Array) -> Array:
        """Give samples by index, dense."""

    def given(self) -> Any:
        """Give the samples to a function of the user's."""


class Chunked(Parted):
    """The engine of this module (see there).

    Memory beyond the samples: a few dense chunks and what the engine of one keeps;
    three tables of sums per thread; what `keeps` says, `KEPT_BYTES` per sample. A step
    is one pass through the samples; with a state kept, samples whose label cannot have
    changed are left out (`engines.kept`). Where `engines.prefix` serves, the chunks
    share its `Sieves`; with images kept, coordinates are computed once: on 60,000 x 784
    samples in 31 chunks, 4000 clusters, a step takes 0.19 s, without the images 0.5,
    with a basis for every chunk 4.2, and in memory 0.11.

    Counts what the engines of the chunks count, and chunks that were not read.
    """

    def __init__(
        self,
        samples: Chunks,
        weights: Array | None,
        n_threads: int,
        make: Make = lanes,
        *,
        keeps: int = IMAGES,
    ) -> None:
        super().__init__(samples.shape, samples.dtype, weights, n_threads)
        self.samples = samples
        self.starts = samples.starts
        self.make = make
        self.keeps = keeps
        self.n_workers = max(1, min(n_threads, MOST_WORKERS, len(self.starts) - 1))
        self.forget()

    def forget(self) -> None:
        self.memories = [Memory() for _ in self.starts[1:]]
        self.reduced = [Reduced() for _ in self.starts[1:]]
        self.kept = Kept.nothing(0, 0, self.n_features)
        self._totals = self.no_totals(0)

    def _part(self, c: int, chunk: Array, n_workers: int) -> Part:
        start, stop = self.starts[c : c + 2]
        return Part(
            chunk,
            None if self.weights is None else self.weights[start:stop],
            int(start),
            max(1, self.n_threads // n_workers),
            functools.partial(self._engine, c),
            self.memories[c] if self.keeps else None,
        )

    def _engine(
        self, c: int, X: Array, weights: Array | None, n_clusters: int, n_threads: int
    ) -> InMemory:
        """Make the engine of a chunk, which goes on from what is kept."""
        engine = self.make(X, weights, n_clusters, n_threads)
        if isinstance(engine, Prefix) and self.keeps == IMAGES:
            engine.reduced = self.reduced[c]
        if len(self.kept.centers) == n_clusters:
            recall(engine, self.kept.of(slice(*self.starts[c : c + 2])))
        return engine

    def _through(
        self,
        work: Callable[[Part, slice, int], Answer],
        chunks: Sequence[int] | None = None,
        n_workers: int | None = None,
    ) -> list[Answer]:
        """Answers work(part, its rows, worker) of all chunks, or of some."""
        n_workers = n_workers or self.n_workers

        def answer(worker: int, item: tuple[int, Array]) -> tuple[Answer, Counter[str]]:
            part = self._part(*item, n_workers)
            rows = slice(part.start, part.start + len(item[1]))
            return work(part, rows, worker), part.counts

        items: Iterable[tuple[int, Array]]
        if chunks is None:
            items = enumerate(self.samples)
        else:
            items = zip(chunks, self.samples.some(chunks), strict=True)
        answers = dealt(items, n_workers, answer)
        for _, counts in answers:
            self.counts.update(counts)
        return [given for given, _ in answers]

    def each(
        self, ask: Callable[..., Any], *shared: Any, own: Iterable[Any] | None = None
    ) -> Iterator[Any]:
        owned = {} if own is None else self._by_start(slice(-1), own)
        yield from self._through(
            lambda part, rows, worker: ask(part, *shared, *owned.get(part.start, ()))
        )

    def some(
        self, ask: Callable[..., Any], parts: Array, own: Iterable[Any]
    ) -> Iterator[Any]:
        owned = self._by_start(parts, own)
        yield from self._through(
            lambda part, rows, worker: ask(part, *owned[part.start]), parts.tolist()
        )

    def _by_start(self, parts: Any, own: Iterable[Any]) -> dict[int, tuple[Any]]:
        starts = self.starts[parts].tolist()
        return {start: (one,) for start, one in zip(starts, own, strict=True)}

    def step(self, centers: Array, moved: Array | None = None) -> Step:
        n_clusters = len(centers)
        # As `InMemory.step`.
        anew = n_clusters != len(self.kept.centers) or bool(self._totals[:, 2].any())
        if anew:
            n_kept = self.n_samples if self.keeps else 0
            self.kept = Kept.nothing(n_kept, n_clusters, self.n_features)
            self._totals = self.no_totals(n_clusters)
        kept, self.kept = self.kept, Kept.nothing(0, 0, self.n_features)
        exact_centers = centers.astype(np.float64)
        touched = np.full(n_clusters, anew)

        def advance_part(part: Part, rows: slice, worker: int) -> int:
            own = kept.of(rows) if self.keeps else kept
            totals = self._totals[worker : worker + 1]
            engine = part.engine(n_clusters)
            return advance(engine, own, exact_centers, totals, touched)

        n_workers, room = min(self.n_workers, len(self._totals)), kept.room
        if self.keeps:
            room = kept.raised(exact_centers)
        chunks = None if anew else self._unsettled(kept, room)
        changed = self._through(advance_part, chunks, n_workers)
        step = Step(self.joined(self._totals, n_clusters), sum(changed), touched)
        if self.keeps:
            self.kept = kept.after(exact_centers, room)
            return step
        return step._replace(n_changed=-1)

    def _unsettled(self, kept: Kept, room: Array) -> list[int] | None:
        """Chunks in which a label may change (None: all)."""
        if not self.keeps:
            return None
        spans = [slice(*ends) for ends in pairwise(self.starts.tolist())]
        chunks = [c for c, rows in enumerate(spans) if not kept.of(rows).settled(room)]
        if len(chunks) == len(spans):
            return None
        n_read = sum(spans[c].stop - spans[c].start for c in chunks)
        self.counts["samples skipped"] += self.n_samples - n_read
        self.counts["chunks not read"] += len(spans) - len(chunks)
        return chunks

    def label(self, centers: Array) -> Array:
        """Labels (int32) of all samples."""
        labels = np.empty(self.n_samples, np.int32)
        self.assign_into(centers, labels, None)
        return labels

    def assign(self, centers: Array) -> tuple[Array, Array]:
        labels = np.empty(self.n_samples, np.int32)
        distances = np.empty(self.n_samples)
        self.assign_into(centers, labels, distances)
        return labels, distances

    def assign_into(
        self, centers: Array, labels: Values | None, distances: Values | None
    ) -> None:
        """Write labels and distances of all samples."""
        known = np.array_equal(centers, self.kept.centers)  # as after the last step
        centers = centers.astype(np.float64)

        def assign(part: Part, rows: slice, worker: int) -> None:
            engine = part.engine(len(centers))
            some = self.kept.labels[rows] if known else engine.label(centers)
            if labels is not None:
                labels[rows] = some
            if distances is not None:
                distances[rows] = engine.own_distances(centers, some)

        self._through(assign)

    def assignment(self, centers: Array) -> Assignment:
        if self.keeps >= ASSIGNMENTS:
            return InOneArray(self, len(centers), *self.assign(centers))
        return super().assignment(centers.astype(np.float64))

    def sums(self, labels: Array, n_clusters: int) -> Step:
        """Sum the clusters of given labels."""
        totals, touched = self.no_totals(n_clusters), np.zeros(n_clusters, bool)

        def add(part: Part, rows: slice, worker: int) -> int:
            nowhere = np.full(part.exact.n_samples, -1, np.int32)
            own = totals[worker : worker + 1]
            return part.exact.update(nowhere, labels[rows], own, touched)

        changed = self._through(add, n_workers=min(self.n_workers, len(totals)))
        return Step(self.joined(totals, n_clusters), sum(changed), touched)

    def expansions(self, labels: Array, cells: Array) -> list[list[float]]:
        """For each (cluster, column) of `cells`, its terms as a short exact list."""
        if not len(cells):
            return []
        answers = self._through(
            lambda part, rows, worker: part.exact.expansions(labels[rows], cells)
        )
        return [list(chain(*parts)) for parts in zip(*answers, strict=True)]

    def distance_table(self, others: Array) -> Array:
        """All squared distances (n_samples, n_others), float64."""
        table = np.empty((self.n_samples, len(others)))

        def fill(part: Part, rows: slice, worker: int) -> None:
            table[rows] = part.exact.distance_table(others)

        self._through(fill)
        return table

    def rows(self, indices: Array) -> Array:
        return self.samples.rows(indices)

    def given(self) -> Any:
        """Give the samples to a function of the user's."""
        return self.samples.given()


def spread(samples: Chunks, n_rows: int) -> Array:
    """Give at least so many samples, or all, of a few chunks at equal distances."""
    n_chunks = len(samples.starts) - 1
    chunks = np.unique(np.linspace(0, n_chunks - 1, SOME_CHUNKS).astype(int)).tolist()
    each = -(-n_rows // len(chunks))
    some = (chunk[:: max(1, len(chunk) // each)] for chunk in samples.some(chunks))
    return np.concatenate([rows[:each] for rows in some])
