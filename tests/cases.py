"""The inputs on which every engine must give the reference's bits."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SIZES = (1, 2, 63, 64, 65, 257)
FEATURES = (1, 2, 3, 7, 8, 9, 16, 17, 33, 128)
CLUSTERS = (1, 2, 7, "n")
DTYPES = (np.float32, np.float64)


class Case(NamedTuple):
    """Samples, initial centers and weights."""

    X: Array
    centers: Array
    weights: Array | None


class Slices:
    """An array as samples in chunks of a few rows."""

    def __init__(self, X: Array, n_rows: int):
        self.X, self.n_rows = X, n_rows
        self.shape, self.dtype = X.shape, X.dtype
        self.largest = float(np.abs(X).max())
        self.starts = np.array([*range(0, len(X), n_rows), len(X)])

    def __len__(self) -> int:
        return len(self.X)

    def __iter__(self) -> Iterator[Array]:
        return self.some(range(len(self.starts) - 1))

    def some(self, chunks: Sequence[int]) -> Iterator[Array]:
        for c in chunks:
            yield self.X[self.starts[c] : self.starts[c + 1]]

    def rows(self, indices: Array) -> Array:
        return self.X[indices]

    def given(self) -> Array:
        return self.X


def generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def shapes() -> list[tuple[int, int, int]]:
    """All (n_samples, n_features, n_clusters) with n_clusters <= n_samples."""
    return sorted(
        {
            (n, d, n if k == "n" else k)
            for n in SIZES
            for d in FEATURES
            for k in CLUSTERS
            if k == "n" or k <= n
        }
    )


def gaussian(n: int, d: int, k: int, dtype: Any) -> Case:
    """Samples as initial centers."""
    rng = generator(n, d, k)
    X = rng.normal(size=(n, d)).astype(dtype)
    return Case(X, X[rng.permutation(n)[:k]].copy(), None)


def _case(X: Array, k: int, dtype: Any, weights: Array | None = None) -> Case:
    X = np.ascontiguousarray(X, dtype)
    return Case(X, X[generator(k).permutation(len(X))[:k]].copy(), weights)


def duplicates(dtype: Any) -> Case:
    rng = generator(1)
    return _case(rng.normal(size=(9, 5))[rng.integers(0, 9, 200)], 7, dtype)


def lattice(dtype: Any) -> Case:
    """Every center is as near as some other: ties everywhere."""
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), -1).reshape(-1, 3)
    return Case(grid.astype(dtype), grid[::5].astype(dtype), None)


def equal_centers(dtype: Any) -> Case:
    """All but one cluster are empty at first."""
    X = generator(2).normal(size=(150, 4)).astype(dtype)
    return Case(X, np.repeat(X[:1], 6, axis=0), None)


def empty_cluster(dtype: Any) -> Case:
    X = generator(3).normal(size=(130, 3)).astype(dtype)
    centers = X[:5].copy()
    centers[[1, 3]] = 1000
    return Case(X, centers, None)


def too_few_distinct(dtype: Any) -> Case:
    X = np.repeat(generator(4).normal(size=(4, 3)), 20, axis=0).astype(dtype)
    return Case(X, X[::8][:10].copy(), None)


def all_equal(dtype: Any) -> Case:
    X = np.full((70, 3), 0.1, dtype)
    return Case(X, X[:3].copy(), None)


def far(dtype: Any, offset: float) -> Case:
    rng = generator(5)
    blobs = rng.normal(size=(5, 33)) * 2
    return _case(
        blobs[rng.integers(0, 5, 300)] + rng.normal(size=(300, 33)) + offset, 8, dtype
    )


def scaled(dtype: Any, scale: float) -> Case:
    return _case(generator(6).normal(size=(200, 9)) * scale, 6, dtype)


def mixed_magnitudes(dtype: Any) -> Case:
    """Sums that no double-double holds: the slow road must settle them."""
    rng = generator(7)
    exponents = rng.integers(-30, 30, size=(257, 6))
    return _case(rng.normal(size=(257, 6)) * 10.0**exponents, 5, dtype)


def wild_magnitudes(dtype: Any) -> Case:
    rng = generator(8)
    signs = rng.choice([-1.0, 1.0], size=(257, 3))
    return _case(signs * 2.0 ** rng.integers(-300, 300, size=(257, 3)), 4, dtype)


def halfway_sums(dtype: Any) -> Case:
    """Sums exactly between two float64, and a hair above and below."""
    big, hair = 2.0**53, 2.0**-140
    X = np.array([[big, big, big], [1, 1, 1], [hair, 0, -hair]], dtype)
    return Case(X, X[:1].copy(), None)


def emptied(dtype: Any, seed: int) -> Case:
    """Clusters lose their last sample while some sum does not fit a double-double."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(6, 14)), int(rng.integers(3, 6))
    places = rng.integers(0, 8, size=(n, 2)) + rng.normal(size=(n, 2)) * 0.1
    wild = rng.choice([1.0, 2.0**-60, 1.1 * 2.0**-120], n) * 0.1
    centers = np.column_stack([rng.integers(0, 8, size=(k, 2)), np.zeros(k)])
    return Case(
        np.column_stack([places, wild]).astype(dtype), centers.astype(dtype), None
    )


def subnormal(dtype: Any) -> Case:
    tiny = np.finfo(dtype).smallest_subnormal
    steps = generator(9).integers(-50, 50, size=(100, 4))
    return _case(steps * np.float64(tiny), 5, dtype)


def weighted(dtype: Any) -> Case:
    case = gaussian(257, 9, 7, dtype)
    weights = generator(10).gamma(0.5, size=257)
    weights[::5] = 0
    return case._replace(weights=weights)


def heavy_and_light(dtype: Any) -> Case:
    case = gaussian(200, 3, 5, dtype)
    return case._replace(weights=10.0 ** generator(11).integers(-12, 12, 200))


def weightless_cluster(dtype: Any) -> Case:
    """A cluster that holds samples, all of weight zero."""
    X = np.concatenate([generator(12).normal(size=(60, 2)), [[50, 50], [51, 50]]])
    weights = np.ones(62)
    weights[-2:] = 0
    return Case(X.astype(dtype), X[[0, 1, 60]].astype(dtype), weights)


def outlier(dtype: Any) -> Case:
    X = generator(13).normal(size=(100, 2))
    X[17] = 1e12
    return _case(X, 4, dtype)


SPECIAL = {
    "duplicates": duplicates,
    "lattice": lattice,
    "equal_centers": equal_centers,
    "empty_cluster": empty_cluster,
    "too_few_distinct": too_few_distinct,
    "all_equal": all_equal,
    "far_1e4": lambda dtype: far(dtype, 1e4),
    "far_1e6": lambda dtype: far(dtype, 1e6),
    "huge": lambda dtype: scaled(dtype, 1e30 if dtype is np.float32 else 1e150),
    "tiny": lambda dtype: scaled(dtype, 1e-40 if dtype is np.float32 else 1e-300),
    "mixed_magnitudes": mixed_magnitudes,
    "wild_magnitudes": lambda dtype: (
        mixed_magnitudes(dtype) if dtype is np.float32 else wild_magnitudes(dtype)
    ),
    "halfway_sums": halfway_sums,
    # Found by a search: runs that differed when only emptied clusters were overlooked.
    "emptied_once": lambda dtype: emptied(dtype, 745),
    "emptied_and_refilled": lambda dtype: emptied(dtype, 795),
    "subnormal": subnormal,
    "weighted": weighted,
    "heavy_and_light": heavy_and_light,
    "weightless_cluster": weightless_cluster,
    "outlier": outlier,
}
