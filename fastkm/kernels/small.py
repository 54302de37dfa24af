"""Small problems: a whole fit in one kernel, and many of them at once.

Same bits as `reference.kmeans` from the same draws. What is rare is not done here but
told: sums that two float64 do not hold, draws that rounding could decide, clusters that
run empty. `fastkm.small` then takes the general road.

Samples are float64, transposed into columns (n_features, n_samples), so that loops over
samples become vector instructions; weights (n_samples,) are ones where none are given.
Arrays are copied number by number: Numba compiles an assignment of arrays for a second.
"""

import math

import numpy as np

from fastkm.kernels._jit import inlined, nested, parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import (
    HIGH,
    LOW,
    SLACK,
    add_cell,
    chunk_bounds,
    drawn,
    greater,
    lesser,
    two_sum,
)
from fastkm.kernels.lanes import block_distances, load_block

# How a run ended.
LEFT, UNCHANGED, TOL, MAX_ITER = 0, 1, 2, 3
GIVEN, PLUSPLUS, FARTHEST = 0, 1, 2


@inlined
def weighted_total(weights, values):
    """Sum of weight * value rounded once, and whether that is certain."""
    high, low, slack = 0.0, 0.0, 0.0
    for i in range(values.size):
        high, error = two_sum(high, weights[i] * values[i])
        low, lost = two_sum(low, error)
        slack += abs(lost)
    return high + low, slack == 0


@inlined
def accumulate(weights, values, prefixes):
    """Rounded prefix sums of weight * value."""
    total = 0.0
    for i in range(values.size):
        total += weights[i] * values[i]
        prefixes[i] = total


@inlined
def fill(values, value):
    """Set all of a vector."""
    for i in range(values.size):
        values[i] = value


@inlined
def load_sample(columns, i, sample):
    """Copy sample i; one layout, so one compiled version of `block_distances`."""
    for f in range(sample.size):
        sample[f] = columns[f, i]


@inlined
def first_sample(weights, u, ones, prefixes):
    """One sample in proportion to weight, from a uniform number; -1: see `drawn`."""
    fill(ones, 1.0)
    total, certain = weighted_total(weights, ones)
    accumulate(weights, ones, prefixes)
    return drawn(prefixes, u * total) if certain else -1


@nested
def choose_plusplus(columns, weights, uniforms, chosen):
    """Greedy k-means++ from uniform numbers, one and then n_trials for each step.

    False where something rare occurred.
    """
    (n_features, n_samples), n_clusters = columns.shape, chosen.size
    n_trials = (uniforms.size - 1) // greater(1, n_clusters - 1)
    nearest, prefixes = empty(n_samples, np.float64), empty(n_samples, np.float64)
    remaining = empty((2, n_samples), np.float64)
    sample = empty(n_features, np.float64)
    chosen[0] = first_sample(weights, uniforms[0], nearest, prefixes)
    if chosen[0] < 0:
        return False
    load_sample(columns, chosen[0], sample)
    block_distances(columns, n_samples, sample, nearest)
    potential, certain = weighted_total(weights, nearest)
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
            trial = remaining[1 - best]
            load_sample(columns, i, sample)
            block_distances(columns, n_samples, sample, trial)
            for s in range(n_samples):
                trial[s] = trial[s] if trial[s] < nearest[s] else nearest[s]
            value, certain = weighted_total(weights, trial)
            if not certain:
                return False
            if value < least:
                best, least, chosen[c] = 1 - best, value, i
        for s in range(n_samples):
            nearest[s] = remaining[best, s]
        potential = least
    return certain


@nested
def choose_farthest(columns, weights, uniforms, chosen):
    """Farthest-first: a sample by weight, then always the farthest from all before."""
    (n_features, n_samples), n_clusters = columns.shape, chosen.size
    nearest, distances = empty(n_samples, np.float64), empty(n_samples, np.float64)
    sample = empty(n_features, np.float64)
    chosen[0] = first_sample(weights, uniforms[0], nearest, distances)
    if chosen[0] < 0:
        return False
    fill(nearest, math.inf)
    for c in range(1, n_clusters):
        load_sample(columns, chosen[c - 1], sample)
        block_distances(columns, n_samples, sample, distances)
        nearest[chosen[c - 1]] = -math.inf
        farthest, rank = 0, -math.inf
        for i in range(n_samples):
            nearest[i] = lesser(nearest[i], distances[i])
            value = nearest[i]
            if weights[i] == 0:
                value = lesser(value, -1.0)
            if value > rank:
                farthest, rank = i, value
        chosen[c] = farthest
    return True


@nested
def find_nearest(columns, centers, square, best, index):
    """Index of the nearest center of every sample, and its distance."""
    n_samples = columns.shape[1]
    block_distances(columns, n_samples, centers[0], best)
    for i in range(n_samples):
        index[i] = 0
    for j in range(1, centers.shape[0]):
        block_distances(columns, n_samples, centers[j], square)
        for i in range(n_samples):
            closer = square[i] < best[i]
            best[i] = square[i] if closer else best[i]
            index[i] = j if closer else index[i]


@nested
def relabel(columns, weights, index, labels, totals):
    """Bring labels and sums up to date; returns how many labels changed."""
    n_features, n_samples = columns.shape
    n_changed = 0
    for i in range(n_samples):
        j, source = index[i], np.int64(labels[i])
        if j == source:
            continue
        n_changed += 1
        labels[i] = j
        weight = weights[i]
        for f in range(n_features):
            add_cell(totals, 0, j, f, weight * columns[f, i])
            if source >= 0:
                add_cell(totals, 0, source, f, -weight * columns[f, i])
        add_cell(totals, 0, j, n_features, weight)
        if source >= 0:
            add_cell(totals, 0, source, n_features, -weight)
    return n_changed


