"""Exact sums of clusters, kept up to date by differences.

The sums are error-free (`fastkm.exactsum`), so taking a sample out of one cluster and
adding it to another gives the same bits as adding all samples anew.
"""

import numpy as np

from fastkm.kernels._jit import inlined, rolled
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty
from fastkm.kernels.exact import (
    HIGH,
    LOW,
    SLACK,
    add_cell,
    chunk_bounds,
    distance,
    two_sum,
)
from fastkm.kernels.select import greater, lesser
from fastkm.kernels.simd_rows import (
    AHEAD,
    ROWS,
    TERMS,
    add_terms,
    label_distances,
    prefetch_lines,
)

# Places for changed samples, and samples that are compared in one go: few of these hold
# a change, once a fit settles down (500,000 labels: 0.13 ms where 0.45 are needed to
# look at each).
CHANGED_BLOCK, COMPARED = 512, 64
# Features from which on rows are not asked for ahead: the machine finds them itself.
LONG = 512


@inlined
def add_sample(X, i, weight, totals, part, j, first, last):
    """Add columns first .. last of (weight * sample i, weight) to sums of cluster j."""
    n_features = X.shape[1]
    plane = totals.shape[2] * totals.shape[3]
    start = 3 * part * plane + j * totals.shape[3]
    whole = first + greater(lesser(last, n_features) - first, 0) // TERMS * TERMS
    for f in range(first, whole, TERMS):
        add_terms(X, i, f, weight, totals, start + f, plane)
    for f in range(whole, last):
        term = weight * X[i, f] if f < n_features else weight
        add_cell(totals, part, j, f, term)


@inlined
def column_bounds(chunk, n_chunks, n_columns):
    """Columns of a chunk: whole cache lines of float64."""
    first, last = chunk_bounds(chunk, n_chunks, (n_columns + 7) // 8)
    return 8 * first, lesser(8 * last, n_columns)


@inlined
def sample_at(samples, place):
    """Sample at a place of a list, or of all."""
    return samples[place] if samples.size else place


@parallel
def update(chunk, n_chunks, X, weights, samples, before, after, totals, touched):
    """Bring totals (n_parts, 3, n_clusters, n_features + 1) from labels to labels.

    With as many parts as chunks, each chunk adds its share of the samples to a part of
    its own; with one part, its share of the columns, of all samples.

    `after` has the labels of all samples, `before` those of `samples`, if there are any
    listed, else of all; -1 is a sample that is in no sum yet. Clusters whose sums
    change are marked in `touched`. Returns the number of samples of the chunk whose
    label changed. These are listed first, block by block, to be fetched ahead.
    """
    first, last, part = 0, before.size, 0
    first_column, last_column = 0, X.shape[1] + 1
    if totals.shape[0] == n_chunks:
        first, last = chunk_bounds(chunk, n_chunks, before.size)
        part = chunk
    else:
        first_column, last_column = column_bounds(chunk, n_chunks, last_column)
    changed = empty(CHANGED_BLOCK, np.int64)
    ahead = greater(2, AHEAD * 8 // X.shape[1])
    n_changed = 0
    start = first
    while start < last:
        n_listed = 0
        while start < last and n_listed <= CHANGED_BLOCK - COMPARED:
            stop = lesser(start + COMPARED, last)
            different = samples.size
            if not samples.size:
                old, new = before[start:stop], after[start:stop]
                for i in range(old.size):  # vector instructions, as there is no exit
                    different |= old[i] ^ new[i]
            if different != 0:
                for place in range(start, stop):
                    changed[n_listed] = place
                    n_listed += before[place] != after[sample_at(samples, place)]
            start = stop
        for at in range(lesser(n_listed, ahead)):
            prefetch_lines(X, sample_at(samples, changed[at]))
        for at in range(n_listed):
            coming = changed[lesser(at + ahead, n_listed - 1)]
            prefetch_lines(X, sample_at(samples, coming))
            i = sample_at(samples, changed[at])
            weight = weights[i if weights.size > 1 else 0]
            j, source = after[i], before[changed[at]]
            add_sample(X, i, weight, totals, part, j, first_column, last_column)
            # Written once: threads share its cache line.
            if not touched[j]:
                touched[j] = True
            if source >= 0:
                add_sample(
                    X, i, -weight, totals, part, source, first_column, last_column
                )
                if not touched[source]:
                    touched[source] = True
        n_changed += n_listed
    return n_changed


@parallel
@rolled
def join(chunk, n_chunks, totals, joined):
    """Add up the parts of totals (n_parts, 3, ...), into joined (3, n_clusters, ...).

    Rows of the totals beyond n_clusters are not read.
    """
    n_parts = totals.shape[0]
    _, n_clusters, n_columns = joined.shape
    first, last = chunk_bounds(chunk, n_chunks, n_clusters)
    for j in range(first, last):
        for f in range(n_columns):
            high, low, slack = 0.0, 0.0, 0.0
            for part in range(n_parts):
                high, error = two_sum(high, totals[part, HIGH, j, f])
                low, lost = two_sum(low, totals[part, LOW, j, f])
                low, more = two_sum(low, error)
                slack += totals[part, SLACK, j, f] + abs(lost) + abs(more)
            joined[HIGH, j, f] = high
            joined[LOW, j, f] = low
            joined[SLACK, j, f] = slack


@parallel
def own_distances(chunk, n_chunks, X, centers, labels, distances):
    """Squared distance of every sample to the center of its label."""
    start, stop = chunk_bounds(chunk, n_chunks, X.shape[0])
    for i in range(start, stop - ROWS + 1, ROWS):
        if X.shape[1] < LONG:
            for ahead in range(i + 2 * ROWS, lesser(i + 3 * ROWS, stop)):
                prefetch_lines(X, ahead)
        label_distances(X, i, centers, labels, distances)
    for i in range(stop - (stop - start) % ROWS, stop):
        distances[i] = distance(X, i, centers, np.int64(labels[i]))
