"""Checks of samples, and of what belongs to them: weights and centers."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import inputs, sources
from fastkm.engines import center_dtype
from fastkm.kernels import in_chunks
from fastkm.validation.memory import as_source, read

Array = NDArray[Any]

# Values up to which small integers become float64: 32 MB. What is held as it is costs
# a compilation of its own, some 10 s.
HELD_AS_INTEGERS = 2**22
# Values whose squares BLAS adds up in one thread; those that are added up in one go,
# and from which on threads are worth it: 400 MB in 25 ms, one thread needs 42.
FEW, MANY, PER_THREAD = 2**13, 2**18, 2**23


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
    check_shape(array.shape, name, n_features, expected_by)
    return _checked(array, _float_dtype(array), X, name, total_weight)


def as_input(
    X: Any,
    *,
    name: str = "X",
    n_features: int | None = None,
    expected_by: str = "the model",
    total_weight: float = 0.0,
    max_memory: int | None = None,
    n_threads: int = 1,
) -> Any:
    """Samples as engines take them: an array as of `as_samples`, or one of two forms.

    Many integers of at most 16 bits, or booleans, stay what they are, without a copy;
    sparse matrices become `inputs.SparseChunks`, and what is read in chunks
    `sources.Checked`, unless it is small enough for `max_memory` (bytes; None: half of
    what is free).
    """
    chunked = inputs.SparseChunks, sources.Checked
    if isinstance(X, chunked) or inputs.is_sparse(X):
        check_shape(X.shape, name, n_features, expected_by)
        chunks = X if isinstance(X, chunked) else inputs.SparseChunks(X, name)
        check_reach(chunks.largest, X.shape, name, total_weight)
        return chunks
    source = as_source(X, name, max_memory)
    if source is not None:
        chunks = read(source, max_memory)
        check_shape(chunks.shape, name, n_features, expected_by)
        check_reach(chunks.largest, chunks.shape, name, total_weight)
        return chunks if chunks.array is None else chunks.array
    array = inputs.as_numbers(X, name)
    check_shape(array.shape, name, n_features, expected_by)
    dtype = _float_dtype(array)
    if array.dtype.kind in "iub" and array.dtype.itemsize <= 2:
        if array.dtype.kind == "b":
            array = array.view(np.uint8)
        if array.size >= HELD_AS_INTEGERS:
            dtype = array.dtype.newbyteorder("=")
    return _checked(array, dtype, X, name, total_weight, n_threads)


def _float_dtype(array: Array) -> np.dtype[Any]:
    single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.dtype(np.float32 if single else np.float64)


def _contiguous(array: Array, dtype: Any) -> Array:
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):  # what overflows is found to be infinite
        return np.ascontiguousarray(array, dtype)


def _checked(
    array: Array,
    dtype: np.dtype[Any],
    given: Any,
    name: str,
    total_weight: float,
    n_threads: int = 1,
) -> Array:
    """Finite samples of a dtype, C-contiguous."""
    array = _contiguous(array, dtype)
    if not _are_modest(array, total_weight, n_threads):
        largest = inputs.largest(array, name, given=given)
        check_reach(largest, array.shape, name, total_weight)
    return array


def _are_modest(array: Array, total_weight: float, n_threads: int) -> bool:
    """Whether floats are finite and far from what `check_reach` refuses.

    No square of a value is above their sum, but for roundings of less than a part in
    2^6 (MANY float32 terms), where twice is allowed for. It is found in one pass and is
    not finite where a value is not: fits of 300 x 2 take 184 us, not 200, `predict` 38,
    not 56, and 400 MB 42 ms, not 66.
    """
    if array.dtype.kind != "f":
        return False
    flat = array.reshape(-1)
    if flat.size <= FEW:
        squares = float(np.vdot(flat, flat))
    else:
        n_chunks = max(1, min(n_threads, flat.size // PER_THREAD))
        squares = sum(_sums_of_squares(n_chunks, flat))
    total = max(len(array), total_weight)
    return 8 * array.shape[1] * total * squares < sys.float_info.max


@in_chunks
def _sums_of_squares(chunk: int, n_chunks: int, values: Array) -> float:
    first, last = (part * values.size // n_chunks for part in (chunk, chunk + 1))
    starts = range(first, last, MANY)
    blocks = (values[start : min(start + MANY, last)] for start in starts)
    return sum(float(np.einsum("i,i->", block, block)) for block in blocks)


def check_shape(
    shape: tuple[int, ...], name: str, n_features: int | None, expected_by: str
) -> None:
    """Refuse what is not 2-D, is empty, or has other features than expected."""
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
    limit = math.sqrt(sys.float_info.max / (4 * shape[1])) / math.sqrt(total)
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
    if n_samples * float(weights.max()) > sys.float_info.max:
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
