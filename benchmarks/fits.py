"""Whole fits by everyone, to convergence: python benchmarks/fits.py [CASE ...].

A fit of fastkm is timed as the user calls it, with tol=0, all that is built for it and
the final labels included: the best of several. The peers do the same number of
iterations from the same initial centers; where that takes long, the time is
extrapolated from their first iterations, which all cost them the same. Writes fits.md
and .json into the folder given with -o.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import comparison, peers
from benchmarks.comparison import describe, digits, mark
from benchmarks.data import CASES, N_THREADS, Array, elapsed, initial_centers
from fastkm import KMeansResult, kmeans

FITS = tuple(name for name in CASES if name != "mnist64")
LONGEST = 10_000  # iterations


def start(name: str, X: Array) -> Array:
    k = CASES[name].n_clusters
    if name.endswith("++"):
        return kmeans(X, k, random_state=0, max_iter=1, n_threads=N_THREADS).centers
    return initial_centers(X, k, start=29 if name == "plane" else 0)


def extrapolated(run: peers.Run, X: Array, centers: Array, few: int, n: int) -> float:
    """Seconds of a fit of n iterations, from fits of 1 and of 1 + few."""
    if n <= 1 + few:
        return elapsed(lambda: run(X, centers, n))
    one = elapsed(lambda: run(X, centers, 1))
    more = elapsed(lambda: run(X, centers, 1 + few))
    return one + (more - one) * (n - 1) / few


def measure(name: str, n_rounds: int, runs: dict[str, peers.Run]) -> dict[str, Any]:
    """Whole fits of everyone on one case."""
    X = CASES[name].make()
    centers = start(name, X)
    for run in runs.values():  # compile, start threads
        run(X[: 4 * len(centers) + 20_000], centers, 3)
    options = {"max_iter": LONGEST, "tol": 0, "n_threads": N_THREADS}

    def fit() -> KMeansResult:
        return kmeans(X, len(centers), init=centers, **options)

    result = fit()  # compiles its engine
    seconds = {"fastkm": min(elapsed(fit) for _ in range(n_rounds))}
    for peer, run in runs.items():
        if peer != "fastkm":
            few = CASES[name].n_iter
            seconds[peer] = extrapolated(run, X, centers, few, result.n_iter)
    return {
        "case": name,
        "shape": X.shape,
        "dtype": str(X.dtype),
        "n_clusters": len(centers),
        "n_iter": result.n_iter,
        "seconds": seconds,
        "engine": result.report.engine,
        "counts": result.report.counts,
    }


def spell(seconds: float) -> str:
    """Three significant digits."""
    return f"{float(f'{seconds:.3g}'):,g} s"


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: seconds, and times fastkm's."""
    names = list(results[0]["seconds"])
    lines = [
        "| case | iterations | engine | " + " | ".join(map(mark, names)) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for result in results:
        own = result["seconds"]["fastkm"]
        cells = [spell(own)]
        cells += [
            f"{spell(seconds)} ({digits(seconds / own)}x)"
            for name, seconds in result["seconds"].items()
            if name != "fastkm"
        ]
        lines.append(
            f"| {describe(result)} | {result['n_iter']} | {result['engine']} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write."""
    given = comparison.arguments(__doc__, FITS, "fits", argv)
    runs = peers.installed()
    results = list(
        comparison.gather(
            given.cases, lambda name: measure(name, given.rounds, runs), table
        )
    )
    if results:
        where = comparison.circumstances(given.rounds, runs)
        text = (
            f"Seconds of a fit, best of {given.rounds} for fastkm.\n"
            f"{comparison.place(where)}\n\n{table(results)}\n"
        )
        comparison.write(given.output, "fits", text, where, results)


if __name__ == "__main__":
    main()
