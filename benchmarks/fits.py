"""Whole fits by everyone, to convergence: python benchmarks/fits.py [CASE ...].

A fit of fastkm is timed as the user calls it, with tol=0, all that is built for it and
the final labels included: the best of several. The peers do the same number of
iterations from the same initial centers; where that takes long, the time is
extrapolated from their first iterations, which all cost them the same. Writes fits.md
and .json into the folder given with -o.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import peers
from benchmarks.data import CASES, N_THREADS, Array, elapsed, initial_centers
from benchmarks.side_by_side import digits, mark
from fastkm import kmeans
from fastkm.tour import machine

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
    results = []

    def fit() -> None:
        results.append(kmeans(X, len(centers), init=centers, **options))

    seconds = {"fastkm": min(elapsed(fit) for _ in range(n_rounds))}
    n_iter = results[0].n_iter
    for peer, run in runs.items():
        if peer != "fastkm":
            few = CASES[name].n_iter
            seconds[peer] = extrapolated(run, X, centers, few, n_iter)
    return {
        "case": f"{name}: {len(X):,} x {X.shape[1]} {X.dtype}, k={len(centers)}",
        "n_iter": n_iter,
        "seconds": seconds,
        "engine": results[0].report.engine,
        "counts": results[0].report.counts,
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
            f"| {result['case']} | {result['n_iter']} | {result['engine']} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(FITS))
    parser.add_argument("-n", "--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path("fits"))
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {sorted(unknown)[0]}; there are {', '.join(FITS)}")
    runs = peers.installed()
    results = []
    for name in arguments.cases or FITS:
        try:
            results.append(measure(name, arguments.rounds, runs))
        except NotImplementedError as reason:
            print(f"{name} left out: {reason}")
            continue
        print(table(results[-1:]), flush=True)
    if not results:
        return
    versions = ", ".join(f"{peer} {peers.version(peer)}" for peer in runs)
    text = (
        f"Seconds of a fit, best of {arguments.rounds} for fastkm, "
        f"{datetime.date.today()}.\n{machine.processor()}, {N_THREADS} threads; "
        f"{versions}.\n\n{table(results)}\n"
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "fits.md").write_text(text)
    (arguments.output / "fits.json").write_text(json.dumps(results, indent=1))
    print(f"\n{text}\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
