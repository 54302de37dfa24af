"""What can be given for an array: lists, arrays, tables, sparse matrices.

Everything is recognized by what it can do, so that no library of tables is imported:
pandas by `iloc` and `columns`, PyArrow by `column_names`, Polars by `get_columns`,
SciPy's sparse matrices by `tocsr` and `toarray`. Columns become arrays by `__array__`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# Here, for NumPy imports it when it is first named: a fork while a thread does so would
# leave the child waiting for ever.
from numpy import ma
from numpy.typing import NDArray

from fastkm.engines.chunks import CHUNK_BYTES

Array = NDArray[Any]

NUMBERS = "fiub"  # kinds of dtypes
BLOCK = 2**17  # numbers that stay in the cache


def columns_of(values: Any) -> list[tuple[Any, Any]]:
    """Names and columns of a table; none of what is no table."""
    if hasattr(values, "iloc") and hasattr(values, "columns"):  # names may occur twice
        return [(name, values.iloc[:, c]) for c, name in enumerate(values.columns)]
    if hasattr(values, "column_names") and hasattr(values, "columns"):
        return list(zip(values.column_names, values.columns, strict=True))
    if hasattr(values, "get_columns"):
        return [(column.name, column) for column in values.get_columns()]
    return []


def is_sparse(values: Any) -> bool:
    """Whether these are a sparse matrix that can be read row by row."""
    return hasattr(values, "tocsr") and hasattr(values, "toarray")


def as_array(values: Any, name: str) -> Array:
    """Any array; TypeError for sparse matrices, ValueError for ragged or masked."""
    if hasattr(values, "toarray"):
        raise TypeError(
            f"{name} is a sparse {type(values).__name__}; pass a dense array "
            f"({name}.toarray())"
        )
    if ma.is_masked(values):
        raise ValueError(f"{name} is a masked array with masked values")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name} must be an array: {error}") from None


def as_numbers(values: Any, name: str) -> Array:
    """Array of real numbers (kinds NUMBERS), missing ones as NaN."""
    columns = columns_of(values)
    if not columns:
        return _real(as_array(values, name), name)
    arrays = []
    for column_name, column in columns:
        label = f"{name} (column {column_name!r})"
        arrays.append(_real(as_array(column, label), label))
        if arrays[-1].ndim != 1:
            raise ValueError(
                f"{label} must hold one number per sample: it has shape "
                f"{arrays[-1].shape}"
            )
    if len({array.dtype for array in arrays}) == 1:
        # The table's own conversion: 0.8 s against 3.1 for 60,000 x 784 in Polars.
        whole = as_array(values, name)
        if whole.dtype == arrays[0].dtype:
            return whole
    return np.stack(arrays, axis=1)


def _real(array: Array, name: str) -> Array:
    """Real numbers, of the array's dtype if that is one of numbers."""
    if array.dtype.kind in "OUS":
        return _from_objects(array, name)
    if array.dtype.kind not in NUMBERS:
        check_dtype(array.dtype, name, *array.flat[:1])
    return array


def check_dtype(dtype: np.dtype[Any], name: str, value: Any = None) -> None:
    """Refuse a dtype, of values such as this, that is not one of real numbers."""
    if dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {dtype}, values such as "
            f"{value}"
        )
    if dtype.kind not in NUMBERS:
        raise ValueError(f"{name} must hold numbers: it has dtype {dtype}")


def _from_objects(array: Array, name: str) -> Array:
    """Float64 from Python objects that are numbers or missing."""
    for value in array.flat:
        if isinstance(value, str | bytes):
            raise ValueError(
                f"{name} must hold numbers: it has dtype {array.dtype} and contains "
                f"{value!r}"
            )
    try:
        numbers = [math.nan if is_missing(value) else value for value in array.flat]
        return np.array(numbers, np.float64).reshape(array.shape)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} must hold numbers only: {error}") from None


def is_missing(value: Any) -> bool:
    """Whether this stands for a value that is not there: None, NaN, `pandas.NA`."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA: neither equal to itself nor not
        return True


def largest(array: Array, name: str, *, given: Any = None, first_row: int = 0) -> float:
    """Largest absolute value; ValueError where a value is not finite.

    For the message, `given` is what the array was made of, and first_row its place.
    """
    # NaN wins both comparisons, so two passes see every bad value.
    value = max(abs(float(extreme)) for extreme in _extremes(array))
    if math.isfinite(value):
        return value
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    place = ", ".join(map(str, (where[0] + first_row, *where[1:])))
    columns = columns_of(given)
    column = f" (column {columns[where[1]][0]!r})" if columns else ""
    kind = "NaN" if np.isnan(array[where]) else "infinity"
    raise ValueError(
        f"{name}[{place}]{column} is {array[where]}: {name} must not contain {kind}"
    )


def _extremes(array: Array) -> tuple[Any, Any]:
    """Least and largest value, both NaN where there is one."""
    if array.size <= 32 * BLOCK or not array.flags.c_contiguous:
        return array.min(), array.max()
    # The second pass finds a block in the cache: 52 -> 35 ms for 400 MB of float64.
    flat = array.reshape(-1)
    blocks = (flat[first : first + BLOCK] for first in range(0, flat.size, BLOCK))
    lows, highs = zip(*((block.min(), block.max()) for block in blocks), strict=True)
    return np.min(lows), np.max(highs)


class SparseChunks:
    """A sparse matrix as samples in dense chunks (`engines.Chunks`).

    float32 stays float32, other numbers become float64, chunk by chunk. What is not in
    CSR form is converted to it; a matrix in that form is not copied. Sorted indices are
    not needed, and numbers at the same place are added, as by `toarray`.

    Raises
    ------
    ValueError
        If a value is not finite: its row and column are named.
    """

    def __init__(self, matrix: Any, name: str) -> None:
        self.matrix = matrix.tocsr()
        check_dtype(matrix.dtype, name, *self.matrix.data[:1])
        self.shape: tuple[int, int] = matrix.shape
        single = matrix.dtype.kind == "f" and matrix.dtype.itemsize <= 4
        self.dtype: np.dtype[Any] = np.dtype(np.float32 if single else np.float64)
        n_rows = max(1, CHUNK_BYTES // (self.dtype.itemsize * self.shape[1]))
        self.starts = np.array([*range(0, len(self), n_rows), len(self)])
        self.largest = 0.0
        start = 0
        for chunk in self:
            self.largest = max(self.largest, largest(chunk, name, first_row=start))
            start += len(chunk)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return self.some(range(len(self.starts) - 1))

    def some(self, chunks: Sequence[int]) -> Iterator[Array]:
        """Go through the chunks of these numbers."""
        for c in chunks:
            yield self._dense(self.matrix[self.starts[c] : self.starts[c + 1]])

    def _dense(self, some: Any) -> Array:
        with np.errstate(over="ignore"):  # what overflows is found to be infinite
            return np.ascontiguousarray(some.toarray(), self.dtype)

    def rows(self, indices: Array) -> Array:
        """Give samples by index, dense."""
        return self._dense(self.matrix[indices])

    def given(self) -> Any:
        """Give the matrix in CSR form."""
        return self.matrix
