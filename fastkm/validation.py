"""Every check of an argument.

A check returns the argument in the form that the rest of the package works with, or
raises ValueError (TypeError for what is no array of numbers at all) before any work is
done. The message names the argument, shows the value and says what is allowed.
"""

from __future__ import annotations

import math
import numbers
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import inputs, memory, sources
from fastkm.bases import DataConversionWarning, join
from fastkm.engines import ENGINES, center_dtype
from fastkm.engines.chunks import CHUNK_BYTES
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

# Values up to which small integers become float64: 32 MB. What is held as it is costs
# a compilation of its own, some 10 s.
HELD_AS_INTEGERS = 2**22

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LEAST_MEMORY = 2**16
CHUNKS_AT_ONCE = 16  # that the memory for chunks is divided by: room for engines

INITS = ("k-means++", "k-means||", "random", "farthest")
ALGORITHMS = ("lloyd", "elkan")
STRATEGIES = ("biggest_inertia", "largest_cluster")


class InvalidParameterError(ValueError, TypeError):
    """A parameter of a fit has the wrong type or value, whatever the samples."""


def as_samples(
    X: ArrayLike,
    *,
    name: str = "X",
    n_features: int | None = None,
    expected_by: str = "the model",
    total_weight: float = 0.0,
) -> Array:
    """Samples as a finite C-contiguous array (n_samples, n_features).

    float32 stays float32, float16 becomes float32, everything else float64. Arrays
    that have that form already are not copied. Values are refused whose squared
    distances, added up over the samples or `total_weight`, would overflow float64.
    """
    array = inputs.as_numbers(X, name)
    _check_shape(array.shape, name, n_features, expected_by)
    return _checked(array, _float_dtype(array), X, name, total_weight)


def as_input(
    X: Any,
    *,
    name: str = "X",
    n_features: int | None = None,
    expected_by: str = "the model",
    total_weight: float = 0.0,
    max_memory: int | None = None,
) -> Any:
    """Samples as engines take them: an array as of `as_samples`, or one of two forms.

    Many integers of at most 16 bits, or booleans, stay what they are, without a copy;
    sparse matrices become `inputs.SparseChunks`, and what is read in chunks
    `sources.Checked`, unless it is small enough for `max_memory` (bytes; None: half of
    what is free).
    """
    chunked = inputs.SparseChunks, sources.Checked
    if isinstance(X, chunked) or inputs.is_sparse(X):
        _check_shape(X.shape, name, n_features, expected_by)
        chunks = X if isinstance(X, chunked) else inputs.SparseChunks(X, name)
        check_reach(chunks.largest, X.shape, name, total_weight)
        return chunks
    source = _as_source(X, name, max_memory)
    if source is not None:
        chunks = _read(source, max_memory)
        _check_shape(chunks.shape, name, n_features, expected_by)
        check_reach(chunks.largest, chunks.shape, name, total_weight)
        return chunks if chunks.array is None else chunks.array
    array = inputs.as_numbers(X, name)
    _check_shape(array.shape, name, n_features, expected_by)
    dtype = _float_dtype(array)
    if array.dtype.kind in "iub" and array.dtype.itemsize <= 2:
        if array.dtype.kind == "b":
            array = array.view(np.uint8)
        if array.size >= HELD_AS_INTEGERS:
            dtype = array.dtype.newbyteorder("=")
    return _checked(array, dtype, X, name, total_weight)


