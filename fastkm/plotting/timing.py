"""Time against the number of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm.plotting.axes import as_finite, brief, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

GUIDE = "fastkm-slope-1"


def fitted_exponent(n_samples: ArrayLike, seconds: ArrayLike) -> float:
    """Fit seconds = c * n_samples ** exponent by least squares in logarithms.

    Parameters
    ----------
    n_samples : array-like (n_sizes,), positive, two different sizes or more
    seconds : array-like (n_sizes,) or (n_sizes, n_runs), positive
        The median of the runs is fitted.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> round(fitted_exponent([10, 100, 1000], [0.2, 2.0, 20.0]), 6)
    1.0
    """
    sizes, runs = _as_times(n_samples, seconds)
    x, y = np.log(sizes), np.log(np.median(runs, axis=1))
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x))


def plot_time_curve(
    n_samples: ArrayLike,
    seconds: ArrayLike,
    *,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw seconds against samples in log-log axes, with the fitted exponent.

    Parameters
    ----------
    n_samples : array-like (n_sizes,), positive, two different sizes or more
    seconds : array-like (n_sizes,) or (n_sizes, n_runs), positive
        The line is the median of the runs, the band reaches from least to most.
    label : str, optional
        Stands in the legend before the exponent.
    ax : Axes, optional
        The guide of slope 1 is drawn once for each Axes.

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
    >>> ax = plot_time_curve([10, 100, 1000], [0.2, 2.0, 20.0], label="fastkm")
    >>> ax.get_legend().get_texts()[0].get_text()
    'fastkm: N^1.00'
    >>> plt.close(ax.figure)
    """
    sizes, runs = _as_times(n_samples, seconds)
    exponent = f"N^{fitted_exponent(sizes, runs):.2f}"
    ax = new_axes() if ax is None else ax

    name = exponent if label is None else f"{label}: {exponent}"
    middle = np.median(runs, axis=1)
    (line,) = ax.loglog(sizes, middle, marker="o", markersize=5, label=name)
    if runs.shape[1] > 1:
        low, high, color = runs.min(axis=1), runs.max(axis=1), line.get_color()
        ax.fill_between(sizes, low, high, color=color, alpha=0.2, linewidth=0)
    if not any(drawn.get_gid() == GUIDE for drawn in ax.lines):
        # Half the first time: a curve of slope 1 would hide the guide otherwise.
        start = sizes[0], middle[0] / 2
        end = sizes[-1], start[1] * sizes[-1] / sizes[0]
        guide = ax.axline(start, end, color="0.75", linestyle="--", label="N^1")
        guide.set(gid=GUIDE, zorder=1)
    ax.set(xlabel="samples N", ylabel="seconds")
    ax.grid(which="major", color="0.92")
    ax.set_axisbelow(True)
    ax.legend(frameon=False)
    return ax


def _as_times(n_samples: ArrayLike, seconds: ArrayLike) -> tuple[Array, Array]:
    """Check both; give sizes in ascending order and seconds (n_sizes, n_runs)."""
    sizes, runs = as_finite(n_samples, "n_samples"), as_finite(seconds, "seconds")
    if sizes.ndim != 1 or len(np.unique(sizes)) < 2:
        raise ValueError(f"n_samples must be two sizes or more, got {brief(sizes)}")
    if runs.ndim not in (1, 2) or len(runs) != len(sizes) or not runs.size:
        shape = f"({len(sizes)},) or ({len(sizes)}, n_runs)"
        raise ValueError(f"seconds must have shape {shape}, got {runs.shape}")
    for name, values in [("n_samples", sizes), ("seconds", runs)]:
        if values.min() <= 0:
            raise ValueError(f"{name} must be positive, got {values.min():g}")
    order = np.argsort(sizes, kind="stable")
    return sizes[order], runs.reshape(len(sizes), -1)[order]
