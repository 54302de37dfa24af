"""Few features and clusters: a block of samples is read once, and all is done with it.

Same bits as `reference`: distances are D, sums are exact. A block is transposed into
float64 columns that stay in the L1 cache, and every loop over its samples becomes
vector instructions.

The exact sum of a block's terms is one of integers. Let 2^(p-1) be above all terms and
M = 1.5 * 2^p. Then M + term lies in [2^p, 2^(p+1)], so it is rounded to a multiple of
u = 2^(p-52) whose bits, as an integer, are those of M and the multiple. What is lost is
M + term's rounding error, at most u / 2 and a float64 (Dekker, A floating-point
technique for extending the available precision, 1971, section 4); it is cut once more
by 2^-52 M, and a term of 53 bits that is above 2^-50 of the largest has then nothing
left. Integers of 51 bits may be added 2^12 times, in any order. Where a term has
something left, or numbers this large or small would overflow, terms are added one by
one. (Two cuts and an addition of integers take 1.1 ns a term, `exact.add_cell` 2.6.)
"""

import math
from typing import Any

import numpy as np
from numba import extending, types

from fastkm.kernels._jit import inlined, nested
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty
from fastkm.kernels.exact import add_cell, chunk_bounds
from fastkm.kernels.lanes import block_distances
from fastkm.kernels.select import greater, lesser

BLOCK = 1024  # samples; at most 2^12, see above
# Powers of two of the largest term between which u and its square are float64.
LEAST, MOST = -900, 1000
BITS = np.int64(2**63 - 1)  # all but the sign


intrinsic: Any = extending.intrinsic  # kernels are not typed


