"""What memory allows: which samples are held, which are read in chunks."""

from __future__ import annotations

import math
import numbers
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm import inputs, memory, sources
from fastkm.engines.chunks import ASSIGNMENTS, CHUNK_BYTES, KEPT_BYTES
from fastkm.validation.messages import InvalidParameterError

Array = NDArray[Any]

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LEAST_MEMORY = 2**16
CHUNKS_AT_ONCE = 16  # that the memory for chunks is divided by: room for engines


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


def check_room(data: Any, max_memory: int | None, labels_out: Any) -> int:
    """What there is room to keep about samples in chunks (`Chunked`).

    ValueError where there is not even room for the labels, and no other place.
    """
    if isinstance(data, np.ndarray) and max_memory is None:
        return ASSIGNMENTS  # to ask how much is free takes longer than many a fit
    most = memory.default_max() if max_memory is None else max_memory
    if labels_out is None and 4 * len(data) > most and not isinstance(data, np.ndarray):
        raise ValueError(
            f"the labels of {len(data)} samples take {4 * len(data)} bytes, more than "
            f"max_memory={most}: give labels_out, a file for them"
        )
    room = most // 2 // len(data)
    return max((kept for kept, size in KEPT_BYTES.items() if size <= room), default=0)


def as_source(X: Any, name: str, max_memory: int | None) -> sources.Source | None:
    """Give X as a source, where it is one or is too large for one array more."""
    if max_memory is None and type(X) is np.ndarray:
        return None  # see `check_room`
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


def read(source: sources.Source, max_memory: int | None) -> sources.Checked:
    """Check a source in a first pass, which may read it into an array."""
    most = memory.default_max() if max_memory is None else max_memory

    def place(shape: tuple[int, int], dtype: np.dtype[Any]) -> Array | None:
        fits = _fits(None, shape, dtype, most)
        streams = isinstance(source.given, np.ndarray)  # it did not fit
        return np.empty(shape, dtype) if fits and not streams else None

    return sources.Checked(source, place)


def _fits(X: Any, shape: tuple[int, ...], dtype: np.dtype[Any], most: int) -> bool:
    """Whether a fit of samples in memory would take no more than so many bytes."""
    beyond = memory.beyond_samples((shape[0], shape[1]), dtype.itemsize)
    is_held = isinstance(X, np.ndarray) and not isinstance(X, np.memmap)
    own = 0 if is_held else shape[0] * shape[1] * dtype.itemsize
    return own + beyond <= most
