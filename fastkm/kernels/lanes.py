"""Distances in lanes over samples: same bits as `reference.squared_distances`.

A block of samples is transposed into float64 columns, so that the loops over its
samples become vector instructions while every sample's features are still added in
ascending order.
"""

import numpy as np

from fastkm.kernels._jit import inlined
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty
from fastkm.kernels.exact import chunk_bounds
from fastkm.kernels.select import lesser


@inlined
def load_block(X, first, width, columns):
    """Transpose samples first .. first + width into columns (n_features, lanes)."""
    for lane in range(width):
        for f in range(X.shape[1]):
            columns[f, lane] = X[first + lane, f]


@inlined
def block_distances(columns, first, width, center, distances):
    """Distances of samples first .. first + width of the columns to one center."""
    for lane in range(width):
        difference = columns[0, first + lane] - center[0]
        distances[lane] = difference * difference
    for f in range(1, columns.shape[0]):
        coordinate = center[f]
        for lane in range(width):
            difference = columns[f, first + lane] - coordinate
            distances[lane] += difference * difference


@parallel
def distance_table(chunk, n_chunks, X, centers, lanes, table):
    """All distances, into table (n_samples, n_clusters)."""
    n_samples, n_features = X.shape
    start, stop = chunk_bounds(chunk, n_chunks, n_samples)
    columns = empty((n_features, lanes), np.float64)
    distances = empty(lanes, np.float64)
    for first in range(start, stop, lanes):
        width = lesser(lanes, stop - first)
        load_block(X, first, width, columns)
        for j in range(centers.shape[0]):
            block_distances(columns, 0, width, centers[j], distances)
            for lane in range(width):
                table[first + lane, j] = distances[lane]
