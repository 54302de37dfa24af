"""Error-free sums and draws from them: same bits as `reference`.

An exact sum is three numbers, high, low and slack, as `fastkm.exactsum` explains; here
they are the last axis of an array, or three planes of one, so that whole tables of
sums fit into one argument.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm.kernels._jit import inlined, rolled, serial
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import zeros
from fastkm.kernels.select import lesser

Array = NDArray[Any]

HIGH, LOW, SLACK = 0, 1, 2


@inlined
def two_sum(a, b):
    """Rounded sum and its error (Knuth)."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


@inlined
def add_term(total, term):
    """Add a term to total[HIGH, LOW, SLACK]."""
    total[HIGH], error = two_sum(total[HIGH], term)
    total[LOW], error = two_sum(total[LOW], error)
    total[SLACK] += abs(error)


@inlined
def add_total(total, other):
    """Add another exact sum to a total."""
    add_term(total, other[HIGH])
    add_term(total, other[LOW])
    total[SLACK] += other[SLACK]


@inlined
def add_cell(totals, part, j, f, term):
    """Add a term to the sum totals[part, :, j, f]."""
    high, error = two_sum(totals[part, HIGH, j, f], term)
    low, lost = two_sum(totals[part, LOW, j, f], error)
    totals[part, HIGH, j, f] = high
    totals[part, LOW, j, f] = low
    totals[part, SLACK, j, f] += abs(lost)


@inlined
def distance(X, i, centers, j):
    """Squared distance of a sample to a (float64) center: the reference's bits."""
    total = 0.0
    for f in range(X.shape[1]):
        difference = np.float64(X[i, f]) - centers[j, f]
        total += difference * difference
    return total


@inlined
def rounded_up(value):
    """A float32 that is not below a float64 (NaN stays NaN)."""
    return np.float32(value + abs(value) * 2.0**-22 + 2.0**-149)


@inlined
def rounded_down(value):
    """A finite float32, or -inf, that is not above a float64 (NaN stays NaN)."""
    lower = value - abs(value) * 2.0**-22 - 2.0**-149
    return np.float32(3e38 if lower > 3e38 else lower)


@inlined
def chunk_bounds(chunk, n_chunks, n_items):
    """First and last item of a chunk: equal shares."""
    return chunk * n_items // n_chunks, (chunk + 1) * n_items // n_chunks


@parallel
@rolled
def weighted_total(chunk, n_chunks, values, weights):
    """Exact sum of weight * value: high, low, slack.

    `weights` may be a single number for all.
    """
    first, last = chunk_bounds(chunk, n_chunks, values.shape[0])
    total = zeros(3, np.float64)
    for i in range(first, last):
        add_term(total, weights[i if weights.size > 1 else 0] * values[i])
    return total[HIGH], total[LOW], total[SLACK]


@inlined
def exceeds(total, threshold):
    """Sign of (exact sum - threshold): 1 above, 0 not above, -1 not decided.

    sum - threshold = p + q + b + (what the slack bounds), where p + q is already
    rounded to p (|q| <= 2^-53 |p|), so p decides when it outweighs the rest.
    """
    s, e = two_sum(total[HIGH], -threshold)
    a, b = two_sum(e, total[LOW])
    p, _q = two_sum(s, a)
    rest = abs(b) + 2 * total[SLACK]
    if abs(p) * (1 - 2.0**-51) > rest:
        return 1 if p > 0 else 0
    if p == 0 and rest == 0:
        return 0
    return -1


@inlined
def drawn(prefixes: Array, threshold: float) -> int:
    """First index whose exact prefix sum is above the threshold; -1 if not certain.

    A rounded prefix sum of n terms that are not negative is within (n - 1) 2^-53 of the
    exact one, relative to it (Higham, Accuracy and Stability of Numerical Algorithms,
    2nd ed., section 4.2): `error` is twice that, and more.
    """
    i = 0
    while i < prefixes.size and prefixes[i] <= threshold:
        i += 1
    error = (prefixes.size + 4) * 2.0**-52
    before = prefixes[i - 1] if i > 0 else 0.0
    if i == prefixes.size or prefixes[i] * (1 - error) <= threshold:
        return -1
    if before * (1 + error) > threshold:
        return -1
    return i


@inlined
def draw_one(
    values, weights, block_totals, block_size, before, threshold, prefix, with_block
):
    """One of the draws of `draw`; the last two are room for sums."""
    for part in range(3):
        prefix[part] = before[part]
    for block in range(block_totals.shape[0]):
        for part in range(3):
            with_block[part] = prefix[part]
        add_total(with_block, block_totals[block])
        above = exceeds(with_block, threshold)
        if above == 0:
            for part in range(3):
                prefix[part] = with_block[part]
            continue
        if above < 0:
            return -1
        for i in range(
            block * block_size, lesser((block + 1) * block_size, values.shape[0])
        ):
            add_term(prefix, weights[i if weights.size > 1 else 0] * values[i])
            above = exceeds(prefix, threshold)
            if above != 0:
                return i if above > 0 else -1
        return -1
    return -1


@serial
@rolled
def draw(
    values: Array,
    weights: Array,
    block_totals: Array,
    block_size: int,
    before: Array,
    thresholds: Array,
    indices: Array,
) -> None:
    """First indices whose prefix sums of weight * value are above the thresholds.

    Same indices as `reference.draw`. Prefixes begin with `before` (3,), the exact sum
    of what comes before the values; whole blocks are passed by their totals (n_blocks,
    3). An index is -1 when a comparison could not be decided, or no prefix is above the
    threshold: the caller then takes the slow road.
    """
    prefix, with_block = zeros(3, np.float64), zeros(3, np.float64)
    for t in range(thresholds.size):
        indices[t] = draw_one(
            values, weights, block_totals, block_size, before, thresholds[t], prefix,
            with_block,
        )  # fmt: skip
