"""The same work by fastkm and by others: n_iter Lloyd iterations on all samples.

Every function takes (X, centers, n_iter) and returns the centers. The peers are used
as their documentation says; settings that would make them do other work (a sample of
the rows, an early stop, hierarchical clustering) are switched off.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Array, Array, int], Array]

N_THREADS = 2
# Everything is one block of samples for the peers that subsample by default.
ALL_POINTS = 2**31 - 1


def fastkm(X: Array, centers: Array, n_iter: int) -> Array:
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


def faiss(X: Array, centers: Array, n_iter: int) -> Array:
    module = importlib.import_module("faiss")
    module.omp_set_num_threads(N_THREADS)
    k, d = centers.shape
    model = module.Kmeans(d, k, niter=n_iter, max_points_per_centroid=ALL_POINTS)
    model.train(X.astype(np.float32), init_centroids=centers.astype(np.float32))
    return model.centroids


def superkmeans(X: Array, centers: Array, n_iter: int) -> Array:
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


PEERS: dict[str, tuple[str, Run]] = {
    "fastkm": ("fastkm", fastkm),
    "scikit-learn": ("sklearn", _sklearn_like("sklearn.cluster")),
    "oneDAL": ("sklearnex", _sklearn_like("sklearnex.cluster")),
    "faiss": ("faiss", faiss),
    "superkmeans": ("superkmeans", superkmeans),
}
DISTRIBUTIONS = {
    "fastkm": "fastkm",
    "scikit-learn": "scikit-learn",
    "oneDAL": "scikit-learn-intelex",
    "faiss": "faiss-cpu",
    "superkmeans": "superkmeans",
}


def installed() -> dict[str, Run]:
    """The runs of the peers that can be imported; fastkm first."""
    found = {}
    for name, (module, run) in PEERS.items():
        if importlib.util.find_spec(module):
            found[name] = run
    return found


def version(name: str) -> str:
    """Version of a peer as installed."""
    try:
        return importlib.metadata.version(DISTRIBUTIONS[name])
    except importlib.metadata.PackageNotFoundError:
        return "of this checkout"