def _as_source(X: Any, name: str, max_memory: int | None) -> sources.Source | None:
    """Give X as a source, where it is one or is too large for one array more."""
    most = memory.default_max() if max_memory is None else max_memory
    chunk_bytes = min(CHUNK_BYTES, most // CHUNKS_AT_ONCE)
    is_large = (
        isinstance(X, np.ndarray)
        and X.ndim == 2
        and (max_memory is not None or isinstance(X, np.memmap))
        and X.dtype.kind in inputs.NUMBERS
        and not _fits(X, X.shape, X.dtype, most)
    )
    if is_large:
        return sources.Rows(X, name, chunk_bytes)
    source = sources.recognize(X, name, chunk_bytes)
    if source is not None and source.n_samples == 0:
        raise ValueError(
            f"Found array with 0 sample(s): {name} ({source.label}) has no rows, at "
            "least 1 is required"
        )
    return source


def _fits(X: Any, shape: tuple[int, ...], dtype: np.dtype[Any], most: int) -> bool:
    """Whether a fit of samples in memory would take no more than so many bytes."""
    beyond = memory.beyond_samples((shape[0], shape[1]), dtype.itemsize)
    is_held = isinstance(X, np.ndarray) and not isinstance(X, np.memmap)
    own = 0 if is_held else shape[0] * shape[1] * dtype.itemsize
    return own + beyond <= most


def _read(source: sources.Source, max_memory: int | None) -> sources.Checked:
    """Check a source in a first pass, which may read it into an array."""
    most = memory.default_max() if max_memory is None else max_memory

    def place(shape: tuple[int, int], dtype: np.dtype[Any]) -> Array | None:
        fits = _fits(None, shape, dtype, most)
        streams = isinstance(source.given, np.ndarray)  # it did not fit
        return np.empty(shape, dtype) if fits and not streams else None

    return sources.Checked(source, place)


def check_max_memory(max_memory: Any) -> int | None:
    """Give a number of bytes, or None; text such as "2 GB" counts in powers of 1000."""
    if max_memory is None:
        return None
    number = max_memory
    if isinstance(max_memory, str):
        found = re.fullmatch(r"\s*([0-9.]+)\s*([kMGT]?)i?B?\s*", max_memory)
        try:
            number = float(found[1]) * UNITS[found[2]] if found else None
        except ValueError:
            number = None
    is_number = isinstance(number, numbers.Real) and not isinstance(number, bool)
    if not is_number or not LEAST_MEMORY <= number < math.inf:
        raise InvalidParameterError(
            f"max_memory={max_memory!r} must be a number of bytes, such as 2e9 or "
            f"'2 GB', of at least {LEAST_MEMORY}"
        )
    return int(number)


def check_room(data: Any, max_memory: int | None, labels_out: Any) -> bool:
    """Whether there is room to keep labels and distances of samples in chunks.

    ValueError where there is not even room for the labels, and no other place.
    """
    most = memory.default_max() if max_memory is None else max_memory
    if labels_out is None and 4 * len(data) > most and not isinstance(data, np.ndarray):
        raise ValueError(
            f"the labels of {len(data)} samples take {4 * len(data)} bytes, more than "
            f"max_memory={most}: give labels_out, a file for them"
        )
    return memory.KEPT * len(data) <= most // 4


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
    check_reach(largest, array.shape, name, total_weight)
    return array


def _check_shape(
    shape: tuple[int, ...], name: str, n_features: int | None, expected_by: str
) -> None:
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
            f"{name} has 0 feature(s) (shape={shape}) while a minimum of 1 is required "
            "for clustering"
        )
    if n_features is not None and shape[1] != n_features:
        raise ValueError(
            f"{name} has {shape[1]} features, but {expected_by} is expecting "
            f"{n_features} features as input"
        )


def check_reach(
    largest: float, shape: tuple[int, ...], name: str, total_weight: float
) -> None:
    """Refuse values whose squared distances, added up, would overflow."""
    # |x - c|^2 <= 4 n_features largest^2, summed over all weights
    total = max(shape[0], total_weight)
    limit = math.sqrt(np.finfo(np.float64).max / (4 * shape[1])) / math.sqrt(total)
    if largest > limit:
        raise ValueError(
            f"{name} reaches {largest:.6g} in absolute value; at most {limit:.6g} is "
            "allowed, or squared distances overflow float64: scale the data down"
        )


def check_dense(X: Any, argument: str) -> None:
    """Refuse samples in chunks where an argument needs them in one array."""
    if not isinstance(X, np.ndarray):
        raise ValueError(f"{argument} needs samples in one array: X is in chunks")


def as_weights(sample_weight: ArrayLike | None, n_samples: int) -> Array | None:
    """Weights as float64 (n_samples,), or None where they are all one."""
    if sample_weight is None:
        return None
    weights = as_part_weights(sample_weight, n_samples)
    if weights.max() == 0:
        raise ValueError("sample_weight is zero for every sample: one must be positive")
    return None if (weights == 1).all() else weights


def as_part_weights(sample_weight: ArrayLike, n_samples: int) -> Array:
    """Weights as float64 (n_samples,), of which all may be zero."""
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
    if n_samples * float(weights.max()) > np.finfo(np.float64).max:
        raise ValueError(
            f"sample_weight reaches {weights.max()}: the sum of the weights overflows"
        )
    return weights


def as_centers(
    centers: ArrayLike,
    *,
    n_features: int,
    name: str = "centers",
    dtype: Any = None,
    total_weight: float = 0.0,
) -> Array:
    """Finite centers (n_clusters, n_features), of `dtype` where one is given."""
    array = as_samples(centers, name=name, total_weight=total_weight)
    expected = (len(array), n_features)
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
    init = as_samples(init, name=name)
    expected = n_clusters, X.shape[1]
    if init.shape != expected:
        many = init.shape[0] != n_clusters
        raise ValueError(
            f"The shape of the initial centers {init.shape} ({name}) does not match "
            f"the number of {'clusters' if many else 'features of the data'}: "
            f"{expected} is expected"
        )
    return as_centers(
        init,
        name=name,
        n_features=X.shape[1],
        dtype=center_dtype(X.dtype),
        total_weight=total_weight,
    )


def check_directions(X: Array, name: str) -> None:
    """Refuse rows of zeros."""
    zero = ~X.any(axis=1)
    if zero.any():
        raise ValueError(
            f"{name}[{int(zero.argmax())}] is zero in all features and so has no "
            f"direction; {int(zero.sum())} of {len(X)} rows are to be left out"
        )


def check_integer(value: Any, name: str, *, least: int = 1) -> int:
    """Give an integer that is at least `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise InvalidParameterError(
            f"{name}={value!r} must be an integer of at least {least}"
        )
    if value < least:
        raise InvalidParameterError(f"{name}={value} must be at least {least}")
    return int(value)


def check_flag(value: Any, name: str) -> bool:
    """Give True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidParameterError(f"{name}={value!r} must be True or False")
    return bool(value)


