"""Initial centers: how long every way of choosing them takes."""

from __future__ import annotations

import functools
import importlib

import numpy as np

from benchmarks import data, peers
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
