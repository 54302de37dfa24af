"""Samples that are read in chunks: files, and whatever can be gone through again.

What can be given for X besides arrays, wherever "samples in chunks" are taken:

- a path: a `.npy` file, a folder of them (in the natural order of their names), a
  `.parquet` file or a folder of them;
- `numpy.memmap`, `h5py.Dataset`, `zarr.Array` of two dimensions;
- `pyarrow.parquet.ParquetFile`, `pyarrow.dataset.Dataset`;
- any object whose `len` is the number of samples and that yields arrays of rows, the
  same ones each time that it is iterated.

>>> class Halves:
...     def __len__(self):
...         return 4
...
...     def __iter__(self):
...         yield np.array([[0.0], [0.2]])
...         yield np.array([[9.0], [9.2]])
>>> import fastkm
>>> sorted(fastkm.kmeans(Halves(), 2, random_state=0).centers.round().ravel())
[np.float64(0.0), np.float64(9.0)]

Parquet and compressed data are decoded in every pass; `fastkm.spool` avoids that.

A first pass checks the values, and a short fingerprint of every chunk is kept: a
source that yields something else later is an error, not another result. While a chunk
is computed on, the next one is read and checked in a thread.
"""

from __future__ import annotations

import mmap
import os
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, groupby, islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastkm import inputs
from fastkm.engines.chunks import CHUNK_BYTES

Array = NDArray[Any]
T = TypeVar("T")

FINGERPRINT_ROWS = 8
END: Any = object()


class Source(ABC):
    """A reader of samples in chunks; what it gives is not checked yet.

    label : str, for messages
    given : what the user gave
    starts : first row of every chunk, then n_samples; None before the first pass where
        only a pass can tell
    fresh : bool, whether what is read is nobody else's, to be kept without a copy
    """

    label: str
    given: Any
    n_samples: int
    starts: Array | None
    fresh = True

    @abstractmethod
    def read(self, chunks: Sequence[int] | None) -> Iterator[Any]:
        """Read chunks by their ascending numbers, or all of them."""


class Reachable(Source):
    """A source each of whose chunks can be read by itself."""

    @abstractmethod
    def read_one(self, c: int) -> Any:
        """Read a chunk."""

    def read(self, chunks: Sequence[int] | None) -> Iterator[Any]:
        assert self.starts is not None
        every = range(len(self.starts) - 1)
        return map(self.read_one, every if chunks is None else chunks)


