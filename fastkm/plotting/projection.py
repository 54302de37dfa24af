"""The plane in which samples of many features are drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROWS = 1000  # samples that the components are those of
BLOCK = 2**24  # values that are in float64 at once


class Plane(NamedTuple):
    """A mean (n_features,), two directions (n_features, 2), their share of variance."""

    mean: Array
    directions: Array
    shares: Array

    def project(self, X: Array) -> Array:
        """Coordinates (n_samples, 2) float64."""
        step = max(1, BLOCK // X.shape[1])
        blocks = [
            (X[start : start + step] - self.mean) @ self.directions
            for start in range(0, len(X), step)
        ]
        return np.concatenate(blocks)

    def axis_labels(self) -> dict[str, str]:
        """What the two axes are."""
        texts = [
            f"principal component {number} ({share:.0%} of variance)"
            for number, share in enumerate(self.shares, 1)
        ]
        return {"xlabel": texts[0], "ylabel": texts[1]}


def principal_plane(X: Array) -> Plane:
    """Plane of the largest variance of some samples, at equal distances in X.

    The largest coordinate of each direction is positive: a picture is never mirrored.
    """
    some = X[:: -(-len(X) // ROWS)].astype(np.float64)
    mean = some.mean(axis=0)
    # A row of zeros changes no direction, and gives one sample a second.
    rows = np.concatenate([some - mean, np.zeros((1, X.shape[1]))])
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    largest = np.abs(directions[:2]).argmax(axis=1)
    signs = np.where(directions[[0, 1], largest] < 0, -1, 1)
    total = float((lengths**2).sum()) or 1.0
    return Plane(mean, (signs[:, None] * directions[:2]).T, lengths[:2] ** 2 / total)
