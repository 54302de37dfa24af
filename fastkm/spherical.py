"""SphericalKMeans: clusters of directions, by the angle between samples.

Only the direction of a sample counts: rows are divided by their length, and centers
have length 1, too. For such x and c,

    |x - c|^2 = 2 (1 - cos(x, c)),

so the nearest center is the one of the largest cosine, distances for k-means++ are in
proportion to 1 - cos, and all engines serve as they are. What differs is where a center
belongs: the unit vector of the largest summed cosine to the samples of a cluster is
their sum, divided by its length (Dhillon and Modha, Concept decompositions for large
sparse text data using clustering, 2001, section 2.2). That is the one hook, `place` of
`fastkm.lloyd`. The sums are exact, so the result does not depend on threads or engines.

Why this is no `metric="cosine"` of KMeans: with it `cluster_centers_`, `inertia_`,
`transform`, and centers that are given would mean something else under the same names,
and each method would have to ask which. Here a class says how samples are read and
where centers are, and inherits the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import validation
from fastkm.api import KMeansResult, kmeans
from fastkm.estimator import KMeans
from fastkm.parameters import Self

Array = NDArray[Any]

BLOCK = 2**20  # values that are in float64 at once


class SphericalKMeans(KMeans):
    """k-means of directions, also called spherical or cosine k-means.

    Maximizes  sum_i w_i cos(X_i, centers[labels_i]).  Rows are divided by their length,
    in `fit` and in every other method; centers have length 1, up to their rounding to
    the dtype of X. A row of zeros has no direction and is refused. `labels_ ==
    predict(X)` and `inertia_ == -score(X)` hold bit for bit, on any number of threads.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "random", "farthest"}, array-like or callable
        As in `KMeans`, of the directions. Given centers are divided by their length.
    n_init : int or "auto"
    max_iter : int, default 300
    tol : float, default 1e-4
        In terms of the variance of the directions.
    random_state : int, Generator, RandomState, SeedSequence or None
    n_threads : int, optional
    engine : "auto" or the name of an engine

    Attributes
    ----------
    cluster_centers_ : (n_clusters, n_features), of the dtype of X
    labels_ : (n_samples,) int32
    inertia_ : float
        Sum of weight * squared distance between direction and center, which is twice
        the sum of weight * (1 - cosine).
    n_iter_ : int
    n_features_in_ : int
    report_ : fastkm.Report

    Notes
    -----
    `transform` gives distances of directions to centers, d = sqrt(2 (1 - cos)), so
    that cos = 1 - d^2 / 2.

    Where the samples of a cluster add up to zero, its center stays.

    Memory beyond that of `KMeans`: the directions, a copy of X.

    References
    ----------
    Dhillon and Modha, Concept decompositions for large sparse text data using
    clustering (2001), section 3.1. Hornik, Feinerer, Kober and Buchta, Spherical
    k-means clustering (2012), section 2.

    Examples
    --------
    >>> X = [[1.0, 0.1], [50.0, 0.0], [0.0, 0.3], [0.1, 7.0]]
    >>> model = SphericalKMeans(2, random_state=0).fit(X)
    >>> model.labels_[0] == model.labels_[1] != model.labels_[2] == model.labels_[3]
    np.True_
    >>> np.linalg.norm(model.cluster_centers_, axis=1).round(12).tolist()
    [1.0, 1.0]
    """

    _read = staticmethod(validation.as_samples)

    def _cluster(self, X: ArrayLike, sample_weight: ArrayLike | None) -> KMeansResult:
        unit = directions(validation.as_samples(X))
        options = self._clustering()
        options["init"] = _directed(options["init"])
        return kmeans(unit, sample_weight=sample_weight, place=direction, **options)

    @classmethod
    def from_centers(cls: type[Self], centers: ArrayLike, **params: Any) -> Self:
        """Make a model of given centers, which are divided by their length."""
        checked = validation.as_samples(centers, name="centers")
        return super().from_centers(directions(checked, "centers"), **params)

    def _check_samples(self, X: ArrayLike) -> Array:
        return directions(super()._check_samples(X))


def direction(totals: Array, centers: Array) -> Array:
    """Sums of clusters, divided by their length; the centers where a sum is zero."""
    sums = totals[:, :-1]
    is_zero = (sums == 0).all(axis=1, keepdims=True)
    return np.where(is_zero, centers, by_length(np.where(is_zero, 1.0, sums)))


def by_length(rows: Array) -> Array:
    """Rows (float64, none zero) divided by their length, features in ascending order.

    They are divided by their largest value first: squares neither overflow nor vanish.
    """
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)
    squares = np.add.accumulate(rows * rows, axis=1)[:, -1:]
    return rows / np.sqrt(squares)


def directions(X: Array, name: str = "X") -> Array:
    """Checked samples divided by their length, in float64, rounded to their dtype."""
    validation.check_directions(X, name)
    found = np.empty_like(X)
    step = max(1, BLOCK // X.shape[1])
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        found[rows] = by_length(X[rows].astype(np.float64))
    return found


def _directed(init: Any) -> Any:
    """Init whose centers have length 1."""
    if isinstance(init, str):
        return init
    if not callable(init):
        return directions(validation.as_samples(init, name="init"), "init")

    def directed(X: Array, n_clusters: int, random_state: np.random.Generator) -> Array:
        centers = init(X, n_clusters, random_state=random_state)
        name = "the result of init"
        return directions(validation.as_samples(centers, name=name), name)

    return directed
