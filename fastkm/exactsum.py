"""Sums that do not depend on the order of their terms.

A sum is kept as `high + low`, two float64 that together hold the terms' real sum as
long as no rounding error fell below `low`; what did fall is bounded by `slack`:

    |real sum - (high + low)| <= 2 * slack

Each term is added by two chained TwoSum (Knuth, The Art of Computer Programming 2,
section 4.2.2, theorem B), which are free of error:

    high, e = TwoSum(high, term);  low, e' = TwoSum(low, e);  slack += |e'|

So real sum = high + low + (sum of the e'), and the slack bounds the last part. The
slack is itself a float64 sum of m non-negative numbers, at least (1 - 2^-53)^m of
its real value: doubling it covers that for every m below 2^52.

With slack 0, the usual case, `high + low` rounded once *is* the exact sum. Otherwise
the two ends of the interval are rounded: when they agree, so does everything between
them (rounding is monotone), and when not, the sum is *uncertain* and the caller adds
its terms again with `math.fsum`. Either way the result is the real sum rounded once,
whatever the order, the blocks or the threads: the promise of `reference.exact_sum`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Rounded sum and its error: a + b == sum + error without rounding."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


@dataclass(slots=True)
class ExactSum:
    """An array of exact sums (see the module); `+` joins sums of disjoint terms."""

    high: Array
    low: Array
    slack: Array

    def __add__(self, other: ExactSum) -> ExactSum:
        high, high_error = two_sum(self.high, other.high)
        low, low_error = two_sum(self.low, other.low)
        low, carry_error = two_sum(low, high_error)
        slack = self.slack + other.slack + np.abs(low_error) + np.abs(carry_error)
        return ExactSum(high, low, slack)

    def of(self, rows: Array | slice) -> ExactSum:
        """Some of the sums: an index of the first axis."""
        return ExactSum(self.high[rows], self.low[rows], self.slack[rows])

    def rounded(self) -> tuple[Array, Array]:
        """The sums rounded once to float64, and where that is uncertain."""
        value = self.high + self.low
        if not np.count_nonzero(self.slack):
            return value, np.zeros(np.shape(value), bool)
        margin = 2 * self.slack
        below = self.high + np.nextafter(self.low - margin, -np.inf)
        above = self.high + np.nextafter(self.low + margin, np.inf)
        return value, (below != above) & (self.slack > 0)


def expansion(terms: Array) -> list[float]:
    """Give a few float64 with the same real sum as all the terms.

    Expansions of disjoint terms add up by joining the lists, and `math.fsum` of the
    joined list is the exact sum: the form in which parts of the samples that live in
    different places settle an uncertain sum.

    >>> expansion(np.array([1e100, 1.0, -1e100, 1e-30]))
    [1.0, 1e-30]
    """
    parts: list[float] = []
    while part := math.fsum(chain_negated(terms, parts)):
        parts.append(part)
    return parts


def chain_negated(terms: Array, parts: list[float]) -> Iterable[float]:
    """Yield the terms, then the parts with their signs turned."""
    yield from terms
    yield from (-part for part in parts)
