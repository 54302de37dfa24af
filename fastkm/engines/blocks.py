"""Blocks: whole regions decided at once, for few features.

The samples are sorted into a k-d tree whose nodes know their boxes and the exact sums
of their samples (`kernels.kdtree`). An iteration goes down the tree with a list of the
centers that may win somewhere in the node's box; a center that another one beats
everywhere in the box (`dominance`) leaves the list. A node with one center left is
decided, whatever it holds; one that never has more is never divided. Only the samples
of undecided leaves, along the boundaries of the clusters, are compared one by one, with
the few centers of the leaf's list.

A node that keeps its owner costs nothing more: the sums of a step are those of the step
before, brought up to date by the nodes and samples that changed sides.

Once centers move little, a step goes down with some way allowed to each of them, and
leaves a list only what is beaten wherever that takes them. Until one has gone farther,
steps look at the undecided leaves only.

Pelleg and Moore, Accelerating exact k-means algorithms with geometric reasoning
(1999); Kanungo et al., An efficient k-means clustering algorithm (2002), section 2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkm.engines.base import Array, InMemory, Step
from fastkm.engines.movements import movements
from fastkm.exactsum import ExactSum
from fastkm.kernels import blocks, kdtree

# A descent allows for the root of WIDER / (share of changed rows) steps, at most so
# many, where one in leaves costs less than GAIN descents. colours took the same time
# with WIDER from 0.5 to 4 and GAIN from 0.5 to 1; plane with GAIN from 0 to 0.8.
MOST_FOLLOWED, WIDER, GAIN = 100, 1.0, 0.6
NO_WAY, NO_KEYS = np.empty(0), np.empty(0, np.float32)
MOST_UNROLLED = 4  # features up to which the kernel is compiled for their number


def dominance(n_features: int) -> tuple[float, float]:
    """Margins by which a center must be beaten in a box, to leave its list.

    Let u = 2^-53, t the smallest subnormal, d = n_features, g = (d + 2) u / (1 - (d +
    2) u), S_c(x) the real squared distance of x to the center c and D_c(x) the
    reference's. Each of its d squares is rounded up to d + 2 times, and may lose t / 2
    where it is subnormal: |D_c - S_c| <= g S_c + d t.

    1. h = S_b - S_a is linear in x: its least value in a box is at the corner v that
       has the lower bounds where a_f > b_f and the upper ones elsewhere.
    2. Rounding is monotone, so A, computed as D is but from each feature's farther
       bound, is at least D_a(x) for all x of the box, and S_a(x) <= (A + d t) / (1 -
       g).
    3. D_b - D_a >= h - g (S_a + S_b) - 2 d t = (1 - g) h - 2 g S_a - 2 d t, which is
       positive if h(v) > 2 g (1 + 5 g) A + 3 d t.
    4. h(v) >= D_b(v) - D_a(v) - g D_b(v) - 2 g D_a(v) - 3 d t, and D_a(v) <= A.

    So b loses to a in the whole box, in the reference's own arithmetic and strictly, if
    D_b(v) - D_a(v) > g D_b(v) + 5 g A + 6 d t. The kernel asks for

        D_b(v) - D_a(v) > slope D_b(v) + slope A + floor

    where slope = 8 (d + 4) u and floor = 8 (d + 4) t also cover the rounding of this
    test: u D_b(v) on the left, less than 4 u of the right side, 2 t for products that
    are subnormal. It is not asked where A exceeds 1e300: up to there nothing of a
    overflows, and where D_b(v) does, the test fails. A center that equals a leaves the
    list if its index is higher: all its distances are the same.

    While a and b move by at most w together, a' and b' are the places where they come
    to, and B is to b what A is to a: sqrt(S_b') - sqrt(S_a') is at least e = h(v) /
    (sqrt(A) + sqrt(B)) - w. By 3, b' loses to a' in all of the box if e > 2 g
    sqrt(S_a') + sqrt(3 d t), as the difference of the squares is then at least
    e (2 sqrt(S_a') + e), where sqrt(S_a') is at most sqrt(A) + w. So the right side
    above gets

        (sqrt(A) + sqrt(B)) (w (1 + 2^-20) + slope sqrt(A) + sqrt(floor))

    more; the part of w, 2^-20, is far more than 2 g and all roundings of this. Boxes
    that are a point, and centers that are equal, are nothing special then.
    """
    info = np.finfo(np.float64)
    factor = 8 * (n_features + 4)
    return factor * float(info.eps) / 2, factor * float(info.smallest_subnormal)


class Tree:
    """The samples in the order of a k-d tree, and its nodes.

    nodes (n_nodes, 3) are the first and last place of the node's rows and its first
    child (see `kdtree.CHILD`); boxes (n_nodes, 2, n_features) their bounds, sums
    (n_nodes, 3, n_features + 1) exact sums of their weighted samples and weights. Node
    1 is all samples. rows and weights are sorted, and origins (n_samples,) are their
    samples' indices; next_nodes and last_nodes (n_parts,) which nodes are still to be
    had.
    """

    def __init__(self, X: Array, weights: Array, n_chunks: int) -> None:
        n_samples, n_features = X.shape
        cuts = np.empty((n_features, kdtree.CUTS))
        steps = np.empty((n_features, kdtree.CUTS), np.int64)
        picked = X[:: max(1, n_samples // kdtree.MOST_PICKED)].copy()
        seen = X if (picked == picked[0]).all() else picked
        box = np.stack([seen.min(axis=0), seen.max(axis=0)]).astype(np.float64)
        n_bits = kdtree.first_grid(picked, n_samples, box, cuts, steps)
        cells = np.empty(n_samples, np.uint8)
        counts = np.zeros((n_chunks, kdtree.CELLS), np.int64)
        kdtree.classify(n_chunks, X, cuts, steps, cells, counts)
        ends = np.cumsum(counts.T).reshape(-1, n_chunks)
        self.rows = np.empty_like(X)
        self.weights = np.ones(1) if weights.size == 1 else np.empty(n_samples)
        self.weights[:1] = weights[:1]
        self.origins = np.empty(n_samples, np.int32 if n_samples < 2**31 else np.int64)
        kdtree.scatter(
            n_chunks,
            X,
            weights,
            cells,
            np.ascontiguousarray(ends.T) - counts,
            self.rows,
            self.weights,
            self.origins,
        )

        n_first = kdtree.FIRST_NODES
        first = np.zeros((n_first, 3), np.int64)
        first[1] = 0, n_samples, 0
        roots = np.empty(kdtree.CELLS, np.int64)
        n_roots = kdtree.first_nodes(ends[:, -1].copy(), n_bits, n_first, first, roots)
        roots = roots[:n_roots].copy()
        sizes = first[roots, 1] - first[roots, 0]
        bounds = n_first + np.cumsum(np.append(0, kdtree.most_nodes(sizes)))
        self.next_nodes, self.last_nodes = bounds[:-1].copy(), bounds[1:].copy()
        # Numbers that no node takes are memory that is never touched.
        self.nodes = np.empty((bounds[-1], 3), np.int64)
        self.nodes[:n_first] = first
        self.boxes = np.empty((bounds[-1], 2, n_features))
        self.sums = np.empty((bounds[-1], 3, n_features + 1))
        kdtree.first_parts(
            n_chunks,
            self.rows,
            self.weights,
            roots,
            self.nodes,
            self.boxes,
            self.sums,
        )
        kdtree.first_sums(n_first, self.nodes, self.boxes, self.sums)


class Blocks(InMemory):
    """The engine of this module (see there).

    Memory beyond X, per sample: a copy in the order of the tree, weights too if given;
    8 bytes for its index and label; some 5 n_features + 6 bytes of nodes; for steps in
    leaves 8 more, touched as far as leaves are undecided. While labels are found, per
    thread the lists of centers on a path.

    Counts the nodes that were visited, the samples that were compared one by one, and
    the steps that only looked at leaves.
    """

    def __init__(self, X: Array, weights: Array | None, n_threads: int) -> None:
        super().__init__(X, weights, n_threads)
        self.tree = Tree(self.X, self.kernel_weights, self.n_chunks(20.0 * X.size))
        d = self.n_features
        # The length of a tuple is known to the compiler, that of an array is not.
        self._features: Any = (0,) * d if d <= MOST_UNROLLED else np.empty(d)
        self._margins = dominance(d)
        self._owners = np.empty(len(self.tree.nodes), np.int32)
        self._sorted_labels = np.empty(self.n_samples, np.int32)
        self._expected = np.ones(blocks.MOST_UNITS, np.int64)
        self._loads = self._expected.copy()
        n_numbers = 1024 + self.n_samples // (4 * n_threads)
        self._notes = np.empty((n_threads, n_numbers), np.int64)
        self._n_noted = np.zeros(n_threads, np.int64)
        self._used = np.empty(self._notes.shape)
        self._keys = np.empty(self.n_samples, np.float32)
        self._spent = NO_WAY  # by each center since it was allowed some way
        self._n_clusters = 0
        # Of a descent, the first is a guess; of a step in leaves.
        self._nanoseconds, self._nanoseconds_followed = 20.0 * X.size, 0.0

    def step(self, centers: Array, moved: Array | None = None) -> Step:
        before, self._centers = self._centers, centers.astype(np.float64)
        if len(centers) != self._n_clusters:
            self._forget(len(centers))
        step = self._step(before)
        # Differences gather slack where the sums round: taken anew, they have less.
        if np.count_nonzero(step.totals.slack) and step.totals.rounded()[1].any():
            self._forget(len(centers))
            step = self._descend(NO_WAY)._replace(n_changed=step.n_changed)
        return step

    def _forget(self, n_clusters: int) -> None:
        self._n_clusters = n_clusters
        self._everyone = np.ones(n_clusters, bool)
        self._totals = self.no_totals(n_clusters)
        self._owners[:] = blocks.NOBODY
        self._allowed = NO_WAY
        self._n_changed = self._n_rows = self.n_samples
        self._nanoseconds_down = 0.0  # of a descent, but for new nodes

    def _step(self, before: Array) -> Step:
        """Go down, or look at leaves only where no center has gone too far for that."""
        n_steps = self._steps_to_allow()
        if not (n_steps or len(self._allowed)):
            return self._descend(NO_WAY)
        moves = movements(before, self._centers)
        if len(self._allowed):
            self._spent = np.nextafter(self._spent + moves, np.inf)
            if (self._spent <= self._allowed).all():
                return self._follow(moves)
        if not n_steps:
            return self._descend(NO_WAY)
        return self._descend(n_steps * np.maximum(moves, moves.mean()))

    def _steps_to_allow(self) -> float:
        """How many steps a descent should allow for; 0 if that would not pay.

        A strip of leaves along the borders is undecided. By as much of it as there are
        samples in it that change, borders sweep on in a step; the strip is wider by
        that for each step that is allowed for. Some five times as many samples are
        compared as change.
        """
        n_changed = max(1, self._n_changed)
        n_steps = min(MOST_FOLLOWED, math.sqrt(WIDER * self._n_rows / n_changed))
        followed = 1.5 * (self._n_rows + 2 * n_steps * n_changed) + 260.0 * n_changed
        return n_steps if followed < GAIN * self._nanoseconds_down else 0.0

    def _follow(self, moves: Array) -> Step:
        """Carry out a step in the leaves that the last descent left undecided."""
        tree = self.tree
        counts = blocks.follow(
            min(len(self._totals), self.n_chunks(self._nanoseconds_followed)),
            self._features,
            tree.rows,
            tree.weights,
            self._centers,
            self._spent,
            moves,
            self._sorted_labels,
            self._totals,
            self._notes,
            self._n_noted,
            self._keys,
            self._used,
        )
        n_changed, n_rows, n_compared = map(sum, zip(*counts, strict=True))
        self.counts["steps in leaves only"] += 1
        self._nanoseconds_followed = 1.5 * n_rows + 50.0 * n_compared
        return self._done(n_changed, n_compared)

    def _done(self, n_changed: int, n_compared: int) -> Step:
        self.counts["samples compared one by one"] += n_compared
        self._n_changed = n_changed
        # A copy: `assign` takes steps as well.
        totals = self._totals.copy() if len(self._totals) == 1 else self._totals
        return Step(self.joined(totals, self._n_clusters), n_changed, self._everyone)

    def _descend(self, allowed: Array) -> Step:
        """Carry out a step, with some way allowed to each center from here, or none."""
        most = min(len(self._totals), len(self._notes))
        n_chunks = min(most, self.n_chunks(self._nanoseconds))
        tree = self.tree
        counts = blocks.descend(
            n_chunks,
            self._features,
            self._margins,
            tree.nodes,
            tree.boxes,
            tree.sums,
            tree.rows,
            tree.weights,
            tree.origins,
            tree.next_nodes,
            tree.last_nodes,
            self._centers,
            allowed,
            self._owners,
            self._sorted_labels,
            self._totals,
            self._expected,
            self._loads,
            self._notes,
            self._n_noted,
            self._keys if len(allowed) else NO_KEYS,
            self._used,
        )
        self._expected, self._loads = self._loads, self._expected
        sums = map(sum, zip(*counts, strict=True))
        n_changed, n_visited, n_compared, n_pairs, n_new = sums
        self.counts["nodes visited"] += n_visited
        self._n_noted[n_chunks:] = 0
        if len(allowed):
            self._spent = np.zeros(len(allowed))
            self._nanoseconds_followed = 1.5 * n_compared + 50.0 * n_changed
            self._allowed = NO_WAY if self._n_noted.min() == blocks.MANY else allowed
        else:
            per_node = 40.0 * self.n_features
            self._nanoseconds_down = per_node * n_visited + 1.3 * n_pairs
            # A step that divides nodes, 1.5 us for each new one, is followed by others.
            self._nanoseconds = self._nanoseconds_down + 700.0 * n_new
            self._n_rows, self._allowed = n_compared, NO_WAY
        return self._done(n_changed, n_compared)

    def sums(self, labels: Array, n_clusters: int) -> Step:
        if n_clusters > 1:
            return super().sums(labels, n_clusters)
        totals = ExactSum(*self.tree.sums[1][:, None])
        return Step(totals, self.n_samples, np.ones(1, bool))

    def label(self, centers: Array) -> Array:
        self.step(centers)
        tree, labels = self.tree, np.empty(self.n_samples, np.int32)
        blocks.spread(
            self.n_chunks(4.0 * self.n_samples),
            tree.nodes,
            self._owners,
            self._sorted_labels,
            tree.origins,
            labels,
        )
        return labels

    labels_of = label
