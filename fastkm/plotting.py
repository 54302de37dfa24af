"""Pictures of clusterings, centers, timings and confusions; needs matplotlib.

Every function that draws takes `ax`, None making a new figure, and returns its Axes. It
raises ValueError naming a bad argument before it draws, and ImportError without
matplotlib.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

__all__ = ["fitted_exponent", "plot_centers", "plot_clusters", "plot_confusion"]
__all__ += ["plot_time_curve", "plot_voronoi"]

# Petroff's ten colours, chosen by survey for looks and told apart under the common
# colour-vision deficiencies.
FEW_COLORS = (
    "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
).split()
GOLDEN = (math.sqrt(5) - 1) / 2
GUIDE = "fastkm-slope-1"
FIRST_RIVALS = 16


def plot_clusters(
    X: ArrayLike,
    labels: ArrayLike,
    centers: ArrayLike | None = None,
    *,
    ax: Axes | None = None,
    boundaries: bool = False,
    max_points: int = 20_000,
) -> Axes:
    """Draw 2-D samples in the colours of their clusters, and fit the limits to them.

    Parameters
    ----------
    X : array-like (n_samples, 2), finite
    labels : array-like (n_samples,) of integers >= 0
    centers : array-like (n_clusters, 2), finite, optional
    ax : Axes, optional
    boundaries : bool
        Also draw the boundaries of the cells of the centers, see `plot_voronoi`.
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
    X = _as_plane(X, "X")
    labels = np.asarray(labels)
    if labels.shape != X.shape[:1]:
        raise ValueError(f"labels must have shape ({len(X)},), got {labels.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"labels must be integers >= 0, got {_brief(labels)}")
    labels = labels.astype(np.int64)
    n_clusters = int(labels.max()) + 1
    corners = np.array([X.min(axis=0), X.max(axis=0)])
    if centers is not None:
        centers = _as_plane(centers, "centers")
        n_clusters = max(n_clusters, len(centers))
        corners = np.array([*corners, centers.min(axis=0), centers.max(axis=0)])
    elif boundaries:
        raise ValueError("boundaries=True needs centers, got centers=None")
    ax = _new_axes() if ax is None else ax

    if len(X) > max_points:
        _draw_raster(ax, X, labels, n_clusters)
    else:
        size = float(np.clip(8000 / len(X), 4, 26))
        colors = _colors(labels, n_clusters)
        ax.scatter(X[:, 0], X[:, 1], s=size, c=colors, alpha=0.85, linewidths=0)
    ax.set_aspect("equal", adjustable="box")
    _fit_limits(ax, corners)
    if centers is not None:
        if boundaries:
            plot_voronoi(centers, ax=ax)
        size = float(np.clip(1200 / len(centers), 22, 110))
        x, y, edge = centers[:, 0], centers[:, 1], 0.6 + size / 110
        marks = ax.scatter(x, y, s=size, marker="X", c="black", zorder=3)
        marks.set(edgecolor="white", linewidth=edge)
    return ax


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
    centers = _as_plane(centers, "centers")
    lines = _matplotlib("collections")
    if ax is None:
        ax = _new_axes()
        ax.set_aspect("equal", adjustable="box")
        _fit_limits(ax, centers, margin=0.5)
    limits = np.sort([ax.get_xlim(), ax.get_ylim()], axis=1)
    segments = _cell_boundaries(centers, limits[:, 0], limits[:, 1])
    if len(segments):
        look = {"colors": "0.2", "linewidths": 1.1 if len(centers) <= 30 else 0.7}
        drawn = lines.LineCollection(list(segments), zorder=2, **look)
        ax.add_collection(drawn, autolim=False)
    return ax


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
    centers = _as_finite(centers, "centers")
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
    ax = _new_axes() if ax is None else ax

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
    ax = _new_axes() if ax is None else ax

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


def plot_confusion(
    matrix: ArrayLike, class_names: Sequence[Any] | Array, *, ax: Axes | None = None
) -> Axes:
    """Draw a confusion matrix: rows are true classes, columns predicted ones.

    The diagonal is blue by the share of its row, errors are orange on a scale of their
    own, which ends at the largest error: few errors among many hits stay visible.

    Parameters
    ----------
    matrix : array-like (n_classes, n_classes) of counts >= 0
    class_names : sequence (n_classes,)
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
    >>> ax = plot_confusion([[9, 1], [0, 5]], ["cat", "dog"])
    >>> [text.get_text() for text in ax.texts]
    ['9', '1', '0', '5']
    >>> plt.close(ax.figure)
    """
    matrix = _as_finite(matrix, "matrix")
    n = len(class_names)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"matrix must be square, got shape {matrix.shape}")
    if matrix.min() < 0:
        raise ValueError(f"matrix must hold counts >= 0, got {matrix.min():g}")
    if n != len(matrix):
        raise ValueError(f"class_names must have {len(matrix)} names, got {n}")
    maps = _matplotlib().colormaps
    ax = _new_axes() if ax is None else ax

    diagonal = np.eye(n, dtype=bool)
    errors = np.where(diagonal, 0, matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-300)
    colors = maps["Oranges"](0.8 * errors / max(errors.max(), 1))
    colors[errors == 0] = 1.0
    colors[diagonal] = maps["Blues"](0.1 + 0.7 * share[diagonal])
    ax.imshow(colors)
    brightness = colors[..., :3] @ [0.299, 0.587, 0.114]
    size = float(np.clip(100 / n, 5, 12))
    for (row, column), count in np.ndenumerate(matrix):
        ink = "white" if brightness[row, column] < 0.55 else "black"
        if count == 0 and row != column:
            ink = "0.75"
        text = f"{count:.0f}" if count == round(count) else f"{count:.2g}"
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)
    names = [str(name) for name in class_names]
    turned = 45 if n * max(map(len, names)) > 40 else 0
    ax.set_xticks(range(n), names, rotation=turned, ha="right" if turned else "center")
    ax.set_yticks(range(n), names)
    ax.tick_params(length=0)
    ax.spines[:].set_color("0.85")
    ax.set(xlabel="predicted", ylabel="true")
    return ax


