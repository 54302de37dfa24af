"""Distances in lanes over samples: same bits as `reference.squared_distances`.

A block of samples is transposed into float64 columns, so that the loops over its
samples become vector instructions while every sample's features are still added in
ascending order. No samples x clusters array: each center's distances live in one
buffer of the length of a block.
"""

import numpy as np

from fastkm.kernels._jit import parallel, prange, serial
from fastkm.kernels.exact import HIGH, LOW, SLACK, add_term, chunk_bounds, two_sum


@serial
def load_block(X, first, width, columns):
    """Transpose samples first .. first + width into columns (n_features, lanes)."""
    for lane in range(width):
        for f in range(X.shape[1]):
            columns[f, lane] = X[first + lane, f]


@serial
def block_distances(columns, width, center, distances):
    """Distances of a block to one center."""
    for lane in range(width):
        difference = columns[0, lane] - center[0]
        distances[lane] = difference * difference
    for f in range(1, columns.shape[0]):
        coordinate = center[f]
        for lane in range(width):
            difference = columns[f, lane] - coordinate
            distances[lane] += difference * difference


@serial
def nearest_in_block(columns, width, centers, distances, nearest, labels):
    """Label and distance of the nearest center of a block's samples."""
    nearest[:width] = np.inf
    labels[:width] = 0
    for j in range(centers.shape[0]):
        block_distances(columns, width, centers[j], distances)
        for lane in range(width):
            closer = distances[lane] < nearest[lane]  # strict: ties keep the lower j
            nearest[lane] = distances[lane] if closer else nearest[lane]
            labels[lane] = j if closer else labels[lane]


@serial
def add_sample(X, i, sign_weight, high, low, slack):
    """Add weight * sample i, and its weight, to one cluster's row of exact sums."""
    n_features = X.shape[1]
    for f in range(n_features):
        high[f], error = two_sum(high[f], sign_weight * X[i, f])
        low[f], error = two_sum(low[f], error)
        slack[f] += abs(error)
    high[n_features], error = two_sum(high[n_features], sign_weight)
    low[n_features], error = two_sum(low[n_features], error)
    slack[n_features] += abs(error)


@serial
def relabel(X, weights, i, old, new, totals):
    """Move sample i from cluster `old` (none: -1) to `new` in the exact sums."""
    weight = weights[i if weights.size > 1 else 0]
    if old >= 0:
        add_sample(
            X, i, -weight, totals[HIGH, old], totals[LOW, old], totals[SLACK, old]
        )
    add_sample(X, i, weight, totals[HIGH, new], totals[LOW, new], totals[SLACK, new])


@parallel
def step(X, weights, centers, lanes, labels, totals, changed):
    """Assign all samples and bring the exact sums up to date.

    `labels` (n_samples,) holds the labels of the last step, or -1, and `totals`
    (n_chunks, 3, n_clusters, n_features + 1) the sums that belong to them. Only
    samples with a new label touch the sums: these are error-free, so a sum by
    differences has the same bits as one made anew.
    """
    n_samples, n_features = X.shape
    n_chunks = totals.shape[0]
    for chunk in prange(n_chunks):
        start, stop = chunk_bounds(chunk, n_chunks, n_samples)
        columns = np.empty((n_features, lanes))
        distances = np.empty(lanes)
        nearest = np.empty(lanes)
        found = np.empty(lanes, np.int64)
        n_changed = 0
        for first in range(start, stop, lanes):
            width = min(lanes, stop - first)
            load_block(X, first, width, columns)
            nearest_in_block(columns, width, centers, distances, nearest, found)
            for lane in range(width):
                i = first + lane
                if labels[i] != found[lane]:
                    relabel(X, weights, i, labels[i], found[lane], totals[chunk])
                    labels[i] = found[lane]
                    n_changed += 1
        changed[chunk] = n_changed


@parallel
def assign(X, centers, lanes, n_chunks, labels, nearest):
    """Same as `reference.assign`, into labels and nearest (n_samples,)."""
    n_samples, n_features = X.shape
    for chunk in prange(n_chunks):
        start, stop = chunk_bounds(chunk, n_chunks, n_samples)
        columns = np.empty((n_features, lanes))
        distances = np.empty(lanes)
        found = np.empty(lanes, np.int64)
        for first in range(start, stop, lanes):
            width = min(lanes, stop - first)
            load_block(X, first, width, columns)
            nearest_in_block(
                columns, width, centers, distances, nearest[first:stop], found
            )
            labels[first : first + width] = found[:width]


@parallel
def sum_clusters(X, weights, labels, totals):
    """Exact sums of the clusters, into zeroed totals (n_chunks, 3, ...)."""
    for chunk in prange(totals.shape[0]):
        start, stop = chunk_bounds(chunk, totals.shape[0], X.shape[0])
        for i in range(start, stop):
            relabel(X, weights, i, -1, labels[i], totals[chunk])


@parallel
def distance_table(X, centers, lanes, n_chunks, table):
    """All distances, into table (n_samples, n_clusters)."""
    n_samples, n_features = X.shape
    for chunk in prange(n_chunks):
        start, stop = chunk_bounds(chunk, n_chunks, n_samples)
        columns = np.empty((n_features, lanes))
        distances = np.empty(lanes)
        for first in range(start, stop, lanes):
            width = min(lanes, stop - first)
            load_block(X, first, width, columns)
            for j in range(centers.shape[0]):
                block_distances(columns, width, centers[j], distances)
                for lane in range(width):
                    table[first + lane, j] = distances[lane]


@parallel
def potentials(X, weights, nearest, candidates, lanes, totals):
    """Inertia that each candidate would leave, exact, per chunk.

    `nearest` (n_samples,) are the distances to the samples chosen so far, candidates
    (n_trials, n_features); into totals (n_chunks, n_trials, 3). The samples are read
    once for all candidates.
    """
    n_samples, n_features = X.shape
    n_chunks, n_trials, _ = totals.shape
    for chunk in prange(n_chunks):
        start, stop = chunk_bounds(chunk, n_chunks, n_samples)
        columns = np.empty((n_features, lanes))
        distances = np.empty(lanes)
        for first in range(start, stop, lanes):
            width = min(lanes, stop - first)
            load_block(X, first, width, columns)
            for t in range(n_trials):
                block_distances(columns, width, candidates[t], distances)
                for lane in range(width):
                    i = first + lane
                    left = min(nearest[i], distances[lane])
                    add_term(
                        totals[chunk, t], weights[i if weights.size > 1 else 0] * left
                    )


@parallel
def choose(X, weights, chosen, lanes, block_size, n_chunks, nearest, block_totals):
    """Bring `nearest` up to date with one more chosen sample.

    And the exact sums of weight * nearest over blocks of `block_size` samples, into
    block_totals (n_blocks, 3), from which `exact.draw` draws.
    """
    n_samples, n_features = X.shape
    for chunk in prange(n_chunks):
        start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
        columns = np.empty((n_features, lanes))
        distances = np.empty(lanes)
        for block in range(start, stop):
            total = np.zeros(3)
            end = min((block + 1) * block_size, n_samples)
            for first in range(block * block_size, end, lanes):
                width = min(lanes, end - first)
                load_block(X, first, width, columns)
                block_distances(columns, width, chosen, distances)
                for lane in range(width):
                    i = first + lane
                    nearest[i] = min(nearest[i], distances[lane])
                    weight = weights[i if weights.size > 1 else 0]
                    add_term(total, weight * nearest[i])
            block_totals[block] = total
