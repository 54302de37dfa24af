"""Every engine against the reference: python tests/fuzz.py --minutes 3.

Seeds count up from --first, so that a failure is found again by its number:
python tests/fuzz.py --first NUMBER --inputs 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import engines, kmeans, kmeans_plusplus, reference
from fastkm.engines import ENGINES
from fastkm.reference import exact_sum

Array = NDArray[Any]
Generator = np.random.Generator


class Input(NamedTuple):
    """Samples, initial centers, weights; and what they are made of, in words."""

    X: Array
    centers: Array
    weights: Array | None
    words: tuple[str, ...]


def cloud(rng: Generator, n: int, d: int) -> Array:
    """Samples about a few places, some tight, some wide."""
    places = rng.normal(size=(1 + rng.integers(6), d)) * rng.choice([0.1, 1, 30])
    return places[rng.integers(len(places), size=n)] + rng.normal(size=(n, d))


def lattice(rng: Generator, n: int, d: int) -> Array:
    """Integers: ties everywhere."""
    return rng.integers(-2, 3, size=(n, d)).astype(float)


def collinear(rng: Generator, n: int, d: int) -> Array:
    return np.outer(rng.integers(-20, 21, n), rng.integers(-3, 4, d)).astype(float)


def duplicates(rng: Generator, n: int, d: int) -> Array:
    return cloud(rng, 1 + n // 8, d)[rng.integers(1 + n // 8, size=n)]


def low_rank(rng: Generator, n: int, d: int) -> Array:
    return rng.normal(size=(n, 3)) @ rng.normal(size=(3, d))


SHAPES = (cloud, cloud, lattice, collinear, duplicates, low_rank)


def plain(rng: Generator, X: Array, single: bool) -> Array:
    return X


def offset(rng: Generator, X: Array, single: bool) -> Array:
    return X + 10.0 ** rng.integers(0, 7)


def scaled(rng: Generator, X: Array, single: bool) -> Array:
    """1e-300 to 1e150, or what of it float32 can hold."""
    low, high = (-44, 30) if single else (-300, 150)
    return X * 10.0 ** rng.integers(low, high + 1)


def subnormal(rng: Generator, X: Array, single: bool) -> Array:
    tiny = np.finfo(np.float32 if single else np.float64).smallest_subnormal
    return np.rint(X * 8) * np.float64(tiny)


def mixed(rng: Generator, X: Array, single: bool) -> Array:
    """Features of different magnitudes."""
    reach = 30 if single else 140
    return X * 10.0 ** rng.integers(-reach, reach + 1, X.shape[1])


def outlier(rng: Generator, X: Array, single: bool) -> Array:
    X = X.copy()
    X[rng.integers(len(X))] = 1e12
    return X


SIZES = (plain, plain, offset, scaled, subnormal, mixed, outlier)


def unweighted(rng: Generator, n: int) -> None:
    return None


def uneven(rng: Generator, n: int) -> Array:
    return 10.0 ** rng.uniform(-12, 12, n)


def zeros(rng: Generator, n: int) -> Array:
    weights = rng.choice([0.0, 0.0, 1.0, 2.5], n)
    weights[rng.integers(n)] = 1.0
    return weights


def whole(rng: Generator, n: int) -> Array:
    return rng.integers(1, 5, n).astype(float)


WEIGHTS = (unweighted, unweighted, uneven, zeros, whole)


def make(seed: int) -> Input:
    """Give the input of a seed."""
    rng = np.random.default_rng([seed, 20_261_123])
    single = bool(rng.integers(2))
    n = int(rng.choice([1, 2, 5, 17, 63, 64, 65, 130, 257, 400]))
    d = int(rng.choice([1, 1, 2, 2, 3, 4, 5, 8, 9, 16, 17, 40, 70]))
    k = n if rng.random() < 0.1 else int(rng.integers(1, min(n, 40) + 1))
    shape, size, weight = (
        rng.choice(list(kinds)) for kinds in (SHAPES, SIZES, WEIGHTS)
    )
    X = size(rng, shape(rng, n, d), single).astype(np.float32 if single else float)
    X = np.ascontiguousarray(X)
    centers = X[rng.permutation(n)[:k]]
    if rng.random() < 0.2:  # clusters that are empty at first
        centers[rng.integers(k, size=k // 2)] = centers[0]
    words = (str(X.dtype), shape.__name__, size.__name__, weight.__name__)
    if k == n:
        words += ("k = n",)
    if k > len(np.unique(X, axis=0)):
        words += ("k > distinct samples",)
    return Input(X, centers.copy(), weight(rng, n), words)


def same(one: Any, other: Any, what: str) -> None:
    """Compare bits; zeros of either sign are equal."""
    if not np.array_equal(one, other):
        raise AssertionError(f"{what} differs: {one!r} and {other!r}")


def check(seed: int) -> Input:
    """Compare every engine with the reference, and the invariants of each result."""
    case = make(seed)
    X, centers, weights, _ = case
    copies = X.copy(), centers.copy()
    options = {"max_iter": 12, "tol": 0}
    slow = reference.kmeans(X, centers, weights, **options)
    # Squares that underflow and centers that round to each other leave clusters empty.
    all_filled = {"float64", "plain", "unweighted"} <= {*case.words} and (
        len(np.unique(X, axis=0)) >= len(centers)
    )
    few = engines.InMemory.n_chunks
    try:
        for place, engine in enumerate(ENGINES):
            n_threads = (1, 2, 3, 8)[(seed + place) % 4]
            # As many chunks as threads, however small the work.
            engines.InMemory.n_chunks = lambda self, work: self.n_threads
            fast = kmeans(
                X,
                len(centers),
                init=centers,
                sample_weight=weights,
                engine=engine,
                n_threads=n_threads,
                **options,
            )
            for name in ("centers", "labels", "inertia", "n_iter"):
                same(getattr(fast, name), getattr(slow, name), f"{engine}: {name}")
            made = ENGINES[engine](X, weights, n_threads)
            labels, distances = made.assign(fast.centers)
            same(labels, fast.labels, f"{engine}: assign")
            same(
                exact_sum(distances if weights is None else weights * distances),
                fast.inertia,
                f"{engine}: sum of distances",
            )
            if all_filled:
                same(fast.report.n_empty, 0, f"{engine}: empty clusters")
        found = kmeans_plusplus(
            X, len(centers), sample_weight=weights, random_state=seed, n_threads=3
        )
        expected = reference.kmeans_plusplus(
            X, len(centers), np.random.default_rng(seed), weights
        )
        same(found[1], expected, "k-means++")
    finally:
        engines.InMemory.n_chunks = few
    same(X, copies[0], "X afterwards")
    same(centers, copies[1], "init afterwards")
    return case


def run(first: int, n_inputs: float, seconds: float) -> Counter[str]:
    """Check inputs from seed `first` on; counts what they were made of."""
    counts: Counter[str] = Counter()
    start, seed = time.monotonic(), first
    while seed - first < n_inputs and time.monotonic() - start < seconds:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # fewer clusters than asked for
                case = check(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {make(seed).words}: {error}") from error
        counts.update(("inputs", *case.words))
        seed += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--inputs", type=float, default=float("inf"))
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    counts = run(arguments.first, arguments.inputs, 60 * arguments.minutes)
    print(f"{counts['inputs']} inputs, {len(ENGINES)} engines each: all the same bits")
    for words, count in counts.most_common():
        print(f"{count:8} {words}")


if __name__ == "__main__":
    sys.exit(main())
