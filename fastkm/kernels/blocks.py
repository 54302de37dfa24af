"""Nearest centers, found going down a k-d tree: same bits as `reference.step`.

Each node inherits the list of centers that its parent kept, and prunes it. Leaves that
are left with several are written down (`descend`), and as long as no center has moved
farther than was allowed for, only they are looked at again (`follow`).
"""

import math

import numpy as np

from fastkm.kernels._jit import inlined, rolled
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import HIGH, LOW, SLACK, add_cell, rounded_down, two_sum
from fastkm.kernels.kdtree import (
    BLOCK,
    CHILD,
    DEPTH,
    FIRST,
    FIRST_NODES,
    LAST,
    LOWER,
    MOST_BITS,
    UPPER,
    divide,
)
from fastkm.kernels.select import greater, lesser

NOBODY, MIXED = -1, -2
MANY = -1  # numbers, more than fit
SPLIT = 7  # level whose nodes are shared out among the threads
MOST_UNITS = 1 << SPLIT
VISIT = 40  # work on a node, where a pair of row and center is 1 (1.3 ns)
MOST_LEVELS = DEPTH + MOST_BITS + 2
LARGEST = 1e300  # squared distance up to which `dominance` holds


@inlined
def prune(
    boxes, node, n_features, centers, allowed, lists, at, size, out, slope, floor
):
    """Copy the candidates that may win in the box to lists[out:]; returns how many.

    Now, or when each has moved as far as is `allowed`, if anything is.
    Margins: `engines.blocks.dominance`.
    """
    moving = allowed.size > 0
    # The leader: the nearest to the middle.
    leader, least = lists[at], math.inf
    for c in range(at, at + size):
        j = lists[c]
        square = 0.0
        for f in range(n_features):
            low = boxes[node, LOWER, f]
            middle = low + 0.5 * (boxes[node, UPPER, f] - low)
            difference = middle - centers[j, f]
            square += difference * difference
        if square < least:
            leader, least = j, square
    farthest = 0.0
    is_point = True
    for f in range(n_features):
        low = boxes[node, LOWER, f] - centers[leader, f]
        high = boxes[node, UPPER, f] - centers[leader, f]
        farthest += greater(low * low, high * high)
        is_point &= boxes[node, LOWER, f] == boxes[node, UPPER, f]
    if is_point and not moving:  # the middle is the sample: the distances were D
        lists[out] = leader
        return 1
    room = slope * farthest + floor
    reach = math.sqrt(farthest)
    more = slope * reach + math.sqrt(floor)
    certain = farthest <= LARGEST
    kept = out
    for c in range(at, at + size):
        j = lists[c]
        mine, its, its_farthest = 0.0, 0.0, 0.0
        equal = not moving
        for f in range(n_features):
            a, b = centers[leader, f], centers[j, f]
            corner = boxes[node, LOWER if a > b else UPPER, f]
            mine += (corner - a) * (corner - a)
            its += (corner - b) * (corner - b)
            equal &= a == b
            if moving:
                low, high = boxes[node, LOWER, f] - b, boxes[node, UPPER, f] - b
                its_farthest += greater(low * low, high * high)
        needed = slope * its + room
        if moving:
            way = (allowed[leader] + allowed[j]) * (1 + 2.0**-20) + more
            needed += (reach + math.sqrt(its_farthest)) * way
        beaten = certain & (its - mine > needed)
        beaten |= equal & (j > leader)
        lists[kept] = j
        kept += not beaten
    return kept - out


@inlined
def move_row(rows, weights, i, n_features, totals, part, j, sign):
    """Add a row to a part's sums of cluster j, or take it out (sign -1)."""
    weight = sign * weights[i if weights.size > 1 else 0]
    for f in range(n_features + 1):
        term = weight * np.float64(rows[i, f]) if f < n_features else weight
        add_cell(totals, part, j, f, term)


