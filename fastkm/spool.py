"""A spool: samples that are costly to read again, decoded once into a file.

Parquet, compressed HDF5 and Zarr are decoded anew in every pass, and an object of the
user's yields what it yields at its own cost. Where a disk has room for the samples as
they are computed on, that is paid once:

>>> class Days:
...     def __len__(self):
...         return 4
...
...     def __iter__(self):
...         yield np.array([[0.0], [0.2]])
...         yield np.array([[9.0], [9.2]])
>>> import fastkm
>>> with spooled(Days(), folder=None) as path:
...     fastkm.kmeans(path, 2, random_state=0).inertia.__round__(3)
0.04

It is not done unasked: how much is written, and where, is for the user to say.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastkm.sources import Checked, recognize

Array = NDArray[Any]


class Spool:
    """A .npy file that takes rows in their order."""

    def __init__(
        self, file: IO[bytes], shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self.file = file
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)

    def __setitem__(self, rows: slice, values: Array) -> None:
        self.file.write(np.ascontiguousarray(values).data)


@contextlib.contextmanager
def spooled(X: Any, folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Write samples to a .npy file for as long as the context lasts.

    Parameters
    ----------
    X : source (`fastkm.sources`)
    folder : path-like or None
        Where the file is made; it takes 8 bytes a number, 4 for float32 and float16.
        The system's folder for temporary files when None.

    Yields
    ------
    Path
        To be given in the place of X; the bits of all results are the same.

    Raises
    ------
    ValueError
        If X is no source, or its samples are not as they must be; OSError where the
        file cannot be written. Nothing is left behind.
    """
    source = recognize(X, "X")
    if source is None:
        raise ValueError(f"X is a {type(X).__name__}, not a source that is read anew")
    handle, name = tempfile.mkstemp(suffix=".npy", prefix="fastkm-", dir=folder)
    try:
        with open(handle, "wb") as file:
            Checked(source, lambda shape, dtype: Spool(file, shape, dtype))
        yield Path(name)
    finally:
        os.unlink(name)
