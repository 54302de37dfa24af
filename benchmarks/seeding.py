"""Initial centers: how long every way of choosing them takes.

python benchmarks/seeding.py [CASE ...] writes a table of greedy k-means++ beside
scikit-learn's, for as many clusters as the case names.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from pathlib import Path

import numpy as np

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import comparison, data, peers
from benchmarks.comparison import digits
from benchmarks.data import CASES, N_THREADS, Timed
from fastkm.engines import Lanes
from fastkm.seeding import CHOOSERS, initial_centers

MOST_CLUSTERS = 100  # one pass over the samples for each: 4000 take minutes


def _choose(init):
    """Call of (X, n_clusters) that chooses initial centers."""

    def call(X, n_clusters):
        samples = Lanes(X, None, N_THREADS)
        initial_centers(samples, n_clusters, init, np.random.default_rng(0))

    return call


def _sklearn_plusplus(X, n_clusters):
    cluster = importlib.import_module("sklearn.cluster")
    cluster.kmeans_plusplus(X, n_clusters, random_state=0)


CALLS = {init: _choose(init) for init in CHOOSERS}
CALLS["scikit-learn's k-means++"] = _sklearn_plusplus


@functools.lru_cache(maxsize=1)
def _compiled(case, init):
    """Give the call, called once for few clusters."""
    if CALLS[init] is _sklearn_plusplus:
        peers.find("scikit-learn")
    CALLS[init](data.work(case).X, 3)
    return CALLS[init]


class Choice(Timed):
    """Choosing a case's initial centers, at most 100 of them."""

    params = (list(CASES), list(CALLS))
    param_names = ("case", "init")

    def setup(self, case, init):
        self.call = _compiled(case, init)
        self.X, centers, _ = data.work(case)
        self.n_clusters = min(MOST_CLUSTERS, len(centers))

    def time_choose(self, case, init):
        self.call(self.X, self.n_clusters)

    time_choose.pretty_name = "Choice of initial centers"


# Case and number of clusters; scikit-learn takes minutes for the last.
SCRIPT = {
    "plane": [6],
    "narrow": [100],
    "cells": [100],
    "wide": [100],
    "embedding": [100],
    "mnist": [100, 1000],
}


def main(argv=None):
    """Measure and print, case by case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(SCRIPT))
    parser.add_argument("-n", "--rounds", type=int, default=3)
    given = parser.parse_args(argv)
    where = comparison.circumstances(given.rounds, ["scikit-learn"])
    print(comparison.place(where))
    print(
        "\n| samples | clusters | fastkm, s | scikit-learn, s | |\n" + "|---" * 5 + "|"
    )
    for name in given.cases or SCRIPT:
        try:
            X = data.CASES[name].make()
        except NotImplementedError as reason:
            print(f"{name} left out: {reason}")
            continue
        for k in SCRIPT[name]:
            own = CALLS["k-means++"]
            own(X, k)  # compiles
            _sklearn_plusplus(X[:1000], 3)  # imports
            seconds = min(data.elapsed(own, X, k) for _ in range(given.rounds))
            rounds = given.rounds if seconds < 1 else 1  # minutes, where it is long
            other = min(data.elapsed(_sklearn_plusplus, X, k) for _ in range(rounds))
            print(
                f"| {name}: {len(X):,} x {X.shape[1]} {X.dtype} | {k} "
                f"| {digits(seconds)} | {digits(other)} | {other / seconds:.1f}x |",
                flush=True,
            )


if __name__ == "__main__":
    main()
