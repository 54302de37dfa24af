"""Centers as images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm.plotting.axes import as_finite, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]


def plot_centers(
    centers: ArrayLike,
    *,
    shape: tuple[int, int] | None = None,
    columns: int | None = None,
    max_centers: int = 100,
    ax: Axes | None = None,
) -> Axes:
    """Draw centers as images in a grid, row by row, dark where values are large.

    Parameters
    ----------
    centers : array-like (n_clusters, n_features), finite
    shape : (height, width), optional
        None means square images.
    columns : int, optional
        Images in a row of the grid; None makes the grid about square.
    max_centers : int
        Draw the first max_centers only; the title then says so.
    ax : Axes, optional

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
    >>> ax = plot_centers([[0, 1, 2, 3], [3, 2, 1, 0]], columns=2)
    >>> ax.images[0].get_array().shape
    (2, 5)
    >>> plt.close(ax.figure)
    """
    centers = as_finite(centers, "centers")
    if centers.ndim != 2 or 0 in centers.shape:
        raise ValueError(f"centers must have shape (n, m), got {centers.shape}")
    n_centers, n_features = centers.shape
    if shape is None:
        shape = (math.isqrt(n_features),) * 2
        if shape[0] ** 2 != n_features:
            raise ValueError(f"shape=None needs square images, got {n_features} pixels")
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] != n_features:
        raise ValueError(f"shape must be of {n_features} pixels, got {shape}")
    if max_centers < 1:
        raise ValueError(f"max_centers must be at least 1, got {max_centers}")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    ax = new_axes() if ax is None else ax

    shown = centers[:max_centers]
    columns = math.ceil(math.sqrt(len(shown))) if columns is None else columns
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    height, width = shape
    low, high = float(shown.min()), float(shown.max())
    # A gap is pale, not white: the background of most images is white.
    grid = np.full((rows, height + 1, columns, width + 1), low + 0.15 * (high - low))
    grid[:, :height, :, :width] = low
    row, column = np.divmod(np.arange(len(shown)), columns)
    grid[row, :height, column, :width] = shown.reshape(-1, height, width)
    picture = grid.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]
    ax.imshow(picture, cmap="gray_r", vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.85")
    if len(shown) < n_centers:
        ax.set_title(f"{len(shown)} of {n_centers} centers")
    return ax
