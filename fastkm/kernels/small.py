"""Small problems: whole fits in a kernel or two, and many of them at once.

Same bits as `reference.kmeans` from the same draws. What is rare is not done here but
told: sums that two float64 do not hold, draws that rounding could decide, clusters that
run empty. `fastkm.small` then takes the general road.

Samples are float64, those of all problems one after the other; weights (n_samples,) are
ones where none are given. Column b of `places` (3, n_problems) tells where the samples
of problem b start, how many they are, and where their labels start, as problems may be
one and the same. Draws are from the samples in `order` (n_samples,), if that is not
empty. How a problem ended is row b of `outcomes` (n_problems, 3): stop, number of
iterations, inertia. Few arrays, for to pass one takes about half a microsecond.

Seeding works on columns (n_features, n_samples), so that loops over samples become
vector instructions, and the iteration on tiles; both are packed once for problems that
follow each other and are the same. Sums of clusters are exact by `extraction`.
Arrays are copied number by number: Numba compiles an assignment of arrays for a second.
"""

import math

import numpy as np

from fastkm.kernels._jit import inlined, nested
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import (
    HIGH,
    LOW,
    SLACK,
    chunk_bounds,
    drawn,
    two_sum,
)
from fastkm.kernels.lanes import block_distances
from fastkm.kernels.lanesums import WIDE, add_lanes, join_lanes
from fastkm.kernels.select import greater, lesser
from fastkm.kernels.tiles import pack_centers, partial_size, scan
from fastkm.kernels.vectors import GROUP, LANES_64

START, SIZE, LABELS = range(3)  # rows of places
STOP, N_ITER, INERTIA = range(3)  # columns of outcomes
SHIFT, CHANGED = range(2)  # rows of a history

# How a run ended, if it did: zeros are those of problems that no kernel has seen.
BEGUN, LEFT, UNCHANGED, TOL, MAX_ITER = range(5)
BLOCK = 512  # samples whose distances stay in the L1 cache


@inlined
def full(size, value):
    """Vector of one value."""
    values = empty(size, np.float64)
    for i in range(size):
        values[i] = value
    return values


@inlined
def joined(lanes):
    """Sum of all lanes rounded once, and whether that is certain; lanes are cleared."""
    total = zeros(3, np.float64)
    join_lanes(lanes, total)
    return total[HIGH] + total[LOW], total[SLACK] == 0


@nested
def weighted_total(weights, values, terms, lanes):
    """Sum of weight * value rounded once, and whether that is certain."""
    for first in range(0, values.size, BLOCK):
        width = lesser(BLOCK, values.size - first)
        for r in range(width):
            terms[0, r] = weights[first + r] * values[first + r]
        add_lanes(terms, width, lanes)
    return joined(lanes)


@inlined
def accumulate(weights, values, prefixes):
    """Rounded prefix sums of weight * value."""
    total = 0.0
    for i in range(values.size):
        total += weights[i] * values[i]
        prefixes[i] = total


@nested
def first_sample(weights, u, prefixes, terms, lanes):
    """One sample in proportion to weight, from a uniform number; -1: see `drawn`."""
    ones = full(weights.size, 1.0)
    total, certain = weighted_total(weights, ones, terms, lanes)
    accumulate(weights, ones, prefixes)
    return drawn(prefixes, u * total) if certain else -1


@inlined
def is_another(places, b):
    """Whether problem b has other samples than the problem before."""
    return (
        places[START, b] != places[START, b - 1]
        or places[SIZE, b] != places[SIZE, b - 1]
    )


@nested
def samples_of(X, weights, order, start, size):
    """Samples of a problem in columns, and their weights; in an order, if there is."""
    columns, own = empty((X.shape[1], size), np.float64), full(size, 1.0)
    for r in range(size):
        i = order[start + r] if order.size else start + r
        for f in range(X.shape[1]):
            columns[f, r] = X[i, f]
        if weights.size:
            own[r] = weights[i]
    return columns, own


@nested
def come_nearer(columns, weights, i, nearest, remaining, terms, lanes):
    """Distances to the nearest once sample i is chosen, too, into `remaining`.

    Returns the sum of weight * these, rounded once, and whether that is certain.
    """
    n_features, n_samples = columns.shape
    chosen, distances = empty(n_features, np.float64), empty(BLOCK, np.float64)
    for f in range(n_features):
        chosen[f] = columns[f, i]
    for first in range(0, n_samples, BLOCK):
        width = lesser(BLOCK, n_samples - first)
        block_distances(columns, first, width, chosen, distances)
        for r in range(width):
            s = first + r
            value = distances[r] if distances[r] < nearest[s] else nearest[s]
            remaining[s] = value
            terms[0, r] = weights[s] * value
        add_lanes(terms, width, lanes)
    return joined(lanes)


