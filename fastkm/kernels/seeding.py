"""Seeding: what candidates would improve, same bits as `reference.kmeans_plusplus`.

Few samples are nearer to a new candidate than to the samples chosen so far. Float32
scores rule out the others (`simd.sift` with the bounds of `engines.sketch`), exact
distances decide the rest, and one bit per sample and candidate keeps the outcome.
Exact sums are kept for blocks of samples: a block that a candidate leaves as it is
costs one addition.
"""

import math

import numpy as np

from fastkm.kernels._jit import inlined, nested, parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import HIGH, LOW, SLACK, add_term, chunk_bounds, rounded_up
from fastkm.kernels.lanesums import WIDE, add_lanes, join_lanes
from fastkm.kernels.select import greater, lesser
from fastkm.kernels.simd import lowest_bit, sift
from fastkm.kernels.simd_rows import (
    AHEAD,
    ROWS,
    prefetch_row,
    row_distances,
)
from fastkm.kernels.tiles import LARGEST_REACH, load_block, take_rows
from fastkm.kernels.vectors import GROUP, LANES_32

BLOCK = 1024  # samples of a block: a multiple of every LANES_32 and of WIDE
TILES = BLOCK // LANES_32
FEW = BLOCK // 16  # improved samples up to which a block is not summed anew


