"""What replacing a center by a sample would change: same bits as `reference.swap`."""

import math

import numpy as np

from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty
from fastkm.kernels.exact import add_term, chunk_bounds
from fastkm.kernels.lanes import block_distances
from fastkm.kernels.select import lesser


@parallel
def nearest_two(
    chunk, n_chunks, X, queue, centers, lanes, labels, others, nearest, second
):
    """Labels and distances of the nearest and the second nearest center.

    Of the samples in the queue. With a single center, the second is at infinity.
    """
    first, last = chunk_bounds(chunk, n_chunks, queue.size)
    n_features = X.shape[1]
    columns = empty((n_features, lanes), np.float64)
    distances = empty(lanes, np.float64)
    least, next_ = empty(lanes, np.float64), empty(lanes, np.float64)
    index, runner = empty(lanes, np.int64), empty(lanes, np.int64)
    for start in range(first, last, lanes):
        width = lesser(lanes, last - start)
        for lane in range(width):
            for f in range(n_features):
                columns[f, lane] = X[queue[start + lane], f]
            least[lane] = next_[lane] = math.inf
            index[lane] = runner[lane] = 0
        for j in range(centers.shape[0]):
            block_distances(columns, 0, width, centers[j], distances)
            for lane in range(width):
                value = distances[lane]
                if value < least[lane]:
                    next_[lane], runner[lane] = least[lane], index[lane]
                    least[lane], index[lane] = value, j
                elif value < next_[lane]:
                    next_[lane], runner[lane] = value, j
        for lane in range(width):
            i = queue[start + lane]
            labels[i], others[i] = index[lane], runner[lane]
            nearest[i], second[i] = least[lane], next_[lane]


@parallel
def costs(chunk, n_chunks, weights, labels, nearest, second, distances, totals):
    """Exact sums, totals (n_chunks, n_clusters + 1, 3), for a candidate's distances.

    In the last row the inertia with the candidate as one more center; in row j what it
    grows by where center j is taken away.
    """
    first, last = chunk_bounds(chunk, n_chunks, labels.size)
    n_clusters = totals.shape[1] - 1
    for i in range(first, last):
        weight = weights[i if weights.size > 1 else 0]
        kept = lesser(nearest[i], distances[i])
        add_term(totals[chunk, n_clusters], weight * kept)
        if distances[i] > nearest[i]:
            add_term(totals[chunk, labels[i]], weight * lesser(second[i], distances[i]))
            add_term(totals[chunk, labels[i]], -weight * kept)
