"""Images of samples in small integers, which lie apart only where the samples do.

An image u(x) under a map that never lengthens distances, rounded: where two images lie
farther apart than the rounding explains, the samples are as far apart at least. Small
integers are half as many bytes as float32, their products come in pairs, and their sums
are exact: there are no roundings to follow through.

With few features u(x) = x - shift; with many, coordinates y = Q'(x - shift) in an
orthonormal basis and the norm r of the rest. |u(x) - u(c)| <= |x - c|, because
|x - c|^2 = |y - z|^2 + |rest of x - rest of c|^2, the latter at least (r - s)^2.
The integers are v = round(P(scale u~)), p of them, of the computed u~. P clips every
number to an interval, then moves what is outside of a ball to its surface. Both are
nearest points of convex sets, so they lengthen no distance either; rounding moves a
point by sqrt(p) / 2 at most. Let N = |x - shift|, and let |u~ - u| <= a N. Then for
every c, a center or another sample,

    |v(x) - v(c)| <= scale (|x - c| + a (N + N_c)) + sqrt(p),    N_c <= N + |x - c|.

Suppose that |x - c|^2 <= m is asked, in real numbers or as D computes it. With d
features and w = 2^-53, D >= |x - c|^2 (1 - 1.01 (d + 2) w) up to underflow, so then
|x - c| <= (1 + (d + 4) w) sqrt(m) + sqrt(d t), t the smallest number above 0, and

    |v(x) - v(c)| <= scale ((1 + (d + 4) w + a) sqrt(m) + 2 a N) + 1.01 sqrt(p),

the reach (`kernels.integers.reach_of`). 1.01 instead of 1 has room for the underflow,
as scale sqrt(d t) is tiny, and for the roundings of P(scale u~) (p 2^-35) and of the
coefficients. The square of the reach is computed with a relative error of 2^-49; where
it fits into an int32 that is less than 1, and `limit_of` adds 2. Left of it |v(x)|^2 +
|v(c)|^2 - 2 v(x).v(c) is taken apart: what is the sample's goes into its limit, the
rest is a score. With |v|^2 <= `SQUARES`, whatever the number of features, it is at
most 3 * 2^29 < 2^31, and so is every partial sum.

What a is: without a basis, 0. A difference is rounded once, by 2^-53 of itself; P
clips scale times it, and where this is more than twice what is left, whatever the
rounding: so it is off by 2^-38 at most, and 1.01 has room. With a basis, |y~ - y|
<= e N with e = `Basis.error`; and the square of the computed norm of the rest is above
that of the norm, by at most 2.1 `Basis.rest_error` N^2, before it is rounded up to
float32: e + sqrt(2.1 rest_error) + 2^-22 for both. Coordinates that underflow in
float32 are off by 2^-149 sqrt(p) more, at most 0.002 sqrt(p) in integers, as scale is
below 2^14 / 2^-126.

What a nearer c gains: with f(m) the right side above and own its first coefficient,
|v(x) - v(c)| <= f(D) for D <= m, and f(m)^2 - f(D)^2 >= own^2 (m - D). So m - D is at
most (reach^2 - |v(x) - v(c)|^2) / own^2, the limit less the score.

The first few integers and the norm of the others are such an image of the integers
themselves; that norm is rounded, too, so the reach is 1 more: `ROUNDED`.

Bytes (`kernels.integers.to_bytes`) are an image of these again, with the norm as it is:
b = round(P'(q u')), where P' clips, and shrinks into a ball, as P. By how much rounding
moves a point is measured, as it is 0.29 sqrt(p) most often: with losses no less than
|b - P'(q u')|, |b(x) - b(c)| <= q reach + loss(x) + loss(c). Numbers of at most 63 and
norms of at most 181 are off by less than p 2^-44 before they are rounded (`TINY`).

Where N^2 is 1e37 or more, float32 coordinates in a basis may overflow: then the reach
is infinite.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array
from fastkm.engines.basis import Basis
from fastkm.kernels.integers import LARGEST

SQUARES = 2**29  # largest sum of squares
USUAL, ROOM = 0.98, 1.5  # share of the samples that fit in so many times over


class Rounding(NamedTuple):
    """How numbers become integers, and the coefficients of the reach."""

    scale: float
    radius: float
    margin: Array


def rounding(some: Array, n_features: int, basis: Basis | None = None) -> Rounding:
    """Give the rounding of images like some (n_some, p), less the shift.

    Outliers are clipped: they do not make the integers of all others small.
    """
    n_values = some.shape[1]
    error = 0.0
    if basis is not None:
        error = basis.error + math.sqrt(2.1 * basis.rest_error) + 2.0**-22
    # Rounded norms of some of the numbers, as `shorten` gives, add 1/2 at most.
    radius = math.sqrt(SQUARES) - math.sqrt(n_values) / 2 - 1
    usual = int(USUAL * (len(some) - 1))
    with np.errstate(over="ignore"):
        norms = np.sqrt(np.square(some, dtype=np.float64).sum(axis=1))
    largest = np.abs(some).max(axis=1, initial=0.0)
    extent = max(
        float(np.partition(sizes, usual)[usual]) * ROOM / most
        for sizes, most in ((norms, radius), (largest, LARGEST))
    )
    if not 0 < extent < math.inf:
        extent = 1.0 / LARGEST
    scale = 1.0 / max(extent, float(np.finfo(np.float32).tiny) / LARGEST)
    own = scale * (1 + (n_features + 4) * 2.0**-53 + error)
    margin = np.array([own, 2 * scale * error, 1.01 * math.sqrt(n_values)])
    return Rounding(scale, radius, margin)