@inlined
def move_node(sums, node, n_features, totals, part, j, sign):
    """Add a node's sums to a part's sums of cluster j, or take them out (sign -1)."""
    for f in range(n_features + 1):
        high, error = two_sum(totals[part, HIGH, j, f], sign * sums[node, HIGH, f])
        low, lost = two_sum(totals[part, LOW, j, f], sign * sums[node, LOW, f])
        low, more = two_sum(low, error)
        totals[part, HIGH, j, f] = high
        totals[part, LOW, j, f] = low
        totals[part, SLACK, j, f] += sums[node, SLACK, f] + abs(lost) + abs(more)


@inlined
def nearest(columns, width, n_features, centers, lists, at, size, best, other, index):
    """Index of the nearest candidate of each sample, its distance and the next one."""
    for lane in range(width):
        best[lane] = other[lane] = math.inf
        index[lane] = lists[at]
    for c in range(at, at + size):
        j = lists[c]
        for lane in range(width):
            square = 0.0
            for f in range(n_features):
                difference = columns[f * BLOCK + lane] - centers[j, f]
                square += difference * difference
            closer = square < best[lane]
            farther = best[lane] if closer else square
            best[lane] = square if closer else best[lane]
            index[lane] = j if closer else index[lane]
            other[lane] = farther if farther < other[lane] else other[lane]


@inlined
def key_of(best, other, room, n_features):
    """What the room of a row must come to for its label to change.

    `engines.skips` has the proof; here the two distances are the reference's. What the
    sums in a room lose, 2^-53 of it in each step, is less than a part in 2^22, which
    rounding takes off, for 2^31 steps.
    """
    reach = math.sqrt(other)
    rounding = (n_features + 8) * 2.0**-50 * reach + math.sqrt(n_features * 2.0**-1070)
    lead = (reach - math.sqrt(best)) * (1 - 2.0**-40) - rounding
    return rounded_down(lead + room) if reach < 1e150 else np.float32(-math.inf)


@inlined
def compare(
    rows, weights, start, opened, n_open, centers, lists, at, size, block, labels, keys,
    spent, used, totals, part,
):  # fmt: skip
    """Label the rows start + opened[:n_open]; returns how many changed, as sums do.

    There may be no keys to write.
    """
    n_features, columns, best, other, index = block
    for lane in range(n_open):
        for f in range(n_features):
            columns[f * BLOCK + lane] = rows[start + opened[lane], f]
    nearest(
        columns,
        (n_open + 7) & ~7,  # whole vectors: the other lanes hold anything
        n_features,
        centers,
        lists,
        at,
        size,
        best,
        other,
        index,
    )
    if keys.size:
        for lane in range(n_open):
            room = spent[index[lane]] + used
            key = key_of(best[lane], other[lane], room, n_features)
            keys[start + opened[lane]] = key
    n_changed = 0
    for lane in range(n_open):
        i = start + opened[lane]
        after, before = index[lane], labels[i]
        if after != before:
            move_row(rows, weights, i, n_features, totals, part, after, 1.0)
            if before != NOBODY:
                move_row(rows, weights, i, n_features, totals, part, before, -1.0)
            labels[i] = after
            n_changed += 1
    return n_changed


@inlined
def is_in_unit(node, level):
    """Whether a node lies below one that is dealt out."""
    return level > SPLIT or node >= FIRST_NODES


@inlined
def is_unit(level, child):
    """Whether a node of the first grid, with such a child, is dealt out.

    The nodes of level SPLIT are, and roots of the tree's parts above it, in the order
    in which every chunk meets them; those above belong to nobody. What says so stays
    the same while another thread divides a root.
    """
    return level == SPLIT or child <= 0 or child >= FIRST_NODES


