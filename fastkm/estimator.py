"""KMeans: scikit-learn's interface over `fastkm.api`, without scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines, metrics, validation
from fastkm.api import KMeansResult, kmeans, nearest_centers, nearest_labels
from fastkm.bases import joins
from fastkm.parameters import Parameters, Self, feature_names

Array = NDArray[Any]

TRANSFORM_BLOCK = 2**22  # squared distances, in float64, that `transform` holds at once


@joins(
    "sklearn.base.ClassNamePrefixFeaturesOutMixin",
    "sklearn.base.TransformerMixin",
    "sklearn.base.ClusterMixin",
)
class KMeans(Parameters):
    """Exact k-means clustering with scikit-learn's interface.

    The parameters are those of `fastkm.kmeans`, under the names and with the meaning
    that they have in `sklearn.cluster.KMeans`; `init="farthest"` and `"k-means||"`,
    `warm_start`, `frozen`, `n_threads`, `engine`, `n_swaps`, `callback`, `max_time`,
    `checkpoint`, `max_memory` and `labels_out` are additions, and X may be a source of
    chunks (`fastkm.sources`). `labels_ == predict(X)` and `inertia_ == -score(X)` hold
    bit for bit, on any number of threads.

    In a program that imports scikit-learn this is one of its estimators, with
    `set_output`, `get_feature_names_out`, metadata routing of `sample_weight`, and a
    diagram in notebooks.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "k-means||", "random", "farthest"}, array-like or callable
    n_init : int or "auto"
    max_iter : int, default 300
    tol : float, default 1e-4
    verbose : int, default 0
    random_state : int, Generator, RandomState, SeedSequence or None
    copy_x : bool, default True
        Has no effect: X is never written to.
    algorithm : {"lloyd", "elkan"}, default "lloyd"
        Has no effect: see `engine`. The result is the same.
    warm_start : bool, default False
        Whether a fit starts from the centers of the last one, not from `init`.
    frozen : array-like (n_clusters,) of bool, optional
        Which of the centers that `init` gives do not move.
    n_threads : int, optional
    engine : "auto" or the name of an engine
    n_swaps : int, default 0
    callback : callable, optional
    max_time : float, optional
    checkpoint : path-like, optional
    max_memory : number of bytes or str, optional
    labels_out : array or path, optional

    Attributes
    ----------
    cluster_centers_ : (n_clusters, n_features), of the dtype of X
    labels_ : (n_samples,) int32
    inertia_ : float
        Sum of weight * squared distance to the nearest center.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : (n_features,) of str
        Where X was a DataFrame with names for columns, and scikit-learn is installed.
    report_ : fastkm.Report
        Engine and why, stop reason, movement per iteration, clusters refilled.

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]]
    >>> model = KMeans(2, random_state=0).fit(X)
    >>> model.inertia_
    4.0
    >>> model.labels_[0] == model.labels_[1] != model.labels_[2] == model.labels_[3]
    np.True_
    >>> bool((model.predict([[8.0, 1.0]]) == model.labels_[2]).all())
    True
    """

    # For clients older than scikit-learn's tags, such as yellowbrick 1.5.
    _estimator_type = "clusterer"

    labels_: Array
    inertia_: float
    n_iter_: int

    @classmethod
    def from_centers(cls: type[Self], centers: ArrayLike, **params: Any) -> Self:
        """Make a model of given centers, which predicts at once.

        Parameters
        ----------
        centers : array-like (n_clusters, n_features), finite
            Also the `init` of a later fit.
        **params
            Other parameters of the class.

        Raises
        ------
        ValueError
            If the centers are not as above; the message says so.

        Examples
        --------
        >>> model = KMeans.from_centers([[0.0, 0.0], [9.0, 0.0]])
        >>> model.predict([[8.0, 1.0], [1.0, 1.0]])
        array([1, 0], dtype=int32)
        """
        checked = validation.as_samples(centers, name="centers")
        model = cls(**{"n_clusters": len(checked), "init": checked, **params})
        model.cluster_centers_ = checked.copy()
        model.n_features_in_ = checked.shape[1]
        return model

    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> KMeans:
        """Cluster the samples.

        Parameters
        ----------
        X : array-like, sparse matrix or source (n_samples, n_features), finite
        y : ignored
        sample_weight : array-like (n_samples,), not negative, optional

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or a parameter is out of its range; the message names it.
        """
        names = feature_names(X)
        result = self._cluster(X, sample_weight)
        self._keep_names(names)
        self.cluster_centers_ = result.centers
        self.labels_ = result.labels
        self.inertia_ = result.inertia
        self.n_iter_ = result.n_iter
        self.report_ = result.report
        self.n_features_in_ = result.centers.shape[1]
        return self

    def _cluster(self, X: ArrayLike, sample_weight: ArrayLike | None) -> KMeansResult:
        return kmeans(X, sample_weight=sample_weight, **self._clustering())

    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Array:
        """Cluster the samples; returns `labels_`."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def predict(self, X: ArrayLike) -> Array:
        """Label (int32) of the nearest center of each sample of X."""
        samples = self._check_samples(X)
        return nearest_labels(samples, self.cluster_centers_, self.n_threads)

    def nearest(self, X: ArrayLike, n_nearest: int) -> tuple[Array, Array]:
        """Find the few nearest centers of each sample: `fastkm.nearest_centers`.

        Parameters
        ----------
        X : array-like (n_samples, n_features), finite
        n_nearest : int, from 1 to n_clusters

        Returns
        -------
        labels : (n_samples, n_nearest) int32
            The nearest center first, which is that of `predict`.
        distances : (n_samples, n_nearest) float64
            Squared.
        """
        return nearest_centers(
            self._check_samples(X),
            self.cluster_centers_,
            n_nearest,
            n_threads=self.n_threads,
        )

    def transform(self, X: ArrayLike) -> Array:
        """Distances (n_samples, n_clusters), *not* squared, of the dtype of X."""
        samples = self._check_samples(X)
        centers = self.cluster_centers_
        dtype = engines.center_dtype(samples.dtype)
        distances = np.empty((len(samples), len(centers)), dtype)
        step = max(1, TRANSFORM_BLOCK // len(centers))
        start = 0
        for chunk in [samples] if isinstance(samples, np.ndarray) else samples:
            for first in range(0, len(chunk), step):
                # No float64 table beside a float32 one.
                block = chunk[first : first + step]
                table = metrics.squared_distances(
                    block, centers, n_threads=self.n_threads
                )
                distances[start : start + len(block)] = np.sqrt(table)
                start += len(block)
        return distances

    def fit_transform(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Array:
        """Cluster the samples; returns `transform(X)`."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def score(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Inertia of X about the fitted centers, with the sign turned."""
        return -metrics.inertia(
            self._check_samples(X),
            self.cluster_centers_,
            sample_weight=sample_weight,
            n_threads=self.n_threads,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        """Columns of `transform`: scikit-learn names them."""
        return len(self.cluster_centers_)
