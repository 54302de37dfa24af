"""Samples from files, and fitted models to and from files. Nothing is unpickled."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
import os
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastkm import validation
from fastkm.datasets import read_idx, take

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

__all__ = [
    "Model",
    "load_model",
    "read_arrays",
    "read_samples",
    "replacing",
    "save_model",
]

FORMAT = "fastkm-model"
VERSION = 2
PARAMETER = "parameter "  # before the name of a parameter that is an array
DELIMITERS = ",;\t"
BOMB, SMALL = 200, 2**26  # a zip entry may grow so many times, or to so many bytes


class Model(NamedTuple):
    """What a model file holds.

    centers : (n_clusters, n_features) float32 or float64
    inertia : float, and n_iter : int, where the centers come from a fit
    estimator : str, name of the class
    parameters : dict, of its constructor
    extras : dict, more fitted arrays, by attribute
    """

    centers: Array
    inertia: float | None = None
    n_iter: int | None = None
    estimator: str = "KMeans"
    parameters: Mapping[str, Any] = {}
    extras: Mapping[str, Array] = {}


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
        return _array(stream)


def _read_npz(path: PathLike, *, packed: bool = True) -> dict[str, Array]:
    """Arrays of a .npz file; one that must not be `packed` is no bigger than its file.

    What is in it besides arrays is left alone.
    """
    with _opened(path) as stream, _parsing(".npz"):
        arrays = {}
        with zipfile.ZipFile(stream) as archive:
            for entry in archive.infolist():
                name, suffix = os.path.splitext(entry.filename)
                if suffix != ".npy":
                    continue
                if entry.compress_type != zipfile.ZIP_STORED and not packed:
                    raise ValueError(f"{name} is compressed, which fastkm never does")
                if entry.file_size > max(BOMB * entry.compress_size, SMALL):
                    raise ValueError(
                        f"{name} would inflate from {entry.compress_size} bytes to "
                        f"{entry.file_size}; unpack it yourself if that is meant"
                    )
                with archive.open(entry) as file:
                    arrays[name] = _array(file)
        return arrays


def _array(stream: IO[bytes] | gzip.GzipFile) -> Array:
    """Read an array in NumPy's format, of as many bytes as are there.

    `numpy.load` allocates what the header claims before it reads.
    """
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the format holds no plain numbers")
    shape, is_fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise ValueError(
            "holds Python objects; nothing is unpickled (allow_pickle=False)"
        )
    promised = math.prod(shape) * dtype.itemsize
    data = take(stream, promised + 1)  # one more: zip compares its checksum at the end
    if len(data) != promised:
        found = f"only {len(data)} follow" if len(data) < promised else "more follow"
        raise ValueError(f"its header promises {promised} bytes of data, {found}")
    return np.ndarray(shape, dtype, data, order="F" if is_fortran else "C")


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
    """Write a model as .npz, for `load_model`, to a file that is open for writing.

    Parameters that are neither numbers, strings nor arrays of numbers are left out.
    """
    arrays: dict[str, Any] = {k: _plain(v) for k, v in model.extras.items()}
    values = {}
    for name, value in model.parameters.items():
        if value is None or isinstance(value, bool | int | float | str):
            values[name] = value
        elif isinstance(value, np.generic | np.ndarray | list | tuple):
            arrays[f"{PARAMETER}{name}"] = np.asarray(value)
    if model.inertia is not None:
        arrays["inertia"] = np.array(model.inertia)
    if model.n_iter is not None:
        arrays["n_iter"] = np.array(model.n_iter)
    arrays = {
        "format": np.array(FORMAT),
        "version": np.array(VERSION),
        "estimator": np.array(model.estimator),
        "parameters": np.array(json.dumps(values)),
        "centers": model.centers,
        **{k: v for k, v in arrays.items() if v.dtype.kind in "fiubU"},
    }
    # In memory first: a device, such as /dev/null, may not say where it is.
    whole = io.BytesIO()
    np.savez(whole, **arrays, entries=np.array(sorted(arrays)))
    file.write(whole.getbuffer())


def read_arrays(path: PathLike, kind: str) -> dict[str, Array]:
    """Read a .npz file that fastkm wrote: arrays by name, none of objects."""
    with _blaming(path):
        if not _magic(path).startswith(b"PK"):
            raise ValueError(f"not a fastkm {kind} (no .npz file)")
        return _read_npz(path, packed=False)


def _plain(array: Array) -> Array:
    """Without Python objects: names and classes may come as such."""
    return np.array(array.tolist()) if array.dtype.kind == "O" else array


def load_model(
    path: PathLike,
    estimator: str = "KMeans",
    parameters: Collection[str] = (),
    extras: Collection[str] = (),
) -> Model:
    """Read a model that `save_model` wrote, and check all of it.

    Parameters
    ----------
    path : str or path-like
    estimator : str
        Class of the model that is expected.
    parameters, extras : collection of str
        Names of its parameters and of its other arrays: those in the file that are not
        named here are not read.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no whole, valid model of that class, of a version that is known; the
        message names the file.
    """
    arrays = read_arrays(path, "model")
    with _blaming(path):
        if "format" not in arrays or arrays["format"].tolist() != FORMAT:
            raise ValueError("not a fastkm model (a .npz file of something else)")
        version = _scalar(arrays, "version", "i")
        if version != VERSION:
            raise ValueError(
                f"a fastkm model of version {version}; only {VERSION} is known here"
            )
        found = _scalar(arrays, "estimator", "U")
        if found != estimator:
            raise ValueError(f"a model of class {found}, not {estimator}")
        inertia = _scalar(arrays, "inertia", "f") if "inertia" in arrays else None
        n_iter = _scalar(arrays, "n_iter", "i") if "n_iter" in arrays else None
        if not 0 <= (inertia or 0) < math.inf or (n_iter is not None and n_iter < 1):
            raise ValueError(f"damaged model: inertia={inertia}, n_iter={n_iter}")
        centers = _entry(arrays, "centers")
        if centers.dtype not in (np.float32, np.float64):
            raise ValueError(f"damaged model: centers have dtype {centers.dtype}")
        centers = validation.as_samples(centers, name="centers")
        values = _parameters(arrays)
        entries = sorted(arrays.keys() - {"entries"})
        if _entry(arrays, "entries").tolist() != entries:
            raise ValueError(f"damaged model: it holds only {', '.join(entries)}")
        return Model(
            centers,
            inertia,
            n_iter,
            found,
            {name: values[name] for name in parameters if name in values},
            {name: arrays[name] for name in extras if name in arrays},
        )


def _parameters(arrays: dict[str, Array]) -> dict[str, Any]:
    """Parameters: numbers and strings as JSON, arrays as entries of their own."""
    try:
        values = json.loads(_scalar(arrays, "parameters", "U"))
    except json.JSONDecodeError as error:
        raise ValueError(f"damaged model: parameters are no JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"damaged model: parameters are {values!r}")
    for name, array in arrays.items():
        if name.startswith(PARAMETER):
            values[name.removeprefix(PARAMETER)] = array[()]  # a number, not an array
    return values


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
