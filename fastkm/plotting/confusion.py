"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm.plotting.axes import as_finite, matplotlib, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]


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
    matrix = as_finite(matrix, "matrix")
    n = len(class_names)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"matrix must be square, got shape {matrix.shape}")
    if matrix.min() < 0:
        raise ValueError(f"matrix must hold counts >= 0, got {matrix.min():g}")
    if n != len(matrix):
        raise ValueError(f"class_names must have {len(matrix)} names, got {n}")
    maps = matplotlib().colormaps
    ax = new_axes() if ax is None else ax

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
