"""Exact sums of clusters, kept up to date by differences.

The sums are error-free (`fastkm.exactsum`), so taking a sample out of one cluster and
adding it to another gives the same bits as adding all samples anew.
"""

import numpy as np

from fastkm.kernels._jit import parallel, serial
from fastkm.kernels.exact import HIGH, LOW, SLACK, chunk_bounds, two_sum


@serial
def add_sample(X, i, weight, total):
    """Add weight * sample i, and the weight, to total[HIGH, LOW, SLACK]."""
    high, low, slack = total[HIGH], total[LOW], total[SLACK]
    n_features = X.shape[1]
    for f in range(n_features):
        high[f], error = two_sum(high[f], weight * X[i, f])
        low[f], error = two_sum(low[f], error)
        slack[f] += abs(error)
    high[n_features], error = two_sum(high[n_features], weight)
    low[n_features], error = two_sum(low[n_features], error)
    slack[n_features] += abs(error)


@parallel
def update(chunk, n_chunks, X, weights, before, after, totals):
    """Bring totals (n_chunks, 3, n_clusters, n_features + 1) from labels to labels.

    A label before of -1 is a sample that is in no sum yet. Returns the number of
    samples whose label changed.
    """
    first, last = chunk_bounds(chunk, n_chunks, X.shape[0])
    n_changed = 0
    for i in range(first, last):
        old, new = before[i], after[i]
        if old != new:
            n_changed += 1
            weight = weights[i if weights.size > 1 else 0]
            add_sample(X, i, weight, totals[chunk, :, new])
            if old >= 0:
                add_sample(X, i, -weight, totals[chunk, :, old])
    return n_changed


@parallel
def join(chunk, n_chunks, totals, joined):
    """Exact sums over the first axis of totals (n_parts, 3, n_clusters, n_columns)."""
    n_parts, _, n_clusters, n_columns = totals.shape
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
    """Squared distance of every sample to the center of its label.

    Four samples at a time: each feature waits for the addition of the one before, and
    four such chains keep the adder busy.
    """
    start, stop = chunk_bounds(chunk, n_chunks, X.shape[0])
    for first in range(start, stop, 4):
        a, last = first, stop - 1
        b, c, d = min(a + 1, last), min(a + 2, last), min(a + 3, last)
        ja, jb, jc, jd = labels[a], labels[b], labels[c], labels[d]
        sum_a = sum_b = sum_c = sum_d = 0.0
        for f in range(X.shape[1]):
            step_a = np.float64(X[a, f]) - centers[ja, f]
            step_b = np.float64(X[b, f]) - centers[jb, f]
            step_c = np.float64(X[c, f]) - centers[jc, f]
            step_d = np.float64(X[d, f]) - centers[jd, f]
            sum_a += step_a * step_a
            sum_b += step_b * step_b
            sum_c += step_c * step_c
            sum_d += step_d * step_d
        distances[a], distances[b] = sum_a, sum_b
        distances[c], distances[d] = sum_c, sum_d
