"""Fits of everyday sizes beside scikit-learn: python benchmarks/everyday.py.

Each as people call it, with all defaults, and again as the same work: 20 iterations
from the same centers. Milliseconds, the least of several runs in turn. With --mnist
instead KMeans(4000) of MNIST, all defaults, which takes scikit-learn some ten minutes.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import comparison, data
from benchmarks.comparison import digits
from fastkm import KMeans

N_ITER = 20


class Size(NamedTuple):
    """Samples, features, clusters, dtype."""

    n: int
    d: int
    k: int
    dtype: str = "float64"

    def __str__(self) -> str:
        return f"{self.n:,} x {self.d} {self.dtype}, k={self.k}"


SIZES = (
    Size(150, 4, 3),
    Size(1_000, 2, 3),
    Size(1_000, 32, 10, "float32"),
    Size(10_000, 2, 10),
    Size(10_000, 8, 10, "float32"),
    Size(10_000, 32, 100, "float32"),
    Size(10_000, 128, 10, "float32"),
    Size(100_000, 2, 10),
    Size(100_000, 8, 10, "float32"),
    Size(100_000, 32, 100, "float32"),
    Size(100_000, 128, 10, "float32"),
    Size(1_000_000, 2, 100),
    Size(1_000_000, 8, 10, "float32"),
)


def measure(size: Size, n_rounds: int) -> list[tuple[float, float]]:
    """Seconds of fastkm and scikit-learn: with all defaults, and for the same work."""
    from sklearn.cluster import KMeans as Other

    X = data.mixture(size.n, size.d, 2 * size.k, 2.0, size.dtype)
    same: dict[str, Any] = {"init": data.initial_centers(X, size.k), "n_init": 1}
    same |= {"max_iter": N_ITER, "tol": 0}
    pairs = []
    for options in ({"random_state": 0}, same):
        fits = [
            functools.partial(kind(size.k, **options).fit, X)
            for kind in (KMeans, Other)
        ]
        for fit in fits:
            fit()  # compile, start threads
        turns = [[data.twice(fit) for fit in fits] for _ in range(n_rounds)]
        own, other = map(min, zip(*turns, strict=True))
        pairs.append((own, other))
    return pairs


def row(size: Size, pairs: list[tuple[float, float]]) -> str:
    """Markdown: milliseconds of both, and how many times as fast."""
    cells = [
        f"{digits(1e3 * own)} | {digits(1e3 * other)} | {other / own:.1f}x"
        for own, other in pairs
    ]
    return f"| {size} | {' | '.join(cells)} |"


def digits_in_4000() -> None:
    """Seconds and inertia of both for MNIST in 4000 clusters; one fit each."""
    from sklearn.cluster import KMeans as Other

    X = data.mnist("float32")
    KMeans(4000, max_iter=5, random_state=0).fit(X[:8000])  # compiles
    print("\n| MNIST, k=4000 | s | iterations | inertia |\n|---|---|---|---|")
    for name, kind in (("fastkm", KMeans), ("scikit-learn", Other)):
        model = kind(4000, random_state=0)
        seconds = data.elapsed(model.fit, X)
        print(
            f"| {name} | {digits(seconds)} | {model.n_iter_} | {model.inertia_:.6g} |",
            flush=True,
        )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--rounds", type=int, default=5)
    parser.add_argument("--mnist", action="store_true", help="KMeans(4000) of MNIST")
    given = parser.parse_args(argv)
    rounds = 1 if given.mnist else given.rounds
    print(comparison.place(comparison.circumstances(rounds, ["scikit-learn"])))
    if given.mnist:
        digits_in_4000()
        return
    heads = ["samples"]
    for work in ("all defaults", f"{N_ITER} iterations"):
        heads += [f"{work}: fastkm", "scikit-learn", ""]
    print(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for size in SIZES:
        print(row(size, measure(size, given.rounds)), flush=True)


if __name__ == "__main__":
    main()
