"""Taken: the samples that the rounds of k-means|| have taken (`fastkm.seeding`)."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any, Protocol

import numpy as np

from fastkm.engines import choose
from fastkm.engines.base import Array
from fastkm.engines.chosen_in_parts import expansion_of, states, total_of
from fastkm.engines.lanes import Lanes
from fastkm.engines.parts import Part, Parted
from fastkm.exactsum import expansion

Generator = np.random.Generator


class Taken(Protocol):
    """The samples taken so far."""

    indices: Array

    def add(self, indices: Array) -> None:
        """Take samples."""

    def cost(self) -> float:
        """Inertia about those taken."""

    def sample(self, rng: Generator, factor: int, cost: float) -> Array:
        """Indices: each with probability factor * its share of the cost."""

    def masses(self) -> Array:
        """Exact weights of the clusters about those taken."""


class TakenInMemory:
    """They, of samples in one array. 12 bytes per sample."""

    def __init__(self, samples: Lanes) -> None:
        self.samples = samples
        self.indices = np.empty(0, np.int64)
        self.nearest = np.full(samples.n_samples, np.inf)

    def _assign(self, indices: Array) -> tuple[Array, Array]:
        """Labels and distances of all samples, about some of them."""
        X, n_threads = self.samples.X, self.samples.n_threads
        engine = choose(X, None, len(indices), n_threads).engine
        return engine.assign(self.samples.rows(indices))

    def add(self, indices: Array) -> None:
        self.indices = np.concatenate([self.indices, indices])
        np.minimum(self.nearest, self._assign(indices)[1], out=self.nearest)

    def cost(self) -> float:
        return self.samples.inertia(self.nearest)

    def sample(self, rng: Generator, factor: int, cost: float) -> Array:
        uniforms = rng.random(self.samples.n_samples)
        terms = self.samples.terms(self.nearest)
        with np.errstate(over="ignore"):
            return np.flatnonzero(uniforms * cost < factor * terms)

    def masses(self) -> Array:
        n_clusters, weights = len(self.indices), self.samples.weights
        labels, _ = self._assign(self.indices)
        if weights is None:
            return np.bincount(labels, minlength=n_clusters).astype(np.float64)
        return np.array(
            [math.fsum(some) for some in by_cluster(weights, labels, n_clusters)]
        )


class TakenInParts:
    """They, of samples in parts: see `engines.chosen_in_parts`."""

    def __init__(self, samples: Parted) -> None:
        self.samples = samples
        self.indices = np.empty(0, np.int64)
        self.rows = samples.rows(self.indices)

    def add(self, indices: Array) -> None:
        self.indices = np.concatenate([self.indices, indices])
        self.rows = np.concatenate([self.rows, self.samples.rows(indices)])

    def cost(self) -> float:
        value, uncertain = self.samples.total(total_of, self.rows).rounded()
        if uncertain:
            return self.samples.expanded(expansion_of, self.rows)
        return float(value)

    def sample(self, rng: Generator, factor: int, cost: float) -> Array:
        own = states(self.samples, rng, Generator.random)
        found = self.samples.each(_sampled, self.rows, factor, cost, own=own)
        return np.concatenate(list(found))

    def masses(self) -> Array:
        parts = list(self.samples.each(_masses, self.rows))
        if not self.samples.has_weights:
            return np.sum(parts, axis=0).astype(np.float64)
        lists = zip(*parts, strict=True)
        return np.array([math.fsum(chain(*terms)) for terms in lists])


def by_cluster(weights: Array, labels: Array, n_clusters: int) -> list[Array]:
    """Weights of the samples of each cluster."""
    sizes = np.bincount(labels, minlength=n_clusters)
    in_order = weights[np.argsort(labels, kind="stable")]
    return np.split(in_order, sizes.cumsum()[:-1])


# --- questions to a part


def _sampled(
    part: Part, rows: Array, factor: int, cost: float, rng: Generator
) -> Array:
    uniforms = rng.random(part.exact.n_samples)
    terms = part.exact.terms(part.nearest(rows))
    with np.errstate(over="ignore"):
        return part.start + np.flatnonzero(uniforms * cost < factor * terms)


def _masses(part: Part, rows: Array) -> Any:
    labels, _ = part.engine(len(rows)).assign(rows)
    weights = part.exact.weights
    if weights is None:
        return np.bincount(labels, minlength=len(rows))
    return [expansion(some) for some in by_cluster(weights, labels, len(rows))]
