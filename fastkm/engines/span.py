"""Span: coordinates of the samples in the space that some centers span.

What decides between two centers is a sample's product with their difference. Centers
that have moved on still lie nearly in the space that they spanned some steps ago: most
of what moves them lies between them. So a few coordinates of a sample stand for all its
features, up to its norm times how far the centers have left that space. 500,000 x 100
samples along a diagonal, k=6: centers that moved by 0.41 are 0.0024 off it.

Why that is safe. With the notation of `tiles.score_margin`, let y be the computed
coordinates of x', and Q the orthonormal matrix that they are meant to belong to:
|y - Q'x'| <= e |x'| (`Basis.error`), and w at least the norm of the rest of x', so that
y and w are as long as x' (`kernels.prefix.project`). A center is c' = Q a + r, where a
as computed is Q'c' up to e |c'|, and r is beside Q up to as much:

    |x'.c' - y.a| = |x'.r + (Q'x' - y).a| <= w |r| + |x'| (e |c'| + e |a|).

So the score |c'|^2 / 2 - y.a is off by that, besides what `score_margin` says of the
score of a sample (y, w) and a center (a, 0). |r| as computed is off by another e |c'|
and its own rounding, far less than e; twice the sum goes into the margin.
"""

from __future__ import annotations

import math

import numpy as np

from fastkm.engines.base import Array, read_only
from fastkm.engines.basis import in_groups, pack_basis
from fastkm.engines.products import orthonormal, product
from fastkm.engines.tiles import Scores, float32_serves, score_margin
from fastkm.kernels import prefix
from fastkm.kernels.vectors import GROUP

LINE = 16  # float32 numbers in a cache line
LARGE = 2**22  # numbers in X, which do not stay in a cache
SAVED = 3  # features for each coordinate, at least
# Samples that are looked at before a span is made, and the share that may be left to
# read then. 0.02 and less along a diagonal, 0.9 and more on images, noise, and mixtures
# in as many dimensions as there are clusters.
PILOT, FEW = 256, 1 / 16


class Span:
    """Samples in coordinates of the space that centers span, less a shift.

    rows : (n_samples, width) float32, coordinates, zeros that fill up cache lines, and
        last the norm of the rest
    """

    def __init__(self, n_chunks: int, X: Array, shift: Array, centers: Array) -> None:
        self.shift = shift.astype(np.float64)
        self.directions = orthonormal((centers - self.shift).T)
        self.basis = pack_basis(self.directions)
        self.width = width_of(len(centers))
        rows = zeros_in_lines(len(X), self.width)
        prefix.project(
            n_chunks,
            X,
            shift,
            self.basis.packed,
            len(centers),
            self.basis.rest_error,
            rows,
        )
        self.rows = read_only(rows)  # as samples are: one compiled version for both

    def scores(self, centers: Array) -> Scores:
        """Give centers in these coordinates, and the margin (see above)."""
        n_clusters, n_features = centers.shape
        shifted = centers - self.shift
        squares = np.einsum("ij,ij->i", shifted, shifted)
        reach = float(squares.max())
        reduced = product(shifted, self.directions)
        rest = shifted - product(reduced, self.directions.T)
        margin = score_margin(np.float32, n_features, reach, n_roundings=self.width)
        margin[1] += 2.02 * 4 * self.basis.error * math.sqrt(reach)
        margin[5] = 2.02 * math.sqrt(np.einsum("ij,ij->i", rest, rest).max())
        norms = np.full(-(-n_clusters // GROUP) * GROUP, np.inf, np.float32)
        norms[:n_clusters] = 0.5 * squares
        packed = in_groups(-reduced, self.width, np.float32)
        no_shift = np.zeros(self.width, np.float32)
        return Scores(self.rows, no_shift, packed, norms, margin)


def width_of(n_clusters: int) -> int:
    """Columns of `Span.rows`: a row of few is never in two cache lines.

    Of 7 columns and every eighth row, a label takes 33 ns, of 8 columns 23.
    """
    width = n_clusters + 1
    return 1 << (width - 1).bit_length() if width <= LINE else width


def zeros_in_lines(n_rows: int, width: int) -> Array:
    """Rows of zeros (float32) from the beginning of a cache line on."""
    numbers = np.zeros(n_rows * width + LINE, np.float32)
    first = -numbers.ctypes.data // numbers.itemsize % LINE
    return numbers[first : first + n_rows * width].reshape(n_rows, width)


class Spans:
    """The span of the centers of some step, as long as it serves, then of a later one.

    A span costs a pass over the samples. It is made when as many are read without one,
    and only where the centers lie near a space of fewer dimensions than there are
    centers: then that is where they move.
    """

    def __init__(self, X: Array, shift: Array) -> None:
        self.X, self.shift = X, shift
        self.span: Span | None = None
        # Samples read since the last was made, and to read before the next: without a
        # first step there will be no others. And those that it left in the last step.
        self.n_read, self.most_read, self.n_left = 0, math.inf, 0

    def begin(self) -> None:
        """Begin after a first step, in which all samples were read."""
        self.span, self.n_read, self.most_read = None, 0, len(self.X)

    def serve(self, centers: Array) -> bool:
        """Whether a span of these centers may pay, in float32."""
        n_clusters, n_features = centers.shape
        if self.X.size < LARGE or n_clusters < 2:
            return False
        reach = float(((centers - self.shift) ** 2).sum(axis=1).max())
        few = n_features >= SAVED * (n_clusters + 1)
        return few and float32_serves(centers.shape, reach)

    def current(self, n_chunks: int, centers: Array, share: float) -> Span | None:
        """Give a span, of these centers or earlier ones; None where it would not pay.

        share : of the samples that are to be read without one.
        """
        n_read = self.n_left if self.span else share * len(self.X)
        if self.n_read + n_read >= self.most_read:
            if self._promises(centers):
                self.span = Span(n_chunks, self.X, self.shift, centers)
                self.n_read, self.most_read = 0, len(self.X)
            else:
                self.most_read *= 2
        return self.span

    def learn(self, n_labelled: int, n_left: int) -> None:
        """Learn that so many of the samples to be labelled were read."""
        self.n_read += n_left
        self.n_left = n_left
        if 4 * n_left > 3 * n_labelled:
            self.span = None

    def _promises(self, centers: Array) -> bool:
        """Whether few samples would be read if centers move beside the others' span.

        That is, by as much as each of them lies beside the span of the others.
        """
        some = self.X[:: -(-len(self.X) // PILOT)] - self.shift.astype(np.float64)
        shifted = centers - self.shift
        gram = product(shifted, shifted.T)
        with np.errstate(all="ignore"):  # where squares underflow
            inverse = np.linalg.pinv(gram, hermitian=True)
            # Its diagonal has one over the squared distances to the others' span.
            beside = 1 / np.sqrt(inverse.diagonal().min())
            inner = product(some, shifted.T)
            squares = np.einsum("ij,ij->i", some, some)
            squares -= (product(inner, inverse) * inner).sum(axis=1)  # within the span
            rests = np.sqrt(np.maximum(squares, 0.0))
            scores = 0.5 * gram.diagonal() - inner
            best, second = np.partition(scores, 1, axis=1)[:, :2].T
            is_decided = second - best > 2 * beside * rests
        return bool(is_decided.mean() > 1 - FEW)
