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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm.engines import ENGINES
from fastkm.kernels import default_threads, most_threads

Array = NDArray[Any]
Seed = (
    None
    | int
    | np.random.Generator
    | np.random.RandomState
    | np.random.SeedSequence
    | np.random.BitGenerator
)

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
    array = _as_numbers(X, name)
    if array.ndim != 2:
        raise ValueError(
            f"{name} has shape {array.shape}; it must be 2-D (n_samples, n_features). "
            f"Reshape your data with {name}.reshape(-1, 1) if it has one feature, or "
            f"{name}.reshape(1, -1) if it is one sample"
        )
    if array.shape[0] == 0:
        raise ValueError(
            f"Found array with 0 sample(s): {name} has shape {array.shape}, at least "
            "1 is required"
        )
    if array.shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s): {name} has shape {array.shape}, at least "
            "1 is required"
        )
    if n_features is not None and array.shape[1] != n_features:
        raise ValueError(
            f"{name} has {array.shape[1]} features, but {n_features} are expected"
        )
    single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    array = _converted(array, np.float32 if single else np.float64, name)
    largest = _largest(array, name)
    # |x - c|^2 <= 4 n_features largest^2, summed over all weights
    total = max(len(array), total_weight)
    limit = math.sqrt(np.finfo(np.float64).max / (4 * array.shape[1])) / math.sqrt(
        total
    )
    if largest > limit:
        raise ValueError(
            f"{name} reaches {largest:.6g} in absolute value; at most {limit:.6g} is "
            "allowed, or squared distances overflow float64: scale the data down"
        )
    return array


def _as_array(values: Any, name: str) -> Array:
    """Any array; TypeError for sparse matrices, ValueError for ragged or masked."""
    if hasattr(values, "toarray"):
        raise TypeError(
            f"{name} is a sparse {type(values).__name__}; pass a dense array "
            f"({name}.toarray())"
        )
    # NumPy imports numpy.ma when it is first named. A fork while a thread does so
    # leaves the child waiting for ever; who has not imported it has no masked array.
    if "numpy.ma" in sys.modules and np.ma.is_masked(values):
        raise ValueError(f"{name} is a masked array with masked values")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an array: {error}") from None


def _as_numbers(values: Any, name: str) -> Array:
    """Array of real numbers, or of objects that `_converted` can turn to numbers."""
    array = _as_array(values, name)
    if array.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {array.dtype}, values such "
            f"as {array.flat[0] if array.size else None}"
        )
    if array.dtype.kind in "OUS":
        text = [value for value in array.flat if isinstance(value, str | bytes)]
        if text:
            raise ValueError(
                f"{name} must hold numbers: it has dtype {array.dtype} and contains "
                f"{text[0]!r}"
            )
    elif array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers: it has dtype {array.dtype}")
    return array


def _converted(array: Array, dtype: Any, name: str) -> Array:
    try:
        with np.errstate(over="ignore"):  # what overflows is found to be infinite
            return np.ascontiguousarray(array, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold numbers only: {error}") from None


def _largest(array: Array, name: str) -> float:
    """Largest absolute value; ValueError where a value is not finite."""
    # NaN wins both comparisons, so two passes see every bad value.
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if math.isfinite(largest):
        return largest
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    place = ", ".join(map(str, where))
    kind = "NaN" if np.isnan(array[where]) else "infinity"
    raise ValueError(
        f"{name}[{place}] is {array[where]}: {name} must not contain {kind}"
    )


def as_weights(sample_weight: ArrayLike | None, n_samples: int) -> Array | None:
    """Weights as float64 (n_samples,), or None where they are all one."""
    if sample_weight is None:
        return None
    weights = _as_numbers(sample_weight, "sample_weight")
    if weights.ndim == 0:
        weights = np.full(n_samples, weights)
    weights = _converted(weights, np.float64, "sample_weight")
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n_samples,)}: one "
            "weight for each sample"
        )
    _largest(weights, "sample_weight")
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
        _largest(array, name)
    return array


def as_init(
    init: Any, X: Array, n_clusters: int, total_weight: float, *, name: str = "init"
) -> Array:
    """Initial centers for X, of its dtype."""
    return as_centers(
        init,
        name=name,
        n_features=X.shape[1],
        n_clusters=n_clusters,
        dtype=X.dtype,
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


def check_max_time(max_time: Any) -> float:
    """Give a number of seconds above 0, infinity for None."""
    if max_time is None:
        return math.inf
    if isinstance(max_time, bool) or not isinstance(max_time, numbers.Real):
        raise ValueError(f"max_time={max_time!r} must be a number of seconds or None")
    if not float(max_time) > 0:
        raise ValueError(f"max_time={max_time} must be above 0 seconds")
    return float(max_time)


def check_callback(callback: Any) -> Any:
    """Give a callable, or None."""
    if callback is not None and not callable(callback):
        raise ValueError(f"callback={callback!r} must be callable or None")
    return callback


def check_verbose(verbose: Any) -> int:
    """Give 0, 1 or a higher number; False and True count."""
    if isinstance(verbose, bool | np.bool_):
        return int(verbose)
    return check_integer(verbose, "verbose", least=0)


def as_checkpoint(checkpoint: Any) -> Path | None:
    """Give the path of a file, there or not, in a folder that exists; or None."""
    if checkpoint is None:
        return None
    try:
        path = Path(checkpoint)
    except TypeError:
        raise ValueError(f"checkpoint={checkpoint!r} must be a path or None") from None
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} must be a file in a folder that exists"
        )
    return path


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
        return default_threads()
    return min(check_integer(n_threads, "n_threads"), most_threads())


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
    array = _as_array(labels, "labels")
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
    array = _as_array(y, "y")
    if array.shape != (n_samples,):
        raise ValueError(
            f"y has shape {array.shape}, expected {(n_samples,)}: one class for each "
            "sample"
        )
    if array.dtype.kind not in "fiubOUS":
        raise ValueError(f"y has dtype {array.dtype}; classes are numbers or strings")
    if array.dtype.kind == "f":
        _largest(array, "y")
    if array.dtype.kind == "O":
        missing = [
            i for i, value in enumerate(array) if value is None or value != value
        ]
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
