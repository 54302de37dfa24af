"""Numbers rounded to small integers, and how far apart these may lie.

`engines.integers` says what they are good for.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm.kernels._jit import inlined, rolled, serial
from fastkm.kernels._threads import parallel
from fastkm.kernels.arrays import empty
from fastkm.kernels.exact import chunk_bounds, rounded_up
from fastkm.kernels.select import greater, lesser
from fastkm.kernels.tiles import LARGEST_REACH
from fastkm.kernels.vectors import GROUP, LANES_32

Array = NDArray[Any]

LARGEST = 2**14 - 1  # twice as much, with a sign, is an int16
HIGHEST = 2**31 - 1  # of int32: what nothing is above
BOUNDED = 3 * 2**29 - 1  # largest limit that less any score is an int32
NEAREST = 1.5 * 2**52  # plus which numbers are integers
ROUNDED = 1.01  # by which a distance of rounded norms may exceed that of the norms
# Of bytes: the largest number and norm of a row, so that sums of products are int16,
# and what is added to a sample's, to make them unsigned.
LARGEST_BYTE, LARGEST_NORM, BIAS = 63, 181, 64


@inlined
def round_row(values, i, shift, scale, shrink, row):
    """Nearest integers of a row, and the sum of their squares."""
    norm, most = np.int64(0), np.float64(LARGEST)
    for f in range(values.shape[1]):
        number = lesser(greater((values[i, f] - shift[f]) * scale, -most), most)
        value = np.int32(number * shrink + NEAREST - NEAREST)
        row[f] = value
        norm += np.int64(value) * np.int64(value)
    return norm


@inlined
def inner_radius(radius, n_features):
    """What has so small a norm when it is rounded was in the ball."""
    return radius - math.sqrt(n_features) / 2


@inlined
def round_in_ball(values, i, shift, scale, radius, row):
    """Round (values - shift) * scale, clipped, and shrunk into a ball of some radius.

    Into the leading columns of a row; gives the sum of squares.
    """
    norm = round_row(values, i, shift, scale, 1.0, row)
    inside, most = inner_radius(radius, values.shape[1]), np.float64(LARGEST)
    if norm > inside * abs(inside):
        square = 0.0
        for f in range(values.shape[1]):
            number = (values[i, f] - shift[f]) * scale
            square += lesser(abs(number), most) * lesser(abs(number), most)
        if square > radius * radius:
            shrink = radius / math.sqrt(square)
            norm = round_row(values, i, shift, scale, shrink, row)
    return norm


@inlined
def rounded_root(square):
    """Norm of integers, rounded and clipped, of their sum of squares."""
    return np.int64(lesser(math.sqrt(square), np.float64(LARGEST)) + 0.5)


@parallel
@rolled
def round_rows(chunk, n_chunks, values, shift, scale, radius, rows, norms):
    """Round all features (`round_in_ball`).

    Into the leading columns of rows (n_samples, width), int16, of which the others
    stay; norms (n_samples,), int32, get the sums of squares.
    """
    first, last = chunk_bounds(chunk, n_chunks, values.shape[0])
    for i in range(first, last):
        norms[i] = round_in_ball(values, i, shift, scale, radius, rows[i])


@parallel
@rolled
def shorten(chunk, n_chunks, rows, n_lead, lead, norms):
    """The first n_lead integers, and the norm of all others, rounded.

    Into the columns of lead (n_samples, n_lead + 1), with their sums of squares.
    """
    first, last = chunk_bounds(chunk, n_chunks, rows.shape[0])
    for i in range(first, last):
        norm = square = np.int64(0)
        for f in range(n_lead):
            value = np.int64(rows[i, f])
            lead[i, f] = value
            norm += value * value
        for f in range(n_lead, rows.shape[1]):
            value = np.int64(rows[i, f])
            square += value * value
        rest = rounded_root(square)
        lead[i, n_lead] = rest
        norms[i] = norm + rest * rest


@parallel
@rolled
def to_bytes(chunk, n_chunks, rows, n_lead, scale, bias, lead, norms, losses):
    """The first n_lead integers and the norm of all others, times scale, in bytes.

    Clipped, shrunk into a ball, rounded, and stored with `bias` into the leading
    columns of lead (n_samples, width). norms get the sums of squares, and losses
    (float32) at least the distance between a row and what it was before it was rounded.
    """
    first, last = chunk_bounds(chunk, n_chunks, rows.shape[0])
    numbers = empty(n_lead + 1, np.float64)
    most = np.float64(LARGEST_BYTE)
    inside = inner_radius(LARGEST_NORM, n_lead + 1)
    for i in range(first, last):
        others = np.int64(0)
        for f in range(n_lead, rows.shape[1]):
            others += np.int64(rows[i, f]) * np.int64(rows[i, f])
        numbers[n_lead] = lesser(math.sqrt(others) * scale, most)
        square = numbers[n_lead] * numbers[n_lead]
        for f in range(n_lead):
            numbers[f] = lesser(greater(rows[i, f] * scale, -most), most)
            square += numbers[f] * numbers[f]
        shrink = inside / math.sqrt(square) if square > inside * inside else 1.0
        norm, loss = np.int64(0), 0.0
        for f in range(n_lead + 1):
            number = numbers[f] * shrink
            value = np.int64(number + NEAREST - NEAREST)
            lead[i, f] = value + bias
            norm += value * value
            loss += (value - number) * (value - number)
        norms[i], losses[i] = norm, rounded_up(math.sqrt(loss))


@inlined
def put_sample(rows, i, packed, at, lane):
    """Pack a sample as `simd.sift` wants it: [pair][lane][2] from `at` on."""
    for f in range(rows.shape[1]):
        packed[at + (f // 2 * LANES_32 + lane) * 2 + f % 2] = rows[i, f]


@serial
def pack_centers(
    rows: Array, norms: Array, packed: Array, offsets: Array, packed_norms: Array
) -> None:
    """Pack centers for `simd.sift_bytes`; those that fill it up are out of reach.

    rows (n_clusters, width) are bytes, width a multiple of 4; offsets (n_places, 2) of
    16 bits, in which their sums may run over.
    """
    n_clusters, width = rows.shape
    for j in range(packed_norms.size):
        packed_norms[j] = norms[j] if j < n_clusters else HIGHEST
        at = j // GROUP * GROUP * width + j % GROUP * 4
        offsets[j, 0] = offsets[j, 1] = 0
        for f in range(width):
            value = np.int64(rows[j, f]) if j < n_clusters else 0
            packed[at + f // 4 * GROUP * 4 + f % 4] = value
            offsets[j, f % 4 // 2] -= BIAS * value


@inlined
def reach_of(distance, square, margin):
    """How far apart images may lie (`engines.integers`), in integers' units."""
    if not square < LARGEST_REACH:
        return math.inf
    per_distance, per_norm, rounding = margin
    return per_distance * math.sqrt(distance) + per_norm * math.sqrt(square) + rounding


@inlined
def limit_of(reach, norm):
    """Largest score, |w|^2 - 2 v.w, of an image w in reach of v, |v|^2 = norm."""
    value = reach * reach + 2.0 - norm
    return np.int32(value) if value < HIGHEST else np.int32(HIGHEST)
