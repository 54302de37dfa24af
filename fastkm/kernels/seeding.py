"""Seeding: what candidates would improve, same bits as `reference.kmeans_plusplus`.

Few samples are nearer to a new candidate than to the samples chosen so far. Distances
of small integers rule out the others, and say what a candidate gains at most
(`simd.sift`, `engines.integers`). Exact distances decide the rest, where that could be
most, and one bit per sample and candidate keeps the outcome. Exact
sums are kept for blocks of samples, and brought up to date by the terms that change.
"""

import math

import numpy as np

from fastkm.kernels._jit import inlined, nested, rolled
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import HIGH, LOW, SLACK, add_term, add_total, chunk_bounds
from fastkm.kernels.integers import (
    BOUNDED,
    HIGHEST,
    LARGEST,
    NEAREST,
    inner_radius,
    limit_of,
    put_sample,
    round_in_ball,
    rounded_root,
)
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
from fastkm.kernels.vectors import GROUP, LANES_32, WIDTH_32

BLOCK = 1024  # samples of a block: a multiple of every LANES_32 and of WIDE
TILES = BLOCK // LANES_32
# Blocks whose improved samples are listed at once, as distances are computed in ROWS:
# but the rows of all should stay in a cache from candidate to candidate.
SPAN, SPAN_BYTES = 16, 2**24
# Improved samples up to which a block is not summed anew, and whose terms are exchanged
# one by one.
MANY, FEW = BLOCK // 4, BLOCK // 64
MOST_SQUARES = 8  # of LARGEST, whose sum is an int32


@parallel
@rolled
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


