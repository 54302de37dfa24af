"""Parts: an engine made of engines, wherever the parts of the samples are.

`Parted` asks one question of every part and joins the answers. Questions are functions
of this package with few and small arguments, so that they can be sent to where a part
is. Sums are exact and all else belongs to one sample or one part, so the result does
not depend on where a part ends, nor on who answers first.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from fastkm.engines.assignment import Assignment, InOneArray, Sample
from fastkm.engines.base import Array, Held, InMemory, Step, join_chunks
from fastkm.engines.lanes import Lanes
from fastkm.engines.onepass import approach, exact_lanes
from fastkm.exactsum import ExactSum, expansion

# Makes the engine of a part: X, weights, n_clusters, n_threads.
Make = Callable[[Array, Array | None, int, int], InMemory]
AT_ONCE = 4  # centers up to which labels cost more than plain distances
Totals = Array  # exact sums as (3, ...): high, low, slack


def lanes(X: Array, weights: Array | None, n_clusters: int, n_threads: int) -> Lanes:
    """Make the engine that computes every distance."""
    return exact_lanes(X, weights, n_threads)


class Memory:
    """What a part remembers between two questions, at most 8 bytes per sample.

    rows, nearest : samples chosen by a seeding, and the distances to the nearest
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Let go of everything."""
        self.rows: Array = np.empty((0, 0))
        self.nearest: Array = np.empty(0)


class Part:
    """Some of the samples, in one array: those from `start` on.

    exact : the engine that computes every distance
    """

    def __init__(
        self,
        X: Array,
        weights: Array | None,
        start: int,
        n_threads: int,
        make: Make = lanes,
        memory: Memory | None = None,
    ) -> None:
        self.exact = exact_lanes(X, weights, n_threads)
        self.start = start
        self.make = make
        self.memory = memory or Memory()
        self.counts: Counter[str] = Counter()  # of the engines below

    def engine(self, n_clusters: int) -> InMemory:
        """Give the engine that assigns to so many centers."""
        exact = self.exact
        engine = self.make(exact.X, exact.weights, n_clusters, exact.n_threads)
        engine.counts = self.counts
        return engine

    def nearest(self, rows: Array) -> Array:
        """Squared distance of each sample to the nearest of some rows.

        More rows than at the last call cost no more than those that are new.
        """
        known = self.memory.rows
        if not 0 < len(known) <= len(rows) or (known != rows[: len(known)]).any():
            known, self.memory.nearest = rows[:0], np.full(self.exact.n_samples, np.inf)
        new, nearest = rows[len(known) :], self.memory.nearest
        self.memory.rows = rows[:0]  # until it is true again
        if len(new) > AT_ONCE:
            _, distances = self.engine(len(new)).assign(new)
            np.minimum(nearest, distances, out=nearest)
        elif len(new):
            approach(self.exact, new, nearest)
        self.memory.rows = rows
        return nearest


class Taken(NamedTuple):
    """A sample whose copies were taken by an empty cluster."""

    sample: Sample
    cluster: int


class About(NamedTuple):
    """What an assignment is about: centers (None: one cluster), samples taken since."""

    centers: Array | None
    taken: list[Taken]

    def of(self, part: Part) -> InOneArray:
        """Give the assignment of a part."""
        if self.centers is None:
            return part.exact.undivided()
        assignment = part.engine(len(self.centers)).assignment(self.centers)
        for sample, cluster in self.taken:
            assignment.take(sample, cluster)
        return assignment


class Parted(Held, ABC):
    """An engine over parts of the samples, in order (see the module).

    starts : (n_parts + 1,) first sample of every part, then n_samples
    """

    starts: Array

    @abstractmethod
    def each(
        self, ask: Callable[..., Any], *shared: Any, own: Iterable[Any] | None = None
    ) -> Iterator[Any]:
        """Answers of all parts in order: ask(part, *shared[, one of `own`])."""

    @abstractmethod
    def some(
        self, ask: Callable[..., Any], parts: Array, own: Iterable[Any]
    ) -> Iterator[Any]:
        """Answers of some parts, ascending: ask(part, one of `own`)."""

    def total(self, ask: Callable[..., Totals], *shared: Any) -> ExactSum:
        """Sum of the parts' exact sums (3, ...)."""
        return join_chunks(np.array(list(self.each(ask, *shared))))

    def expanded(self, ask: Callable[..., list[float]], *shared: Any) -> float:
        """Exact sum, rounded once, of the parts' short exact lists."""
        return math.fsum(chain.from_iterable(self.each(ask, *shared)))

    def step(self, centers: Array, moved: Array | None = None) -> Step:
        return self.assignment(centers).step()

    def assignment(self, centers: Array) -> Assignment:
        return InParts(self, centers)

    def undivided(self) -> Assignment:
        return InParts(self, None)

    def rows(self, indices: Array) -> Array:
        """Give samples by index."""
        of = np.searchsorted(self.starts, indices, side="right") - 1
        parts = np.unique(of)
        own = (indices[of == p] - self.starts[p] for p in parts)
        rows = np.empty((len(indices), self.n_features), self.dtype)
        for p, some in zip(parts, self.some(_rows, parts, own), strict=True):
            rows[of == p] = some
        return rows

    def gathered(self) -> Lanes:
        """All samples in one array: for few of them."""
        X, weights = zip(*self.each(_everything), strict=True)
        everything = None if weights[0] is None else np.concatenate(weights)
        return Lanes(np.concatenate(X), everything, self.n_threads)

    def forget(self) -> None:
        """Let the parts forget what they remember (`Memory`)."""
        for _ in self.each(_forget):
            pass


