"""Every check of an argument.

A check returns the argument in the form that the rest of the package works with, or
raises ValueError (TypeError for what is no array of numbers at all) before any work is
done. The message names the argument, shows the value and says what is allowed.
"""

from __future__ import annotations

import math
import numbers
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import inputs
from fastkm.engines import ENGINES, center_dtype
from fastkm.kernels import available_threads

Array = NDArray[Any]
Seed = (
    None
    | int
    | np.random.Generator
    | np.random.RandomState
    | np.random.SeedSequence
    | np.random.BitGenerator
)

# Values up to which small integers become float64: 32 MB. What is held as it is costs
# a compilation of its own, some 10 s.
HELD_AS_INTEGERS = 2**22

INITS = ("k-means++", "random", "farthest")


def as_samples(
    X: ArrayLike,
    *,
    name: str = "X",
    n_features: int | None = None,
    total_weight: float = 0.0,
) -> Array:
    """Samples as a finite C-contiguous array (n_samples, n_features).

    float32 stays float32, float16 becomes float32, everything else float64. Arrays
    that have that form already are not copied. Values are refused whose squared
    distances, added up over the samples or `total_weight`, would overflow float64.
    """
    array = inputs.as_numbers(X, name)
    _check_shape(array.shape, name, n_features)
    return _checked(array, _float_dtype(array), X, name, total_weight)


def as_input(
    X: Any,
    *,
    name: str = "X",
    n_features: int | None = None,
    total_weight: float = 0.0,
) -> Any:
    """Samples as engines take them: an array as of `as_samples`, or one of two forms.

    Many integers of at most 16 bits, or booleans, stay what they are, without a copy;
    sparse matrices become `inputs.SparseChunks`.
    """
    if isinstance(X, inputs.SparseChunks) or inputs.is_sparse(X):
        _check_shape(X.shape, name, n_features)
        read = isinstance(X, inputs.SparseChunks)
        chunks = X if read else inputs.SparseChunks(X, name)
        _check_reach(chunks.largest, X.shape, name, total_weight)
        return chunks
    array = inputs.as_numbers(X, name)
    _check_shape(array.shape, name, n_features)
    dtype = _float_dtype(array)
    if array.dtype.kind in "iub" and array.dtype.itemsize <= 2:
        if array.dtype.kind == "b":
            array = array.view(np.uint8)
        if array.size >= HELD_AS_INTEGERS:
            dtype = array.dtype.newbyteorder("=")
    return _checked(array, dtype, X, name, total_weight)


def _float_dtype(array: Array) -> np.dtype[Any]:
    single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.dtype(np.float32 if single else np.float64)


def _contiguous(array: Array, dtype: Any) -> Array:
    with np.errstate(over="ignore"):  # what overflows is found to be infinite
        return np.ascontiguousarray(array, dtype)


def _checked(
    array: Array, dtype: np.dtype[Any], given: Any, name: str, total_weight: float
) -> Array:
    """Finite samples of a dtype, C-contiguous."""
    array = _contiguous(array, dtype)
    largest = inputs.largest(array, name, given=given)
    _check_reach(largest, array.shape, name, total_weight)
    return array


def _check_shape(shape: tuple[int, ...], name: str, n_features: int | None) -> None:
    if len(shape) != 2:
        raise ValueError(
            f"{name} has shape {shape}; it must be 2-D (n_samples, n_features). "
            f"Reshape your data with {name}.reshape(-1, 1) if it has one feature, or "
            f"{name}.reshape(1, -1) if it is one sample"
        )
    if shape[0] == 0:
        raise ValueError(
            f"Found array with 0 sample(s): {name} has shape {shape}, at least 1 is "
            "required"
        )
    if shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s): {name} has shape {shape}, at least 1 is "
            "required"
        )
    if n_features is not None and shape[1] != n_features:
        raise ValueError(
            f"{name} has {shape[1]} features, but {n_features} are expected"
        )


def _check_reach(
    largest: float, shape: tuple[int, ...], name: str, total_weight: float
) -> None:
    # |x - c|^2 <= 4 n_features largest^2, summed over all weights
    total = max(shape[0], total_weight)
    limit = math.sqrt(np.finfo(np.float64).max / (4 * shape[1])) / math.sqrt(total)
    if largest > limit:
        raise ValueError(
            f"{name} reaches {largest:.6g} in absolute value; at most {limit:.6g} is "
            "allowed, or squared distances overflow float64: scale the data down"
        )


def as_weights(sample_weight: ArrayLike | None, n_samples: int) -> Array | None:
    """Weights as float64 (n_samples,), or None where they are all one."""
    if sample_weight is None:
        return None
    weights = inputs.as_numbers(sample_weight, "sample_weight")
    if weights.ndim == 0:
        weights = np.full(n_samples, weights)
    weights = _contiguous(weights, np.float64)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n_samples,)}: one "
            "weight for each sample"
        )
    inputs.largest(weights, "sample_weight")
    if weights.min() < 0:
        i = int(np.argmax(weights < 0))
        raise ValueError(
            f"sample_weight[{i}] is {weights[i]}: weights must not be negative"
        )
    if weights.max() == 0:
        raise ValueError("sample_weight is 0 for every sample: one must be positive")
    if n_samples * float(weights.max()) > np.finfo(np.float64).max:
        raise ValueError(
            f"sample_weight reaches {weights.max()}: the sum of the weights overflows"
        )
    return None if (weights == 1).all() else weights


