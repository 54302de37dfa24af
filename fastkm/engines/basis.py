"""Basis: few directions in which samples vary most, orthonormal up to a known error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array
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
        directions = np.linalg.qr(rows.T @ (rows @ directions))[0]
    reduced = rows @ directions
    _, rotation = np.linalg.eigh(reduced.T @ reduced)
    return directions @ rotation[:, ::-1]


def make_basis(rows: Array, n_coordinates: int) -> Basis:
    """Basis from some rows; any orthonormal one where their squares overflow."""
    with np.errstate(all="ignore"):
        scaled: Array = rows / np.abs(rows).max(initial=1e-300)
        if not np.isfinite(scaled).all():
            scaled = np.zeros_like(rows)
    directions = leading_directions(scaled, n_coordinates)
    n_features = len(directions)
    gram = directions.T @ directions - np.eye(n_coordinates)
    defect = float(np.linalg.norm(gram)) + 2 * n_coordinates * n_features * 2.0**-53
    n_groups = -(-n_coordinates // GROUP)
    padded = np.zeros((n_features, n_groups * GROUP))
    padded[:, :n_coordinates] = directions
    groups = padded.reshape(n_features, n_groups, GROUP).transpose(1, 0, 2)
    sums = 1.1 * math.sqrt(n_coordinates) * (n_features + 4) * 2.0**-53
    error = 1.05 * 2.0**-24 + defect + sums
    rest_error = 2.2 * error + 4 * (n_features + n_coordinates + 8) * 2.0**-53
    packed = np.ascontiguousarray(groups).ravel()
    return Basis(packed, n_coordinates, error, rest_error)