def split(n_rows: int, row_bytes: int, chunk_bytes: int, unit: int = 1) -> list[int]:
    """First rows of chunks of some bytes, of whole units of rows."""
    step = max(1, chunk_bytes // max(1, row_bytes * unit)) * unit
    return list(range(0, n_rows, step))


class Rows(Reachable):
    """What gives rows by slices: `numpy.memmap`, `h5py.Dataset`, `zarr.Array`."""

    def __init__(self, array: Any, label: str, chunk_bytes: int) -> None:
        if len(array.shape) != 2:
            raise ValueError(
                f"{label} has shape {tuple(array.shape)}; it must be 2-D (n_samples, "
                "n_features)"
            )
        inputs.check_dtype(np.dtype(array.dtype), label)
        self.array, self.label, self.given = array, label, array
        self.n_samples, n_features = array.shape
        stored = getattr(array, "chunks", None) or (1,)  # rows that are read together
        firsts = split(self.n_samples, 8 * n_features, chunk_bytes, stored[0])
        if stored[0] * 8 * n_features > chunk_bytes:
            firsts = split(self.n_samples, 8 * n_features, chunk_bytes)
        self.starts = np.array([*firsts, self.n_samples])

    def read_one(self, c: int) -> Array:
        assert self.starts is not None
        rows = np.array(self.array[self.starts[c] : self.starts[c + 1]], order="C")
        give_back(self.array)
        return rows


class NpyFile(Rows):
    """A .npy file in C order: read, not mapped, so that a cut is seen and no crash."""

    def read_one(self, c: int) -> Array:
        assert self.starts is not None
        first, last = map(int, self.starts[c : c + 2])
        n_features = self.array.shape[1]
        values = np.fromfile(
            self.array.filename,
            self.array.dtype,
            (last - first) * n_features,
            offset=self.array.offset + first * n_features * self.array.itemsize,
        )
        if values.size < (last - first) * n_features:
            raise ValueError(f"{self.label} ends before row {last}")
        return values.reshape(-1, n_features)


def give_back(array: Any) -> None:
    """Let go of the pages of a memmap that reading has mapped: they count as memory."""
    # Pages of a private map ("c") may hold changes, which would be lost.
    shared = isinstance(array, np.memmap) and array.mode != "c"
    mapped = getattr(array, "_mmap", None)
    if shared and mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Joined(Source):
    """Sources one after the other."""

    def __init__(self, sources: list[Any], label: str, given: Any) -> None:
        self.label, self.given, self.sources = label, given, sources
        sizes = [np.diff(source.starts) for source in sources]
        self.starts = np.concatenate([[0], np.concatenate(sizes).cumsum()])
        self.n_samples = int(self.starts[-1])

    def read(self, chunks: Sequence[int] | None) -> Iterator[Any]:
        first = 0
        for source in self.sources:
            last = first + len(source.starts) - 1
            own = None
            if chunks is not None:
                own = [c - first for c in chunks if first <= c < last]
            if own is None or own:
                yield from source.read(own)
            first = last


class RowGroups(Source):
    """A Parquet file by row groups, those of many rows in pieces."""

    def __init__(self, file: Any, label: str, chunk_bytes: int, given: Any) -> None:
        self.file, self.label, self.given = file, label, given
        self.n_samples = file.metadata.num_rows
        n_columns = len(file.schema_arrow)
        self.rows = max(1, chunk_bytes // max(1, 8 * n_columns))
        sizes = [
            file.metadata.row_group(g).num_rows
            for g in range(file.metadata.num_row_groups)
        ]
        self.groups = [(g, n) for g, n in enumerate(sizes) if n]
        self.places = [
            (g, first) for g, n in self.groups for first in range(0, n, self.rows)
        ]
        within = dict(self.groups)
        lengths = [min(self.rows, within[g] - first) for g, first in self.places]
        self.starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def _pieces(self, group: int) -> Iterator[Any]:
        """Tables of `rows` rows: what Arrow reads at a time may be less."""
        import pyarrow

        held: list[Any] = []
        n_held = 0
        for batch in self.file.iter_batches(self.rows, row_groups=[group]):
            while len(batch):
                some = batch.slice(0, self.rows - n_held)
                held, n_held = [*held, some], n_held + len(some)
                batch = batch.slice(len(some))
                if n_held == self.rows:
                    yield pyarrow.Table.from_batches(held)
                    held, n_held = [], 0
        if held:
            yield pyarrow.Table.from_batches(held)

    def read(self, chunks: Sequence[int] | None) -> Iterator[Any]:
        wanted = range(len(self.places)) if chunks is None else chunks
        places = (self.places[c] for c in wanted)
        for group, own in groupby(places, key=lambda place: place[0]):
            firsts = [first for _, first in own]
            pieces = enumerate(self._pieces(group))
            for n, piece in islice(pieces, firsts[-1] // self.rows + 1):
                if n * self.rows == firsts[0]:
                    yield piece
                    del firsts[0]
            if firsts:
                raise ValueError(f"{self.label} ends within row group {group}")


class Yielded(Source):
    """An object of the user's that yields arrays of rows."""

    fresh = False  # the next one may be written over it

    def __init__(self, given: Any, label: str, chunk_bytes: int) -> None:
        self.given, self.label = given, label
        self.chunk_bytes = chunk_bytes
        self.n_samples = len(given)
        self.starts = None

    def read(self, chunks: Sequence[int] | None) -> Iterator[Any]:
        every = self._read_all()
        if chunks is None:
            return every
        wanted = set(chunks)
        return (chunk for c, chunk in enumerate(every) if c in wanted)

    def _read_all(self) -> Iterator[Any]:
        for number, given in enumerate(self.given):
            chunk = inputs.as_numbers(given, f"{self.label} (chunk {number})")
            if chunk.ndim != 2:
                raise ValueError(
                    f"{self.label} (chunk {number}) has shape {chunk.shape}; it must "
                    "be 2-D (n_rows, n_features)"
                )
            firsts = split(len(chunk), 8 * chunk.shape[1], self.chunk_bytes)
            for first, last in pairwise([*firsts, len(chunk)]):
                yield chunk[first:last]


def recognize(X: Any, name: str, chunk_bytes: int = CHUNK_BYTES) -> Source | None:
    """Give the source that X is; None where it is not one that is read in chunks.

    A `numpy.memmap` is one for who asks for `Rows`.

    Raises
    ------
    ValueError
        For a path to what is not taken, or an iterator, which can be gone through once.
    """
    if isinstance(X, str | os.PathLike):
        return open_path(Path(X), name, chunk_bytes)
    package = type(X).__module__.partition(".")[0]
    if package in ("h5py", "zarr"):
        if not hasattr(X, "shape"):
            raise ValueError(f"{name} is a {type(X).__name__}: choose an array in it")
        return Rows(X, name, chunk_bytes)
    if hasattr(X, "iter_batches") and hasattr(X, "metadata"):
        return RowGroups(X, name, chunk_bytes, X)
    if hasattr(X, "files") and hasattr(X, "count_rows"):
        return open_parquet([Path(file) for file in X.files], name, chunk_bytes, X)
    if is_array_like(X):
        return None
    if isinstance(X, Iterator):
        raise ValueError(
            f"{name} is a {type(X).__name__}, which can be gone through once; several "
            "passes are needed: give an object with `__iter__` and `__len__`"
        )
    if hasattr(X, "__iter__") and hasattr(X, "__len__"):
        return Yielded(X, name, chunk_bytes)
    return None


def paths(X: Any) -> list[Any]:
    """Files that X is read from, or their folder, as far as they are known."""
    if isinstance(X, str | os.PathLike):
        return [X]
    if isinstance(X, np.memmap):
        return [X.filename] if X.filename else []
    if hasattr(X, "count_rows"):  # pyarrow.dataset.Dataset
        return list(getattr(X, "files", ()))
    name = getattr(getattr(X, "file", None), "filename", None)  # of an h5py.Dataset
    return [name] if isinstance(name, str) else []


def is_array_like(X: Any) -> bool:
    """Whether NumPy, or `inputs`, makes one array of X."""
    plain = list, tuple, set, frozenset, dict, range, bytes, bytearray, memoryview
    return (
        isinstance(X, (np.ndarray, *plain))
        or hasattr(X, "__array__")
        or hasattr(X, "__array_interface__")
        or hasattr(X, "__buffer__")
        or bool(inputs.columns_of(X))
        or inputs.is_sparse(X)
        or hasattr(X, "__getitem__")
    )


def open_path(path: Path, name: str, chunk_bytes: int) -> Source:
    """Open a file or a folder of files."""
    if not path.exists():
        raise ValueError(
            f"{name}={str(path)!r} must hold numbers, or name a file or folder that "
            "exists"
        )
    files = [path]
    if path.is_dir():
        files = sorted(
            (file for file in path.iterdir() if file.suffix in (".npy", ".parquet")),
            key=natural,
        )
    kinds = {file.suffix for file in files}
    if kinds == {".npy"}:
        sources = [open_npy(file, name, chunk_bytes) for file in files]
        return Joined(sources, name, path)
    if kinds == {".parquet"}:
        return open_parquet(files, name, chunk_bytes, path)
    raise ValueError(
        f"{name}={str(path)!r} must be a .npy or .parquet file, or a folder of files "
        "of one of these kinds"
    )


def natural(path: Path) -> list[Any]:
    """Sort key: part-2 comes before part-10."""
    pieces = re.split(r"(\d+)", path.name)
    return [int(piece) if piece.isdigit() else piece for piece in pieces]


def open_npy(path: Path, name: str, chunk_bytes: int) -> Rows:
    """Open a .npy file without reading it; nothing is ever unpickled."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{name}: {path} cannot be read: {error}") from None
    label = f"{name} ({path.name})"
    plain = array.ndim == 2 and array.size and array.flags.c_contiguous
    return (NpyFile if plain else Rows)(array, label, chunk_bytes)


def open_parquet(files: list[Path], name: str, chunk_bytes: int, given: Any) -> Source:
    """Open Parquet files."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ImportError(
            "Parquet files need PyArrow: python -m pip install 'fastkm[parquet]'"
        ) from None
    sources = []
    for path in files:
        try:
            file = ParquetFile(path)
        except (OSError, ArrowException) as error:
            raise ValueError(f"{name}: {path} cannot be read: {error}") from None
        sources.append(RowGroups(file, f"{name} ({path.name})", chunk_bytes, given))
    return Joined(sources, name, given)


class Checked:
    """Samples of a source, checked: what engines take (`engines.chunks.Chunks`).

    The first pass is made here. float32 and float16 become float32, all else float64.

    Parameters
    ----------
    source : Source
    place : callable
        Is told shape and dtype after the first chunk; gives an array, or what else
        takes rows in order, to be filled with all samples, or None. It is then
        `self.array`.

    Raises
    ------
    ValueError
        If a value is not finite (row, column and chunk are named), chunks differ in
        their number of columns or kind of numbers, or their rows are not as many as was
        said; in a later pass, if it yields something else than in the first.
    """

    def __init__(
        self,
        source: Source,
        place: Callable[[tuple[int, int], np.dtype[Any]], Any],
    ) -> None:
        self.source, self.label = source, source.label
        self.largest = 0.0
        self.array: Any = None
        self._prints: list[int] = []
        self._kind = ""
        sizes: list[int] = []
        n_rows = 0
        for chunk in ahead(self._checked()):
            if not sizes:
                self.shape = source.n_samples, chunk.shape[1]
                self.dtype: np.dtype[Any] = chunk.dtype
                self.array = place(self.shape, self.dtype)
            if self.array is not None:
                self.array[n_rows : n_rows + len(chunk)] = chunk[: len(self) - n_rows]
            n_rows += len(chunk)
            sizes.append(len(chunk))
        if n_rows != source.n_samples:
            raise ValueError(
                f"{self.label} yields {n_rows} rows, but its length is "
                f"{source.n_samples}: the number of samples is meant"
            )
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return ahead(self._again(None))

    def some(self, chunks: Sequence[int]) -> Iterator[Array]:
        """Go through the chunks of these numbers, which ascend."""
        return ahead(self._again(chunks))

    def rows(self, indices: Array) -> Array:
        """Give samples by index."""
        of = np.searchsorted(self.starts, indices, side="right") - 1
        rows = np.empty((len(indices), self.shape[1]), self.dtype)
        wanted = np.unique(of).tolist()
        for c, chunk in zip(wanted, self.some(wanted), strict=True):
            rows[of == c] = chunk[indices[of == c] - self.starts[c]]
        return rows

    def given(self) -> Any:
        """Give what the user gave."""
        return self.source.given

    def _checked(self) -> Iterator[Array]:
        """Go through the samples for the first time."""
        row = 0
        chunks = filter(len, self.source.read(None))
        for c, chunk in enumerate(chunks):
            dense = self._dense(c, chunk)
            if dense.size:
                label = f"{self.label} (chunk {c})"
                most = inputs.largest(dense, label, given=chunk, first_row=row)
                self.largest = max(self.largest, most)
            self._prints.append(fingerprint(dense))
            row += len(dense)
            yield dense

    def _again(self, chunks: Sequence[int] | None) -> Iterator[Array]:
        read = filter(len, self.source.read(chunks))
        n_read = 0
        for c, chunk in zip(count() if chunks is None else chunks, read, strict=False):
            yield self._compared(c, self._dense(c, chunk))
            n_read += 1
        if n_read < len(self._prints if chunks is None else chunks):
            raise self._changed(n_read)

    def _compared(self, c: int, dense: Array) -> Array:
        if c >= len(self._prints) or fingerprint(dense) != self._prints[c]:
            raise self._changed(c)
        return dense

    def _changed(self, c: int) -> ValueError:
        return ValueError(
            f"{self.label} yields something else than in its first pass, from chunk "
            f"{c} on: every pass must give the same samples"
        )

    def _dense(self, c: int, chunk: Any) -> Array:
        """Give a chunk in the dtype of all; a new array."""
        label = f"{self.label} (chunk {c})"
        numbers = inputs.as_numbers(chunk, label)
        single = numbers.dtype.kind == "f" and numbers.dtype.itemsize <= 4
        kind = "float32" if single else "float64"
        if c == 0:
            self._kind, self._width = kind, numbers.shape[1]
        if kind != self._kind:
            raise ValueError(
                f"{label} has dtype {numbers.dtype}, to be held as {kind}, but those "
                f"before it are held as {self._kind}"
            )
        if numbers.shape[1] != self._width:
            raise ValueError(
                f"{label} has {numbers.shape[1]} columns, those before it have "
                f"{self._width}"
            )
        with np.errstate(over="ignore"):  # what overflows is found to be infinite
            copied = None if self.source.fresh else True  # None: where there is need
            return np.array(numbers, kind, order="C", copy=copied)


def fingerprint(chunk: Array) -> int:
    """Number that another chunk hardly has: the sum of its words, and some rows."""
    words = chunk.view(f"u{chunk.itemsize}")
    total = int(words.sum(dtype=np.uint64))
    some = np.ascontiguousarray(chunk[:: max(1, len(chunk) // FINGERPRINT_ROWS)])
    return hash((chunk.shape, total, zlib.crc32(some.view(np.uint8).data)))


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Go through items, of which the next is made in a thread meanwhile."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="fastkm-reader") as reader:
        coming = reader.submit(next, iterator, END)
        while (item := coming.result()) is not END:
            coming = reader.submit(next, iterator, END)
            yield item
            del item  # not held beside the next two