@parallel
def descend(
    chunk,
    n_chunks,
    features,
    margins,
    nodes,
    boxes,
    sums,
    rows,
    weights,
    origins,
    next_nodes,
    last_nodes,
    centers,
    allowed,
    owners,
    labels,
    totals,
    expected,
    loads,
    notes,
    n_noted,
    keys,
    used,
):
    """Bring owners, labels and totals (n_chunks, 3, n_clusters, ..) to the centers.

    owners: of a node, the cluster of all its rows, or NOBODY, or MIXED, which asks the
    children, or in a leaf labels, of its rows. Where an ancestor is not MIXED they mean
    nothing. expected (MOST_UNITS,) is how much work each unit (`is_unit`) may be, and
    loads what it was; a chunk has neighbouring units, and mostly those of the step
    before, which are in its cache. notes[chunk] gets, for `follow`, of each leaf that
    is compared: first and last row, number of candidates, and these; n_noted[chunk]
    numbers in all, or MANY if there are more than fit. keys (n_samples,) get what
    `follow` goes by, unless there are none.
    Returns how many rows changed their label, nodes were visited, rows and pairs of row
    and center were compared, and nodes are new.
    """
    n_features, n_clusters = len(features), centers.shape[0]
    slope, floor = margins
    stack = empty((MOST_LEVELS, 2), np.int64)
    # A path's lists lie one after the other: that of level l at begin[l + 1].
    begin = zeros(MOST_LEVELS, np.int64)
    size = zeros(MOST_LEVELS, np.int64)
    lists = empty((MOST_LEVELS + 1) * n_clusters, np.int32)  # most is never touched
    columns = zeros(n_features * BLOCK, np.float64)
    best, other = empty(BLOCK, np.float64), empty(BLOCK, np.float64)
    block = n_features, columns, best, other, empty(BLOCK, np.int32)
    everyone = empty(BLOCK, np.int64)
    for row in range(BLOCK):
        everyone[row] = row
    nothing_spent = zeros(n_clusters, np.float64)
    for j in range(n_clusters):
        lists[j] = j
    size[0] = n_clusters
    total = 0
    for u in range(expected.size):
        total += expected[u]
    unit, done = -1, 0
    n_changed = n_visited = n_compared = n_pairs = n_new = noted = 0
    top = 0
    stack[0, 0], stack[0, 1] = 1, 0
    while top >= 0:
        node, level = stack[top, 0], stack[top, 1]
        top -= 1
        first, last = nodes[node, FIRST], nodes[node, LAST]
        child = nodes[node, CHILD]
        own = is_in_unit(node, level)
        if not own and is_unit(level, child):
            unit += 1
            middle = 2 * done + expected[unit]
            done += expected[unit]
            if middle * n_chunks // (2 * total) != chunk:
                continue
            own = True
            loads[unit] = 0
        n_visited += 1
        if own:
            loads[unit] += VISIT
        at, kept = begin[level], size[level]
        if kept > 1:
            out = at + kept
            kept = prune(
                boxes, node, n_features, centers, allowed, lists, at, kept, out, slope,
                floor,
            )  # fmt: skip
            at = out
        begin[level + 1], size[level + 1] = at, kept
        if kept > 1 and child < 0:
            part = -1 - child
            n_new -= next_nodes[part]
            child = divide(
                node, level, rows, weights, origins, nodes, boxes, sums, next_nodes,
                last_nodes,
            )  # fmt: skip
            n_new += next_nodes[part]
        winner, owner = lists[at], owners[node]
        if own and owner != MIXED:
            if kept == 1:
                if owner != winner:
                    move_node(sums, node, n_features, totals, chunk, winner, 1.0)
                    if owner != NOBODY:
                        move_node(sums, node, n_features, totals, chunk, owner, -1.0)
                    owners[node] = winner
                    n_changed += last - first
                continue
            owners[node] = MIXED
            if child > 0:
                owners[child] = owners[child + 1] = owner
            else:
                for i in range(first, last):
                    labels[i] = owner
        elif own and kept == 1:
            owners[node] = winner
        if child > 0:
            stack[top + 1, 0], stack[top + 1, 1] = child + 1, level + 1
            stack[top + 2, 0], stack[top + 2, 1] = child, level + 1
            top += 2
            continue
        if kept > 1:
            n_compared += last - first
            n_pairs += kept * (last - first)
            loads[unit] += kept * (last - first)
            noted = note(notes[chunk], used[chunk], noted, first, last, lists, at, kept)
        for start in range(first, last, BLOCK):
            n_changed += compare(
                rows, weights, start, everyone, lesser(BLOCK, last - start), centers,
                lists, at, kept, block, labels, keys, nothing_spent, 0.0, totals, chunk,
            )  # fmt: skip
    n_noted[chunk] = noted
    return n_changed, n_visited, n_compared, n_pairs, n_new


