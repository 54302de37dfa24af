"""Basis: few directions in which samples vary most, orthonormal up to a known error."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastkm.engines.base import Array
from fastkm.engines.products import orthonormal, product
from fastkm.kernels.vectors import GROUP


class Basis(NamedTuple):
    """Leading directions, packed, and the errors of coordinates.

    `error` bounds |y~ - Q'x| / |x| for computed coordinates y~: the rounding of y~ to
    float32, the distance of the directions from an orthonormal basis (singular values
    within `defect` of 1: the polar factor Q is that near), and a sum of n_features
    products in float64 for each of the coordinates. `rest_error` bounds that of
    |x|^2 - |y~|^2, relative to |x|^2: twice as much, and the sums.
    """

    packed: Array
    n_coordinates: int
    error: float
    rest_error: float

    def directions(self) -> Array:
        """Unpack them, (n_features, n_coordinates)."""
        n_groups = -(-self.n_coordinates // GROUP)
        groups = self.packed.reshape(n_groups, -1, GROUP).transpose(1, 0, 2)
        return groups.reshape(-1, n_groups * GROUP)[:, : self.n_coordinates]


def leading_directions(rows: Array, n_coordinates: int) -> Array:
    """Directions of largest variance of rows (n_rows, n_features), about zero.

    Randomized subspace iteration: Halko, Martinsson and Tropp, Finding structure with
    randomness (2011), algorithm 4.4. They need not be good, only orthonormal.
    """
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((rows.shape[1], n_coordinates))
    for _ in range(2):
        directions = orthonormal(product(rows.T, product(rows, directions)))
    reduced = product(rows, directions)
    # Not by `eigh`, which wakes threads (see `products`) from 26 rows on; this one does
    # from 65 on. It may give what is neither orthogonal nor real, for equal lengths.
    lengths, rotation = np.linalg.eig(product(reduced.T, reduced))
    rotation = np.linalg.qr(rotation.real[:, np.argsort(-lengths.real)])[0]
    return product(directions, rotation)


def make_basis(rows: Array, n_coordinates: int) -> Basis:
    """Basis from some rows; any orthonormal one where their squares overflow."""
    largest = max(float(rows.max()), -float(rows.min()), 1e-300)
    if not 1e-60 < largest < 1e60:  # no squares overflow without a scaled copy
        with np.errstate(all="ignore"):
            rows = rows / largest
            if not np.isfinite(rows).all():
                rows = np.zeros_like(rows)
    return pack_basis(leading_directions(rows, n_coordinates))


def pack_basis(directions: Array) -> Basis:
    """Pack directions (n_features, n_coordinates), orthonormal but for rounding."""
    n_features, n_coordinates = directions.shape
    gram = product(directions.T, directions) - np.eye(n_coordinates)
    defect = float(np.linalg.norm(gram)) + 2 * n_coordinates * n_features * 2.0**-53
    sums = 1.1 * math.sqrt(n_coordinates) * (n_features + 4) * 2.0**-53
    error = 1.05 * 2.0**-24 + defect + sums
    rest_error = 2.2 * error + 4 * (n_features + n_coordinates + 8) * 2.0**-53
    packed = in_groups(directions.T, n_features, np.float64)
    return Basis(packed, n_coordinates, error, rest_error)


def in_groups(rows: Array, n_columns: int, dtype: Any) -> Array:
    """Pack rows as [group][column][row]; missing rows and columns are zeros."""
    packed = np.zeros((-(-len(rows) // GROUP), n_columns, GROUP), dtype)
    for group, first in zip(packed, range(0, len(rows), GROUP), strict=True):
        some = rows[first : first + GROUP]
        group[: some.shape[1], : len(some)] = some.T
    return packed.ravel()
