"""Samples sorted into the leaves of a k-d tree, every node with its box and its sums.

A node with too many samples is divided by a grid: cuts at quantiles of picked
samples along each axis, more of them along the longer axes. The cells are ordered by
the bits of their places along the axes, the most useful bit first, which makes them the
leaves of a binary tree; what they hold is divided again. Quantiles follow the density
of the samples, however skewed; and to place a sample among 256 cells takes 30
comparisons and no branch, where to walk down a tree mispredicts every other step
(9 against 46 ns).

The first grid is made for all samples, which are then sorted cell by cell (`classify`,
`scatter`). What a cell holds is divided only when somebody asks (`divide`): most
samples never come near a boundary between clusters. The nodes below a cell are a *part*
of the tree, with numbers of their own, so that threads may divide different ones.

Bentley, Multidimensional binary search trees used for associative searching (1975).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm.kernels._jit import inlined, nested, rolled, serial
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty, zeros
from fastkm.kernels.exact import HIGH, LOW, SLACK, chunk_bounds, two_sum
from fastkm.kernels.select import greater, lesser

Array = NDArray[Any]

LEAF, LARGE_LEAF = 64, 160  # rows of a leaf; more than it are not divided further
BLOCK = 64  # rows that are placed in one go
MOST_BITS, AXIS_BITS = 8, 5  # of the cells of a grid, and of its cuts along an axis
CELLS, CUTS = 1 << MOST_BITS, 1 << AXIS_BITS
FIRST_NODES = 2 * CELLS  # numbers of the nodes of the first grid
PICKED_PER_CELL, MOST_PICKED = 4, 256  # samples that show where to cut
PASSES = 8  # grids within grids
DEPTH = MOST_BITS * PASSES
LOWER, UPPER = 0, 1
# Of a node: its rows, its first child; 0 for a leaf, -1 - part if it may be divided.
FIRST, LAST, CHILD = 0, 1, 2


def most_nodes(n_rows: Array) -> Array:
    """Give the nodes that there may be below one with so many rows.

    Enough for leaves that are a quarter full; where they run out, a leaf stays large.
    """
    return 8 * n_rows // LEAF + 64


@nested
def pick_column(rows, first, size, f, values):
    """Feature f of picked rows in ascending order (Shell's sort, 1959)."""
    n_picked = values.shape[1]
    for p in range(n_picked):
        values[f, p] = rows[first + p * size // n_picked, f]
    gap = n_picked // 2
    while gap > 0:
        for start in range(gap, n_picked):
            value = values[f, start]
            at = start
            while at >= gap and values[f, at - gap] > value:
                values[f, at] = values[f, at - gap]
                at -= gap
            values[f, at] = value
        gap //= 2


@nested
def bits_of(size: int) -> int:
    """Bits of the cells of a grid for so many rows."""
    n_bits = 1
    while n_bits < MOST_BITS and (LEAF << n_bits) < 4 * size:
        n_bits += 1
    return n_bits


@nested
def plan(
    rows: Array,
    first: int,
    last: int,
    n_bits: int,
    box: Array,
    cuts: Array,
    steps: Array,
) -> None:
    """Choose the grid of 2^n_bits cells for rows first .. last, whose box is given.

    A row's cell is the sum of steps[f, c] over all cuts[f, c] that do not exceed its
    coordinate f, both (n_features, CUTS), cuts at infinity where there are fewer.
    """
    n_features, size = rows.shape[1], last - first
    n_picked = lesser(lesser(size, PICKED_PER_CELL << n_bits), MOST_PICKED)
    values = empty((n_features, n_picked), np.float64)
    spreads = empty(n_features, np.float64)
    widest = 0
    for f in range(n_features):
        pick_column(rows, first, size, f, values)
        # Without outliers, unless there is nothing else.
        trim = n_picked // 16
        spreads[f] = values[f, n_picked - 1 - trim] - values[f, trim]
        if not spreads[f] > 0:
            spreads[f] = (values[f, n_picked - 1] - values[f, 0]) * 2.0**-20
        if spreads[f] > spreads[widest]:
            widest = f
        for c in range(CUTS):
            cuts[f, c] = math.inf
            steps[f, c] = 0
    if not spreads[widest] > 0:  # all picked rows are equal: halve the box
        for f in range(n_features):
            if box[UPPER, f] - box[LOWER, f] > box[UPPER, widest] - box[LOWER, widest]:
                widest = f
        low, high = box[LOWER, widest], box[UPPER, widest]
        middle = 0.5 * low + 0.5 * high
        cuts[widest, 0] = middle if low < middle else high
        steps[widest, 0] = 1 << (n_bits - 1)
        return
    bits = zeros(n_features, np.int64)
    weights = zeros((n_features, AXIS_BITS), np.int64)
    for used in range(n_bits):
        axis = 0
        for f in range(n_features):
            if spreads[f] > spreads[axis]:
                axis = f
        if not spreads[axis] > 0:
            break
        weights[axis, bits[axis]] = 1 << (n_bits - 1 - used)
        bits[axis] += 1
        spreads[axis] = 0.5 * spreads[axis] if bits[axis] < AXIS_BITS else 0.0
    for f in range(n_features):
        n_cuts = (1 << bits[f]) - 1
        rank = before = 0
        for c in range(n_cuts):
            rank = greater(rank, (c + 1) * n_picked // (n_cuts + 1))
            while rank < n_picked - 1 and values[f, rank] == values[f, 0]:
                rank += 1  # something has to lie below a cut
            cuts[f, c] = values[f, rank]
            code = 0
            for b in range(bits[f]):
                code += weights[f, b] * ((c + 1) >> (bits[f] - 1 - b) & 1)
            steps[f, c] = code - before
            before = code


@nested
def extend(rows, first, last, box):
    """Box of the rows first .. last; returns whether they are all equal."""
    is_point = True
    for f in range(rows.shape[1]):
        lower, upper = math.inf, -math.inf
        for r in range(first, last):
            value = np.float64(rows[r, f])
            lower = value if value < lower else lower
            upper = value if value > upper else upper
        box[LOWER, f], box[UPPER, f] = lower, upper
        is_point &= lower == upper
    return is_point


@nested
def count_cells(rows, first, last, cuts, steps, cells, at, counts):
    """Write the cells of the rows first .. last to cells[at:], and count them."""
    column = empty(BLOCK, np.float64)
    places = empty(BLOCK, np.int64)
    for start in range(first, last, BLOCK):
        width = lesser(BLOCK, last - start)
        for lane in range(width):
            places[lane] = 0
        for f in range(rows.shape[1]):
            for lane in range(width):
                column[lane] = rows[start + lane, f]
            for c in range(CUTS):
                cut, step = cuts[f, c], steps[f, c]
                if cut == math.inf:
                    break
                for lane in range(width):
                    places[lane] += step if column[lane] >= cut else 0
        for lane in range(width):
            cells[at + start - first + lane] = places[lane]
            counts[places[lane]] += 1


@inlined
def swap(values, i, j):
    """Exchange two values."""
    values[i], values[j] = values[j], values[i]


@nested
def sort_by_cells(rows, weights, origins, first, cells, starts, ends):
    """Sort rows from first on, and their weights and origins, by their cells.

    In place: the cells' places starts .. ends are filled by exchanges (McIlroy, Bostic
    and McIlroy, Engineering radix sort, 1993, section 3).
    """
    for cell in range(CELLS):
        while starts[cell] < ends[cell]:
            at = starts[cell]
            own = cells[at - first]
            to = starts[own]
            starts[own] = to + 1
            if to == at:
                continue
            swap(cells, at - first, to - first)
            swap(origins, at, to)
            for f in range(rows.shape[1]):
                rows[at, f], rows[to, f] = rows[to, f], rows[at, f]
            if weights.size > 1:
                swap(weights, at, to)


@parallel
def classify(chunk, n_chunks, rows, cuts, steps, cells, counts):
    """Write every row's cell, and count them: counts (n_chunks, CELLS), zeroed."""
    first, last = chunk_bounds(chunk, n_chunks, rows.shape[0])
    count_cells(rows, first, last, cuts, steps, cells, first, counts[chunk])


@parallel
@rolled
def scatter(chunk, n_chunks, X, weights, cells, free, rows, sorted_weights, origins):
    """Sort samples by cells; free (n_chunks, CELLS) are the chunks' places in each."""
    first, last = chunk_bounds(chunk, n_chunks, X.shape[0])
    for i in range(first, last):
        to = free[chunk, cells[i]]
        free[chunk, cells[i]] = to + 1
        for f in range(X.shape[1]):
            rows[to, f] = X[i, f]
        if weights.size > 1:
            sorted_weights[to] = weights[i]
        origins[to] = i


@nested
def branch(
    ends: Array,
    n_bits: int,
    root: int,
    next_node: int,
    last_node: int,
    nodes: Array,
    leaves: Array,
) -> tuple[int, int]:
    """Make a grid's cells the leaves of a binary tree below the node `root`.

    Cell c ends at the place ends[c]. New nodes are numbered from next_node on, up to
    last_node; children that need no division are not made. Writes the leaves into
    leaves, returns how many, and the next number.
    """
    stack = empty((MOST_BITS + 2, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = root, 0, n_bits
    top = n_leaves = 0
    while top >= 0:
        node, cell, bits = stack[top, 0], stack[top, 1], stack[top, 2]
        top -= 1
        first, last = nodes[node, FIRST], nodes[node, LAST]
        middle = first
        while bits > 0 and (middle == first or middle == last):
            bits -= 1  # pass over bits that divide nothing
            middle = ends[cell + (1 << bits) - 1]
            if middle == first:
                cell += 1 << bits
        divided = first < middle < last
        if not divided or last - first <= LEAF or next_node + 2 > last_node:
            leaves[n_leaves] = node
            n_leaves += 1
            continue
        nodes[node, CHILD] = next_node
        for child in range(2):
            new = next_node + child
            nodes[new, FIRST] = middle if child else first
            nodes[new, LAST] = last if child else middle
            nodes[new, CHILD] = 0
            top += 1
            stack[top, 0], stack[top, 2] = new, bits
            stack[top, 1] = cell + (child << bits)
        next_node += 2
    return n_leaves, next_node


@nested
def summarize(rows, weights, node, part, nodes, boxes, totals):
    """Box and exact sums of a node's rows; mark it as one that `divide` may divide.

    Its descendants have the numbers of the tree's part `part`.
    """
    n_features = rows.shape[1]
    first, last = nodes[node, FIRST], nodes[node, LAST]
    is_point = extend(rows, first, last, boxes[node])
    for f in range(n_features + 1):
        high, low, slack = 0.0, 0.0, 0.0
        if f == n_features and weights.size == 1:
            high = weights[0] * (last - first)
        else:
            for i in range(first, last):
                term = weights[i if weights.size > 1 else 0]
                if f < n_features:
                    term *= rows[i, f]
                high, error = two_sum(high, term)
                low, lost = two_sum(low, error)
                slack += abs(lost)
        totals[node, HIGH, f] = high
        totals[node, LOW, f] = low
        totals[node, SLACK, f] = slack
    divisible = last - first > LARGE_LEAF and not is_point
    nodes[node, CHILD] = -1 - part if divisible else 0


@nested
def join_children(node, nodes, boxes, totals):
    """Box and sums of a node from those of its children."""
    a = nodes[node, CHILD]
    b = a + 1
    for f in range(boxes.shape[2]):
        boxes[node, LOWER, f] = lesser(boxes[a, LOWER, f], boxes[b, LOWER, f])
        boxes[node, UPPER, f] = greater(boxes[a, UPPER, f], boxes[b, UPPER, f])
    for f in range(totals.shape[2]):
        high, error = two_sum(totals[a, HIGH, f], totals[b, HIGH, f])
        low, lost = two_sum(totals[a, LOW, f], totals[b, LOW, f])
        low, more = two_sum(low, error)
        slack = totals[a, SLACK, f] + totals[b, SLACK, f] + abs(lost) + abs(more)
        totals[node, HIGH, f] = high
        totals[node, LOW, f] = low
        totals[node, SLACK, f] = slack


@nested
def combine(first: int, last: int, nodes: Array, boxes: Array, totals: Array) -> None:
    """Boxes and sums of the inner nodes last - 1 down to first: children come later."""
    for node in range(last - 1, first - 1, -1):
        if nodes[node, CHILD] > 0:
            join_children(node, nodes, boxes, totals)


@nested
def divide(
    node, level, rows, weights, origins, nodes, boxes, totals, next_nodes, last_nodes
):
    """Divide a node that may be divided; returns its first child, 0 if it stays a leaf.

    Its rows, weights and origins are sorted in place; the numbers of the nodes of its
    part of the tree go on at next_nodes[part], up to last_nodes[part].
    """
    part = -1 - nodes[node, CHILD]
    n_features = rows.shape[1]
    first, last = nodes[node, FIRST], nodes[node, LAST]
    size = last - first
    nodes[node, CHILD] = 0
    if level + MOST_BITS > DEPTH:
        return 0
    n_bits = bits_of(size)
    cuts = empty((n_features, CUTS), np.float64)
    steps = empty((n_features, CUTS), np.int64)
    plan(rows, first, last, n_bits, boxes[node], cuts, steps)
    cells, starts = empty(size, np.uint8), empty(CELLS, np.int64)
    ends = zeros(CELLS, np.int64)
    count_cells(rows, first, last, cuts, steps, cells, 0, ends)
    at = first
    for cell in range(CELLS):
        starts[cell] = at
        at += ends[cell]
        ends[cell] = at
    sort_by_cells(rows, weights, origins, first, cells, starts, ends)
    begin = next_nodes[part]
    leaves = empty(CELLS, np.int64)
    n_leaves, end = branch(ends, n_bits, node, begin, last_nodes[part], nodes, leaves)
    if n_leaves == 1:
        return 0
    next_nodes[part] = end
    for n in range(n_leaves):
        summarize(rows, weights, leaves[n], part, nodes, boxes, totals)
    combine(begin, end, nodes, boxes, totals)
    return nodes[node, CHILD]


@parallel
@rolled
def first_parts(chunk, n_chunks, rows, weights, roots, nodes, boxes, totals):
    """Boxes and sums of the first grid's cells, the roots of the tree's parts."""
    for part in range(chunk, roots.size, n_chunks):
        summarize(rows, weights, roots[part], part, nodes, boxes, totals)


@serial
@rolled
def first_grid(
    picked: Array, n_rows: int, box: Array, cuts: Array, steps: Array
) -> int:
    """Choose the grid for all rows (`plan`) by some of them; returns n_bits."""
    n_bits = bits_of(n_rows)
    plan(picked, 0, picked.shape[0], n_bits, box, cuts, steps)
    return n_bits


@serial
@rolled
def first_nodes(
    ends: Array, n_bits: int, last_node: int, nodes: Array, roots: Array
) -> int:
    """Make the first grid's cells leaves below node 1 (`branch`); returns how many."""
    n_roots, _ = branch(ends, n_bits, 1, 2, last_node, nodes, roots)
    return n_roots


@serial
@rolled
def first_sums(last_node: int, nodes: Array, boxes: Array, totals: Array) -> None:
    """Boxes and sums of the nodes above the roots of the tree's parts."""
    combine(1, last_node, nodes, boxes, totals)
