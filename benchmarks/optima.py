"""How low the inertia gets, beside scikit-learn: python benchmarks/optima.py [SET ...].

Ten sets, 20 seeds: one run, ten runs, and one run followed by swaps. Prints how far the
mean inertia is above the least that anyone found, and seconds of a fit.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import data
from benchmarks.data import Array
from fastkm import KMeans
from fastkm.datasets import make_blobs_and_tail, make_diagonal, make_noisy_ring

SIDE, SPACING = 10, 10.0  # of a grid of unit Gaussians


class Set(NamedTuple):
    """Samples, and how many clusters they are split into."""

    make: Callable[[], Array]
    n_clusters: int


def bundled(name: str, *, scaled: bool = False) -> Array:
    """Samples that come with scikit-learn, features scaled to variance 1 if asked."""
    from sklearn import datasets

    X = getattr(datasets, f"load_{name}")().data
    return (X - X.mean(axis=0)) / X.std(axis=0) if scaled else X


def grid_centers() -> Array:
    """Places of the Gaussians (SIDE**2, 2)."""
    return SPACING * np.indices((SIDE, SIDE)).reshape(2, -1).T


def grid() -> Array:
    rng = np.random.default_rng(0)
    return np.repeat(grid_centers(), 50, axis=0) + rng.normal(size=(50 * SIDE**2, 2))


SETS = {
    "iris": Set(lambda: bundled("iris"), 3),
    "wine": Set(lambda: bundled("wine", scaled=True), 3),
    "cancer": Set(lambda: bundled("breast_cancer", scaled=True), 5),
    "digits": Set(lambda: bundled("digits"), 10),
    "grid": Set(grid, SIDE**2),
    "tail": Set(lambda: make_blobs_and_tail(3000, random_state=0), 6),
    "ring": Set(lambda: make_noisy_ring(3000, random_state=0), 8),
    "diagonal": Set(lambda: make_diagonal(3000, random_state=0), 6),
    "mixture": Set(lambda: data.mixture(5000, 16, 50, 2.0, "float64"), 50),
    "mnist": Set(lambda: data.mnist("float32")[::6], 10),
}


def programs() -> dict[str, Callable[..., Any]]:
    """Name and estimator, for a number of clusters and a seed."""
    from sklearn.cluster import KMeans as Other

    return {
        "fastkm": functools.partial(KMeans, n_init=1),
        "scikit-learn": functools.partial(Other, n_init=1),
        "fastkm, 10 runs": functools.partial(KMeans, n_init=10),
        "scikit-learn, 10 runs": functools.partial(Other, n_init=10),
        "fastkm, 25 swaps": functools.partial(KMeans, n_init=1, n_swaps=25),
    }


def n_found(centers: Array) -> int:
    """Gaussians of the grid that have a center of their own."""
    squares = ((centers[:, None] - grid_centers()) ** 2).sum(axis=2)
    counts = np.bincount(squares.argmin(axis=1), minlength=SIDE**2)
    return int((counts == 1).sum())


def measure(name: str, n_seeds: int) -> dict[str, tuple[list[float], float, list[int]]]:
    """Inertias, seconds of a fit, and what was found of the grid, for each program."""
    X = SETS[name].make()
    results = {}
    for program, make in programs().items():
        inertias, seconds, found = [], [], []
        for seed in range(n_seeds):
            model = make(SETS[name].n_clusters, random_state=seed)
            seconds.append(data.elapsed(model.fit, X))
            inertias.append(float(model.inertia_))
            if name == "grid":
                found.append(n_found(model.cluster_centers_))
        results[program] = inertias, float(np.median(seconds)), found
    return results


def row(name: str, results: dict[str, tuple[list[float], float, list[int]]]) -> str:
    """Markdown: how far means are above the least, and seconds."""
    least = min(min(inertias) for inertias, *_ in results.values())
    cells = [f"{name}, k={SETS[name].n_clusters}"]
    for inertias, seconds, found in results.values():
        cell = f"{100 * (np.mean(inertias) / least - 1):.2f}% ({seconds:.2g} s)"
        if found:
            whole = sum(n == SIDE**2 for n in found)
            cell += f", {whole} of {len(found)} whole"
        cells.append(cell)
    return "| " + " | ".join(cells) + " |"


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("-n", "--seeds", type=int, default=20)
    given = parser.parse_args(argv)
    unknown = set(given.sets) - set(SETS)
    if unknown:
        parser.error(f"unknown set {min(unknown)}; there are {', '.join(SETS)}")
    names = list(programs())
    print("| set | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for name in given.sets or SETS:
        try:
            print(row(name, measure(name, given.seeds)), flush=True)
        except NotImplementedError as reason:
            print(f"{name} left out: {reason}")


if __name__ == "__main__":
    main()
