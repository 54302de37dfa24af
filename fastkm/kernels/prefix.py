"""Nearest centers by a few leading coordinates: most pairs are never computed.

Samples and centers are reduced to small integers, coordinates in an orthonormal basis
and the norm of the rest, which lie apart only where these do (`engines.integers`). A
center out of a sample's reach is farther than a good candidate. Three sieves follow one
another: some bytes of all pairs (`simd.sift_bytes`), integers of those that passed
(`simd_rows.dot_integers`), scores in all features of the rest. What then lies within
their rounding error of the best is decided by exact distances, so that labels are the
reference's.
"""

import math

import numpy as np

from fastkm.kernels._jit import inlined, nested
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import chunk_bounds, distance, rounded_down, rounded_up
from fastkm.kernels.integers import HIGHEST, limit_of, reach_of
from fastkm.kernels.select import greater, lesser
from fastkm.kernels.simd import MASK, lowest_bit, rank_bytes, sift_bytes, tile
from fastkm.kernels.simd_rows import AHEAD, dot, dot_integers
from fastkm.kernels.tiles import CENTER_BYTES, DEPTH, lead_of, load_block, take_rows
from fastkm.kernels.vectors import GROUP, LANES_32, LANES_64

N_TILES = 4  # tiles of samples that share a run through the centers


@inlined
def squared(value):
    """Square of a float32 in float64; of `**`, see `select`."""
    return np.float64(value) * np.float64(value)


@parallel
def project(chunk, n_chunks, X, shift, basis, n_coordinates, error, out):
    """Coordinates of X - shift, and the norm of the rest in the last column of out.

    basis [group][feature][direction] is packed by GROUP directions, float64. The rest
    is an upper bound: |x|^2 less the squares of the coordinates, plus error * |x|^2.
    Columns between the coordinates and the last are not written.
    """
    n_samples, n_features = X.shape
    first, last = chunk_bounds(chunk, n_chunks, n_samples)
    n_groups = (n_coordinates + GROUP - 1) // GROUP
    block = empty(LANES_64 * n_features, basis.dtype)
    sums = empty(GROUP * LANES_64, basis.dtype)
    squares = empty(LANES_64, basis.dtype)
    rows = empty(LANES_64 + AHEAD, np.int64)
    no_queue = empty(0, np.int64)
    for start in range(first, last, LANES_64):
        some = take_rows(no_queue, no_queue, start, last, LANES_64, rows)
        load_block(X, some, shift, block, squares)
        for g in range(n_groups):
            for f in range(0, n_features, DEPTH):
                tile(
                    block, f * LANES_64, basis, (g * n_features + f) * GROUP,
                    lesser(DEPTH, n_features - f), f > 0, False, sums, 0,
                    squares, 0, 0, squares, squares, squares, 0,
                )  # fmt: skip
            for r in range(lesser(GROUP, n_coordinates - g * GROUP)):
                for lane in range(some.size):
                    out[start + lane, g * GROUP + r] = sums[r * LANES_64 + lane]
        for lane in range(some.size):
            rest = squares[lane] * (1 + error)
            for c in range(n_coordinates):
                rest -= squared(out[start + lane, c])
            out[start + lane, out.shape[1] - 1] = rounded_up(
                math.sqrt(greater(rest, 0.0))
            )