@nested
def plusplus(columns, weights, uniforms, chosen):
    """Greedy k-means++ from uniform numbers, one and then n_trials for each step.

    False where something rare occurred.
    """
    n_samples, n_clusters = columns.shape[1], chosen.size
    n_trials = (uniforms.size - 1) // greater(1, n_clusters - 1)
    terms, lanes = empty((1, BLOCK), np.float64), zeros((3, WIDE), np.float64)
    nearest, prefixes = full(n_samples, math.inf), empty(n_samples, np.float64)
    remaining = empty((2, n_samples), np.float64)
    chosen[0] = first_sample(weights, uniforms[0], prefixes, terms, lanes)
    if chosen[0] < 0:
        return False
    potential, certain = come_nearer(
        columns, weights, chosen[0], nearest, nearest, terms, lanes
    )
    for c in range(1, n_clusters):
        if not certain or potential == 0:
            return False
        accumulate(weights, nearest, prefixes)
        best, least = 0, math.inf
        for t in range(n_trials):
            u = uniforms[1 + (c - 1) * n_trials + t]
            i = drawn(prefixes, u * potential)
            if i < 0:
                return False
            value, certain = come_nearer(
                columns, weights, i, nearest, remaining[1 - best], terms, lanes
            )
            if not certain:
                return False
            if value < least:
                best, least, chosen[c] = 1 - best, value, i
        for s in range(n_samples):
            nearest[s] = remaining[best, s]
        potential = least
    return certain


@nested
def farthest(columns, weights, uniforms, chosen):
    """Farthest-first: a sample by weight, then always the farthest from all before."""
    n_samples, n_clusters = columns.shape[1], chosen.size
    terms, lanes = empty((1, BLOCK), np.float64), zeros((3, WIDE), np.float64)
    nearest, prefixes = full(n_samples, math.inf), empty(n_samples, np.float64)
    chosen[0] = first_sample(weights, uniforms[0], prefixes, terms, lanes)
    if chosen[0] < 0:
        return False
    for c in range(1, n_clusters):
        come_nearer(columns, weights, chosen[c - 1], nearest, nearest, terms, lanes)
        nearest[chosen[c - 1]] = -math.inf
        last, rank = 0, -math.inf
        for i in range(n_samples):
            value = lesser(nearest[i], -1.0) if weights[i] == 0 else nearest[i]
            if value > rank:
                last, rank = i, value
        chosen[c] = last
    return True


@inlined
def place(columns, chosen, centers):
    """Write the chosen samples into centers (n_clusters, n_features)."""
    for j in range(chosen.size):
        for f in range(columns.shape[0]):
            centers[j, f] = columns[f, chosen[j]]


@parallel
def choose_plusplus(
    chunk, n_chunks, X, weights, order, places, uniforms, centers, outcomes
):
    """Choose centers (n_problems, n_clusters, n_features) from uniforms[b].

    Where something rare occurred, the problem is left.
    """
    first, last = chunk_bounds(chunk, n_chunks, places.shape[1])
    chosen = empty(centers.shape[1], np.int64)
    columns, own = samples_of(X, weights, order, 0, 0)
    for b in range(first, last):
        start, size = places[START, b], places[SIZE, b]
        if b == first or is_another(places, b):
            columns, own = samples_of(X, weights, order, start, size)
        if plusplus(columns, own, uniforms[b], chosen):
            place(columns, chosen, centers[b])
        else:
            outcomes[b, STOP] = LEFT


@parallel
def choose_farthest(
    chunk, n_chunks, X, weights, order, places, uniforms, centers, outcomes
):
    """Choose as `choose_plusplus`, farthest first."""
    first, last = chunk_bounds(chunk, n_chunks, places.shape[1])
    chosen = empty(centers.shape[1], np.int64)
    columns, own = samples_of(X, weights, order, 0, 0)
    for b in range(first, last):
        start, size = places[START, b], places[SIZE, b]
        if b == first or is_another(places, b):
            columns, own = samples_of(X, weights, order, start, size)
        if farthest(columns, own, uniforms[b], chosen):
            place(columns, chosen, centers[b])
        else:
            outcomes[b, STOP] = LEFT


