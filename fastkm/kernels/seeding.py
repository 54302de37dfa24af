"""Seeding: what candidates would improve, same bits as `reference.kmeans_plusplus`.

Few samples are nearer to a new candidate than to the samples chosen so far. Distances
of small integers rule out the others (`simd.sift`, `engines.integers`), exact
distances decide the rest, and one bit per sample and candidate keeps the outcome. Exact
sums are kept for blocks of samples, and brought up to date by the terms that change.
"""

import numpy as np

from fastkm.kernels._jit import inlined, nested, parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import HIGH, LOW, SLACK, add_term, chunk_bounds
from fastkm.kernels.integers import HIGHEST, limit_of, put_sample, reach_of
from fastkm.kernels.lanesums import WIDE, add_lanes, join_lanes
from fastkm.kernels.select import greater, lesser
from fastkm.kernels.simd import lowest_bit, sift
from fastkm.kernels.simd_rows import (
    AHEAD,
    ROWS,
    dot_integers,
    prefetch_lines,
    prefetch_row,
    row_distances,
)
from fastkm.kernels.tiles import LARGEST_REACH
from fastkm.kernels.vectors import GROUP, LANES_32

BLOCK = 1024  # samples of a block: a multiple of every LANES_32 and of WIDE
TILES = BLOCK // LANES_32
# Blocks whose improved samples are listed at once, as distances are computed in ROWS:
# but the rows of all should stay in a cache from candidate to candidate.
SPAN, SPAN_BYTES = 16, 2**24
FEW = BLOCK // 16  # improved samples up to which a block is not summed anew


