"""Where labels and distances go: an array in memory, one that is given, or a file."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastkm import files, sources, validation
from fastkm.engines.base import Values

Array = NDArray[Any]
Target = Array | str | os.PathLike[str] | None


class NpyWriter:
    """A .npy file of one dimension, written in pieces, by any thread."""

    def __init__(self, file: IO[bytes], n_samples: int, dtype: np.dtype[Any]) -> None:
        self.file, self.dtype, self.lock = file, dtype, threading.Lock()
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (n_samples,),
        }
        np.lib.format.write_array_header_1_0(file, header)
        self.start = file.tell()

    def __setitem__(self, rows: slice, values: Array) -> None:
        with self.lock:
            self.file.seek(self.start + (rows.start or 0) * self.dtype.itemsize)
            self.file.write(np.ascontiguousarray(values, self.dtype).data)


def check(target: Any, X: Any, n_samples: int, dtype: Any, name: str) -> Target:
    """Give an array of the dtype, a path in a folder that exists, or None.

    Not a file that X is read from, nor one in the folder that X is.
    """
    if target is None:
        return None
    expected = f"an array {(n_samples,)} of {np.dtype(dtype)}, "
    if isinstance(target, np.ndarray):
        if target.shape != (n_samples,) or target.dtype != dtype:
            raise ValueError(
                f"{name} has shape {target.shape} and dtype {target.dtype}; it must be "
                f"{expected}a path or None"
            )
        if not target.flags.writeable:
            raise ValueError(f"{name} is read-only; it must be writable")
        return target
    path = validation.as_file(target, name, or_else=expected)
    for given in map(os.path.realpath, sources.paths(X)):
        if Path(given) in (path.resolve(), path.resolve().parent):
            raise ValueError(f"{name}={str(target)!r} is, or is among, the samples")
    return path


@contextlib.contextmanager
def opened(target: Target, n_samples: int, dtype: Any) -> Iterator[Values]:
    """Open a checked target; a file appears under its name when all is written."""
    if isinstance(target, np.ndarray):
        yield target
    elif target is None:
        yield np.empty(n_samples, dtype)
    else:
        with files.replacing(target) as file:
            yield NpyWriter(file, n_samples, np.dtype(dtype))


def as_array(target: Target, output: Values) -> Array:
    """What was written: the array, or the file as a memmap that is read only."""
    if isinstance(output, np.ndarray):
        return output
    assert isinstance(target, str | os.PathLike)
    return np.load(target, mmap_mode="r")
