"""Where samples come from: three generators, IDX files, and MNIST.

References
----------
The IDX format: LeCun, Cortes and Burges, The MNIST database of handwritten digits,
http://yann.lecun.com/exdb/mnist/, "File formats for the MNIST database".
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import validation

Array = NDArray[Any]
PathLike = str | os.PathLike[str]
Stream = IO[bytes] | gzip.GzipFile

__all__ = [
    "Digits",
    "fetch_mnist",
    "load_mnist",
    "make_blobs_and_tail",
    "make_diagonal",
    "make_noisy_ring",
    "read_idx",
]

IDX_DTYPES = {
    0x08: "u1",
    0x09: "i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# Of the uncompressed files: mirrors compress them differently.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
MNIST_LARGEST = 16 + 60000 * 28 * 28  # bytes of the largest of them
TIMEOUT = 30  # seconds without an answer after which a download is given up
CHUNK = 1 << 20  # bytes


def make_blobs_and_tail(
    n_samples: int, *, random_state: validation.Seed = None
) -> Array:
    """Two Gaussian blobs and a hyperbolic tail in the plane, a third each, shuffled.

    The blobs are N((2, 4), 0.4^2) and N((4, 2.5), 0.4^2). The tail is (x, 1/x) plus
    N(0, 0.05^2), with log x uniform from -log 5 to log 5.

    Parameters
    ----------
    n_samples : int, at least 1
    random_state : int, Generator, RandomState, SeedSequence or None

    Returns
    -------
    (n_samples, 2) float64

    Raises
    ------
    ValueError
        For another n_samples or random_state.

    Examples
    --------
    >>> make_blobs_and_tail(300, random_state=0).shape
    (300, 2)
    """
    n_samples = validation.check_integer(n_samples, "n_samples")
    rng = validation.check_random_state(random_state)
    part = rng.permutation(n_samples) % 3
    x = 5 ** rng.uniform(-1, 1, n_samples)
    origin = np.stack([x, 1 / x], axis=1)
    origin[part == 1] = (2, 4)
    origin[part == 2] = (4, 2.5)
    noise = np.array([0.05, 0.4, 0.4])[part, np.newaxis]
    return origin + noise * rng.standard_normal((n_samples, 2))


def make_noisy_ring(n_samples: int, *, random_state: validation.Seed = None) -> Array:
    """Points around the unit circle: uniform angle, radius from N(1, 0.1^2).

    Parameters
    ----------
    n_samples : int, at least 1
    random_state : int, Generator, RandomState, SeedSequence or None

    Returns
    -------
    (n_samples, 2) float64

    Raises
    ------
    ValueError
        For another n_samples or random_state.

    Examples
    --------
    >>> make_noisy_ring(300, random_state=0).shape
    (300, 2)
    """
    n_samples = validation.check_integer(n_samples, "n_samples")
    rng = validation.check_random_state(random_state)
    angle = rng.uniform(0, 2 * math.pi, n_samples)
    radius = rng.normal(1, 0.1, n_samples)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def make_diagonal(
    n_samples: int, *, n_features: int = 100, random_state: validation.Seed = None
) -> Array:
    """Points spread along a diagonal: t * (1, ..., 1) + N(0, 0.1^2), t uniform in 0..1.

    Parameters
    ----------
    n_samples : int, at least 1
    n_features : int, at least 1, default 100
    random_state : int, Generator, RandomState, SeedSequence or None

    Returns
    -------
    (n_samples, n_features) float64

    Raises
    ------
    ValueError
        For another n_samples, n_features or random_state.

    Examples
    --------
    >>> make_diagonal(300, random_state=0).shape
    (300, 100)
    """
    n_samples = validation.check_integer(n_samples, "n_samples")
    n_features = validation.check_integer(n_features, "n_features")
    rng = validation.check_random_state(random_state)
    t = rng.uniform(0, 1, (n_samples, 1))
    return t + rng.normal(0, 0.1, (n_samples, n_features))


def read_idx(path: PathLike) -> Array:
    """Array in an IDX file, gzipped or not (its content tells, not its name).

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    ndarray of the file's shape
        uint8, int8, int16, int32, float32 or float64, in native byte order.

    Raises
    ------
    FileNotFoundError
    ValueError
        Where the content is no IDX array, ends early or goes on after the array, or
        where the gzip data is corrupted.

    References
    ----------
    The MNIST database, "File formats" (see the module): two zero bytes, a type code,
    the number of dimensions; each dimension as a big-endian uint32; the items.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    with _opened(path) as stream:
        magic = take(stream, 4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_DTYPES:
            raise ValueError(
                f"{path}: no IDX file, it starts with {magic.hex(' ') or 'nothing'}; 4 "
                f"bytes are expected: 00 00, one of {bytes(IDX_DTYPES).hex(' ')} for "
                "the type, and the number of dimensions"
            )
        if magic[3] == 0:
            raise ValueError(f"{path}: IDX file of 0 dimensions, at least 1 is needed")
        sizes = take(stream, 4 * magic[3])
        if len(sizes) < 4 * magic[3]:
            raise ValueError(
                f"{path}: truncated IDX header, {magic[3]} dimensions take "
                f"{4 + 4 * magic[3]} bytes, but only {4 + len(sizes)} are there"
            )
        dtype = np.dtype(IDX_DTYPES[magic[2]])
        shape = tuple(np.frombuffer(sizes, ">u4").tolist())
        promised = math.prod(shape) * dtype.itemsize
        # One byte more than promised tells of trailing bytes (and at the end of gzip
        # data its checksum is compared), yet a gzip bomb is not inflated.
        data = take(stream, promised + 1)
    if len(data) != promised:
        found = f"only {len(data)} follow" if len(data) < promised else "more follow"
        raise ValueError(
            f"{path}: the IDX header promises {promised} bytes of data, {found}"
        )
    try:
        array: Array = np.ndarray(shape, dtype, buffer=data)
    except ValueError as error:  # more dimensions than NumPy has, or 0 x (too many)
        raise ValueError(f"{path}: {error}") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


@contextmanager
def _opened(path: PathLike) -> Iterator[Stream]:
    """Open a file for reading, and inflate it where it starts as gzip data does."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as inflated:
                yield inflated
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path}: corrupted gzip data: {error}") from None


def take(stream: Stream, n_bytes: int) -> bytearray:
    """Read n_bytes, or what there is: `stream.read(n_bytes)` would allocate first."""
    data = bytearray()
    while chunk := stream.read(min(CHUNK, n_bytes - len(data))):
        data += chunk
    return data


class Digits(NamedTuple):
    """Images (n, rows * columns) uint8 and labels (n,) uint8, to train and to test."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


def load_mnist(directory: PathLike | None = None) -> Digits:
    """MNIST, or a set in its format such as Fashion-MNIST, from its four IDX files.

    They are {train,t10k}-{images-idx3,labels-idx1}-ubyte, each with or without .gz
    (where there are both, the one with .gz is read).

    Parameters
    ----------
    directory : str or path-like, optional
        Where the files are; by default what the environment variable FASTKM_MNIST says.

    Returns
    -------
    Digits
        For MNIST: train_images (60000, 784), train_labels (60000,), test_images
        (10000, 784) and test_labels (10000,), all uint8.

    Raises
    ------
    FileNotFoundError
    ValueError
        Where no directory is given, a file is damaged (see `read_idx`) or not of the
        expected kind, or images and labels differ in number.

    Examples
    --------
    >>> load_mnist("mnist").train_images.shape  # doctest: +SKIP
    (60000, 784)
    """
    if directory is None:
        directory = os.environ.get("FASTKM_MNIST")
        if not directory:
            raise ValueError(
                "directory=None, and the environment variable FASTKM_MNIST is not set: "
                "name the directory of the MNIST files, or download them by fetch_mnist"
            )
    folder = Path(directory)
    return Digits(*_load_part(folder, "train"), *_load_part(folder, "t10k"))


def _load_part(folder: Path, part: str) -> tuple[Array, Array]:
    """Flattened images, labels."""
    images = _load_file(folder, f"{part}-images-idx3-ubyte", 3)
    labels = _load_file(folder, f"{part}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{folder}: {len(images)} {part} images, but {len(labels)} {part} labels"
        )
    n_samples, rows, columns = images.shape
    return images.reshape(n_samples, rows * columns), labels


def _load_file(folder: Path, name: str, n_dimensions: int) -> Array:
    path = _find(folder, name)
    if path is None:
        raise FileNotFoundError(
            f"neither {name}.gz nor {name} is in {folder}; fetch_mnist downloads MNIST"
        )
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != n_dimensions:
        raise ValueError(
            f"{path}: {array.dtype} array of shape {array.shape}; uint8 in "
            f"{n_dimensions} dimension(s) is expected"
        )
    return array


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}.gz", folder / name)
    return next((path for path in paths if path.exists()), None)