@parallel
def count_passed(
    chunk, n_chunks, rows, center_rows, norms, squares, margin, integers,
    center_integers, rests, center_rests, leads, losses, passed,
):  # fmt: skip
    """How many centers a first sieve of leads[l] integers lets pass, for each l.

    And how many all integers let pass, last; passed (n_rows, n_leads + 1). Against the
    best full score; rests (n, n_leads) are the norms beyond a sieve, and losses
    (n_leads,) by how much its bytes widen the reach, about.
    """
    n_clusters, width = center_integers.shape
    row_width = center_rows.size // n_clusters
    first, last = chunk_bounds(chunk, n_chunks, integers.shape[0])
    best = empty(last - first, np.float32)
    for r in range(first, last):
        best[r - first] = math.inf
    for j in range(n_clusters):  # a center is fetched once, for all rows
        for r in range(first, last):
            product: float = dot(
                rows, r * row_width, center_rows, j * row_width, row_width
            )
            best[r - first] = lesser(best[r - first], norms[j] - product)
    for r in range(first, last):
        reach = score_reach(squares[r], best[r - first], row_width, margin)
        for j in range(n_clusters):
            square, f, n = np.int64(0), 0, 0
            while n < leads.size:
                while f < leads[n]:
                    step = np.int64(integers[r, f]) - np.int64(center_integers[j, f])
                    square += step * step
                    f += 1
                rest = rests[r, n] - center_rests[j, n]
                widened = reach + losses[n]
                if square + rest * rest > widened * widened:
                    break
                passed[r, n] += 1
                n += 1
            if n == leads.size:
                for f in range(leads[n - 1], width):
                    step = np.int64(integers[r, f]) - np.int64(center_integers[j, f])
                    square += step * step
                passed[r, n] += square <= reach * reach


@parallel
def split(chunk, n_chunks, labels, moved, keys, room, scores, with_moved, others):
    """List the open samples (`engines.skips`) whose center moved, and the others.

    Of those that are skipped the scores are void if their center moved, if there are
    any. Each chunk writes from its first sample's place on; returns both numbers.
    """
    first, last = chunk_bounds(chunk, n_chunks, labels.size)
    n_moved = n_others = 0
    for i in range(first, last):
        label = labels[i]
        if keys.size and room[label] < keys[i]:
            if moved[label] and scores.size:
                scores[i, 1] = math.inf
        elif moved[label]:
            with_moved[first + n_moved] = i
            n_moved += 1
        else:
            others[first + n_others] = i
            n_others += 1
    return n_moved, n_others


@parallel
def shift_rows(chunk, n_chunks, centers, ids, shift, rows, norms):
    """Centers less the shift, and half their squared norms, rounded to float32.

    They go to the places `ids`; columns of `rows` beyond the features stay.
    """
    first, last = chunk_bounds(chunk, n_chunks, centers.shape[0])
    for j in range(first, last):
        square = 0.0
        for f in range(centers.shape[1]):
            value = centers[j, f] - shift[f]
            rows[ids[j], f] = value
            square += value * value
        norms[ids[j]] = 0.5 * square


@inlined
def load_row(X, i, shift, row):
    """One sample, less the shift, rounded to float32; row ends in zeros."""
    for f in range(X.shape[1]):
        row[f] = X[i, f] - shift[f]


@inlined
def slack_of(square, margin):
    """How much a score may be above another and still win (`score_margin`)."""
    m0, m1, m2, _, _, _, _ = margin
    norm = norm_of(square, margin)
    return m0 + norm * (m1 + norm * m2)


@inlined
def norm_of(square, margin):
    """Norm of a sample |x'|^2, at most (`score_margin`)."""
    return margin[3] + margin[4] * math.sqrt(square)


@inlined
def score_square(square, score, n_features):
    """Squared distance of a sample |x'|^2 to what has such a score, at most."""
    above = square * (1 + (n_features + 8) * 2.0**-52)
    return greater(above + 2 * np.float64(score), 0.0)


@inlined
def score_reach(square, score, n_features, margin):
    """`integers.reach_of` centers with scores up to one given, of a sample |x'|^2."""
    return reach_of(score_square(square, score, n_features), square, margin)