@parallel
def pack_sketch(chunk, n_chunks, values, shift, squares, floor, stretch, packed):
    """Pack values - shift and a last feature, the norm, as [tile][feature][lane].

    The norm is floor + stretch * sqrt(square), rounded up. Lanes after the last sample
    hold anything.
    """
    n_samples, n_values = values.shape
    size = n_values * LANES_32
    width = size + LANES_32
    first, last = chunk_bounds(chunk, n_chunks, packed.size // width)
    block, rows = zeros(size, packed.dtype), empty(LANES_32, np.int64)
    ignored = empty(LANES_32, packed.dtype)
    no_queue = empty(0, np.int64)
    for tile in range(first, last):
        at = tile * LANES_32
        some = take_rows(no_queue, no_queue, at, n_samples, rows)
        load_block(values, some, shift, block, ignored)
        for n in range(size):
            packed[tile * width + n] = block[n]
        for r in range(some.size):
            norm = floor + stretch * math.sqrt(squares[at + r])
            packed[tile * width + size + r] = rounded_up(norm)


@inlined
def limit_of(nearest, square, n_features):
    """Score from which on a candidate cannot improve a sample (`engines.sketch`)."""
    if not greater(nearest, square) < LARGEST_REACH:
        return np.float32(math.inf)
    margin = (n_features + 8) * 2.0**-52 * (nearest + square)
    return rounded_up(0.5 * (nearest - square) + margin)


@inlined
def list_marked(X, masks, n_places, place, block, rows):
    """List the samples of a block whose bit is set for a place; returns how many."""
    n_rows = 0
    last = lesser((block + 1) * TILES, masks.size // n_places)
    for tile in range(block * TILES, last):
        word = np.uint64(masks[tile * n_places + place])
        while word != 0:
            i = tile * LANES_32 + lowest_bit(word)
            word &= word - np.uint64(1)
            if i < X.shape[0]:
                rows[n_rows] = i
                n_rows += 1
    return n_rows


@inlined
def listed_distances(X, rows, n_rows, centers, j, distances):
    """Distances of the listed samples to center j; the lists are filled up."""
    for n in range(n_rows, (n_rows + ROWS - 1) // ROWS * ROWS):
        rows[n] = rows[n_rows - 1]
    for n in range(lesser(n_rows, AHEAD)):
        prefetch_row(X, rows[n])
    for at in range(0, n_rows, ROWS):
        for n in range(at, at + ROWS):
            prefetch_row(X, rows[lesser(n + AHEAD, n_rows - 1)])
        row_distances(X, rows, at, centers, j, distances, at)


@inlined
def unmark_others(nearest, masks, n_places, place, rows, n_rows, distances):
    """Keep the listed samples that come nearer; clear the bits of the others."""
    n_kept = 0
    for n in range(n_rows):
        i = rows[n]
        if distances[n] < nearest[i]:
            rows[n_kept], distances[n_kept] = i, distances[n]
            n_kept += 1
        else:
            bit = np.uint64(1) << np.uint64(i % LANES_32)
            masks[i // LANES_32 * n_places + place] ^= bit
    return n_kept


@inlined
def sum_block(nearest, weights, block, rows, n_rows, distances, terms, lanes, total):
    """Exact sum of a block's weight * nearest, with the listed samples' distances."""
    first = block * BLOCK
    size = lesser(BLOCK, nearest.size - first)
    for r in range(size):
        terms[0, r] = weights[first + r if weights.size > 1 else 0] * nearest[first + r]
    for n in range(n_rows):
        i = rows[n]
        terms[0, i - first] = weights[i if weights.size > 1 else 0] * distances[n]
    add_lanes(terms, size, lanes)
    for part in range(3):
        total[part] = 0.0
    join_lanes(lanes, total)


@nested
def improve_block(
    nearest, weights, block, rows, n_rows, distances, block_totals, terms, lanes, total
):
    """Exact sum of a block in which the listed samples come nearer, into total.

    Where these are few, their terms are exchanged. Only where the block's sum has no
    slack: that would stay when the term that caused it has gone.
    """
    if n_rows > FEW or (n_rows > 0 and block_totals[block, SLACK] > 0):
        sum_block(nearest, weights, block, rows, n_rows, distances, terms, lanes, total)
        return
    for part in range(3):
        total[part] = block_totals[block, part]
    for n in range(n_rows):
        i = rows[n]
        weight = weights[i if weights.size > 1 else 0]
        add_term(total, -(weight * nearest[i]))
        add_term(total, weight * distances[n])


@parallel
def potentials(
    chunk, n_chunks, X, weights, nearest, limits, block_totals, sketch, candidates,
    packed, norms, masks, totals,
):  # fmt: skip
    """Inertia that each candidate would leave, as exact sums of the chunk.

    `nearest` (n_samples,) are the distances to the samples chosen so far, block_totals
    (n_blocks, 3) the exact sums of weight * nearest, candidates (n_trials, n_features)
    samples, packed and norms what `engines.sketch` makes of them. Into zeroed totals
    (n_chunks, n_trials, 3), and the samples that each candidate improves into masks,
    [tile][place]. Without a sketch, masks come in with the samples to look at.
    """
    n_places = norms.size
    width = packed.size // n_places
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    n_trials = candidates.shape[0]
    rows = empty((n_trials, BLOCK), np.int64)
    listed = empty(n_trials, np.int64)
    distances = empty(BLOCK, np.float64)
    terms = empty((1, BLOCK), np.float64)
    lanes = zeros((3, WIDE), np.float64)
    total = empty(3, np.float64)
    for block in range(start, stop):
        last = lesser((block + 1) * TILES, masks.size // n_places)
        for tile in range(block * TILES, last if sketch.size else 0):
            for place in range(0, n_places, GROUP):
                sift(
                    sketch, tile * width * LANES_32, packed, place * width, width,
                    norms, place, limits, tile * LANES_32, masks,
                    tile * n_places + place,
                )  # fmt: skip
        for t in range(n_trials):
            listed[t] = list_marked(X, masks, n_places, t, block, rows[t])
        for t in range(n_trials):
            some = rows[t]
            listed_distances(X, some, listed[t], candidates, t, distances)
            n_nearer = unmark_others(
                nearest, masks, n_places, t, some, listed[t], distances
            )
            improve_block(
                nearest, weights, block, some, n_nearer, distances, block_totals,
                terms, lanes, total,
            )  # fmt: skip
            add_term(totals[chunk, t], total[HIGH])
            add_term(totals[chunk, t], total[LOW])
            totals[chunk, t, SLACK] += total[SLACK]


@parallel
def sum_blocks(chunk, n_chunks, nearest, weights, block_totals):
    """Exact sums of weight * nearest, block by block, into block_totals (.., 3)."""
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    no_rows, no_distances = empty(0, np.int64), empty(0, np.float64)
    terms = empty((1, BLOCK), np.float64)
    lanes = zeros((3, WIDE), np.float64)
    for block in range(start, stop):
        sum_block(
            nearest, weights, block, no_rows, 0, no_distances, terms, lanes,
            block_totals[block],
        )  # fmt: skip


@parallel
def choose(
    chunk, n_chunks, X, weights, candidates, t, n_places, masks, squares, nearest,
    limits, block_totals,
):  # fmt: skip
    """Bring what is kept about the samples up to date with one more chosen sample.

    It is row t of the candidates, and the samples that it improves are marked.
    """
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    rows = empty(BLOCK, np.int64)
    distances = empty(BLOCK, np.float64)
    terms = empty((1, BLOCK), np.float64)
    lanes = zeros((3, WIDE), np.float64)
    total = empty(3, np.float64)
    for block in range(start, stop):
        n_rows = list_marked(X, masks, n_places, t, block, rows)
        if n_rows == 0:
            continue
        listed_distances(X, rows, n_rows, candidates, t, distances)
        improve_block(
            nearest, weights, block, rows, n_rows, distances, block_totals, terms,
            lanes, total,
        )  # fmt: skip
        for part in range(3):
            block_totals[block, part] = total[part]
        for n in range(n_rows):
            i = rows[n]
            nearest[i] = distances[n]
            limits[i] = limit_of(nearest[i], squares[i], X.shape[1])