@nested
def pack_samples(X, start, size):
    """Samples of a problem as `tiles.scan` wants them: [tile][feature][lane]."""
    n_features = X.shape[1]
    n_tiles = (size + LANES_64 - 1) // LANES_64
    block = empty(n_tiles * n_features * LANES_64, np.float64)
    for n in range(n_tiles * LANES_64):
        i = start + lesser(n, size - 1)  # the last sample fills up the last tile
        at = n // LANES_64 * n_features * LANES_64 + n % LANES_64
        for f in range(n_features):
            block[at + f * LANES_64] = X[i, f]
    return block


@inlined
def next_power(value):
    """Lowest power of two that is not below a positive number; 0 of 0, NaN if huge.

    Rump, Ogita and Oishi: Accurate floating-point summation, part I, 2008, section 3.
    """
    large = value * 2.0**53
    power = (large + value) - large
    return value if power == 0 else power


@nested
def extraction(columns, weights, powers):
    """Powers of two that cut terms in two so that plain sums of the parts are exact.

    As Rump, Ogita and Oishi (see `next_power`), section 3, extract sums: with s =
    powers[f], a power of two of at least (n + 2) times the largest |term|, the rounded
    (s + term) - s is a multiple of 2^-53 s, and what is left of the term is exact and
    at most 2^-53 s. A sum of up to n < 2^27 such multiples stays within s, so it is
    exact in any order. So is the sum of what is left, if all of it are multiples of
    2^-53 s', s' the power for terms of 2^-53 s. Returns whether all are. Column
    n_features is the weights' own.
    """
    n_features, n_samples = columns.shape
    is_exact = True
    for f in range(n_features + 1):
        largest = 0.0
        for i in range(n_samples):
            term = weights[i] * columns[f, i] if f < n_features else weights[i]
            largest = greater(largest, abs(term))
        power = next_power((n_samples + 2) * largest)
        next_one = next_power((n_samples + 2) * power) * 2.0**-53
        for i in range(n_samples):
            term = weights[i] * columns[f, i] if f < n_features else weights[i]
            rest = term - ((power + term) - power)
            is_exact &= (next_one + rest) - next_one == rest
        powers[f] = power
    return is_exact


@inlined
def add_parts(X, i, weight, sign, powers, totals, j):
    """Add sign * (weight * sample i, weight), in two parts, to totals of cluster j."""
    for f in range(powers.size):
        term = weight * X[i, f] if f < X.shape[1] else weight
        high = (powers[f] + term) - powers[f]
        totals[HIGH, j, f] += sign * high
        totals[LOW, j, f] += sign * (term - high)


@nested
def relabel(X, start, weights, powers, index, labels, totals):
    """Bring labels and sums up to date; returns how many labels changed."""
    n_changed = 0
    for i in range(labels.size):
        j, source = np.int64(index[i]), np.int64(labels[i])
        if j == source:
            continue
        n_changed += 1
        labels[i] = j
        add_parts(X, start + i, weights[i], 1.0, powers, totals, j)
        if source >= 0:
            add_parts(X, start + i, weights[i], -1.0, powers, totals, source)
    return n_changed


@nested
def move(totals, is_single, centers):
    """Move the centers to the means; returns whether one changed, and by how much.

    The movement is -1 where a cluster is empty or a sum is not certain. Centers are
    float64 that hold float32 with `is_single`.
    """
    n_clusters, n_features = centers.shape
    high, low, slack = 0.0, 0.0, 0.0
    changed = False
    for j in range(n_clusters):
        weight = totals[HIGH, j, n_features] + totals[LOW, j, n_features]
        if not weight > 0:
            return False, -1.0
        square = 0.0
        for f in range(n_features):
            moved = (totals[HIGH, j, f] + totals[LOW, j, f]) / weight
            if is_single:
                moved = np.float64(np.float32(moved))
            step = centers[j, f] - moved
            square += step * step
            changed |= moved != centers[j, f]
            centers[j, f] = moved
        high, error = two_sum(high, square)
        low, lost = two_sum(low, error)
        slack += abs(lost)
    return changed, high + low if slack == 0 else -1.0


@nested
def is_filled(weights, labels, n_clusters):
    """Whether every cluster has a sample of positive weight."""
    filled, n_filled = zeros(n_clusters, np.bool_), 0
    for i in range(labels.size):
        if weights[i] > 0 and not filled[labels[i]]:
            filled[labels[i]] = True
            n_filled += 1
    return n_filled == n_clusters