@inlined
def round_tile(X, first, shift, scale, packed, at, norms):
    """Round and pack a tile of samples of few features; gives the largest norm.

    Lane by lane, where `round_row` goes from feature to feature: 2.5M x 2 in 7 ms, not
    in 15. Nothing is moved into the ball.
    """
    most = np.float64(LARGEST)
    for lane in range(LANES_32):
        norms[lane] = 0
    for f in range(X.shape[1]):
        for lane in range(LANES_32):
            number = (X[first + lane, f] - shift[f]) * scale
            value = np.int32(lesser(greater(number, -most), most) + NEAREST - NEAREST)
            packed[at + (f // 2 * LANES_32 + lane) * 2 + f % 2] = value
            norms[lane] += value * value
    largest = np.int32(0)
    for lane in range(LANES_32):
        largest = greater(largest, norms[lane])
    return largest


@parallel
@rolled
def sketch_features(
    chunk, n_chunks, X, shift, scale, radius, order, n_lead, packed, norms
):  # fmt: skip
    """Round features (`integers.round_in_ball`), pack them, find their norms.

    All of them, or where n_lead is less, the first so many of an order and the norm of
    the others, as `integers.shorten`. Packed as in `pack_sketch`.
    """
    n_samples, n_features = X.shape
    is_short = n_lead < n_features
    n_columns = n_lead + is_short
    width = (n_columns + 1) // 2 * 2 * LANES_32
    rows, lead = empty((1, n_features), np.int16), empty((1, n_columns), np.int16)
    first, last = chunk_bounds(chunk, n_chunks, packed.size // width)
    inside = inner_radius(radius, n_features)
    for tile in range(first, last):
        start, stop = tile * LANES_32, lesser((tile + 1) * LANES_32, n_samples)
        if n_features <= MOST_SQUARES and not is_short and start + LANES_32 == stop:
            own = norms[start:stop]
            largest = round_tile(X, start, shift, scale, packed, tile * width, own)
            if largest <= inside * abs(inside):
                continue
        for i in range(start, stop):
            norm = round_in_ball(X, i, shift, scale, radius, rows[0])
            if not is_short:
                put_sample(rows, 0, packed, tile * width, i - start)
                norms[i] = norm
                continue
            square = np.int64(0)
            for n in range(n_lead):
                value = np.int64(rows[0, order[n]])
                lead[0, n] = value
                square += value * value
            rest = rounded_root(norm - square)
            lead[0, n_lead] = rest
            put_sample(lead, 0, packed, tile * width, i - start)
            norms[i] = square + rest * rest


@nested
def pack_candidates(sketch, n_pairs, samples, own_reaches, sketch_norms, packed, norms):
    """Pack samples as `simd.sift` wants centers: their numbers times -2.

    Those without a sketch get the least norm, so that nothing rules them out.
    """
    for n in range(packed.size):
        packed[n] = 0
    for place in range(norms.size):
        norms[place] = HIGHEST
    for t in range(samples.size):
        i = samples[t]
        if own_reaches[i if own_reaches.size > 1 else 0] == math.inf:
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
def list_marked(nearest, masks, place, first, last, rows):
    """List the samples of some blocks whose bit is set for a place; how many."""
    n_rows = 0
    for tile in range(first * TILES, lesser(last * TILES, masks.shape[0])):
        word = np.uint64(masks[tile, place])
        while word != 0:
            i = tile * LANES_32 + lowest_bit(word)
            word &= word - np.uint64(1)
            if i < nearest.size:
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
    weights, closer, closer_norms, scale, candidate, nearest, own_reaches, masks, place,
    rows, n_rows,
):  # fmt: skip
    """Unmark the listed samples that a second sketch rules out; the others' gain."""
    if own_reaches[candidate] == math.inf:
        return math.inf
    width, gain = closer.shape[1], 0.0
    for n in range(n_rows):
        prefetch_lines(closer, rows[lesser(n + AHEAD, n_rows - 1)])
        i = rows[n]
        product = np.int64(
            dot_integers(closer, i * width, closer, candidate * width, width)
        )
        reach = scale * math.sqrt(nearest[i]) + own_reaches[i]
        limit = limit_of(reach, closer_norms[i])
        score = closer_norms[candidate] - 2 * product
        if score > limit:
            unmark(masks, place, i)
        elif limit < HIGHEST:
            gain += weights[i if weights.size > 1 else 0] * np.float64(limit - score)
        else:
            gain = math.inf
    return gain


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
    if n_rows > MANY or total[SLACK] > 0:
        sum_block(nearest, weights, block, rows, n_rows, distances, terms, lanes, total)
        return
    if n_rows > FEW:
        exchange(nearest, weights, rows, n_rows, distances, terms, lanes)
        join_lanes(lanes, total)
        return
    for n in range(n_rows):
        i = rows[n]
        weight = weights[i if weights.size > 1 else 0]
        add_term(total, -(weight * nearest[i]))
        add_term(total, weight * distances[n])


@parallel
def bound_gains(
    chunk, n_chunks, weights, nearest, limits, sketch, own_reaches, sketch_norms,
    closer, closer_norms, scale, candidates, masks, gains,
):  # fmt: skip
    """By how much candidates lower the inertia at most, in the units of a sketch.

    Into zeroed gains (n_chunks, n_trials), and the samples that may come nearer to each
    candidate into masks (n_tiles, n_places). `nearest` (n_samples,) are the distances
    to the samples chosen so far. `closer` (n_samples, width) may be a second sketch, of
    which the gains are then, or empty. Without one, they are those of weights 1.
    """
    n_tiles, n_places = masks.shape
    n_pairs = sketch.size // (n_tiles * 2 * LANES_32)
    start, stop = chunk_bounds(chunk, n_chunks, (nearest.size + BLOCK - 1) // BLOCK)
    n_trials = candidates.size
    packed = empty(n_places * n_pairs * 2, sketch.dtype)
    norms = empty(n_places, limits.dtype)
    pack_candidates(
        sketch, n_pairs, candidates, own_reaches, sketch_norms, packed, norms
    )
    rows = empty(SPAN * BLOCK, np.int64)
    sums = empty(n_places * WIDTH_32, np.float32)
    for block in range(start, stop, SPAN):
        last = lesser(block + SPAN, stop)
        for n in range(sums.size):
            sums[n] = 0.0
        for tile in range(block * TILES, lesser(last * TILES, n_tiles)):
            for place in range(0, n_places, GROUP):
                sift(
                    sketch, tile * n_pairs * 2 * LANES_32, packed, place * n_pairs * 2,
                    n_pairs, norms, place, limits, tile * LANES_32, masks,
                    tile * n_places + place, sums, place * WIDTH_32,
                )  # fmt: skip
        for t in range(n_trials):
            if closer.size:
                n_rows = list_marked(nearest, masks, t, block, last, rows)
                gains[chunk, t] += look_closer(
                    weights, closer, closer_norms, scale, candidates[t], nearest,
                    own_reaches, masks, t, rows, n_rows,
                )  # fmt: skip
            else:
                for n in range(t * WIDTH_32, (t + 1) * WIDTH_32):
                    gains[chunk, t] += sums[n]
    for t in range(n_trials):
        if own_reaches[candidates[t] if own_reaches.size > 1 else 0] == math.inf:
            gains[chunk, t] = math.inf


@parallel
def potentials(
    chunk, n_chunks, X, weights, nearest, block_totals, candidates, places, masks,
    kept, kept_totals, totals,
):  # fmt: skip
    """Inertia that some candidates would leave, as exact sums of the chunk.

    block_totals (n_blocks, 3) are the exact sums of weight * nearest, candidates
    (n_trials,) samples, and places say which of them. Their masks come in with the
    samples to look at, and keep those that come nearer. Into zeroed totals (n_chunks,
    n_places, 3). What `choose` asks of the first of them goes into kept (n_samples,),
    unless that is empty, and kept_totals (n_blocks, 3): the distances that it improves,
    those of a block first in its part, and the sums that it would leave.
    """
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    centers = rows_of(X, candidates)
    rows, distances = empty(SPAN * BLOCK, np.int64), empty(SPAN * BLOCK, np.float64)
    terms = empty((1, BLOCK), np.float64)
    lanes = zeros((places.size, 3, WIDE), np.float64)
    span = span_of(X)
    for block in range(start, stop, span):
        last = lesser(block + span, stop)
        for p in range(places.size):
            t = places[p]
            n_rows = list_marked(nearest, masks, t, block, last, rows)
            listed_distances(X, rows, n_rows, centers, t, distances)
            n_rows = keep_nearer(nearest, masks, t, rows, n_rows, distances)
            if p > 0 or kept.size == 0:
                exchange(nearest, weights, rows, n_rows, distances, terms, lanes[p])
                continue
            low = 0
            for own in range(block, last):
                high = low
                while high < n_rows and rows[high] < (own + 1) * BLOCK:
                    kept[own * BLOCK + high - low] = distances[high]
                    high += 1
                for part in range(3):
                    kept_totals[own, part] = block_totals[own, part]
                improve_block(
                    nearest, weights, own, rows[low:high], high - low,
                    distances[low:high], kept_totals, terms, lanes[p],
                )  # fmt: skip
                low = high
    for p in range(places.size):
        total = totals[chunk, p]
        left = kept_totals if p == 0 and kept.size else block_totals
        for block in range(start, stop):
            add_total(total, left[block])
        join_lanes(lanes[p], total)


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


@inlined
def set_limit(nearest, own_reaches, sketch_norms, scale, rounded, limits, i):
    """Limit of a sample's scores; whether it is no bound of them."""
    own = own_reaches[i if own_reaches.size > 1 else 0]
    reach = scale * math.sqrt(nearest[i]) + own + rounded
    limits[i] = limit_of(reach, sketch_norms[i])
    return limits[i] > BOUNDED


@parallel
def begin(
    chunk, n_chunks, weights, own_reaches, sketch_norms, scale, rounded, nearest,
    limits, block_totals,
):  # fmt: skip
    """Find what is kept about the samples, as `choose`, from all of `nearest`.

    Returns the exact sum of weight * nearest, and how many limits are no bounds.
    """
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    no_rows, no_distances = empty(0, np.int64), empty(0, np.float64)
    terms, lanes = empty((1, BLOCK), np.float64), zeros((3, WIDE), np.float64)
    all_blocks, n_unbounded = zeros(3, np.float64), 0
    for block in range(start, stop):
        total = block_totals[block]
        sum_block(
            nearest, weights, block, no_rows, 0, no_distances, terms, lanes, total
        )
        add_total(all_blocks, total)
        for i in range(block * BLOCK, lesser((block + 1) * BLOCK, nearest.size)):
            n_unbounded += set_limit(
                nearest, own_reaches, sketch_norms, scale, rounded, limits, i
            )
    return all_blocks[HIGH], all_blocks[LOW], all_blocks[SLACK], n_unbounded


@parallel
def choose(
    chunk, n_chunks, t, masks, kept, kept_totals, weights, own_reaches, sketch_norms,
    scale, rounded, nearest, limits, block_totals,
):  # fmt: skip
    """Bring what is kept about the samples up to date with one more chosen sample.

    It is the candidate t; the samples that it improves are marked, and what these
    become is in `kept`, as `potentials` leaves it. Returns how many, and how many
    limits more than before are no bounds.
    """
    start, stop = chunk_bounds(chunk, n_chunks, block_totals.shape[0])
    rows = empty(BLOCK, np.int64)
    n_improved = n_unbounded = 0
    for block in range(start, stop):
        for part in range(3):
            block_totals[block, part] = kept_totals[block, part]
        n_rows = list_marked(nearest, masks, t, block, block + 1, rows)
        n_improved += n_rows
        for n in range(n_rows):
            i = rows[n]
            nearest[i] = kept[block * BLOCK + n]
            n_unbounded -= limits[i] > BOUNDED
            n_unbounded += set_limit(
                nearest, own_reaches, sketch_norms, scale, rounded, limits, i
            )
    return n_improved, n_unbounded
