"""Many small fits: 1000 restarts of the study notebook's 300 samples in the plane."""

from __future__ import annotations

import importlib

from benchmarks import peers
from benchmarks.data import N_THREADS, Timed
from fastkm import kmeans_many
from fastkm.datasets import make_blobs_and_tail

N_RUNS, N_CLUSTERS = 1000, 3


def _fastkm(X, init):
    options = {"random_state": 0, "n_threads": N_THREADS}
    kmeans_many(X, N_CLUSTERS, n_runs=N_RUNS, init=init, **options)


def _sklearn(X, init):
    cluster = importlib.import_module("sklearn.cluster")
    cluster.KMeans(N_CLUSTERS, init=init, n_init=N_RUNS, random_state=0).fit(X)


PROGRAMS = {"fastkm": _fastkm, "scikit-learn": _sklearn}


class Restarts(Timed):
    """1000 restarts from each kind of start."""

    params = (["k-means++", "random", "farthest", "k-means||"], list(PROGRAMS))
    param_names = ("init", "program")

    def setup(self, init, program):
        if program == "scikit-learn":
            peers.find(program)
            if init not in ("k-means++", "random"):
                raise NotImplementedError("scikit-learn has no such start")
        self.run, self.X = PROGRAMS[program], make_blobs_and_tail(300, random_state=0)
        self.run(self.X, init)

    def time_restarts(self, init, program):
        self.run(self.X, init)

    time_restarts.pretty_name = "1000 restarts of 300 samples"