def as_centers(
    centers: ArrayLike,
    *,
    n_features: int,
    name: str = "centers",
    n_clusters: int | None = None,
    dtype: Any = None,
    total_weight: float = 0.0,
) -> Array:
    """Finite centers (n_clusters, n_features), of `dtype` where one is given."""
    array = as_samples(centers, name=name, total_weight=total_weight)
    expected = (len(array) if n_clusters is None else n_clusters, n_features)
    if array.shape != expected:
        raise ValueError(
            f"The shape of {name} {array.shape} does not match {expected}: "
            "(n_clusters, n_features)"
        )
    if dtype is not None and dtype != array.dtype:
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
        inputs.largest(array, name, given=centers)
    return array


def as_init(
    init: Any, X: Any, n_clusters: int, total_weight: float, *, name: str = "init"
) -> Array:
    """Initial centers for X, an array or what else has its `shape` and `dtype`."""
    return as_centers(
        init,
        name=name,
        n_features=X.shape[1],
        n_clusters=n_clusters,
        dtype=center_dtype(X.dtype),
        total_weight=total_weight,
    )


def check_integer(value: Any, name: str, *, least: int = 1) -> int:
    """Give an integer that is at least `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}")
    if value < least:
        raise ValueError(f"{name}={value} must be at least {least}")
    return int(value)


def check_n_clusters(n_clusters: Any, n_samples: int) -> int:
    """Give a number of clusters from 1 to n_samples."""
    n_clusters = check_integer(n_clusters, "n_clusters")
    if n_clusters > n_samples:
        raise ValueError(f"n_samples={n_samples} should be >= n_clusters={n_clusters}")
    return int(n_clusters)


def check_tol(tol: Any) -> float:
    """Give a finite tolerance of at least 0."""
    if isinstance(tol, bool) or not isinstance(tol, numbers.Real):
        raise ValueError(f"tol={tol!r} must be a number of at least 0")
    if not 0 <= float(tol) < math.inf:
        raise ValueError(f"tol={tol} must be a finite number of at least 0")
    return float(tol)


def check_init(init: Any) -> Any:
    """Give one of INITS, a callable, or something to be read as centers."""
    if isinstance(init, str) and init not in INITS:
        raise ValueError(
            f"init={init!r} must be one of {INITS}, an array (n_clusters, n_features) "
            "or a callable"
        )
    return init


def check_n_init(n_init: Any, init: Any) -> int:
    """Give the number of runs; 'auto' is 10 for 'random' and callables, else 1."""
    if isinstance(n_init, str):
        if n_init != "auto":
            raise ValueError(
                f"n_init={n_init!r} must be 'auto' or an integer of at least 1"
            )
        return (
            10 if callable(init) or (isinstance(init, str) and init == "random") else 1
        )
    return check_integer(n_init, "n_init")


def check_engine(engine: Any) -> str:
    """Give 'auto' or the name of an engine."""
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise ValueError(f"engine={engine!r} must be one of {('auto', *ENGINES)}")
    return engine


def check_n_threads(n_threads: Any) -> int:
    """Give the number of threads to use: never more than the process may start."""
    if n_threads is None:
        return available_threads()
    return min(check_integer(n_threads, "n_threads"), available_threads())


def check_random_state(random_state: Any) -> np.random.Generator:
    """Give a Generator from whatever can seed one."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, size=4, dtype="u8"))
    try:
        if isinstance(random_state, bool | np.bool_):
            raise TypeError
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise ValueError(
            f"random_state={random_state!r} must be None, a non-negative integer, or a "
            "numpy Generator, RandomState, BitGenerator or SeedSequence"
        ) from None


def as_labels(labels: ArrayLike, n_samples: int) -> Array:
    """Integer labels (n_samples,)."""
    array = inputs.as_array(labels, "labels")
    if array.shape != (n_samples,) or array.dtype.kind not in "iub":
        raise ValueError(
            f"labels have shape {array.shape} and dtype {array.dtype}; expected "
            f"{(n_samples,)} integers: one label for each sample"
        )
    return array


def as_classes(y: ArrayLike, n_samples: int) -> tuple[Array, Array]:
    """Sorted classes, and their number for each of `y` (n_samples,).

    Classes are numbers or strings, not both, without missing values.
    """
    array = inputs.as_array(y, "y")
    if array.shape != (n_samples,):
        raise ValueError(
            f"y has shape {array.shape}, expected {(n_samples,)}: one class for each "
            "sample"
        )
    if array.dtype.kind not in "fiubOUS":
        raise ValueError(f"y has dtype {array.dtype}; classes are numbers or strings")
    if array.dtype.kind == "f":
        inputs.largest(array, "y")
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


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside fastkm that called in."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("fastkm."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
