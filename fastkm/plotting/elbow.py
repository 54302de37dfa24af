"""The inertia against the number of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastkm.plotting.axes import as_finite, new_axes, whole_ticks
from fastkm.plotting.colors import FEW_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

FEW_NUMBERS = 40


def plot_elbow(path: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the inertia against the number of clusters, and mark the elbow.

    Parameters
    ----------
    path : fastkm.KMeansPath
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If an inertia is not finite.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from fastkm import kmeans_path
    >>> X = [[0.0], [0.2], [0.4], [5.0], [5.2], [5.4], [9.0], [9.2], [9.4]]
    >>> ax = plot_elbow(kmeans_path(X, range(2, 8), random_state=0))
    >>> ax.texts[0].get_text()
    'elbow: 3 clusters'
    >>> plt.close(ax.figure)
    """
    inertia = as_finite(path.inertia, "path.inertia")
    n_clusters, elbow = np.asarray(path.n_clusters), path.elbow
    height = float(inertia[n_clusters == elbow][0])
    ax = new_axes() if ax is None else ax

    blue, orange = FEW_COLORS[:2]
    marker = "o" if len(n_clusters) <= FEW_NUMBERS else ""
    ax.plot(n_clusters, inertia, color=blue, marker=marker, ms=5)
    ax.plot(elbow, height, color=orange, marker="o", ms=10, zorder=3)
    ax.annotate(
        f"elbow: {elbow} cluster{'' if elbow == 1 else 's'}",
        (elbow, height),
        xytext=(12, 12),
        textcoords="offset points",
    )
    ax.set_ylim(bottom=0)
    ax.set(xlabel="number of clusters", ylabel="inertia")
    whole_ticks(ax)
    ax.grid(which="major", color="0.92")
    ax.set_axisbelow(True)
    return ax