@parallel
def pack_sketch(chunk, n_chunks, rows, packed):
    """Pack rows of integers as [tile][pair of columns][lane][2].

    Packed comes in with zeros, which stay in a last odd column and after the last
    sample.
    """
    n_samples = rows.shape[0]
    width = (rows.shape[1] + 1) // 2 * 2 * LANES_32
    first, last = chunk_bounds(chunk, n_chunks, packed.size // width)
    for tile in range(first, last):
        for lane in range(lesser(LANES_32, n_samples - tile * LANES_32)):
            put_sample(rows, tile * LANES_32 + lane, packed, tile * width, lane)


@nested
def pack_candidates(sketch, n_pairs, samples, squares, sketch_norms, packed, norms):
    """Pack samples as `simd.sift` wants centers: their numbers times -2.

    Those without a sketch get the least norm, so that nothing rules them out.
    """
    for n in range(packed.size):
        packed[n] = 0
    for place in range(norms.size):
        norms[place] = HIGHEST
    for t in range(samples.size):
        i = samples[t]
        if not squares[i] < LARGEST_REACH:
            norms[t] = -HIGHEST
            continue
        norms[t] = sketch_norms[i]
        source = i // LANES_32 * n_pairs * 2 * LANES_32 + i % LANES_32 * 2
        at = t // GROUP * n_pairs * 2 * GROUP + t % GROUP * 2
        for p in range(n_pairs):
            for half in range(2):
                value = sketch[source + p * 2 * LANES_32 + half]
                packed[at + p * 2 * GROUP + half] = -2 * np.int64(value)


@inlined
def rows_of(X, samples):
    """Some samples in float64."""
    rows = empty((samples.size, X.shape[1]), np.float64)
    for t in range(samples.size):
        for f in range(X.shape[1]):
            rows[t, f] = X[samples[t], f]
    return rows


@inlined
def span_of(X):
    """Blocks to list at once."""
    return greater(1, lesser(SPAN, SPAN_BYTES // (BLOCK * X.shape[1] * X.itemsize)))


@inlined
def list_marked(X, masks, place, first, last, rows):
    """List the samples of some blocks whose bit is set for a place; how many."""
    n_rows = 0
    for tile in range(first * TILES, lesser(last * TILES, masks.shape[0])):
        word = np.uint64(masks[tile, place])
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
def unmark(masks, place, i):
    """Clear the bit of a sample."""
    masks[i // LANES_32, place] ^= np.uint64(1) << np.uint64(i % LANES_32)


@inlined
def look_closer(
    closer, closer_norms, margin, candidate, nearest, squares, masks, place, rows,
    n_rows,
):  # fmt: skip
    """Keep the listed samples that a second sketch does not rule out, either."""
    if not squares[candidate] < LARGEST_REACH:
        return n_rows
    width, n_kept = closer.shape[1], 0
    for n in range(n_rows):
        prefetch_lines(closer, rows[lesser(n + AHEAD, n_rows - 1)])
        i = rows[n]
        product = np.int64(
            dot_integers(closer, i * width, closer, candidate * width, width)
        )
        reach = reach_of(nearest[i], squares[i], margin)
        limit = limit_of(reach, closer_norms[i])
        if closer_norms[candidate] - 2 * product <= limit:
            rows[n_kept] = i
            n_kept += 1
        else:
            unmark(masks, place, i)
    return n_kept


@inlined
def keep_nearer(nearest, masks, place, rows, n_rows, distances):
    """Keep the listed samples that come nearer."""
    n_kept = 0
    for n in range(n_rows):
        i = rows[n]
        if distances[n] < nearest[i]:
            rows[n_kept], distances[n_kept] = i, distances[n]
            n_kept += 1
        else:
            unmark(masks, place, i)
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


@inlined
def exchange(nearest, weights, rows, n_rows, distances, terms, lanes):
    """Exchange the terms of the listed samples for those of their new distances."""
    for first in range(0, n_rows, BLOCK // 2):
        width = lesser(BLOCK // 2, n_rows - first)
        for n in range(width):
            i = rows[first + n]
            weight = weights[i if weights.size > 1 else 0]
            terms[0, n] = -(weight * nearest[i])
            terms[0, width + n] = weight * distances[first + n]
        add_lanes(terms, 2 * width, lanes)


@nested
def improve_block(
    nearest, weights, block, rows, n_rows, distances, block_totals, terms, lanes
):
    """Bring the sum of a block up to date, in which the listed samples come nearer.

    Where these are few, their terms are exchanged. Only where the block's sum has no
    slack: that would stay when the term that caused it has gone.
    """
    total = block_totals[block]
    if n_rows > FEW or total[SLACK] > 0:
        sum_block(nearest, weights, block, rows, n_rows, distances, terms, lanes, total)
        return
    for n in range(n_rows):
        i = rows[n]
        weight = weights[i if weights.size > 1 else 0]
        add_term(total, -(weight * nearest[i]))
        add_term(total, weight * distances[n])


@parallel
def potentials(
    chunk, n_chunks, X, weights, nearest, limits, block_totals, sketch, squares,
    sketch_norms, closer, closer_norms, closer_margin, candidates, masks, totals,
):  # fmt: skip
    """Inertia that each candidate would leave, as exact sums of the chunk.

    `nearest` (n_samples,) are the distances to the samples chosen so far, block_totals
    (n_blocks, 3) the exact sums of weight * nearest, candidates (n_trials,) samples.
    Into zeroed totals (n_chunks, n_trials, 3), and the samples that each candidate
    improves into masks (n_tiles, n_places). Without a sketch, masks come in with the
    samples to look at. `closer` (n_samples, width) may be a second sketch, or empty.
    """
    n_tiles, n_places = masks.shape
    n_pairs = sketch.size // (n_tiles * 2 * LANES_32)
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    n_trials = candidates.size
    packed = empty(n_places * n_pairs * 2, sketch.dtype)
    norms = empty(n_places, limits.dtype)
    pack_candidates(sketch, n_pairs, candidates, squares, sketch_norms, packed, norms)
    centers = rows_of(X, candidates)
    rows, distances = empty(SPAN * BLOCK, np.int64), empty(SPAN * BLOCK, np.float64)
    terms, lanes = empty((1, BLOCK), np.float64), zeros((n_trials, 3, WIDE), np.float64)
    span = span_of(X)
    for block in range(start, stop, span):
        last = lesser(block + span, stop)
        for tile in range(block * TILES, lesser(last * TILES, n_tiles)):
            for place in range(0, n_places if n_pairs else 0, GROUP):
                sift(
                    sketch, tile * n_pairs * 2 * LANES_32, packed, place * n_pairs * 2,
                    n_pairs, norms, place, limits, tile * LANES_32, masks,
                    tile * n_places + place,
                )  # fmt: skip
        for t in range(n_trials):
            n_rows = list_marked(X, masks, t, block, last, rows)
            if closer.size:
                n_rows = look_closer(
                    closer, closer_norms, closer_margin, candidates[t], nearest,
                    squares, masks, t, rows, n_rows,
                )  # fmt: skip
            listed_distances(X, rows, n_rows, centers, t, distances)
            n_rows = keep_nearer(nearest, masks, t, rows, n_rows, distances)
            exchange(nearest, weights, rows, n_rows, distances, terms, lanes[t])
    for t in range(n_trials):
        for block in range(start, stop):
            add_term(totals[chunk, t], block_totals[block, HIGH])
            add_term(totals[chunk, t], block_totals[block, LOW])
            totals[chunk, t, SLACK] += block_totals[block, SLACK]
        join_lanes(lanes[t], totals[chunk, t])


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
    chunk, n_chunks, X, weights, candidates, t, masks, squares, sketch_norms, margin,
    nearest, limits, block_totals,
):  # fmt: skip
    """Bring what is kept about the samples up to date with one more chosen sample.

    It is the candidate t, and the samples that it improves are marked.
    """
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    center = rows_of(X, candidates[t : t + 1])
    rows, distances = empty(SPAN * BLOCK, np.int64), empty(SPAN * BLOCK, np.float64)
    terms, lanes = empty((1, BLOCK), np.float64), zeros((3, WIDE), np.float64)
    for first in range(start, stop, SPAN):
        last = lesser(first + SPAN, stop)
        n_rows = list_marked(X, masks, t, first, last, rows)
        listed_distances(X, rows, n_rows, center, 0, distances)
        begin = 0
        while begin < n_rows:
            block, end = rows[begin] // BLOCK, begin
            while end < n_rows and rows[end] // BLOCK == block:
                end += 1
            improve_block(
                nearest, weights, block, rows[begin:], end - begin, distances[begin:],
                block_totals, terms, lanes,
            )  # fmt: skip
            begin = end
        for n in range(n_rows):
            i = rows[n]
            nearest[i] = distances[n]
            reach = reach_of(nearest[i], squares[i], margin)
            limits[i] = limit_of(reach, sketch_norms[i])
