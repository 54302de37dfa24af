"""Lloyd's iteration over an engine: step, refill, move, stop.

Same bits as `reference.kmeans`. The module knows neither the samples nor how an engine
assigns them: it asks the questions of `engines.base.Engine` and
`engines.assignment.Assignment`, which an array, chunks on a disk and workers of a
cluster can answer alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastkm.engines.assignment import Assignment, Sample
    from fastkm.engines.base import Engine, Step, Whole

Array = NDArray[Any]
# Centers of clusters of positive weight, from their exact sums and weights (last
# column), and from where they were.
Place = Callable[[Array, Array], Array]


def every(array: Array) -> bool:
    """Whether all are true: half of the time that `all` takes, where they are few."""
    return bool(np.count_nonzero(array) == array.size)


def mean(totals: Array, centers: Array) -> Array:
    """Give the centers sum / weight: the least squared distance to the samples."""
    return totals[:, :-1] / totals[:, -1:]


class Rule(NamedTuple):
    """How centers move: `place` says where to, `frozen` (n_clusters,) which do not."""

    place: Place = mean
    frozen: Array | None = None

    def free(self, n_clusters: int) -> Array:
        """Which centers move."""
        return np.ones(n_clusters, bool) if self.frozen is None else ~self.frozen


@dataclass
class Run:
    """One run of the iteration; centers, labels and inertia belong together.

    labels : of all samples, or empty where the engine does not hold so many
    stop : "unchanged" (no center changed), "tol", "max_iter", or what `after` gave
    shifts : per iteration, the centers' summed squared movement
    n_changed : per iteration, samples whose label changed; -1 where labels are not kept
    n_refilled : int, empty clusters that took a sample
    n_empty : int, clusters of the result without a sample, but for frozen ones
    follows : bool, the centers are those of the last step's sums
    previous : the centers of the last step, empty before the first
    """

    centers: Array
    labels: Array = field(default_factory=lambda: np.empty(0, np.int32))
    inertia: float = math.inf
    n_iter: int = 0
    stop: str = "max_iter"
    shifts: list[float] = field(default_factory=list)
    n_changed: list[int] = field(default_factory=list)
    n_refilled: int = 0
    n_empty: int = 0
    follows: bool = False
    previous: Array = field(default_factory=lambda: np.empty((0, 0)))

    def followed_by(self, run: Run) -> Run:
        """Give a run that started where this one ended, if it is better."""
        if not run.inertia < self.inertia:
            return self
        return replace(
            run,
            n_iter=self.n_iter + run.n_iter,
            shifts=self.shifts + run.shifts,
            n_changed=self.n_changed + run.n_changed,
            n_refilled=self.n_refilled + run.n_refilled,
        )


LLOYD = Rule()
FEW = 1024  # numbers that make up centers, below which every call counts
PART = 2**14  # numbers that stay in a cache: 4000 x 784 in 20 ms, not 38


def lloyd(
    engine: Engine,
    centers: Array,
    *,
    max_iter: int,
    threshold: float,
    rule: Rule = LLOYD,
) -> Run:
    """Iterate from the given centers.

    `threshold` bounds the summed squared movement at which to stop: `tol` times
    `mean_variance`.
    """
    return resume(
        engine, Run(centers), max_iter=max_iter, threshold=threshold, rule=rule
    )


def resume(
    engine: Engine,
    run: Run,
    *,
    max_iter: int,
    threshold: float,
    rule: Rule = LLOYD,
    after: Callable[[Run], str | None] = lambda run: None,
) -> Run:
    """Go on with a run, in place; `after` each iteration may give a reason to stop."""
    if run.n_iter and run.stop == "max_iter":
        engine.step(run.previous)  # its labels are those that `n_changed` counts from
    others = None  # which centers are others than in the step before
    while run.n_iter < max_iter and run.stop == "max_iter":
        run.n_iter += 1
        moved, some = _next_centers(engine, run, rule, others)
        shift, changed = movement(run.centers[some], moved[some], engine)
        run.shifts.append(shift)
        if not np.count_nonzero(changed):
            run.stop = "unchanged"
        elif shift <= threshold:
            run.stop = "tol"
        others = np.zeros(len(moved), bool)
        others[some] = changed
        run.previous, run.centers = run.centers, moved
        reason = after(run)
        if run.stop == "max_iter" and reason:
            run.stop = reason
    _finish(engine, run, rule)
    return run


def _next_centers(
    engine: Engine, run: Run, rule: Rule, others: Array | None
) -> tuple[Array, Array | slice]:
    """One iteration: assign, sum, refill, move.

    Returns the centers, and an index of those that may have moved.
    """
    n_clusters = len(run.centers)
    step = engine.step(run.centers, others)
    # In a run's first iteration every sample gets its label; the engine may compare
    # with those of the run before.
    run.n_changed.append(step.n_changed if run.n_iter > 1 else engine.n_samples)
    # Clusters that no sample left or entered keep their centers.
    changed = rule.free(n_clusters)
    if run.follows:
        changed &= step.touched
    which = slice(None) if every(changed) else changed  # views cost less than copies
    totals, uncertain = step.totals.of(which).rounded()
    run.follows = every(totals[:, -1] > 0) and not np.count_nonzero(uncertain)
    if run.follows:
        moved = run.centers.copy()
        moved[which] = rule.place(totals, moved[which])
        return moved, which
    assignment = engine.assignment(run.centers)
    refilled = refill(assignment, rule.free(n_clusters))
    run.n_refilled += len(refilled)
    if refilled:
        step = assignment.step()
    moved = move(run.centers, settled(step, assignment.expansions), rule)
    return moved, slice(None)


def _finish(engine: Engine, run: Run, rule: Rule) -> None:
    """Final labels and inertia, without an empty cluster that could be filled.

    Every round of refilling lowers the inertia; the bound on their number is for
    centers that rounding to float32 keeps apart from their samples.
    """
    n_clusters, free = len(run.centers), rule.free(len(run.centers))
    assignment = engine.assignment(run.centers)
    for _ in range(n_clusters):
        refilled = refill(assignment, free)
        if not refilled:
            break
        run.n_refilled += len(refilled)
        totals = settled(assignment.step(), assignment.expansions)
        run.centers = move(run.centers, totals, rule)
        assignment = engine.assignment(run.centers)
    run.labels = assignment.labels
    run.inertia = assignment.inertia()
    sizes, _ = assignment.sizes()
    run.n_empty = int(np.count_nonzero((sizes == 0) & free))


def exact_totals(engine: Whole, step: Step, labels: Array) -> Array:
    """Give the sums and weights (last column), each the exact sum rounded once."""
    return settled(step, lambda cells: engine.expansions(labels, cells))


def settled(step: Step, expansions: Callable[[Array], list[list[float]]]) -> Array:
    """Give the sums and weights; `expansions` gives the terms of uncertain ones."""
    totals, uncertain = step.totals.rounded()
    cells = np.argwhere(uncertain)
    for cell, parts in zip(cells, expansions(cells), strict=True):
        totals[tuple(cell)] = math.fsum(parts)
    return totals + 0.0  # a sum of -0.0 is 0.0


def move(centers: Array, totals: Array, rule: Rule = LLOYD) -> Array:
    """Give the new centers; empty clusters' and frozen centers stay."""
    filled = (totals[:, -1] > 0) & rule.free(len(centers))
    moved = centers.copy()
    moved[filled] = rule.place(totals[filled], moved[filled])
    return moved


