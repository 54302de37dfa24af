"""Checks of labels and classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import inputs
from fastkm.bases import DataConversionWarning
from fastkm.validation.messages import warn

Array = NDArray[Any]


def as_labels(labels: ArrayLike, n_samples: int) -> Array:
    """Integer labels (n_samples,)."""
    array = inputs.as_array(labels, "labels")
    if array.shape != (n_samples,) or array.dtype.kind not in "iub":
        raise ValueError(
            f"labels have shape {array.shape} and dtype {array.dtype}; expected "
            f"{(n_samples,)} integers: one label for each sample"
        )
    return array


def as_numbered_labels(labels: ArrayLike, n_samples: int) -> Array:
    """Labels numbered 0, 1, ... in their order, of 2 to n_samples - 1 clusters."""
    names, numbers = np.unique(as_labels(labels, n_samples), return_inverse=True)
    if not 2 <= len(names) < n_samples:
        raise ValueError(
            f"Number of labels is {len(names)}. Valid values are 2 to n_samples - 1 "
            f"(inclusive), here {n_samples - 1}: labels must name at least two "
            "clusters, one of them of more than one sample"
        )
    return numbers


def as_classes(y: ArrayLike, n_samples: int) -> tuple[Array, Array]:
    """Sorted classes, and their number for each of `y` (n_samples,).

    Classes are whole numbers or strings, not both, without missing values.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None")
    array = inputs.as_array(y, "y")
    if array.shape == (n_samples, 1):
        warn(
            "A column-vector y was passed when a 1d array was expected: it is read as "
            "y.ravel()",
            DataConversionWarning,
        )
        array = array.ravel()
    if array.shape != (n_samples,):
        raise ValueError(
            f"y has shape {array.shape}, expected {(n_samples,)}: one class for each "
            "sample"
        )
    if array.dtype.kind not in "fiubOUS":
        raise ValueError(f"y has dtype {array.dtype}; classes are numbers or strings")
    if array.dtype.kind == "f":
        inputs.largest(array, "y")
        whole = array == np.round(array)
        if not whole.all():
            raise ValueError(
                f"Unknown label type: y is continuous, as y[{np.argmin(whole)}] is "
                f"{array[np.argmin(whole)]}; classes are whole numbers or strings"
            )
    if array.dtype.kind == "O":
        missing = [i for i, value in enumerate(array) if inputs.is_missing(value)]
        if missing:
            raise ValueError(
                f"y[{missing[0]}] is {array[missing[0]]}: a class must not be None or "
                "NaN"
            )
    try:
        classes, codes = np.unique(array, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"y (dtype {array.dtype}) mixes classes that cannot be sorted: {error}"
        ) from None
    return classes, codes
