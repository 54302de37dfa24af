"""Samples in the colours of their clusters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm.plotting.axes import as_labels, brief, fit_limits, new_axes
from fastkm.plotting.colors import label_colors
from fastkm.plotting.projection import principal_plane
from fastkm.plotting.voronoi import plot_voronoi

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]


def plot_clusters(
    X: ArrayLike,
    labels: ArrayLike,
    centers: ArrayLike | None = None,
    *,
    ax: Axes | None = None,
    boundaries: bool = False,
    max_points: int = 20_000,
) -> Axes:
    """Draw samples in the colours of their clusters, and fit the limits to them.

    Samples of more than two features are projected on the two principal components of
    some of them; the labels of the axes say so, with the share of the variance.

    Parameters
    ----------
    X : array-like (n_samples, n_features), finite, two features or more
    labels : array-like (n_samples,) of integers >= 0
    centers : array-like (n_clusters, n_features), finite, optional
    ax : Axes, optional
    boundaries : bool
        Also draw the boundaries of the cells of the centers, see `plot_voronoi`. Only
        for two features: a projection of cells is no cell.
    max_points : int
        More samples than this are drawn as a raster: each pixel has the colour of its
        most frequent label, the more opaque the more samples it holds.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = plot_clusters([[0, 0], [0, 1], [4, 4]], [0, 0, 1], [[0, 0.5], [4, 4]])
    >>> len(ax.collections[0].get_offsets())
    3
    >>> plt.close(ax.figure)
    """
    X = _as_table(X, "X")
    n_features = X.shape[1]
    labels = as_labels(labels, len(X))
    n_clusters = int(labels.max()) + 1
    if centers is not None:
        centers = _as_table(centers, "centers")
        if centers.shape[1] != n_features:
            raise ValueError(
                f"centers must have {n_features} features, got {centers.shape[1]}"
            )
        n_clusters = max(n_clusters, len(centers))
    if boundaries and (centers is None or n_features > 2):
        got = "centers=None" if centers is None else f"{n_features}"
        raise ValueError(f"boundaries=True needs centers of 2 features, got {got}")
    axis_labels = {}
    if n_features > 2:
        plane = principal_plane(X)
        X, axis_labels = plane.project(X), plane.axis_labels()
        centers = None if centers is None else plane.project(centers)
    corners = np.array([X.min(axis=0), X.max(axis=0)])
    if centers is not None:
        corners = np.array([*corners, centers.min(axis=0), centers.max(axis=0)])
    ax = new_axes() if ax is None else ax

    if len(X) > max_points:
        _draw_raster(ax, X, labels, n_clusters)
    else:
        size = float(np.clip(8000 / len(X), 4, 26))
        colors = label_colors(labels, n_clusters)
        ax.scatter(X[:, 0], X[:, 1], s=size, c=colors, alpha=0.85, linewidths=0)
    ax.set(**axis_labels)
    ax.set_aspect("equal", adjustable="box")
    fit_limits(ax, corners)
    if centers is not None:
        if boundaries:
            plot_voronoi(centers, ax=ax)
        size = float(np.clip(1200 / len(centers), 10, 110))
        x, y, edge = centers[:, 0], centers[:, 1], 0.6 + size / 110
        marks = ax.scatter(x, y, s=size, marker="X", c="black", zorder=3)
        marks.set(edgecolor="white", linewidth=edge)
    return ax


def _as_table(values: ArrayLike, name: str) -> Array:
    """Finite floats (n, n_features); a large table keeps its float32."""
    array = np.asarray(values)
    if array.dtype != np.float32 or array.shape[1:] == (2,):
        array = array.astype(np.float64, copy=False)
    if array.ndim != 2 or not len(array) or array.shape[1] < 2:
        raise ValueError(
            f"{name} must have shape (n, n_features) with 2 features or more, got "
            f"{array.shape}"
        )
    if not np.isfinite([array.min(), array.max()]).all():  # NaN wins both
        raise ValueError(f"{name} must be finite, got {brief(array)}")
    return array


def _draw_raster(ax: Axes, X: Array, labels: Array, n_clusters: int) -> None:
    low, high = X.min(axis=0), X.max(axis=0)
    side = int(np.clip(math.sqrt(len(X)), 100, 400))
    pixel = float((high - low).max()) / side or 1.0
    cells = ((X - low) / pixel).astype(np.int64)
    width, height = cells.max(axis=0) + 1
    # Counting only the pairs that occur: a table of all would not fit for many labels.
    keys = (cells[:, 1] * width + cells[:, 0]) * n_clusters + labels
    pairs, counts = np.unique(keys, return_counts=True)
    where, label = np.divmod(pairs, n_clusters)
    # Of repeated indices the last assignment stays: the largest count, lowest label.
    order = np.lexsort((-label, counts))
    total = np.bincount(where, weights=counts, minlength=width * height)
    image = np.ones((width * height, 4))
    image[where[order], :3] = label_colors(label[order], n_clusters)
    depth = np.log1p(total) / np.log1p(total.max())
    image[:, 3] = np.where(total > 0, 0.35 + 0.65 * depth, 0.0)
    right, top = low + pixel * np.array([width, height])
    extent = (low[0], right, low[1], top)
    ax.imshow(image.reshape(height, width, 4), origin="lower", extent=extent)