def _matplotlib(part: str = "") -> Any:
    """Import matplotlib or a part of it, or say how to install it."""
    try:
        # The parent too: a loaded part is found even where the parent is blocked.
        package = importlib.import_module("matplotlib")
        return importlib.import_module(f"matplotlib.{part}") if part else package
    except ImportError as error:
        message = "fastkm.plotting needs matplotlib: pip install 'fastkm[plot]'"
        raise ImportError(message) from error


def _new_axes() -> Axes:
    axes: Axes = _matplotlib("pyplot").subplots(layout="constrained")[1]
    return axes


def _brief(values: Array) -> str:
    return f"{values.dtype} {np.array2string(values, threshold=6, edgeitems=2)}"


def _as_finite(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {_brief(array)}")
    return array


def _as_plane(points: ArrayLike, name: str) -> Array:
    array = _as_finite(points, name)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(f"{name} must have shape (n, 2), got {array.shape}")
    return array


def _as_times(n_samples: ArrayLike, seconds: ArrayLike) -> tuple[Array, Array]:
    """Check both; give sizes in ascending order and seconds (n_sizes, n_runs)."""
    sizes, runs = _as_finite(n_samples, "n_samples"), _as_finite(seconds, "seconds")
    if sizes.ndim != 1 or len(np.unique(sizes)) < 2:
        raise ValueError(f"n_samples must be two sizes or more, got {_brief(sizes)}")
    if runs.ndim not in (1, 2) or len(runs) != len(sizes) or not runs.size:
        shape = f"({len(sizes)},) or ({len(sizes)}, n_runs)"
        raise ValueError(f"seconds must have shape {shape}, got {runs.shape}")
    for name, values in [("n_samples", sizes), ("seconds", runs)]:
        if values.min() <= 0:
            raise ValueError(f"{name} must be positive, got {values.min():g}")
    order = np.argsort(sizes, kind="stable")
    return sizes[order], runs.reshape(len(sizes), -1)[order]


def _colors(labels: Array, n_clusters: int) -> Array:
    """Give the colours (n, 3) of labels, the same for a label in every picture."""
    colors = _matplotlib("colors")
    if n_clusters <= len(FEW_COLORS):
        return np.array([colors.to_rgb(name) for name in FEW_COLORS])[labels]
    # Golden-ratio steps keep the hues of close labels apart; three depths separate
    # those hues that come near each other among hundreds.
    hue = labels * GOLDEN % 1.0
    saturation = np.array([0.75, 0.5, 0.9])[labels % 3]
    value = np.array([0.88, 0.95, 0.62])[labels % 3]
    rgb: Array = colors.hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))
    return rgb


def _fit_limits(ax: Axes, points: Array, margin: float = 0.04) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    room = margin * float((high - low).max()) or 0.5
    ax.set_xlim(low[0] - room, high[0] + room)
    ax.set_ylim(low[1] - room, high[1] + room)


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
    image[where[order], :3] = _colors(label[order], n_clusters)
    depth = np.log1p(total) / np.log1p(total.max())
    image[:, 3] = np.where(total > 0, 0.35 + 0.65 * depth, 0.0)
    right, top = low + pixel * np.array([width, height])
    extent = (low[0], right, low[1], top)
    ax.imshow(image.reshape(height, width, 4), origin="lower", extent=extent)


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
