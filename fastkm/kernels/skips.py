"""Which samples may have changed their label (`engines.skips`)."""

import math

import numpy as np

from fastkm.kernels._jit import parallel
from fastkm.kernels.exact import chunk_bounds


@parallel
def list_open(chunk, n_chunks, before, keys, room, keep, labels, queue):
    """Copy the labels; list the samples that are not skipped.

    A sample with label a is skipped when room[a] is below its key. Each chunk lists
    from its first sample's place on, and returns the number; with `keep`, the keys of
    listed samples are void.
    """
    first, last = chunk_bounds(chunk, n_chunks, before.size)
    n_open = 0
    for i in range(first, last):
        label = np.uint32(before[i])  # unsigned: no test for an index from the end
        labels[i] = label
        if not room[label] < keys[i]:
            queue[first + n_open] = i
            n_open += 1
    if keep:
        for at in range(first, first + n_open):
            keys[queue[at]] = -math.inf
    return n_open
