"""Small problems: whole fits in one kernel, many of them at once.

A fit of some hundred samples takes microseconds, a call from Python to a kernel about
as many. So one kernel seeds, iterates and sums up (`kernels.small`), problem after
problem, on all threads. What it leaves, and what is not small, is fitted by `lloyd`
over an engine, from the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import engines, lloyd, seeding
from fastkm.engines import Lanes
from fastkm.kernels import small

Array = NDArray[Any]
Generator = np.random.Generator

MOST_TERMS = 2**20  # samples x features x clusters of a small problem
BATCH = 2**23  # terms of the problems of a call: Ctrl-C waits for 0.1 s or so
LONGEST = 1000  # iterations of a small fit whose history is kept
NANOSECONDS = 20.0  # of a whole fit, per term
STOPS = {small.UNCHANGED: "unchanged", small.TOL: "tol", small.MAX_ITER: "max_iter"}
METHODS = {"k-means++": small.choose_plusplus, "farthest": small.choose_farthest}


def serves(X: Array, n_clusters: int) -> bool:
    """Whether a problem is small."""
    return X.size * n_clusters <= MOST_TERMS


class Options(NamedTuple):
    """What all fits of a call have in common, checked.

    Centers in `init` are (n_problems, n_clusters, n_features).
    """

    n_clusters: int
    init: Any
    max_iter: int
    tol: float
    n_threads: int
    rule: lloyd.Rule = lloyd.LLOYD


class Drawn:
    """Uniform numbers that were drawn before, in the place of their generator."""

    def __init__(self, uniforms: Array) -> None:
        self.uniforms = iter(uniforms.tolist())

    def random(self, size: int | None = None) -> Any:
        """Give the next number, or an array of the next ones."""
        if size is None:
            return next(self.uniforms)
        return np.array([next(self.uniforms) for _ in range(size)])


def fit_all(
    problems: Sequence[Lanes], options: Options, rng: Generator, *, history: bool
) -> list[lloyd.Run]:
    """Fit one problem after the other, all drawing from one generator.

    Problems may be one object several times. Of small problems only runs of less
    inertia than all before have shifts and n_changed, and without `history` none.
    """
    n_clusters, init = options.n_clusters, options.init
    drawn, given = np.empty((len(problems), 0)), None
    if isinstance(init, str) and init in METHODS:
        drawn = rng.random((len(problems), seeding.n_uniforms(init, n_clusters)))
    elif isinstance(init, np.ndarray):
        given = init
    else:
        given = _choose(problems, n_clusters, init, rng)
    runs: list[Any] = [None] * len(problems)
    for batch in _batches(problems, n_clusters):
        some = _fit_small(
            [problems[b] for b in batch],
            options,
            drawn.take(batch, axis=0),
            None if given is None else given[batch],
            LONGEST if history else 0,
        )
        for b, run in zip(batch, some, strict=True):
            runs[b] = run
    for b, samples in enumerate(problems):
        if runs[b] is None:
            if given is None:
                again: Any = Drawn(drawn[b])
                centers = seeding.initial_centers(samples, n_clusters, init, again)
            else:
                centers = given[b]
            runs[b] = _fit(samples, options, centers)
    return runs


def _choose(
    problems: Sequence[Lanes], n_clusters: int, init: Any, rng: Generator
) -> Array:
    """Choose centers (n_problems, n_clusters, n_features), problem after problem."""
    if isinstance(init, str) and _are_one(problems):  # copied once for all
        choose = seeding.CHOOSERS[init]
        chosen = np.array([choose(samples, n_clusters, rng) for samples in problems])
        return problems[0].rows(chosen.ravel()).reshape(*chosen.shape, -1)
    return np.array(
        [
            seeding.initial_centers(samples, n_clusters, init, rng)
            for samples in problems
        ]
    )


def _are_one(problems: Sequence[Lanes]) -> bool:
    """Whether all problems are the same."""
    return all(samples is problems[0] for samples in problems)


def _batches(problems: Sequence[Lanes], n_clusters: int) -> Iterator[list[int]]:
    """Numbers of the small problems, for a call each, in their order."""
    batch: list[int] = []
    total = 0
    for b, samples in enumerate(problems):
        if not serves(samples.X, n_clusters):
            continue
        terms = samples.X.size * n_clusters
        if batch and total + terms > BATCH:
            yield batch
            batch, total = [], 0
        batch.append(b)
        total += terms
    if batch:
        yield batch


def _fit(samples: Lanes, options: Options, centers: Array) -> lloyd.Run:
    """Fit over an engine."""
    n_clusters, _, max_iter, tol, n_threads, _ = options
    engine = engines.choose(
        samples.X, samples.weights, n_clusters, n_threads, n_steps=max_iter
    ).engine
    threshold = tol * lloyd.mean_variance(engine) if tol > 0 else 0.0
    return lloyd.lloyd(engine, centers, max_iter=max_iter, threshold=threshold)


def _fit_small(
    problems: Sequence[Lanes],
    options: Options,
    drawn: Array,
    given: Array | None,
    n_kept: int,
) -> list[lloyd.Run | None]:
    """Fit in one kernel; None for a problem that it left."""
    n_clusters, init, max_iter, tol, *_ = options
    n_problems, dtype = len(problems), problems[0].dtype
    is_one = _are_one(problems)
    distinct = problems[:1] if is_one else problems
    X, weights = _joined(distinct)
    sizes = [samples.n_samples for samples in problems]
    ends = list(accumulate(sizes))
    firsts = [end - size for end, size in zip(ends, sizes, strict=True)]  # labels
    starts = [0] * n_problems if is_one else firsts
    places = np.array([starts, sizes, firsts])
    shape = n_problems, n_clusters, X.shape[1]
    # Zeros, so that those of a problem that is left can be converted.
    centers = np.zeros(shape) if given is None else given.astype(np.float64)
    labels = np.empty(ends[-1], np.int32)
    outcomes, history = np.zeros((n_problems, 3)), np.empty((n_problems, 2, n_kept))
    worth = NANOSECONDS * ends[-1] * n_clusters * X.shape[1]
    n_chunks = problems[0].n_chunks(worth) if n_problems > 1 else 1
    if given is None:
        order = _drawing_order(distinct)
        METHODS[init](n_chunks, X, weights, order, places, drawn, centers, outcomes)
    small.iterate_all(
        n_chunks,
        X,
        weights,
        places,
        centers,
        dtype == np.float32,
        tol,
        max_iter,
        labels,
        outcomes,
        history,
    )
    narrow = centers.astype(dtype, copy=False)
    runs, least = [], math.inf
    for b, outcome in enumerate(outcomes.tolist()):
        # Whose inertia is above another's, nobody asks for its history.
        kept = history[b] if outcome[small.INERTIA] < least else history[b, :, :0]
        run = _as_run(outcome, kept, narrow[b], labels[firsts[b] : ends[b]])
        least = run.inertia if run and run.inertia < least else least
        runs.append(run)
    return runs


def _as_run(
    outcome: list[float], history: Array, centers: Array, labels: Array
) -> lloyd.Run | None:
    """Wrap what the kernel tells about a problem; None where it left it."""
    stop, n_iter, inertia = int(outcome[0]), int(outcome[1]), outcome[2]
    if stop == small.LEFT:
        return None
    shifts, n_changed = history[:, :n_iter].tolist()
    return lloyd.Run(
        centers=centers,
        labels=labels,
        inertia=inertia,
        n_iter=n_iter,
        stop=STOPS[stop],
        shifts=shifts,
        n_changed=[int(n) for n in n_changed],
    )


def _joined(problems: Sequence[Lanes]) -> tuple[Array, Array]:
    """Samples of all problems in float64, and weights, none where all are one."""
    arrays = [samples.X for samples in problems]
    X = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    X = X.astype(np.float64, copy=False)
    if not any(samples.has_weights for samples in problems):
        return X, np.empty(0)
    parts = [(samples.weights, samples.n_samples) for samples in problems]
    return X, np.concatenate([np.ones(n) if w is None else w for w, n in parts])


def _drawing_order(problems: Sequence[Lanes]) -> Array:
    """Samples of all problems in drawing order; none where that is their own."""
    orders: list[Any] = [seeding.drawing_order(samples.X) for samples in problems]
    if all(order is None for order in orders):
        return np.empty(0, np.int64)
    if len(orders) == 1:
        return orders[0]
    places, start = [], 0
    for order, samples in zip(orders, problems, strict=True):
        n_samples = samples.n_samples
        places.append(start + (np.arange(n_samples) if order is None else order))
        start += n_samples
    return np.concatenate(places)
