"""Nearest centers by register tiles: all pairs, without a samples x clusters array.

A block of samples is packed once, and `simd.tile` walks it past all centers. The
dtype of the packed centers decides what is computed:

- scores: float32 or float64 centers, shifted and negated, with half their squared
  norms. A label counts only where the second best score is farther away than the
  error bound that comes with the centers; the other samples are left undecided.
- exact distances: float64 centers as they are. Labels are `reference.assign`'s.
"""

import math

import numpy as np

from fastkm.kernels._jit import inlined, nested
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import chunk_bounds, rounded_down
from fastkm.kernels.select import greater, lesser
from fastkm.kernels.simd import tile
from fastkm.kernels.simd_rows import AHEAD, load_rows
from fastkm.kernels.vectors import GROUP, LANES_32, LANES_64, VECTOR_BYTES, VECTORS

# Features of a tile of samples that stay in the L1 cache, and bytes of centers that
# stay in the L2 cache while a block of samples is walked past them.
DEPTH = 24 * 1024 // (VECTORS * VECTOR_BYTES)
CENTER_BYTES = 128 * 1024
TOGETHER = 16  # samples that are looked at in one go: most often none of them is open
# Largest |c'|^2 for float32 scores: with |x'|^2 finite in float32, no partial sum of
# x'.c' exceeds sqrt(3.5e38 * 1e37) by Cauchy-Schwarz, far from overflow.
LARGEST_REACH = 1e37


