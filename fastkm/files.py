"""Samples from files, and fitted models to and from files. Nothing is unpickled."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastkm import validation
from fastkm.datasets import read_idx

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

__all__ = ["Model", "load_model", "read_samples", "replacing", "save_model"]

FORMAT = "fastkm-model"
VERSION = 1
DELIMITERS = ",;\t"


class Model(NamedTuple):
    """What a model file holds.

    centers (n_clusters, n_features) float32 or float64, inertia float, n_iter int.
    """

    centers: Array
    inertia: float
    n_iter: int


def read_samples(
    path: PathLike,
    *,
    key: str | None = None,
    dtype: DTypeLike | None = None,
    n_features: int | None = None,
) -> Array:
    """Read samples from a .npy, .npz, CSV or IDX file, gzipped or not.

    The content tells which it is, not the name. A CSV file has commas, semicolons or
    tabs between its fields, and may start with a row of names. IDX images become rows.

    Parameters
    ----------
    path : str or path-like
    key : str, optional
        Name of the array in a .npz file; needed where it holds several.
    dtype : float32 or float64, optional
        To convert to. By default float32 stays, float16 becomes float32, and all else
        float64.
    n_features : int, optional
        The number of columns that is expected.

    Returns
    -------
    (n_samples, n_features) float32 or float64, finite; many integers of at most 16
    bits stay such, without a wide copy

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it does not hold samples; the message names the file and the place in it.
    """
    with _blaming(path):
        magic = _magic(path)
        if key is not None and not magic.startswith(b"PK"):
            raise ValueError(f"key={key!r} names an array of a .npz file; this is none")
        if magic.startswith(b"PK"):
            array = _one_of(_read_npz(path), key)
        elif magic.startswith(b"\x93NUMPY"):
            array = _read_npy(path)
        elif magic.startswith(b"\0\0"):
            array = read_idx(path)
            array = array.reshape(len(array), math.prod(array.shape[1:]))
        else:
            array = _read_csv(path)
        if dtype is not None and array.dtype.kind in "fiub":
            with np.errstate(over="ignore"):  # infinity is reported below
                array = array.astype(dtype, copy=False)
        return validation.as_input(array, n_features=n_features)


@contextlib.contextmanager
def _blaming(path: PathLike) -> Iterator[None]:
    """Put the file's name before the message of a ValueError that lacks it."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(f"{path}:"):
            raise
        raise ValueError(f"{path}: {error}") from None


