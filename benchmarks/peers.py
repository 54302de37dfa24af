"""The same work by fastkm and by others: n_iter Lloyd iterations on all samples.

A `Run` takes (X, centers, n_iter) and returns the centers. The peers are used as their
documentation says; settings that would make them do other work (a sample of the rows,
an early stop, hierarchical clustering) are switched off.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import statistics
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import data
from benchmarks.data import CASES, N_THREADS, Timed

Array = NDArray[Any]
Run = Callable[[Array, Array, int], Array]

# Everything is one block of samples for the peers that subsample by default.
ALL_POINTS = 2**31 - 1


class Peer(NamedTuple):
    """Who does the work: how, from which module and distribution, and not quite how."""

    run: Run
    module: str
    distribution: str
    difference: str = ""


def _fastkm(X: Array, centers: Array, n_iter: int) -> Array:
    from fastkm import kmeans

    k = len(centers)
    options = {"max_iter": n_iter, "tol": 0, "n_threads": N_THREADS}
    return kmeans(X, k, init=centers, **options).centers


def _sklearn_like(module: str) -> Run:
    def run(X: Array, centers: Array, n_iter: int) -> Array:
        KMeans = importlib.import_module(module).KMeans
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = KMeans(len(centers), init=centers, n_init=1, max_iter=n_iter, tol=0)
            return model.fit(X).cluster_centers_

    return run


def _faiss(X: Array, centers: Array, n_iter: int) -> Array:
    module = importlib.import_module("faiss")
    module.omp_set_num_threads(N_THREADS)
    k, d = centers.shape
    model = module.Kmeans(
        d,
        k,
        niter=n_iter,
        max_points_per_centroid=ALL_POINTS,
        min_points_per_centroid=1,  # of a warning only
    )
    model.train(X.astype(np.float32), init_centroids=centers.astype(np.float32))
    return model.centroids


def _superkmeans(X: Array, centers: Array, n_iter: int) -> Array:
    """Takes no initial centers: it draws samples of its own."""
    module = importlib.import_module("superkmeans")
    k, d = centers.shape
    model = module.SuperKMeans(
        k,
        d,
        hierarchical=False,
        iters=n_iter,
        sampling_fraction=1.0,
        max_points_per_cluster=ALL_POINTS,
        n_threads=N_THREADS,
        early_termination=False,
        tol=0,
    )
    return model.train(X.astype(np.float32))


def _reference(X: Array, centers: Array, n_iter: int) -> Array:
    from fastkm import reference

    return reference.kmeans(X, centers, max_iter=n_iter, tol=0).centers


PEERS = {
    "fastkm": Peer(_fastkm, "fastkm", "fastkm"),
    "scikit-learn": Peer(_sklearn_like("sklearn.cluster"), "sklearn", "scikit-learn"),
    "oneDAL": Peer(
        _sklearn_like("sklearnex.cluster"), "sklearnex", "scikit-learn-intelex"
    ),
    "faiss": Peer(_faiss, "faiss", "faiss-cpu", "in float32"),
    "superkmeans": Peer(
        _superkmeans,
        "superkmeans",
        "superkmeans",
        "approximate: skips distances by a statistical test; in float32, from initial "
        "centers of its own",
    ),
}
REFERENCE = Peer(_reference, "fastkm", "fastkm", "the specification, in NumPy")


def installed() -> dict[str, Run]:
    """The runs of the peers that can be imported; fastkm first."""
    found = {name: peer for name, peer in PEERS.items() if _is_there(peer)}
    return {name: peer.run for name, peer in found.items()}


def _is_there(peer: Peer) -> bool:
    return importlib.util.find_spec(peer.module) is not None


def find(name: str) -> Run:
    """Give the run of a peer or of the reference."""
    peer = REFERENCE if name == "reference" else PEERS[name]
    if not _is_there(peer):
        raise NotImplementedError(f"{peer.distribution} is not installed")
    return peer.run


def version(name: str) -> str:
    """Version of a peer as installed."""
    try:
        return importlib.metadata.version(PEERS[name].distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of this checkout"


class Pace(NamedTuple):
    """Seconds per iteration, and of all else that a fit of one iteration does."""

    best: float
    median: float
    rest: float

    def fit(self, n_iter: int) -> float:
        """Seconds of a fit of so many iterations that all cost the same."""
        return self.rest + n_iter * self.best


def race(runs: dict[str, Run], work: data.Work, n_rounds: int) -> dict[str, Pace]:
    """Time everyone, in rounds in which they take turns.

    The difference of fits of 1 and of 1 + n_iter iterations from the same initial
    centers: copies of the samples, final labels and the like drop out. The least (the
    median) of the long fits less that of the short ones: the least of the rounds'
    differences would be that of the most disturbed short fit, and was once negative.
    """
    X, centers, n_iter = work
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for run in runs.values():  # compile, start threads
        run(X, centers, 2)
    for _ in range(n_rounds):
        for name, run in runs.items():
            short = data.elapsed(run, X, centers, 1)
            times[name].append((short, data.elapsed(run, X, centers, 1 + n_iter)))
    paces = {}
    for name, rounds in times.items():
        short, long = zip(*rounds, strict=True)
        best = (min(long) - min(short)) / n_iter
        median = (statistics.median(long) - statistics.median(short)) / n_iter
        paces[name] = Pace(best, median, min(short) - best)
    return paces


@functools.lru_cache(maxsize=1)
def _warmed(name: str, case: str) -> Run:
    """Give the run of a peer that has done a case once."""
    run = find(name)
    run(*data.work(case))
    return run


class Iterations(Timed):
    """A case's iterations by everyone, final labels included."""

    params = (list(CASES), list(PEERS))
    param_names = ("case", "peer")

    def setup(self, case, peer):
        self.run = _warmed(peer, case)
        self.work = data.work(case)

    def time_fit(self, case, peer):
        self.run(*self.work)

    time_fit.pretty_name = "Fit of a case's fixed number of iterations"


class Ratio:
    """How many times fastkm's seconds per iteration a peer takes."""

    params = (list(CASES), [name for name in PEERS if name != "fastkm"])
    param_names = ("case", "peer")
    timeout = 1800
    unit = "times fastkm's seconds"

    def setup(self, case, peer):
        self.runs = {name: find(name) for name in ("fastkm", peer)}
        self.work = data.work(case)

    def track_ratio(self, case, peer):
        paces = race(self.runs, self.work, 3)
        return paces[peer].best / paces["fastkm"].best

    track_ratio.pretty_name = "Seconds per iteration of a peer / fastkm's"
