"""What `fastkm.seeding` asks of samples in parts.

Every part remembers how near its samples are to those chosen so far, or finds it again
(`parts.Part.nearest`). A choice among candidates takes one pass, their draw a visit to
the parts that they are drawn from: exact sums of the parts say which these are.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from fastkm.engines.base import Array, join_chunks
from fastkm.engines.chosen import draw_after, farthest
from fastkm.engines.onepass import potentials
from fastkm.engines.parts import Part, Parted, Totals, as_totals
from fastkm.exactsum import ExactSum, expansion
from fastkm.kernels import seeding
from fastkm.kernels.seeding import BLOCK

Generator = np.random.Generator

# What comes before a part: an exact sum as (3,), or its terms as a short exact list.
Before = Totals | list[float]

DRAWN_AT_ONCE = 2**20


class ChosenInParts:
    """Samples chosen so far (`chosen.Chosen`); every distance is computed.

    rows : their features
    totals : per part, the exact sum of weight * squared distance to the nearest of them
    """

    def __init__(self, samples: Parted, first: int) -> None:
        self.samples = samples
        self.indices: list[int] = []
        self.rows = self.drawn = samples.rows(np.empty(0, np.int64))
        self.potentials(np.array([first]))
        self.choose(0)

    def potential(self) -> float:
        value, uncertain = join_chunks(self.totals).rounded()
        if uncertain:
            return self.samples.expanded(expansion_of, self.rows)
        return float(value)

    def draw(self, thresholds: Array) -> Array:
        indices, self.drawn = draw_in_parts(
            self.samples, self.totals, self.rows, thresholds
        )
        return indices

    def potentials(self, candidates: Array) -> list[float]:
        self.candidates = candidates
        self.candidate_rows, self.drawn = self.drawn, self.rows[:0]
        if not len(self.candidate_rows):
            self.candidate_rows = self.samples.rows(candidates)
        shared = self.rows, self.candidate_rows
        self.candidate_totals = np.array(list(self.samples.each(_potentials, *shared)))
        values, uncertain = join_chunks(self.candidate_totals).rounded()
        for t in np.flatnonzero(uncertain):
            with_one = np.concatenate([self.rows, self.candidate_rows[t : t + 1]])
            values[t] = self.samples.expanded(expansion_of, with_one)
        return [float(value) for value in values]

    def choose(self, t: int) -> None:
        self.indices.append(int(self.candidates[t]))
        self.rows = np.concatenate([self.rows, self.candidate_rows[t : t + 1]])
        self.totals = self.candidate_totals[:, :, t]

    def choose_farthest(self) -> None:
        # The first among equals: parts are in order.
        answers = self.samples.each(_farthest, self.rows, self.indices)
        _, i = max(answers, key=lambda answer: answer[0])
        self.indices.append(i)
        self.rows = np.concatenate([self.rows, self.samples.rows(np.array([i]))])


def draw_by_weight(samples: Parted, share: float) -> int:
    """Draw the sample at which the weights reach a share of their sum."""
    totals = np.array(list(samples.each(total_of, None)))
    threshold = share * samples.total_weight()
    (i,), _ = draw_in_parts(samples, totals, None, np.array([threshold]))
    return int(i)


def draw_in_parts(
    samples: Parted, totals: Array, rows: Array | None, thresholds: Array
) -> tuple[Array, Array]:
    """Draws in proportion to weight * squared distance (None: weight): indices, rows.

    totals : (n_parts, 3), exact sums of these products
    """
    found = [find_part(totals, threshold) for threshold in thresholds]
    places = [place for place in found if place is not None]
    if len(places) == len(found):
        drawn = _draw_at(samples, rows, thresholds, places)
        if (drawn[0] >= 0).all():
            return drawn
    exact = list(samples.each(expansion_of, rows))
    places = [find_part_exactly(exact, threshold) for threshold in thresholds]
    return _draw_at(samples, rows, thresholds, places)


def _draw_at(
    samples: Parted,
    rows: Array | None,
    thresholds: Array,
    places: list[tuple[int, Before]],
) -> tuple[Array, Array]:
    """Draw from parts that are known, with what comes before them; -1: not certain."""
    asked: dict[int, list[int]] = defaultdict(list)
    for t, (p, _) in enumerate(places):
        asked[p].append(t)
    parts = sorted(asked)
    own = [
        (rows, [(places[t][1], float(thresholds[t])) for t in asked[p]]) for p in parts
    ]
    indices = np.empty(len(thresholds), np.int64)
    drawn = np.empty((len(thresholds), samples.n_features), samples.dtype)
    answers = samples.some(_draw, np.array(parts), own)
    for p, answer in zip(parts, answers, strict=True):
        indices[asked[p]], drawn[asked[p]] = answer
    return indices, drawn


def find_part(totals: Array, threshold: float) -> tuple[int, Before] | None:
    """Part in which the prefix sums pass a threshold, and the sum before it.

    The last of a positive total where they do not; None where that is not certain.
    """
    before = ExactSum(*np.zeros(3))
    positive = np.flatnonzero(totals[:, 0] > 0)
    for p in positive:
        after = before + ExactSum(*totals[p])
        above = math.fsum([after.high, after.low, -threshold])
        # The slack moves the sum by at most twice itself; `above` is rounded once.
        if after.slack > 0 and abs(above) <= 4 * after.slack:
            return None
        if above > 0 or p == positive[-1]:
            break
        before = after
    return int(p), as_totals(before)


def find_part_exactly(parts: list[list[float]], threshold: float) -> tuple[int, Before]:
    """As `find_part`, of the parts' short exact lists."""
    before: list[float] = []
    positive = [p for p, terms in enumerate(parts) if terms]
    for p in positive:
        after = expansion(np.array([*before, *parts[p]]))
        if math.fsum([*after, -threshold]) > 0 or p == positive[-1]:
            break
        before = after
    return p, before


