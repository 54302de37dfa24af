"""Distances of samples to whole clusters, for silhouettes."""

import math

import numpy as np

from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty
from fastkm.kernels.exact import chunk_bounds
from fastkm.kernels.lanes import block_distances, load_block
from fastkm.kernels.select import lesser


@parallel
def own_and_nearest(chunk, n_chunks, X, labels, others, starts, lanes, own, nearest):
    """Sum of distances to the own cluster, least mean distance to another.

    Cluster c is others[starts[c] : starts[c + 1]]; distances are not squared. Each
    sample adds them in the order of `others`, so chunks do not change a bit.
    """
    start, stop = chunk_bounds(chunk, n_chunks, X.shape[0])
    columns = empty((X.shape[1], lanes), np.float64)
    distances = empty(lanes, np.float64)
    totals = empty(lanes, np.float64)
    for first in range(start, stop, lanes):
        width = lesser(lanes, stop - first)
        load_block(X, first, width, columns)
        for lane in range(width):
            nearest[first + lane] = math.inf
        for cluster in range(starts.size - 1):
            for lane in range(lanes):
                totals[lane] = 0.0
            for j in range(starts[cluster], starts[cluster + 1]):
                block_distances(columns, 0, width, others[j], distances)
                for lane in range(width):
                    totals[lane] += math.sqrt(distances[lane])
            size = starts[cluster + 1] - starts[cluster]
            for lane in range(width):
                if labels[first + lane] == cluster:
                    own[first + lane] = totals[lane]
                else:
                    mean = totals[lane] / size
                    nearest[first + lane] = lesser(nearest[first + lane], mean)
