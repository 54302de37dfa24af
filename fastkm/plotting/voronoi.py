"""The boundaries between the cells of centers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm.plotting.axes import as_plane, fit_limits, matplotlib, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

FIRST_RIVALS = 16


def plot_voronoi(centers: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw the boundaries of the cells of the centers inside the current limits.

    Each segment is the bisector of two centers, cut where another center is nearer.
    Equal centers count as one; a single center has no boundary and draws nothing.

    Parameters
    ----------
    centers : array-like (n_clusters, 2), finite
    ax : Axes, optional
        None makes a new figure with limits around the centers.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If centers is not as above.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = plot_voronoi([[0, 0], [2, 0]])
    >>> ax.collections[0].get_segments()[0][:, 0]
    array([1., 1.])
    >>> plt.close(ax.figure)
    """
    centers = as_plane(centers, "centers")
    lines = matplotlib("collections")
    if ax is None:
        ax = new_axes()
        ax.set_aspect("equal", adjustable="box")
        fit_limits(ax, centers, margin=0.5)
    limits = np.sort([ax.get_xlim(), ax.get_ylim()], axis=1)
    segments = _cell_boundaries(centers, limits[:, 0], limits[:, 1])
    if len(segments):
        look = {"colors": "0.2", "linewidths": 1.1 if len(centers) <= 30 else 0.7}
        drawn = lines.LineCollection(list(segments), zorder=2, **look)
        ax.add_collection(drawn, autolim=False)
    return ax


def _cell_boundaries(centers: Array, lower: Array, upper: Array) -> Array:
    """Segments (n_segments, 2, 2) between the cells, clipped to a box."""
    centers = np.unique(centers, axis=0)
    shortest = 1e-9 * float(np.hypot(*(upper - lower)))
    found = [np.empty((0, 2, 2))]
    for first in range(len(centers) - 1):
        a, b = centers[first], centers[first + 1 :]
        step = b - a
        # Points middle + t * along; not normalized, so that along @ step is exactly 0.
        along = np.stack([-step[:, 1], step[:, 0]], axis=1)
        middle = a + step / 2
        slope = np.concatenate([along, -along], axis=1)
        offset = np.concatenate([upper - middle, middle - lower], axis=1)
        low, high = _clip(slope, offset)
        nearest = np.argsort(((centers - a) ** 2).sum(axis=1))[1:]
        # The nearest centers end most bisectors; few are left to meet all the others.
        for some in np.split(centers[nearest], [FIRST_RIVALS]):
            keep = high > low
            b, step, along, middle = b[keep], step[keep], along[keep], middle[keep]
            away = some - a
            slope = along[:, :1] * away[:, 0] + along[:, 1:] * away[:, 1]
            offset = 0.5 * ((some - b[:, None]) * away).sum(axis=2)
            lows, highs = _clip(slope, offset)
            low, high = np.maximum(low[keep], lows), np.minimum(high[keep], highs)
        keep = (high - low) * np.hypot(step[:, 0], step[:, 1]) > shortest
        ends = np.stack([low[keep], high[keep]], axis=1)[:, :, None]
        found.append(middle[keep, None] + ends * along[keep, None])
    return np.concatenate(found)


def _clip(slope: Array, offset: Array) -> tuple[Array, Array]:
    """Bounds of t in each row where t * slope <= offset in every column."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bound = offset / slope
    high = np.where(slope > 0, bound, np.inf).min(axis=1, initial=np.inf)
    low = np.where(slope < 0, bound, -np.inf).max(axis=1, initial=-np.inf)
    never = ((slope == 0) & (offset < 0)).any(axis=1)
    return low, np.where(never, -np.inf, high)
