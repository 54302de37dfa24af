"""The silhouettes of all clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm.plotting.axes import as_finite, as_labels, new_axes
from fastkm.plotting.colors import FEW_COLORS, label_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

FEW_CLUSTERS = 30  # up to which a blade has room for its label
MOST_STEPS = 200  # of the outline of a blade
BANDS = (0.05, 0.95, "0.88"), (0.25, 0.75, "0.72")


def plot_silhouette(
    values: ArrayLike, labels: ArrayLike, *, ax: Axes | None = None
) -> Axes:
    """Draw the silhouettes of the samples, cluster by cluster.

    The blade of a cluster holds its silhouettes, sorted; it is as high as the cluster
    is large, and one of very many samples is drawn by quantiles. The dashed line is the
    mean of all samples.

    More than 30 clusters are no blades: they stand from the best mean down to the
    worst, each as high as it is large, with a line for its mean and grey bands for the
    middle half and the middle nine tenths of its silhouettes.

    Parameters
    ----------
    values : array-like (n_samples,), finite
        `fastkm.metrics.silhouette_samples`, or for very many samples
        `simplified_silhouette_samples`.
    labels : array-like (n_samples,) of integers >= 0
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Rousseeuw, Silhouettes: a graphical aid to the interpretation and validation of
    cluster analysis (1987), section 3.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = plot_silhouette([0.8, 0.7, 0.9, -0.1], [0, 0, 1, 1])
    >>> ax.get_title()
    'mean silhouette 0.575'
    >>> plt.close(ax.figure)
    """
    values = as_finite(values, "values")
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values must have shape (n,), got {values.shape}")
    labels = as_labels(labels, len(values))
    ax = new_axes() if ax is None else ax

    sizes = np.bincount(labels)
    order = np.lexsort((-values, labels))
    # Of each label the silhouettes, from the largest to the smallest.
    blades = np.split(values[order], np.cumsum(sizes)[:-1])
    if np.count_nonzero(sizes) <= FEW_CLUSTERS:
        _draw_blades(ax, blades)
    else:
        _draw_bands(ax, blades)
    mean = float(values.mean())
    ax.axvline(mean, color="0.2", linestyle="--", linewidth=1)
    ax.axvline(0, color="0.2", linewidth=0.8)
    ax.set_title(f"mean silhouette {mean:.3f}")
    ax.set(xlabel="silhouette", xlim=(min(-0.05, values.min()), 1))
    ax.tick_params(axis="y", length=0)
    return ax


def _draw_blades(ax: Axes, blades: list[Array]) -> None:
    present = np.array([cluster for cluster, blade in enumerate(blades) if len(blade)])
    gap = 0.02 * sum(map(len, blades)) / len(present)
    colors = label_colors(present, len(blades))
    top, middles = 0.0, []
    for cluster, color in zip(present, colors, strict=True):
        blade = blades[cluster]
        # One step per sample, or as many quantiles.
        steps = np.linspace(0, len(blade), min(len(blade), MOST_STEPS) + 1)
        lengths = blade[((steps[:-1] + steps[1:]) / 2).astype(np.int64)]
        edges = top + steps
        ax.stairs(lengths, edges, orientation="horizontal", fill=True, color=color)
        middles.append(top + len(blade) / 2)
        top += len(blade) + gap
    ax.set_yticks(middles, [str(cluster) for cluster in present])
    ax.set(ylabel="cluster", ylim=(top, -gap))


def _draw_bands(ax: Axes, blades: list[Array]) -> None:
    present = [blade for blade in blades if len(blade)]
    present.sort(key=lambda blade: -float(blade.mean()))
    edges = np.cumsum([0, *map(len, present)])
    for low, high, color in BANDS:
        left, right = np.array([np.quantile(blade, (low, high)) for blade in present]).T
        band = ax.stairs(right, edges, baseline=left, orientation="horizontal")
        band.set(fill=True, facecolor=color, edgecolor="none")
        band.set_label(f"middle {high - low:.0%} of a cluster")
    means = [float(blade.mean()) for blade in present]
    ax.stairs(
        means,
        edges,
        orientation="horizontal",
        baseline=None,
        color=FEW_COLORS[0],
        linewidth=1.5,
        label="mean of a cluster",
    )
    ax.set_yticks([])
    ax.set(ylabel=f"{len(present)} clusters, from best to worst", ylim=(edges[-1], 0))
    ax.legend(framealpha=0.9, edgecolor="none")
