"""How far centers move, rounded up: what bounds on distances are given up by."""

from __future__ import annotations

import numpy as np

from fastkm.engines.base import Array


def movements(centers: Array, moved: Array) -> Array:
    """Distance from each center to where it moved, or more; 0 where it did not.

    The factor covers every rounding of a movement and of the sum of two, the smallest
    number squares that underflow.
    """
    n_clusters, n_features = centers.shape
    with np.errstate(over="ignore", invalid="ignore"):
        differences = moved - centers
        squares = np.einsum("ij,ij->i", differences, differences)
    steps = np.sqrt(squares + n_features * 2.0**-1074)
    steps *= 1 + (n_features + 16) * 2.0**-51
    if np.count_nonzero(squares) < n_clusters:
        steps[(moved == centers).all(axis=1)] = 0.0
    return steps


def added_room(centers: Array, moved: Array) -> Array:
    """For each cluster, its center's movement plus the largest of another center."""
    return with_others(movements(centers, moved))


def with_others(steps: Array) -> Array:
    """Each movement plus the largest of the others."""
    if len(steps) == 1:
        return steps
    second, first = np.partition(steps, -2)[-2:]
    others = np.full(len(steps), first)
    others[steps.argmax()] = second
    return steps + others