@nested
def iterate(
    X, start, weights, block, powers, centers, is_single, threshold, max_iter, labels,
    history,
):  # fmt: skip
    """Lloyd's iteration; returns how it ended, the iterations, and the inertia.

    Centers and labels are written in place, and what happened in every iteration, where
    there is room at all; a run for which there is too little is left.
    """
    n_samples, (n_clusters, n_features) = labels.size, centers.shape
    n_places = (n_clusters + GROUP - 1) // GROUP * GROUP
    packed, norms = (
        empty(n_places * n_features, np.float64),
        empty(n_places, np.float64),
    )
    partial = empty(partial_size(block, n_features), np.float64)
    best, index = (
        empty(block.size // n_features, np.float64),
        empty(block.size // n_features, np.float64),
    )
    totals = zeros((2, n_clusters, n_features + 1), np.float64)
    for i in range(n_samples):
        labels[i] = -1
    stop, n_iter = MAX_ITER, 0
    while n_iter < max_iter and stop == MAX_ITER:
        pack_centers(centers, 0, n_places, packed)
        scan(block, n_samples, n_features, packed, norms, partial, best, None, index)
        relabelled = relabel(X, start, weights, powers, index, labels, totals)
        changed, shift = move(totals, is_single, centers)
        if shift < 0:
            return LEFT, 0, 0.0
        if history.size > 0:
            if n_iter == history.shape[1]:
                return LEFT, 0, 0.0
            history[SHIFT, n_iter], history[CHANGED, n_iter] = shift, relabelled
        n_iter += 1
        if not changed:
            stop = UNCHANGED
        elif shift <= threshold:
            stop = TOL
    if stop != UNCHANGED:
        pack_centers(centers, 0, n_places, packed)
        scan(block, n_samples, n_features, packed, norms, partial, best, None, index)
        for i in range(n_samples):
            labels[i] = np.int64(index[i])
        if not is_filled(weights, labels, n_clusters):
            return LEFT, 0, 0.0
    terms, lanes = empty((1, BLOCK), np.float64), zeros((3, WIDE), np.float64)
    inertia, certain = weighted_total(weights, best[:n_samples], terms, lanes)
    return stop if certain else LEFT, n_iter, inertia


@nested
def mean_variance(columns, weights):
    """Variance of the features, averaged; not a number where a sum is not certain."""
    n_features, n_samples = columns.shape
    terms, lanes = empty((1, BLOCK), np.float64), zeros((3, WIDE), np.float64)
    mean, distances = empty(n_features, np.float64), empty(n_samples, np.float64)
    total, certain = weighted_total(weights, full(n_samples, 1.0), terms, lanes)
    for f in range(n_features):
        value, is_certain = weighted_total(weights, columns[f], terms, lanes)
        mean[f] = value / total
        certain &= is_certain
    block_distances(columns, 0, n_samples, mean, distances)
    inertia, is_certain = weighted_total(weights, distances, terms, lanes)
    return inertia / (total * n_features) if certain & is_certain else math.nan


@parallel
def iterate_all(
    chunk, n_chunks, X, weights, places, centers, is_single, tol, max_iter, labels,
    outcomes, history,
):  # fmt: skip
    """Iterate problem after problem from centers[b], but for those that were left.

    Centers (n_problems, n_clusters, n_features) become the final ones. Of every
    iteration, history[b] (2, n_kept) keeps what `iterate` says.
    """
    first, last = chunk_bounds(chunk, n_chunks, places.shape[1])
    as_they_are, powers = empty(0, np.int64), empty(X.shape[1] + 1, np.float64)
    own, block = empty(0, np.float64), empty(0, np.float64)
    is_exact, variance = False, 0.0
    for b in range(first, last):
        start, size, at = places[START, b], places[SIZE, b], places[LABELS, b]
        if b == first or is_another(places, b):
            columns, own = samples_of(X, weights, as_they_are, start, size)
            block = pack_samples(X, start, size)
            is_exact = extraction(columns, own, powers)
            variance = mean_variance(columns, own) if tol > 0 else 0.0
        if outcomes[b, STOP] == LEFT:
            continue
        outcomes[b, STOP] = LEFT
        if math.isnan(variance) or not is_exact:
            continue
        outcomes[b, STOP], outcomes[b, N_ITER], outcomes[b, INERTIA] = iterate(
            X, start, own, block, powers, centers[b], is_single, tol * variance,
            max_iter, labels[at : at + size], history[b],
        )  # fmt: skip