@contextlib.contextmanager
def _parsing(kind: str) -> Iterator[None]:
    """Turn whatever a parser of damaged data raises into a ValueError.

    NumPy, zipfile, zlib and gzip raise a dozen kinds of exceptions between them.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"cannot be read as {kind}: {error}") from None


def _opened(path: PathLike) -> io.BufferedReader | gzip.GzipFile:
    """Open for reading, and inflate gzip data."""
    file = open(path, "rb")
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not zipped:
        return file
    file.close()
    return gzip.open(path)


def _magic(path: PathLike) -> bytes:
    with _opened(path) as stream, _parsing("gzip data"):
        return stream.read(6)


def _read_npy(path: PathLike) -> Array:
    with _opened(path) as stream, _parsing(".npy"):
        array: Array = np.load(stream, allow_pickle=False)
        return array


def _read_npz(path: PathLike) -> dict[str, Array]:
    with _opened(path) as stream, _parsing(".npz"):
        with np.load(stream, allow_pickle=False) as arrays:
            # An entry that is no .npy comes as bytes.
            return {name: np.asarray(arrays[name]) for name in arrays}


def _one_of(arrays: dict[str, Array], key: str | None) -> Array:
    names = ", ".join(arrays) or "nothing"
    if key is None and len(arrays) != 1:
        raise ValueError(f"holds {names}; choose one array by its key")
    if key is not None and key not in arrays:
        raise ValueError(f"holds {names}, but not {key!r}")
    return next(iter(arrays.values())) if key is None else arrays[key]


def _read_csv(path: PathLike) -> Array:
    with io.TextIOWrapper(_opened(path), encoding="utf-8-sig") as stream:
        try:
            return _parse_csv(stream)
        except UnicodeDecodeError:
            raise ValueError("not .npy, .npz, IDX or CSV text in UTF-8") from None
        except csv.Error as error:
            raise ValueError(f"cannot be read as CSV: {error}") from None
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(f"cannot be read as gzip data: {error}") from None


def _parse_csv(stream: IO[str]) -> Array:
    first = next((line for line in stream if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    stream.seek(0)
    reader = csv.reader(stream, delimiter=delimiter)
    fields = next((row for row in reader if any(row)), [])
    has_names = any(fields) and not any(map(_is_number, fields))
    n_skipped = reader.line_num if has_names else 0
    stream.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "input contained no data": an error below
        try:
            table = np.loadtxt(
                stream,
                delimiter=delimiter,
                skiprows=n_skipped,
                comments=None,
                quotechar='"',
                ndmin=2,
            )
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            fault = _fault(stream, delimiter, n_skipped)
            raise ValueError(fault or f"cannot be read as CSV: {error}") from None
    if not table.size:
        raise ValueError("no row of numbers in it")
    if not np.isfinite(table).all():
        raise ValueError(_fault(stream, delimiter, n_skipped))
    return table


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field  # which Python's float allows, NumPy's does not


def _fault(stream: IO[str], delimiter: str, n_skipped: int) -> str | None:
    """Say where the first field is that is no finite number; lines count from 1."""
    stream.seek(0)
    reader = csv.reader(stream, delimiter=delimiter)
    width = None
    for row in reader:
        if not row:
            continue
        width = width or len(row)
        if len(row) != width:
            return (
                f"line {reader.line_num} has {len(row)} field(s), those before have "
                f"{width}"
            )
        if reader.line_num <= n_skipped:
            continue
        for column, field in enumerate(row, 1):
            place = f"line {reader.line_num}, column {column}"
            if not field.strip():
                return f"{place} is empty; every field must be a number"
            if not _is_number(field):
                return f"{place} is {field!r}, not a number"
            if not math.isfinite(float(field)):
                return f"{place} is {field.strip()!r}, not a finite number"
    return None


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when all went well.

    It is written under a temporary name beside `path`, then renamed. Where an exception
    leaves the block, `path` stays as it was. Devices and pipes are written directly.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    target = path.resolve()  # through a link, not in its place
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        file = open(temporary, "xb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_model(file: IO[bytes], model: Model) -> None:
    """Write a model as .npz, for `load_model`, to a file that is open for writing."""
    np.savez(
        file,
        format=np.array(FORMAT),
        version=np.array(VERSION),
        centers=model.centers,
        inertia=np.array(model.inertia),
        n_iter=np.array(model.n_iter),
    )


def load_model(path: PathLike) -> Model:
    """Read a model that `save_model` wrote, and check all of it.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no whole, valid model of a version that is known; the message names it.
    """
    with _blaming(path):
        if not _magic(path).startswith(b"PK"):
            raise ValueError("not a fastkm model (no .npz file)")
        arrays = _read_npz(path)
        if "format" not in arrays or arrays["format"].tolist() != FORMAT:
            raise ValueError("not a fastkm model (a .npz file of something else)")
        version = _scalar(arrays, "version", "i")
        if version != VERSION:
            raise ValueError(
                f"a fastkm model of version {version}; only {VERSION} is known here"
            )
        inertia, n_iter = (
            _scalar(arrays, "inertia", "f"),
            _scalar(arrays, "n_iter", "i"),
        )
        if not 0 <= inertia < math.inf or n_iter < 1:
            raise ValueError(f"damaged model: inertia={inertia}, n_iter={n_iter}")
        centers = _entry(arrays, "centers")
        if centers.dtype not in (np.float32, np.float64):
            raise ValueError(f"damaged model: centers have dtype {centers.dtype}")
        centers = validation.as_samples(centers, name="centers")
        return Model(centers, float(inertia), int(n_iter))


def _entry(arrays: dict[str, Array], name: str) -> Array:
    if name not in arrays:
        raise ValueError(f"damaged model: {name} is missing")
    return arrays[name]


def _scalar(arrays: dict[str, Array], name: str, kind: str) -> Any:
    value = _entry(arrays, name)
    if value.shape != () or value.dtype.kind != kind:
        raise ValueError(
            f"damaged model: {name} has shape {value.shape} and dtype {value.dtype}"
        )
    return value.item()
