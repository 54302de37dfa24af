"""Axes to draw into, and the checks that all pictures share."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]


def matplotlib(part: str = "") -> Any:
    """Import matplotlib or a part of it, or say how to install it."""
    try:
        # The parent too: a loaded part is found even where the parent is blocked.
        package = importlib.import_module("matplotlib")
        return importlib.import_module(f"matplotlib.{part}") if part else package
    except ImportError as error:
        message = "fastkm.plotting needs matplotlib: pip install 'fastkm[plot]'"
        raise ImportError(message) from error


def new_axes() -> Axes:
    """Axes of a new figure."""
    axes: Axes = matplotlib("pyplot").subplots(layout="constrained")[1]
    return axes


def brief(values: Array) -> str:
    """Dtype and some values, for a message."""
    return f"{values.dtype} {np.array2string(values, threshold=6, edgeitems=2)}"


def as_finite(values: ArrayLike, name: str) -> Array:
    """Finite values, as float64."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {brief(array)}")
    return array


def as_plane(points: ArrayLike, name: str) -> Array:
    """Finite points (n, 2), as float64."""
    array = as_finite(points, name)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(f"{name} must have shape (n, 2), got {array.shape}")
    return array


def as_labels(labels: ArrayLike, n_samples: int) -> Array:
    """Labels (n_samples,) int64, none negative."""
    array = np.asarray(labels)
    if array.shape != (n_samples,):
        raise ValueError(f"labels must have shape ({n_samples},), got {array.shape}")
    if array.dtype.kind not in "iu" or array.min() < 0:
        raise ValueError(f"labels must be integers >= 0, got {brief(array)}")
    return array.astype(np.int64)


def whole_ticks(ax: Axes) -> None:
    """Whole numbers only below the x axis."""
    ax.xaxis.set_major_locator(matplotlib("ticker").MaxNLocator(integer=True))


def fit_limits(ax: Axes, points: Array, margin: float = 0.04) -> None:
    """Show all points (n, 2), and some room around them."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = margin * float((high - low).max()) or 0.5
    ax.set_xlim(low[0] - room, high[0] + room)
    ax.set_ylim(low[1] - room, high[1] + room)