def check_n_clusters(n_clusters: Any, n_samples: int) -> int:
    """Give a number of clusters from 1 to n_samples."""
    n_clusters = check_integer(n_clusters, "n_clusters")
    if n_clusters > n_samples:
        raise ValueError(f"n_samples={n_samples} should be >= n_clusters={n_clusters}")
    return int(n_clusters)


def as_cluster_numbers(n_clusters: Any, n_samples: int) -> Array:
    """Numbers of clusters, each from 1 to n_samples: ascending, each once."""
    try:
        given = list(n_clusters)
    except TypeError:
        raise ValueError(
            f"n_clusters={n_clusters!r} must be several integers, such as range(2, 11)"
        ) from None
    if not given:
        raise ValueError(f"n_clusters={n_clusters!r} must hold one integer or more")
    return np.array(sorted({check_n_clusters(number, n_samples) for number in given}))


def check_tol(tol: Any) -> float:
    """Give a finite tolerance of at least 0."""
    if isinstance(tol, bool) or not isinstance(tol, numbers.Real):
        raise InvalidParameterError(f"tol={tol!r} must be a number of at least 0")
    if not 0 <= float(tol) < math.inf:
        raise InvalidParameterError(f"tol={tol} must be a finite number of at least 0")
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
        raise InvalidParameterError(
            f"init={init!r} must be one of {INITS}, an array (n_clusters, n_features) "
            "or a callable"
        )
    return init


def as_frozen(frozen: Any, n_clusters: int, init: Any) -> Array | None:
    """Which centers are frozen (n_clusters,) bool, or None where none is."""
    if frozen is None:
        return None
    array = inputs.as_array(frozen, "frozen")
    if array.shape != (n_clusters,) or array.dtype != bool:
        raise ValueError(
            f"frozen has shape {array.shape} and dtype {array.dtype}; expected "
            f"{(n_clusters,)} bool: one for each center"
        )
    if isinstance(init, str):
        raise ValueError(
            f"frozen needs the centers that are not to move: init={init!r} must be an "
            "array (n_clusters, n_features) or a callable"
        )
    return array if array.any() else None


def check_n_nearest(n_nearest: Any, n_clusters: int) -> int:
    """Give a number of centers from 1 to n_clusters."""
    n_nearest = check_integer(n_nearest, "n_nearest")
    if n_nearest > n_clusters:
        raise ValueError(f"n_nearest={n_nearest} must be at most {n_clusters} centers")
    return n_nearest


def check_named_init(init: Any, *, or_else: str = "") -> str:
    """Give one of INITS; `or_else` tells what else the caller takes."""
    if not isinstance(init, str) or init not in INITS:
        raise ValueError(f"init={init!r} must be one of {INITS}{or_else}")
    return init


def check_splitting_init(init: Any) -> Any:
    """Give one of INITS or a callable: something that works in every cluster."""
    return init if callable(init) else check_named_init(init, or_else=" or a callable")


def check_bisecting_strategy(strategy: Any) -> str:
    """Give one of STRATEGIES."""
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise ValueError(f"bisecting_strategy={strategy!r} must be one of {STRATEGIES}")
    return strategy


def check_n_init(n_init: Any, init: Any, *, many: int = 10) -> int:
    """Give the number of runs; 'auto' is `many` for 'random' and callables, else 1."""
    if isinstance(n_init, str):
        if n_init != "auto":
            raise InvalidParameterError(
                f"n_init={n_init!r} must be 'auto' or an integer of at least 1"
            )
        is_random = isinstance(init, str) and init == "random"
        return many if callable(init) or is_random else 1
    return check_integer(n_init, "n_init")


def check_algorithm(algorithm: Any, n_clusters: int) -> None:
    """Refuse what is not in ALGORITHMS; warn as scikit-learn does."""
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidParameterError(
            f"algorithm={algorithm!r} must be one of {ALGORITHMS}"
        )
    if algorithm == "elkan" and n_clusters == 1:
        warn(
            "algorithm='elkan' doesn't make sense for a single cluster: there is "
            "nothing to skip",
            RuntimeWarning,
        )


def check_share(value: Any, name: str) -> float:
    """Give a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name}={value!r} must be a number from 0 to 1")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{name}={value} must be from 0 to 1")
    return float(value)


def check_engine(engine: Any) -> str:
    """Give 'auto' or the name of an engine."""
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise InvalidParameterError(
            f"engine={engine!r} must be one of {('auto', *ENGINES)}"
        )
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
        raise InvalidParameterError(
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


def warn_of_one_init(n_init: int) -> None:
    """Warn that given centers make one run of several."""
    warn(
        "Explicit initial center position passed: performing only one init in place of "
        f"n_init={n_init}, for all would be the same",
        RuntimeWarning,
    )


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called in, outside fastkm and scikit-learn's wrappers."""
    join()  # where scikit-learn has such a category, it is to be one of those
    frame, level = sys._getframe(1), 2
    inside = ("fastkm.", "sklearn.")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