@inlined
def note(notes, used, noted, first, last, lists, at, size):
    """Append a leaf and its candidates to notes; returns how many numbers there are."""
    if noted == MANY or noted + 3 + size > notes.size:
        return MANY
    used[noted] = 0.0
    notes[noted], notes[noted + 1], notes[noted + 2] = first, last, size
    for c in range(size):
        notes[noted + 3 + c] = lists[at + c]
    return noted + 3 + size


@inlined
def list_open(labels, keys, spent, used, opened):
    """List the rows of a block whose label may have changed; returns how many."""
    n_open = 0
    for row in range(labels.size):  # vector instructions, as there is no exit
        n_open += not spent[np.uint32(labels[row])] + used < keys[row]
    if n_open:
        n_open = 0
        for row in range(labels.size):
            opened[n_open] = row
            n_open += not spent[np.uint32(labels[row])] + used < keys[row]
    return n_open


@parallel
def follow(
    chunk, n_chunks, features, rows, weights, centers, spent, moves, labels, totals,
    notes, n_noted, keys, used,
):  # fmt: skip
    """Bring labels and totals (n_parts, ...) to the centers, in the leaves of notes.

    notes (n_parts, ...), n_noted (n_parts,) and keys are as `descend` left them; since
    then the centers have `spent` some way, and in this step `moves` of it. A row is
    compared unless its key says that its label stays (`engines.skips`): above what its
    center has spent, and what in each step the farthest of the leaf's candidates did;
    the latter is added up in `used` (n_parts, ...) at the leaf's place.
    Returns how many rows changed their label, rows are in leaves, rows were compared.
    """
    n_features = len(features)
    columns = zeros(n_features * BLOCK, np.float64)
    best, other = empty(BLOCK, np.float64), empty(BLOCK, np.float64)
    block = n_features, columns, best, other, empty(BLOCK, np.int32)
    opened = empty(BLOCK, np.int64)
    n_changed = n_rows = n_compared = 0
    for part in range(chunk, n_noted.size, n_chunks):
        leaf = 0
        while leaf < n_noted[part]:
            first, last = notes[part, leaf], notes[part, leaf + 1]
            size, at = notes[part, leaf + 2], leaf + 3
            farthest = 0.0
            for c in range(at, at + size):
                farthest = greater(farthest, moves[notes[part, c]])
            used[part, leaf] += farthest
            for start in range(first, last, BLOCK):
                stop = lesser(start + BLOCK, last)
                n_open = list_open(
                    labels[start:stop], keys[start:stop], spent, used[part, leaf],
                    opened,
                )  # fmt: skip
                if n_open:
                    n_changed += compare(
                        rows, weights, start, opened, n_open, centers, notes[part], at,
                        size, block, labels, keys, spent, used[part, leaf], totals,
                        part,
                    )  # fmt: skip
                n_compared += n_open
            n_rows += last - first
            leaf = at + size
    return n_changed, n_rows, n_compared


@parallel
@rolled
def spread(chunk, n_chunks, nodes, owners, sorted_labels, origins, labels):
    """Write the labels of all samples, in the order of the samples."""
    stack = empty((MOST_LEVELS, 2), np.int64)
    unit = -1
    top = 0
    stack[0, 0], stack[0, 1] = 1, 0
    while top >= 0:
        node, level = stack[top, 0], stack[top, 1]
        top -= 1
        child, owner = nodes[node, CHILD], owners[node]
        own = is_in_unit(node, level)
        if not own and is_unit(level, child):
            unit += 1
            if unit % n_chunks != chunk:
                continue
            own = True
        if child > 0 and not (own and owner != MIXED):
            stack[top + 1, 0], stack[top + 1, 1] = child + 1, level + 1
            stack[top + 2, 0], stack[top + 2, 1] = child, level + 1
            top += 2
        else:
            for r in range(nodes[node, FIRST], nodes[node, LAST]):
                labels[origins[r]] = sorted_labels[r] if owner == MIXED else owner