@inlined
def places_at_once(n_words):
    """Places of centers, of so many words each, that stay in a cache."""
    return GROUP * greater(1, CENTER_BYTES // (GROUP * 4 * n_words))


@inlined
def full_score(row, rows, norms, j):
    """Score of center j in all features, float32."""
    return norms[j] - dot(row, 0, rows, j * row.size, row.size)


@nested
def sieve(block, n_tiles, centers, offsets, norms, limits, masks):
    """Sift all pairs of a block, [tile][place] of masks."""
    n_places = norms.size
    n_words = centers.size // n_places
    chunk = places_at_once(n_words)
    for first in range(0, n_places, chunk):
        for t in range(n_tiles):
            for place in range(first, lesser(first + chunk, n_places), GROUP):
                sift_bytes(
                    block, t * n_words * LANES_32, centers, place * n_words, n_words,
                    offsets, norms, place, limits, t * LANES_32, masks,
                    t * n_places + place,
                )  # fmt: skip


@nested
def guess(block, n_tiles, centers, offsets, norms, index):
    """Centers of the least scores of a block, as far as bytes tell."""
    n_words = centers.size // norms.size
    best = empty(index.size, norms.dtype)
    for row in range(best.size):
        best[row] = HIGHEST
        index[row] = 0
    chunk = places_at_once(n_words)
    for first in range(0, norms.size, chunk):
        for t in range(n_tiles):
            for place in range(first, lesser(first + chunk, norms.size), GROUP):
                rank_bytes(
                    block, t * n_words * LANES_32, centers, place * n_words, n_words,
                    offsets, norms, place, best, index, t * LANES_32,
                )  # fmt: skip


@nested
def gather(masks, n_tiles, n_places, ids, found, n_found):
    """List the centers that each sample of a block did not rule out.

    n_found counts on where `found` is full. Lanes without a sample are listed, too.
    """
    for t in range(n_tiles):
        for place in range(ids.size):
            word = np.uint64(masks[t * n_places + place])
            while word != 0:
                r = t * LANES_32 + lowest_bit(word)
                word &= word - np.uint64(1)
                if n_found[r] < found.shape[1]:
                    found[r, n_found[r]] = ids[place]
                n_found[r] += 1


@nested
def compare(
    X, i, shift, slack, square, row, center_rows, norms, integers, own_norm,
    center_integers, center_norms, margin, found, n_found, apart, near, scores, limit,
):  # fmt: skip
    """Full scores of the centers found that pass the second sieve, too.

    They join near and scores, which hold a first center. Every better score lowers
    the limit. Returns how many there are, the limit, and the least score of the second
    sieve of those that it held back. All of its scores go into `apart`.
    """
    best, n_near, width = scores[0], 1, integers.shape[1]
    least = np.int64(HIGHEST)
    # All at once: without a branch that waits for it, memory is asked for the next
    # centers meanwhile.
    for n in range(n_found):
        c = np.int64(found[n])
        product: int = dot_integers(
            integers, i * width, center_integers, c * width, width
        )
        apart[n] = np.int64(center_norms[c]) - 2 * np.int64(product)
    reach = score_reach(square, limit, X.shape[1], margin)
    most = limit_of(reach, own_norm)
    for n in range(n_found):
        if found[n] == near[0]:
            continue
        if apart[n] > most:
            least = lesser(least, apart[n])
            continue
        c = np.int64(found[n])
        if n_near == 1:
            load_row(X, i, shift, row)
        near[n_near], scores[n_near] = c, full_score(row, center_rows, norms, c)
        if scores[n_near] < best:
            best = scores[n_near]
            limit = rounded_up(np.float64(best) + slack)
            reach = score_reach(square, limit, X.shape[1], margin)
            most = limit_of(reach, own_norm)
        n_near += 1
    return n_near, limit, least


@inlined
def lead_beyond(far, least, own_norm, square, limit, n_features, margin):
    """Lower bound on how much nearer than any center that was ruled out one is.

    That has a score of at most `limit`. The first sieve's are farther than `far`, as
    the second one's, of which `least` is the least score. `engines.prefix` proves it.
    """
    per_distance, per_norm, rounding = margin
    if least < HIGHEST:
        apart = math.sqrt(np.float64(least + own_norm))
        within = (apart - per_norm * math.sqrt(square) - rounding) / per_distance
        far = lesser(far, within)
    own = math.sqrt(score_square(square, limit, n_features))
    lost = (n_features + 8) * 2.0**-50 * far + math.sqrt(n_features * 2.0**-1070)
    return far * (1 - 2.0**-40) - own * (1 + 2.0**-40) - lost


@inlined
def lead_among(scores, n_near, place, square, slack, margin):
    """How much nearer one center is than the others with scores, at least (`lead_of`).

    Infinite where there is no other.
    """
    second = np.float32(math.inf)
    for n in range(n_near):
        if n != place:
            second = lesser(second, scores[n])
    if not second < math.inf:
        return math.inf
    best, norm = np.float64(scores[place]), norm_of(square, margin)
    return lead_of(best, np.float64(second), norm, slack, margin[6])


@inlined
def nearest(X, i, centers, near, scores, n_near, limit):
    """Decide among centers: those whose score is not above the limit, by distance.

    Returns its place, and whether distances were needed.
    """
    chosen, least, by_distance = -1, math.inf, False
    for n in range(n_near):
        if scores[n] > limit:
            continue
        if chosen < 0:
            chosen = n
            continue
        if not by_distance:
            by_distance = True
            least = distance(X, i, centers, near[chosen])
        value = distance(X, i, centers, near[n])
        if value < least or (value == least and near[n] < near[chosen]):
            chosen, least = n, value
    return chosen, by_distance


@parallel
def label_by_prefix(
    chunk,
    n_chunks,
    X,
    queue,
    left,
    hints,
    shift,
    score_margin,
    squares,
    margin,
    lead,
    lead_norms,
    lead_losses,
    lead_scale,
    loss,
    integers,
    integer_norms,
    lead_centers,
    offsets,
    lead_center_norms,
    ids,
    center_integers,
    center_integer_norms,
    center_rows,
    norms,
    centers,
    most,
    known,
    delta,
    room_before,
    room,
    labels,
    scores,
    keys,
):
    """Write the labels of the samples in the queue (as `tiles.label_by_scores`).

    Candidates are the centers of `ids`, and hints[i]. With no hints, all centers are
    in `ids`, and the one with the least score of bytes takes the place of a hint.

    integers (n_samples, width) are images of the samples with their squared norms, in
    reach as `margin` says, and squares the norms |x'|^2; lead (n_samples, n_words) are
    bytes of these times lead_scale (`integers.to_bytes`), in words of 32 bits, with
    their squared norms and losses. center_integers are the centers likewise,
    lead_centers those of `ids` packed by `integers.pack_centers`, of which none lost
    more than `loss`; center_rows all features (float32, shifted) and norms half their
    squared norms, both in one vector.

    known[i] are the score of the hint, and the limit to what can win (where not
    infinite), for samples whose hint has not moved; scores (n_samples, 2) gets them for
    the labels, if it is not empty.

    keys (n_samples,) get the labels' keys for `room` (`engines.skips`), unless they are
    empty; the first sieve looks farther by `delta` for that. Where something is known,
    centers that are not in `ids` have not moved since `room_before`.

    Samples with more than `most` candidates after the first sieve are not labelled but
    left in the queue. Returns their number, how many pairs passed the first sieve, how
    many were computed in full, and how many samples needed exact distances.
    """
    n_words = lead.shape[1]
    first, last = chunk_bounds(chunk, n_chunks, X.shape[0])
    n_rows = left[chunk] if left.size else last - first
    size = N_TILES * LANES_32
    rows = empty(size + AHEAD, np.int64)
    block = zeros(size * n_words, lead.dtype)
    best, index = empty(size, np.float32), empty(size, np.int32)
    limits, slacks = empty(size, np.float32), empty(size, np.float64)
    lead_limits = empty(size, lead_norms.dtype)
    row = zeros(center_rows.size // norms.size, np.float32)
    masks = empty(N_TILES * lead_center_norms.size, MASK)
    hinted = empty(size, np.int64)
    n_found = empty(size, np.int64)
    found, apart = empty((size, most), np.int32), empty(most, np.int64)
    near = empty(most + 1, np.int32)
    near_scores = empty(most + 1, np.float32)
    end, n_passed, n_full, n_exact = first, 0, 0, 0
    for start in range(first, first + n_rows, size):
        some = take_rows(queue, left, start, first + n_rows, size, rows)
        n_tiles = (some.size + LANES_32 - 1) // LANES_32
        for r in range(some.size):
            at = r // LANES_32 * n_words * LANES_32 + r % LANES_32
            for w in range(n_words):
                block[at + w * LANES_32] = lead[some[r], w]
        if hints.size == 0:
            guess(block, n_tiles, lead_centers, offsets, lead_center_norms, index)
        for r in range(size):
            n_found[r], lead_limits[r] = 0, -HIGHEST
        for r in range(some.size):
            i = some[r]
            hinted[r] = np.int64(hints[i]) if hints.size else np.int64(index[r])
            slacks[r] = slack_of(squares[i], score_margin)
            if known.size and known[i, 1] < math.inf:
                best[r], limits[r] = known[i, 0], known[i, 1]
            else:
                load_row(X, i, shift, row)
                best[r] = full_score(row, center_rows, norms, hinted[r])
                limits[r] = rounded_up(np.float64(best[r]) + slacks[r])
            if not limits[r] < math.inf:
                n_found[r] = most + 1
            reach = score_reach(squares[i], limits[r], X.shape[1], margin)
            wider = (reach + delta * margin[0]) * lead_scale
            lead_reach = wider + (np.float64(lead_losses[i]) + loss)
            lead_limits[r] = limit_of(lead_reach, lead_norms[i])
        sieve(
            block, n_tiles, lead_centers, offsets, lead_center_norms, lead_limits, masks
        )
        gather(masks, n_tiles, lead_center_norms.size, ids, found, n_found)
        for r in range(some.size):
            i = some[r]
            if n_found[r] > most:
                if scores.size:
                    scores[i, 1] = math.inf
                if keys.size:
                    keys[i] = -math.inf
                queue[end] = i
                end += 1
                continue
            n_passed += n_found[r]
            near[0], near_scores[0] = hinted[r], best[r]
            n_near, limit, least = compare(
                X, i, shift, slacks[r], squares[i], row, center_rows, norms, integers,
                integer_norms[i], center_integers, center_integer_norms, margin,
                found[r], n_found[r], apart, near, near_scores, limits[r],
            )  # fmt: skip
            n_full += n_near
            place, by_distance = nearest(
                X, i, centers, near, near_scores, n_near, limit
            )
            n_exact += by_distance
            labels[i] = near[place]
            if place > 0 or by_distance:
                limit = rounded_up(np.float64(near_scores[place]) + slacks[r])
            if scores.size:
                scores[i, 0], scores[i, 1] = near_scores[place], limit
            if keys.size and not delta > 0:
                keys[i] = -math.inf
            elif keys.size:
                far = math.sqrt(score_square(squares[i], limits[r], X.shape[1])) + delta
                gap = lead_beyond(
                    far, least, np.int64(integer_norms[i]), squares[i], limit,
                    X.shape[1], margin,
                )  # fmt: skip
                among = lead_among(
                    near_scores, n_near, place, squares[i], slacks[r], score_margin
                )
                gap = lesser(gap, among)
                if known.size:
                    before = np.float64(keys[i]) - room_before[hinted[r]]
                    gap = lesser(gap, before)
                is_safe = gap > 0 and not by_distance
                key = gap + room[near[place]]
                keys[i] = rounded_down(key) if is_safe else np.float32(-math.inf)
    return end - first, n_passed, n_full, n_exact
