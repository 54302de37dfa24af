"""How a run came to rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastkm.plotting.axes import new_axes, whole_ticks
from fastkm.plotting.colors import FEW_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

FEW_ITERATIONS = 40
STOPS = {
    "unchanged": "no center changed",
    "tol": "centers moved less than tol",
    "max_iter": "max_iter reached",
}


def plot_convergence(report: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the movement of the centers and the changes of labels, per iteration.

    Both as shares of what they were in the first iteration, on a logarithmic scale. A
    last iteration in which nothing moved is a dashed line: zero has no place there.

    Parameters
    ----------
    report : fastkm.Report
        `KMeans.report_`, or `kmeans(...).report`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the report holds no iteration.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from fastkm import kmeans
    >>> result = kmeans([[0.0], [1.0], [5.0], [9.0]], 2, init=[[0.0], [1.0]])
    >>> ax = plot_convergence(result.report)
    >>> ax.get_title()
    '3 iterations: no center changed'
    >>> plt.close(ax.figure)
    """
    n_iter = len(report.shifts)
    if n_iter == 0:
        raise ValueError("report must hold iterations, got none")
    ax = new_axes() if ax is None else ax

    iterations = np.arange(1, n_iter + 1)
    marker = "o" if n_iter <= FEW_ITERATIONS else ""
    lines = [
        ("squared movement of the centers", report.shifts),
        ("samples that changed their label", report.n_changed),
    ]
    for (name, values), color in zip(lines, FEW_COLORS, strict=False):
        shares = np.array(values, np.float64) / (values[0] or 1)
        shares[shares == 0] = np.nan
        ax.semilogy(iterations, shares, color=color, marker=marker, ms=4, label=name)
    if report.shifts[-1] == 0:
        ax.axvline(n_iter, color="0.6", linestyle="--", linewidth=1)
    ax.set(xlabel="iteration", ylabel="share of the first iteration")
    whole_ticks(ax)
    plural = "" if n_iter == 1 else "s"
    ax.set_title(f"{n_iter} iteration{plural}: {STOPS.get(report.stop, report.stop)}")
    ax.grid(which="major", color="0.92")
    ax.set_axisbelow(True)
    ax.legend(frameon=False)
    return ax