def fetch_mnist(
    directory: PathLike | None = None, *, base_url: str = MNIST_URL
) -> Digits:
    """MNIST, downloaded where it is not in the directory already.

    Every file, found or downloaded, is verified by the MD5 of its uncompressed content.
    A found file of other content is replaced once its replacement is verified.

    Parameters
    ----------
    directory : str or path-like, optional
        Made where it is missing; by default a folder "fastkm" among the user's caches.
    base_url : str
        HTTP(S) address of the folder with the four .gz files.

    Returns
    -------
    Digits
        As from `load_mnist`.

    Raises
    ------
    ImportError
        Where pooch is not installed.
    OSError
        Where a download fails, or the directory cannot be written.
    ValueError
        Where a download has the wrong content; it is not kept.

    Examples
    --------
    >>> fetch_mnist().train_images.shape  # doctest: +SKIP
    (60000, 784)
    """
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "fetch_mnist needs pooch: pip install 'fastkm[mnist]'"
        ) from error
    folder = Path(pooch.os_cache("fastkm") if directory is None else directory)
    # The bare downloader: `pooch.retrieve` would hash the compressed file, and log.
    download = pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=CHUNK)
    for name, md5 in MNIST_MD5.items():
        found = _find(folder, name)
        if found is None or _md5(found) != md5:
            _fetch_file(download, f"{base_url.rstrip('/')}/{name}.gz", folder, md5)
    return load_mnist(folder)


def _fetch_file(download: Any, url: str, folder: Path, md5: str) -> None:
    """Download a file into the folder, under its name in the URL, if it is right."""
    name = url.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that `os.replace` stays within one file system. The file in
    # it gets the user's usual permissions, which one by mkstemp would not.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as temporary:
        path = Path(temporary, name)
        try:
            download(url, str(path), None)
        except OSError as error:  # as all exceptions of requests are
            raise OSError(f"cannot download {url} into {folder}: {error}") from error
        found = _md5(path)
        if found != md5:
            raise ValueError(
                f"{url}: wrong content, not kept; the uncompressed {name} should have "
                f"MD5 {md5}, found {found}"
            )
        os.replace(path, folder / name)


def _md5(path: Path) -> str:
    """MD5 of the uncompressed content, of no more than tells it from MNIST's."""
    try:
        with _opened(path) as stream:
            content = take(stream, MNIST_LARGEST + 1)
    except ValueError:
        return "none (corrupted gzip data)"
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
