"""The few nearest centers of every sample."""

import numpy as np

from fastkm.kernels._threads import parallel
from fastkm.kernels.exact import chunk_bounds


@parallel
def nearest(chunk, n_chunks, X, centers, labels, distances):
    """Nearest centers, in order: same bits as `reference.nearest_centers`.

    `labels` and `distances` (n_samples, n_nearest) are written; the latter come in as
    infinity. A center is given up once its sum of squares reaches the last distance of
    the list: a sum of non-negative terms never falls, by rounding either. On equal
    distances the one that was found first, so has the lower index, stays in front.
    """
    start, stop = chunk_bounds(chunk, n_chunks, X.shape[0])
    last = distances.shape[1] - 1
    for i in range(start, stop):
        for j in range(centers.shape[0]):
            total, limit = 0.0, distances[i, last]
            for f in range(X.shape[1]):
                difference = np.float64(X[i, f]) - centers[j, f]
                total += difference * difference
                if total >= limit:
                    break
            if total < limit:
                place = last
                while place > 0 and distances[i, place - 1] > total:
                    distances[i, place] = distances[i, place - 1]
                    labels[i, place] = labels[i, place - 1]
                    place -= 1
                distances[i, place], labels[i, place] = total, j
