"""Which samples may have changed their label (`engines.skips`)."""

import math

import numpy as np

from fastkm.kernels._threads import parallel
from fastkm.kernels.exact import chunk_bounds


@parallel
def list_open(chunk, n_chunks, before, keys, room, keep, labels, queue):
    """Copy the labels; list the samples that are not skipped.

    A sample with label a is skipped when room[a] is below its key. Each chunk lists
    from its first sample's place on, and returns the number; with `keep`, the keys of
    listed samples are void.
    """
    first, last = chunk_bounds(chunk, n_chunks, before.size)
    # No branch, and unsigned indices, which need no test for one from the end: 130 us
    # where 480 were needed for 100,000 samples of which a third is open.
    end = np.uint64(first)
    for i in range(first, last):
        label = np.uint32(before[i])
        labels[i] = label
        queue[end] = i
        end += np.uint64(not room[label] < keys[i])
    n_open = np.int64(end) - first
    if keep:
        for at in range(first, first + n_open):
            keys[queue[at]] = -math.inf
    return n_open