@parallel
def pack_scores(chunk, n_chunks, centers, shift, packed, norms):
    """Pack float64 centers (n_clusters, n_features) for scores.

    packed [group][feature][center] gets shift - center, norms |center - shift|^2 / 2,
    both rounded to their dtype; returns the largest |center - shift|^2. Missing
    centers of the last group are infinitely far.
    """
    n_clusters, n_features = centers.shape
    first, last = chunk_bounds(chunk, n_chunks, norms.size // GROUP)
    reach = 0.0
    # Not a loop over GROUP: LLVM writes it out six times (0.5 s of a first fit).
    for j in range(first * GROUP, last * GROUP):
        at = place_of(j, n_features)
        square = 0.0 if j < n_clusters else math.inf
        for f in range(n_features):
            value = centers[j, f] - shift[f] if j < n_clusters else 0.0
            packed[at + f * GROUP] = -value
            square += value * value
        norms[j] = 0.5 * square
        if j < n_clusters:
            reach = greater(reach, square)
    return reach


@inlined
def place_of(j, n_features):
    """Place of the first feature of center j in [group][feature][center]."""
    return j // GROUP * n_features * GROUP + j % GROUP


@nested
def pack_centers(centers, first, last, packed):
    """Pack the centers first .. last as they are; missing ones are infinitely far."""
    n_clusters, n_features = centers.shape
    for j in range(first, last):
        at = place_of(j, n_features)
        for f in range(n_features):
            packed[at + f * GROUP] = centers[j, f] if j < n_clusters else math.inf


@parallel
def pack_distances(chunk, n_chunks, centers, packed, norms):
    """Pack float64 centers for exact distances; norms only give the number."""
    first, last = chunk_bounds(chunk, n_chunks, norms.size // GROUP)
    for j in range(first * GROUP, last * GROUP):
        norms[j] = 0.0
    pack_centers(centers, first * GROUP, last * GROUP, packed)


@nested
def load_block(X, rows, shift, block, squares):
    """Pack the rows of X, less shift, into block [tile][feature][lane].

    And their squared norms, summed in the dtype of the block, into squares. The last
    vector is filled up with copies of the last row; lanes after it are not written.
    In memory `rows` go on for AHEAD numbers: what is fetched ahead, if anything.
    """
    lanes = LANES_32 if block.itemsize == 4 else LANES_64
    width = VECTOR_BYTES // block.itemsize
    n_rows, n_features = rows.size, X.shape[1]
    last_rows = empty(2 * width, rows.dtype)
    for row in range(0, n_rows, width):
        at = (row // lanes) * lanes * n_features + row % lanes
        if row + width <= n_rows:
            some, some_at = rows, row
        else:
            for w in range(width):
                last_rows[w] = rows[lesser(row + w, n_rows - 1)]
            some, some_at = last_rows, 0
        load_rows(X, some, some_at, shift, block[at:], lanes, squares, row)


@nested
def scan(block, n_rows, n_features, centers, norms, partial, best, second, index):
    """Walk a block past all centers: best (second) score or distance, and index."""
    lanes = LANES_32 if block.itemsize == 4 else LANES_64
    n_groups = norms.size // GROUP
    n_tiles = (n_rows + lanes - 1) // lanes
    n_parts = (n_features + DEPTH - 1) // DEPTH
    depth = (n_features + n_parts - 1) // n_parts  # parts of about one size
    chunk = groups_per_chunk(depth, block.itemsize)
    for row in range(best.size):
        best[row] = math.inf
        index[row] = 0
        if second is not None:
            second[row] = math.inf
    for first in range(0, n_groups, chunk):
        last = lesser(first + chunk, n_groups)
        # Part of the features of a chunk of centers stays, and the tiles go past it.
        for f in range(0, n_features, depth):
            n_walked = lesser(depth, n_features - f)
            for t in range(n_tiles):
                for g in range(first, last):
                    tile(
                        block,
                        (t * n_features + f) * lanes,
                        centers,
                        (g * n_features + f) * GROUP,
                        n_walked,
                        f > 0,
                        f + n_walked == n_features,
                        partial,
                        (t * chunk + g - first) * GROUP * lanes,
                        norms,
                        g * GROUP,
                        g * GROUP,
                        best,
                        second,
                        index,
                        t * lanes,
                    )


@inlined
def groups_per_chunk(depth, itemsize):
    """Groups of centers whose `depth` features fit into the L2 cache."""
    return greater(1, CENTER_BYTES // (GROUP * itemsize * depth))


@inlined
def partial_size(block, n_features):
    """Sums that `scan` sets aside for a block between two parts of the features."""
    if n_features <= DEPTH:
        return 1
    # Parts have more than half of DEPTH: the fewest that do with DEPTH, of one size.
    chunk = groups_per_chunk(DEPTH // 2, block.itemsize)
    return block.size // n_features * chunk * GROUP


@inlined
def lead_of(best, second, norm, error, n_features):
    """Lower bound on how much nearer the best center is than any other.

    From scores, the sample's norm and the margin of `certify`; `engines.skips` proves
    it. Not a number where there is no second.
    """
    reach = math.sqrt(greater(norm * norm + 2 * second + error, 0.0))
    lead = (second - best - error) / reach
    rounding = (n_features + 8) * 2.0**-50 * reach + math.sqrt(n_features * 2.0**-1070)
    return lead * (1 - 2.0**-40) - rounding if reach < 1e150 else -math.inf


@nested
def certify(
    rows, squares, rests, best, second, index, margin, decided, leads, labels, keys,
    room, undecided, changes,
):  # fmt: skip
    """Write the labels that the scores decide; list the other rows in `undecided`.

    margin = (m0, m1, m2, floor, stretch, m3, n_features): a sample of norm N is decided
    when its second best score is more than m0 + m1 N + m2 N^2 + m3 rest above the best,
    where N = floor + stretch |packed sample| (`engines.tiles.score_margin`). Its key is
    `lead_of` plus the room of its label, rounded down; there may be no keys, and those
    of the others are void. Returns how many are undecided, and listed in `changes`.
    """
    m0, m1, m2, floor, stretch, m3, n_features = margin
    has_keys = keys.size > 0
    for r in range(rows.size):
        norm = floor + stretch * math.sqrt(np.float64(squares[r]))
        error = m0 + norm * (m1 + norm * m2) + m3 * np.float64(rests[r])
        least, next_least = np.float64(best[r]), np.float64(second[r])
        decided[r] = next_least - least > error  # not for NaN
        if has_keys:
            leads[r] = lead_of(least, next_least, norm, error, n_features)
    n_undecided, n_changed = 0, 0
    for r in range(rows.size):
        i = rows[r]
        if decided[r]:
            label = np.int32(index[r])
            n_changed += put_label(labels, i, label, changes, n_changed)
            if has_keys:
                keys[i] = rounded_down(leads[r] + room[label])
        else:
            undecided[n_undecided] = i
            n_undecided += 1
            if has_keys:
                keys[i] = -math.inf
    return n_undecided, n_changed


@inlined
def put_label(labels, i, label, changes, n_changed):
    """Write the label of sample i; returns whether it is listed as changed.

    Then changes[n_changed] is i and the label that it had; of size 0 there is no list.
    """
    if changes.size == 0:
        labels[i] = label
        return 0
    before = labels[i]
    if before == label:  # the cache line stays as it is
        return 0
    labels[i] = label
    changes[n_changed, 0] = i
    changes[n_changed, 1] = before
    return 1


@inlined
def take_rows(queue, left, start, stop, most, rows):
    """Give the samples of the places start .. stop, at most so many.

    Behind them in `rows` are those that come next, to be fetched ahead; in the end,
    the last one again and again.
    """
    n_known = lesser(rows.size, stop - start)
    for r in range(rows.size):
        place = start + lesser(r, n_known - 1)
        rows[r] = queue[place] if left.size else place
    return rows[: lesser(n_known, most)]


@nested
def list_open(labels, keys, room, at, last, rows, n_listed):
    """List the samples from `at` on that are not skipped, behind n_listed in `rows`.

    A sample with label a is skipped when room[a] is below its key. Returns how many are
    listed then, and where to go on: as soon as `rows` may be full.
    """
    # Alone, 500,000 samples, 0.05, 1, 50 % of them open, two threads: 0.17, 0.33, 0.62
    # ms; or 0.46 where each is listed, and overwritten by the next if it is skipped.
    end = np.uint64(n_listed)  # unsigned indices need no test for one from the end
    while at < last and np.int64(end) + TOGETHER <= rows.size:
        stop = lesser(at + TOGETHER, last)
        some_labels, some_keys = labels[at:stop], keys[at:stop]
        n_open = 0
        for i in range(some_labels.size):  # vector instructions, as there is no exit
            n_open += not room[np.uint32(some_labels[i])] < some_keys[i]
        if n_open:
            for i in range(at, stop):
                rows[end] = i
                end += np.uint64(not room[np.uint32(labels[i])] < keys[i])
        at = stop
    n_listed = np.int64(end)
    for r in range(n_listed, rows.size):
        rows[r] = rows[greater(n_listed - 1, 0)]
    return n_listed, at


@parallel
def label_by_scores(
    chunk, n_chunks, X, queue, left, shift, centers, norms, margin, block_rows, labels,
    keys, room, changes,
):  # fmt: skip
    """Write the labels that scores decide; list the other samples.

    A chunk decides its share of the samples, or what an earlier call has left of it:
    the left[chunk] samples from its place in queue (n_samples,) on. With `left` empty
    that is all of the share, with left[chunk] < 0 those of it that are not skipped. The
    undecided samples are written to the same place. In `changes`, too, a chunk begins
    at its first sample's place (`put_label`). Returns how many are undecided, how many
    changed, and how many there were. The rest in `margin` (`certify`) is the last
    feature.
    """
    n_features = X.shape[1]
    first, last = chunk_bounds(chunk, n_chunks, X.shape[0])
    n_rows = left[chunk] if left.size else last - first
    are_open = n_rows < 0
    stop = last if are_open else first + n_rows
    block = empty(block_rows * n_features, centers.dtype)
    partial = empty(partial_size(block, n_features), centers.dtype)
    squares = empty(block_rows, centers.dtype)
    best = empty(block_rows, centers.dtype)
    second = empty(block_rows, centers.dtype)
    index = empty(block_rows, centers.dtype)
    decided = empty(block_rows, np.bool_)
    leads = empty(block_rows, np.float64)
    rests = zeros(block_rows, centers.dtype)
    has_rests = margin[5] > 0
    lanes = LANES_32 if block.itemsize == 4 else LANES_64
    rows = empty(block_rows + greater(AHEAD, TOGETHER), np.int64)
    n_listed, n_undecided, n_changed, n_taken = 0, 0, 0, 0
    at = first
    while at < stop or n_listed > 0:
        if are_open:
            n_listed, at = list_open(labels, keys, room, at, stop, rows, n_listed)
            some = rows[: lesser(n_listed, block_rows)]
        else:
            some = take_rows(queue, left, at, stop, block_rows, rows)
            at += some.size
        load_block(X, some, shift, block, squares)
        scan(block, some.size, n_features, centers, norms, partial, best, second, index)
        if has_rests:
            for r in range(some.size):
                tile_end = (r // lanes + 1) * n_features * lanes
                rests[r] = block[tile_end - lanes + r % lanes]
        n_left, n_others = certify(
            some, squares, rests, best, second, index, margin, decided, leads, labels,
            keys, room, queue[first + n_undecided :], changes[first + n_changed :],
        )  # fmt: skip
        n_undecided += n_left
        n_changed += n_others
        n_taken += some.size
        if are_open:
            n_listed -= some.size
            for r in range(n_listed):
                rows[r] = rows[some.size + r]
    return n_undecided, n_changed, n_taken


@parallel
def label_by_distances(
    chunk, n_chunks, X, queue, left, centers, norms, block_rows, labels, changes
):
    """Write the labels of the samples that are left (see above) by exact distances.

    Returns how many changed.
    """
    n_features = X.shape[1]
    first, last = chunk_bounds(chunk, n_chunks, X.shape[0])
    n_rows = left[chunk] if left.size else last - first
    block = empty(block_rows * n_features, centers.dtype)
    partial = empty(partial_size(block, n_features), centers.dtype)
    squares = empty(block_rows, centers.dtype)
    best = empty(block_rows, centers.dtype)
    index = empty(block_rows, centers.dtype)
    rows = empty(block_rows + AHEAD, np.int64)
    shift = zeros(n_features, np.float64)
    n_changed = 0
    for start in range(first, first + n_rows, block_rows):
        some = take_rows(queue, left, start, first + n_rows, block_rows, rows)
        load_block(X, some, shift, block, squares)
        scan(block, some.size, n_features, centers, norms, partial, best, None, index)
        others = changes[first + n_changed :]
        n_listed = 0
        for r in range(some.size):
            label = np.int32(index[r])
            n_listed += put_label(labels, some[r], label, others, n_listed)
        n_changed += n_listed
    return n_changed