@intrinsic
def bits_of(typingctx, value):
    """Bits of a float64, as an integer."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


@inlined
def load_columns(X, first, width, columns):
    """Transpose samples first .. first + width, column by column."""
    for f in range(X.shape[1]):
        for lane in range(width):
            columns[f, lane] = X[first + lane, f]


@inlined
def are_weighted(weights):
    """Whether there are weights: one number may be that of the only sample."""
    return weights.size > 1 or weights[0] != 1


@inlined
def closer(square, j, nearest, index):
    """Take the lesser distance, and its index; the first among equals."""
    is_closer = square < nearest
    return (square if is_closer else nearest), (j if is_closer else index)


@nested
def find_nearest(columns, width, centers, squares, nearest, index):
    """Distance and index of the nearest center of every sample of a block.

    Three centers at a time (1.8 ns a sample for 6 in the plane, against 9 one by one,
    which LLVM does not make vectors of). Those that are missing at the end are copies
    of the last, which no sample is strictly closer to.
    """
    last = centers.shape[0] - 1
    a, b, c = squares[0], squares[1], squares[2]
    for lane in range(width):
        nearest[lane] = math.inf
        index[lane] = 0
    for j in range(0, last + 1, 3):
        k, m = lesser(j + 1, last), lesser(j + 2, last)
        if columns.shape[0] == 2:
            distances_in_plane(columns, width, centers, j, k, m, nearest, index)
            continue
        for lane in range(width):
            a[lane] = b[lane] = c[lane] = 0.0
        for f in range(columns.shape[0]):
            column = columns[f]
            j_f, k_f, m_f = centers[j, f], centers[k, f], centers[m, f]
            for lane in range(width):
                x = column[lane]
                a[lane] += (x - j_f) * (x - j_f)
                b[lane] += (x - k_f) * (x - k_f)
                c[lane] += (x - m_f) * (x - m_f)
        for lane in range(width):
            least, i = closer(a[lane], j, nearest[lane], index[lane])
            least, i = closer(b[lane], k, least, i)
            nearest[lane], index[lane] = closer(c[lane], m, least, i)


@inlined
def distances_in_plane(columns, width, centers, j, k, m, nearest, index):
    """The same for three centers and two features, without a store in between."""
    xs, ys = columns[0], columns[1]
    j_x, k_x, m_x = centers[j, 0], centers[k, 0], centers[m, 0]
    j_y, k_y, m_y = centers[j, 1], centers[k, 1], centers[m, 1]
    for lane in range(width):
        x, y = xs[lane], ys[lane]
        a = (x - j_x) * (x - j_x) + (y - j_y) * (y - j_y)
        b = (x - k_x) * (x - k_x) + (y - k_y) * (y - k_y)
        c = (x - m_x) * (x - m_x) + (y - m_y) * (y - m_y)
        least, i = closer(a, j, nearest[lane], index[lane])
        least, i = closer(b, k, least, i)
        nearest[lane], index[lane] = closer(c, m, least, i)


@nested
def cut(terms, width, whole, rest):
    """Cut terms into the bits of M + multiple of u, and those of the rest (see above).

    Returns p, or 0 where terms must be added one by one.
    """
    largest: Any = np.int64(0)
    for lane in range(width):
        largest = greater(largest, bits_of(terms[lane]) & BITS)
    p = (largest >> 52) - 1023 + 2
    if not LEAST < p < MOST:
        return 0
    m = math.ldexp(1.5, p)
    m2 = math.ldexp(1.5, p - 52)
    n_left = 0
    for lane in range(width):
        a = terms[lane] + m
        left = terms[lane] - (a - m)
        b = left + m2
        n_left += left != b - m2
        whole[lane] = a
        rest[lane] = b
    return p if n_left == 0 else 0


@inlined
def add_integer(totals, part, j, f, number, unit):
    """Add number * unit, a power of two, in two terms that are float64."""
    high = number >> 32
    add_cell(totals, part, j, f, high * 2.0**32 * unit)
    add_cell(totals, part, j, f, (number - (high << 32)) * unit)


@inlined
def add_numbers(whole, rest, count, p, totals, part, j, f):
    """Add two sums of the bits that `cut` leaves, of so many terms.

    Modulo 2^64: the sums of the multiples are small, those of the bits are not.
    """
    bits = (np.int64(p + 1023) << 52) | (np.int64(1) << 51)  # of M
    unit = math.ldexp(1.0, p - 52)
    add_integer(totals, part, j, f, whole - count * bits, unit)
    bits -= np.int64(52) << 52
    add_integer(totals, part, j, f, rest - count * bits, unit * 2.0**-52)


@nested
def add_terms(terms, width, index, counts, whole, rest, numbers, totals, part, f):
    """Add terms of a block to sums [part, :, index, f]."""
    p = cut(terms, width, whole, rest)
    if p == 0:
        for lane in range(width):
            add_cell(totals, part, index[lane], f, terms[lane])
        return
    for j in range(counts.size):
        numbers[0, j] = numbers[1, j] = 0
    for lane in range(width):
        label = np.uint64(index[lane])  # unsigned: no test for an index from the end
        numbers[0, label] += bits_of(whole[lane])
        numbers[1, label] += bits_of(rest[lane])
    for j in range(counts.size):
        add_numbers(numbers[0, j], numbers[1, j], counts[j], p, totals, part, j, f)


@nested
def add_total(terms, width, whole, rest, totals, part, j):
    """Add terms of a block to one sum [part, :, j, 0]."""
    p = cut(terms, width, whole, rest)
    if p == 0:
        for lane in range(width):
            add_cell(totals, part, j, 0, terms[lane])
        return
    some, more = np.int64(0), np.int64(0)
    for lane in range(width):
        some += bits_of(whole[lane])
        more += bits_of(rest[lane])
    add_numbers(some, more, np.int64(width), p, totals, part, j, 0)


@inlined
def add_block(
    weights, first, width, columns, index, values, counts, whole, rest, numbers,
    totals, part,
):  # fmt: skip
    """Add a block of samples, whose columns are spoilt, to the sums of their labels."""
    n_features = columns.shape[0]
    counts[:] = 0
    for lane in range(width):
        counts[np.uint64(index[lane])] += 1
    if are_weighted(weights):
        for lane in range(width):
            values[lane] = weights[first + lane]
        for f in range(n_features):
            for lane in range(width):
                columns[f, lane] *= values[lane]
        add_terms(
            values, width, index, counts, whole, rest, numbers, totals, part, n_features
        )
    else:
        for j in range(counts.size):
            add_cell(totals, part, j, n_features, np.float64(counts[j]))
    for f in range(n_features):
        add_terms(
            columns[f], width, index, counts, whole, rest, numbers, totals, part, f
        )


@inlined
def move_changed(weights, first, width, columns, index, labels, totals, part, touched):
    """Bring sums and labels up to date where the latter change; returns how many."""
    n_features = columns.shape[0]
    n_changed = 0
    for lane in range(width):
        label, before = index[lane], np.int64(labels[first + lane])
        if label == before:
            continue
        n_changed += 1
        weight = weights[first + lane if weights.size > 1 else 0]
        for f in range(n_features + 1):
            term = weight * columns[f, lane] if f < n_features else weight
            add_cell(totals, part, label, f, term)
            add_cell(totals, part, before, f, -term)
        touched[label] = touched[before] = True
        labels[first + lane] = label
    return n_changed


@parallel
def step(chunk, n_chunks, X, weights, centers, labels, totals, touched):
    """A Lloyd step: bring totals (n_parts, 3, n_clusters, n_features + 1) up to date.

    Each chunk adds its share of the samples to a part of its own. With labels of the
    step before, only those that change; with none, or labels of -1, all. Labels are
    written where there are some, and clusters marked whose sums change. Returns how
    many labels changed.
    """
    n_samples, n_features = X.shape
    n_clusters = centers.shape[0]
    start, stop = chunk_bounds(chunk, n_chunks, n_samples)
    columns, squares = (
        empty((n_features, BLOCK), np.float64),
        empty((3, BLOCK), np.float64),
    )
    nearest, whole, rest = (
        empty(BLOCK, np.float64),
        empty(BLOCK, np.float64),
        empty(BLOCK, np.float64),
    )
    index = empty(BLOCK, np.int64)
    counts = empty(n_clusters, np.int64)
    numbers = empty((2, n_clusters), np.int64)
    n_changed = 0
    for first in range(start, stop, BLOCK):
        width = lesser(BLOCK, stop - first)
        load_columns(X, first, width, columns)
        find_nearest(columns, width, centers, squares, nearest, index)
        if labels.size > 0 and labels[first] >= 0:
            n_changed += move_changed(
                weights, first, width, columns, index, labels, totals, chunk, touched
            )
            continue
        add_block(
            weights, first, width, columns, index, nearest, counts, whole, rest,
            numbers, totals, chunk,
        )  # fmt: skip
        n_changed += width
        for j in range(n_clusters):
            if counts[j] > 0:  # never a write of False: others may have written True
                touched[j] = True
        for lane in range(lesser(width, labels.size)):
            labels[first + lane] = index[lane]
    return n_changed


@parallel
def assign(chunk, n_chunks, X, centers, labels, distances):
    """Write the labels of all samples, and the distances to these centers."""
    n_samples, n_features = X.shape
    start, stop = chunk_bounds(chunk, n_chunks, n_samples)
    columns, squares = (
        empty((n_features, BLOCK), np.float64),
        empty((3, BLOCK), np.float64),
    )
    nearest, index = empty(BLOCK, np.float64), empty(BLOCK, np.int64)
    for first in range(start, stop, BLOCK):
        width = lesser(BLOCK, stop - first)
        load_columns(X, first, width, columns)
        find_nearest(columns, width, centers, squares, nearest, index)
        for lane in range(width):
            labels[first + lane] = index[lane]
            distances[first + lane] = nearest[lane]


@inlined
def approach_block(columns, width, center, nearest, least):
    """Take the lesser of `nearest` and the distance to a center, sample by sample."""
    block_distances(columns, 0, width, center, least)
    for lane in range(width):
        least[lane] = lesser(least[lane], nearest[lane])


@parallel
def approach(chunk, n_chunks, X, centers, block, nearest):
    """Bring distances to the nearest center up to date with a few more centers."""
    n_samples, n_features = X.shape
    start, stop = chunk_bounds(chunk, n_chunks, n_samples)
    columns, least = empty((n_features, block), np.float64), empty(block, np.float64)
    for first in range(start, stop, block):
        width = lesser(block, stop - first)
        load_columns(X, first, width, columns)
        own = nearest[first : first + width]
        for j in range(centers.shape[0]):
            approach_block(columns, width, centers[j], own, least)
            own[:] = least[:width]


@parallel
def potentials(chunk, n_chunks, X, weights, nearest, candidates, block, totals):
    """Add to totals (n_chunks, 3, n_candidates, 1) what each candidate would leave.

    That is the sum of weight * the lesser of `nearest` and the distance to it.
    """
    n_samples, n_features = X.shape
    start, stop = chunk_bounds(chunk, n_chunks, n_samples)
    columns, terms = empty((n_features, block), np.float64), empty(block, np.float64)
    whole, rest = empty(block, np.float64), empty(block, np.float64)
    for first in range(start, stop, block):
        width = lesser(block, stop - first)
        load_columns(X, first, width, columns)
        own = nearest[first : first + width]
        for t in range(candidates.shape[0]):
            approach_block(columns, width, candidates[t], own, terms)
            if are_weighted(weights):
                for lane in range(width):
                    terms[lane] *= weights[first + lane]
            add_total(terms, width, whole, rest, totals, chunk, t)