def earliest(samples: Parted, n_samples: int, rng: Generator) -> Array:
    """First samples to arrive, sooner the heavier: `reference.random_samples`."""
    own = states(samples, rng, Generator.standard_exponential)
    keys = np.concatenate(list(samples.each(_earliest, n_samples, own=own)), axis=1)
    arrivals, is_zero, indices = keys
    return indices[np.lexsort((arrivals, is_zero))[:n_samples]].astype(np.int64)


def states(samples: Parted, rng: Generator, draw: Callable[..., Any]) -> list[Any]:
    """Generators that give each part its own of the numbers drawn for all samples."""
    found = []
    for size in np.diff(samples.starts):
        found.append(copy.deepcopy(rng))
        for start in range(0, size, DRAWN_AT_ONCE):
            draw(rng, min(DRAWN_AT_ONCE, size - start))
    return found


# --- questions to a part


def nearest_of(part: Part, rows: Array | None) -> Array:
    """Squared distances to the nearest of the rows; all 1 for None."""
    return np.ones(part.exact.n_samples) if rows is None else part.nearest(rows)


def total_of(part: Part, rows: Array | None) -> Totals:
    """Exact sum of weight * squared distance."""
    return as_totals(part.exact.weighted_total(nearest_of(part, rows)))


def expansion_of(part: Part, rows: Array | None) -> list[float]:
    """The same as a short exact list."""
    return expansion(part.exact.terms(nearest_of(part, rows)))


def _potentials(part: Part, rows: Array, candidates: Array) -> Totals:
    return as_totals(potentials(part.exact, nearest_of(part, rows), candidates))


def _draw(
    part: Part, request: tuple[Array | None, list[tuple[Before, float]]]
) -> tuple[Array, Array]:
    rows, draws = request
    nearest, weights = nearest_of(part, rows), part.exact.kernel_weights
    blocks = np.empty((-(-len(nearest) // BLOCK), 3))
    n_chunks = min(part.exact.n_chunks(4.0 * len(nearest)), len(blocks))
    seeding.sum_blocks(n_chunks, nearest, weights, blocks)
    drawn = np.concatenate(
        [
            draw_after(before, nearest, weights, blocks, np.array([threshold]))
            for before, threshold in draws
        ]
    )
    return np.where(drawn < 0, -1, part.start + drawn), part.exact.rows(drawn)


def _farthest(part: Part, rows: Array, chosen: list[int]) -> tuple[float, int]:
    own = [i - part.start for i in chosen if 0 <= i - part.start < part.exact.n_samples]
    rank, i = farthest(part.nearest(rows), part.exact.positive(), own)
    return rank, part.start + i


def _earliest(part: Part, n_samples: int, rng: Generator) -> Array:
    weights = part.exact.weights
    assert weights is not None
    with np.errstate(divide="ignore", over="ignore"):
        arrivals = rng.standard_exponential(part.exact.n_samples) / weights
    is_zero = weights == 0
    first = np.lexsort((arrivals, is_zero))[:n_samples]
    return np.array([arrivals[first], is_zero[first], first + part.start])