class InParts:
    """An assignment whose labels are asked for again with every question."""

    labels = np.empty(0, np.int32)

    def __init__(self, engine: Parted, centers: Array | None) -> None:
        self.engine = engine
        self.about = About(centers, [])
        self._summary: tuple[tuple[Array, Array], ExactSum] | None = None

    def summary(self) -> tuple[tuple[Array, Array], ExactSum]:
        """Sizes, and the sum of weight * distance: in one question."""
        if self._summary is None:
            sizes, totals = zip(*self.engine.each(_summary, self.about), strict=True)
            all_sizes, positive = np.sum(sizes, axis=0)
            self._summary = (all_sizes, positive), join_chunks(np.array(totals))
        return self._summary

    def sizes(self) -> tuple[Array, Array]:
        return self.summary()[0]

    def farthest(self, barred: Array) -> Sample | None:
        samples = self.engine.each(_farthest, self.about, barred)
        # The first among equals: parts are in order.
        return max(filter(None, samples), key=lambda s: s.distance, default=None)

    def has_others(self, sample: Sample) -> bool:
        return any(list(self.engine.each(_has_others, self.about, sample)))

    def take(self, sample: Sample, cluster: int) -> None:
        self.about.taken.append(Taken(sample, cluster))
        self._summary = None

    def step(self) -> Step:
        first, *others = self.engine.each(_step, self.about)
        for other in others:
            first = first.join(other)
        return first

    def expansions(self, cells: Array) -> list[list[float]]:
        if not len(cells):
            return []
        answers = self.engine.each(_expansions, self.about, cells)
        return [list(chain(*parts)) for parts in zip(*answers, strict=True)]

    def inertia(self) -> float:
        value, uncertain = self.summary()[1].rounded()
        if uncertain:
            return self.engine.expanded(_inertia_expansion, self.about)
        return float(value)


# --- questions to a part


def _summary(part: Part, about: About) -> tuple[tuple[Array, Array], Totals]:
    assignment = about.of(part)
    total = part.exact.weighted_total(assignment.distances)
    return assignment.sizes(), as_totals(total)


def _farthest(part: Part, about: About, barred: Array) -> Sample | None:
    sample = about.of(part).farthest(barred)
    return sample and sample._replace(i=sample.i + part.start)


def _has_others(part: Part, about: About, sample: Sample) -> bool:
    return about.of(part).has_others(sample)


def _step(part: Part, about: About) -> Step:
    return about.of(part).step()


def _expansions(part: Part, about: About, cells: Array) -> list[list[float]]:
    return about.of(part).expansions(cells)


def as_totals(exact: ExactSum) -> Totals:
    """Give exact sums as one array."""
    return np.array([exact.high, exact.low, exact.slack])


def _inertia_expansion(part: Part, about: About) -> list[float]:
    return expansion(part.exact.terms(about.of(part).distances))


def _rows(part: Part, indices: Array) -> Array:
    return part.exact.rows(indices)


def _everything(part: Part) -> tuple[Array, Array | None]:
    exact = part.exact
    return exact.rows(np.arange(exact.n_samples)), exact.weights


def _forget(part: Part) -> None:
    part.memory.forget()