@nested
def move(totals, is_single, centers):
    """Move the centers to the means; returns whether one changed, and by how much.

    The movement is -1 where the sums are not certain or a cluster is empty. Centers are
    float64 that hold float32 with `is_single`.
    """
    n_clusters, n_features = centers.shape
    high, low, slack = 0.0, 0.0, 0.0
    changed = False
    for j in range(n_clusters):
        weight = totals[0, HIGH, j, n_features] + totals[0, LOW, j, n_features]
        if not weight > 0:
            return False, -1.0
        square = 0.0
        for f in range(n_features + 1):
            slack += totals[0, SLACK, j, f]
        for f in range(n_features):
            moved = (totals[0, HIGH, j, f] + totals[0, LOW, j, f]) / weight
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
    columns, weights, centers, is_single, threshold, max_iter, labels, shifts, n_changed
):
    """Lloyd's iteration; returns how it ended, the iterations, and the inertia.

    Centers and labels are written in place, and what happened in every iteration, where
    there is room at all; a run for which there is too little is left.
    """
    (n_features, n_samples), n_clusters = columns.shape, centers.shape[0]
    square, best = empty(n_samples, np.float64), empty(n_samples, np.float64)
    index = zeros(n_samples, np.int64)
    totals = zeros((1, 3, n_clusters, n_features + 1), np.float64)
    for i in range(n_samples):
        labels[i] = -1
    stop, n_iter = MAX_ITER, 0
    while n_iter < max_iter and stop == MAX_ITER:
        find_nearest(columns, centers, square, best, index)
        relabelled = relabel(columns, weights, index, labels, totals)
        changed, shift = move(totals, is_single, centers)
        if shift < 0:
            return LEFT, 0, 0.0
        if shifts.size > 0:
            if n_iter == shifts.size:
                return LEFT, 0, 0.0
            shifts[n_iter], n_changed[n_iter] = shift, relabelled
        n_iter += 1
        if not changed:
            stop = UNCHANGED
        elif shift <= threshold:
            stop = TOL
    if stop != UNCHANGED:
        find_nearest(columns, centers, square, best, index)
        for i in range(n_samples):
            labels[i] = index[i]
    inertia, certain = weighted_total(weights, best)
    if not (certain and is_filled(weights, labels, n_clusters)):
        return LEFT, 0, 0.0
    return stop, n_iter, inertia


@nested
def mean_variance(columns, weights):
    """Variance of the features, averaged; not a number where a sum is not certain."""
    n_features, n_samples = columns.shape
    mean, distances = empty(n_features, np.float64), empty(n_samples, np.float64)
    fill(distances, 1.0)
    total, certain = weighted_total(weights, distances)
    for f in range(n_features):
        value, is_certain = weighted_total(weights, columns[f])
        mean[f] = value / total
        certain &= is_certain
    block_distances(columns, n_samples, mean, distances)
    inertia, is_certain = weighted_total(weights, distances)
    return inertia / (total * n_features) if certain & is_certain else math.nan


@parallel
def fit_all(
    chunk, n_chunks, X, weights, starts, sizes, method, uniforms, centers, is_single,
    tol, max_iter, labels, label_starts, stops, n_iters, inertias, shifts, n_changed,
):  # fmt: skip
    """Fit problem after problem: the samples X[starts[b] :][:sizes[b]], their weights.

    Initial centers (n_problems, n_clusters, n_features) are given or chosen by `method`
    from uniforms[b], and become the final ones. Labels are written at label_starts[b],
    shifts[b] and n_changed[b] as `iterate` says. stops[b] is LEFT where the caller must
    see to the problem.
    """
    n_features = X.shape[1]
    first, last = chunk_bounds(chunk, n_chunks, sizes.size)
    chosen = empty(centers.shape[1], np.int64)
    columns = empty((n_features, 0), np.float64)
    own_weights = empty(0, np.float64)
    start, variance = -1, 0.0
    for b in range(first, last):
        n_samples = sizes[b]
        if starts[b] != start or columns.shape[1] != n_samples:
            start = starts[b]
            columns = empty((n_features, n_samples), np.float64)
            load_block(X, start, n_samples, columns)
            own_weights = empty(n_samples, np.float64)
            fill(own_weights, 1.0)
            for i in range(lesser(weights.size, n_samples)):
                own_weights[i] = weights[start + i]
            if tol > 0:
                variance = mean_variance(columns, own_weights)
        stops[b] = LEFT
        if math.isnan(variance):
            continue
        if method != GIVEN:
            if method == PLUSPLUS:
                served = choose_plusplus(columns, own_weights, uniforms[b], chosen)
            else:
                served = choose_farthest(columns, own_weights, uniforms[b], chosen)
            if not served:
                continue
            for j in range(chosen.size):
                for f in range(n_features):
                    centers[b, j, f] = columns[f, chosen[j]]
        at = label_starts[b]
        stops[b], n_iters[b], inertias[b] = iterate(
            columns, own_weights, centers[b], is_single, tol * variance, max_iter,
            labels[at : at + n_samples], shifts[b], n_changed[b],
        )  # fmt: skip