def refill(assignment: Assignment, free: Array) -> list[int]:
    """Let empty clusters take samples, those that are `free`: `reference.refill`.

    In place.

    Returns the clusters that were refilled.
    """
    _, sizes = assignment.sizes()
    barred = np.zeros(len(free), bool)  # clusters that have nothing to give
    refilled = []
    for cluster in np.flatnonzero((sizes == 0) & free):
        sample = _farthest(assignment, barred)
        if sample is None:
            break
        assignment.take(sample, int(cluster))
        barred[cluster] = True  # it holds that sample and its copies
        refilled.append(int(cluster))
    return refilled


def _farthest(assignment: Assignment, barred: Array) -> Sample | None:
    """Farthest sample of a divisible cluster; bars those that turn out not to be."""
    while True:
        sample = assignment.farthest(barred)
        if sample is None or assignment.has_others(sample):
            return sample
        barred[sample.label] = True


def movement(
    centers: Array, moved: Array, engine: Engine | None = None
) -> tuple[float, Array]:
    """Exact sum over the clusters of the squared distance that the center moved.

    And which did.
    """
    changed = (centers != moved).any(axis=1)
    if centers.size <= FEW:
        return math.fsum(_squares(centers, moved)), changed
    if not every(changed):  # it pays to leave out those that stay
        centers, moved = centers[changed], moved[changed]
    squares = engine.squares(centers, moved) if engine else _squares(centers, moved)
    return math.fsum(squares), changed


def _squares(centers: Array, moved: Array) -> Array:
    """Squared distance of each center to where it moved."""
    squares = np.empty(len(centers))
    n_rows = max(1, PART // centers.shape[1])
    for first in range(0, len(centers), n_rows):
        rows = slice(first, first + n_rows)
        steps = np.subtract(centers[rows], moved[rows], dtype=np.float64)
        # Accumulation adds in order, as the distance is defined.
        squares[rows] = np.add.accumulate(steps * steps, axis=1)[:, -1]
    return squares


def mean_variance(engine: Engine) -> float:
    """Variance of the features, averaged: the inertia about the mean, per weight."""
    undivided = engine.undivided()
    totals = settled(undivided.step(), undivided.expansions)
    weight = float(totals[0, -1])
    inertia = engine.assignment(totals[:, :-1] / weight).inertia()
    return inertia / (weight * engine.n_features)
