"""Distances in lanes over samples: same bits as `reference.squared_distances`.

A block of samples is transposed into float64 columns, so that the loops over its
samples become vector instructions while every sample's features are still added in
ascending order.
"""

import numpy as np

from fastkm.kernels._jit import inlined, parallel
from fastkm.kernels.exact import add_term, chunk_bounds


@inlined
def load_block(X, first, width, columns):
    """Transpose samples first .. first + width into columns (n_features, lanes)."""
    for lane in range(width):
        for f in range(X.shape[1]):
            columns[f, lane] = X[first + lane, f]


@inlined
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


@parallel
def distance_table(chunk, n_chunks, X, centers, lanes, table):
    """All distances, into table (n_samples, n_clusters)."""
    n_samples, n_features = X.shape
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
def potentials(chunk, n_chunks, X, weights, nearest, candidates, lanes, totals):
    """Inertia that each candidate would leave, as exact sums of the chunk.

    `nearest` (n_samples,) are the distances to the samples chosen so far, candidates
    (n_trials, n_features); into zeroed totals (n_chunks, n_trials, 3). The samples are
    read once for all candidates.
    """
    n_samples, n_features = X.shape
    start, stop = chunk_bounds(chunk, n_chunks, n_samples)
    columns = np.empty((n_features, lanes))
    distances = np.empty(lanes)
    for first in range(start, stop, lanes):
        width = min(lanes, stop - first)
        load_block(X, first, width, columns)
        for t in range(candidates.shape[0]):
            block_distances(columns, width, candidates[t], distances)
            for lane in range(width):
                i = first + lane
                left = min(nearest[i], distances[lane])
                weight = weights[i if weights.size > 1 else 0]
                add_term(totals[chunk, t], weight * left)


@parallel
def choose(
    chunk, n_chunks, X, weights, chosen, lanes, block_size, nearest, block_totals
):
    """Bring `nearest` up to date with one more chosen sample.

    And the exact sums of weight * nearest over blocks of `block_size` samples, into
    block_totals (n_blocks, 3), from which `exact.draw` draws.
    """
    n_samples, n_features = X.shape
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
        for part in range(3):
            block_totals[block, part] = total[part]
