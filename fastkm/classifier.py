"""A classifier that gives every cluster the class of most of its training samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import files, validation
from fastkm.api import kmeans, nearest_labels
from fastkm.bases import joins
from fastkm.parameters import Parameters, Self, feature_names

Array = NDArray[Any]

NONE = np.empty(0)


@joins("sklearn.base.ClassifierMixin")
class ClusterClassifier(Parameters):
    """Cluster the samples, then name each cluster after its majority class.

    A sample gets the class that is most frequent among the training samples of its
    cluster; ties go to the class that sorts first. A cluster without training samples
    (of positive weight) is left out, so its samples go to the nearest other cluster.
    The parameters are those of `KMeans`.

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
    algorithm : {"lloyd", "elkan"}, default "lloyd"
    warm_start : bool, default False
    frozen : array-like (n_clusters,) of bool, optional
    n_threads : int, optional
    engine : "auto" or the name of an engine
    callback : callable, optional
    max_time : float, optional
    checkpoint : path-like, optional
    max_memory : number of bytes or str, optional
    labels_out : array or path, optional

    Attributes
    ----------
    classes_ : (n_classes,)
        Sorted.
    cluster_centers_ : (n_filled, n_features)
        Centers of the clusters that hold training samples.
    cluster_probabilities_ : (n_filled, n_classes) float64
        Share of each class in the (weighted) training samples of each cluster.
    labels_ : (n_samples,) int32
        Cluster of each training sample: a row of the two arrays above.
    inertia_, n_iter_, report_
        Of the clustering, as in `KMeans`.
    n_features_in_ : int

    Examples
    --------
    >>> X = [[0.0], [0.2], [0.4], [5.0], [5.2]]
    >>> y = ["low", "low", "high", "high", "high"]
    >>> model = ClusterClassifier(2, random_state=0).fit(X, y)
    >>> model.predict([[0.3], [4.0]]).tolist()
    ['low', 'high']
    >>> model.predict_proba([[0.3]]).round(3).tolist()
    [[0.333, 0.667]]
    """

    _estimator_type = "classifier"  # as in KMeans
    _saved = ("feature_names_in_", "classes_", "cluster_probabilities_")

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> ClusterClassifier:
        """Cluster the samples and count the classes in every cluster.

        Parameters
        ----------
        X : array-like or sparse matrix (n_samples, n_features), finite
        y : array-like (n_samples,)
            Classes: whole numbers or strings.
        sample_weight : array-like (n_samples,), not negative, optional

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X, y or a parameter is out of its range; the message names it.
        """
        names = feature_names(X)
        samples = validation.as_input(X)
        classes, codes = validation.as_classes(y, len(samples))
        result = kmeans(samples, sample_weight=sample_weight, **self._clustering())
        weights = validation.as_weights(sample_weight, len(samples))
        votes = _count(result.labels, codes, weights, len(result.centers), len(classes))
        totals = votes.sum(axis=1)
        filled = totals > 0
        self._keep_names(names)
        self.classes_ = classes
        self.cluster_centers_ = result.centers[filled]
        self.cluster_probabilities_ = votes[filled] / totals[filled, None]
        self.labels_ = result.labels
        if not filled.all():
            self.labels_ = nearest_labels(
                samples, self.cluster_centers_, self.n_threads
            )
        self.inertia_ = result.inertia
        self.n_iter_ = result.n_iter
        self.report_ = result.report
        self.n_features_in_ = samples.shape[1]
        return self

    def predict_proba(self, X: ArrayLike) -> Array:
        """Share (n_samples, n_classes) of each class in the sample's cluster."""
        samples = self._check_samples(X)
        labels = nearest_labels(samples, self.cluster_centers_, self.n_threads)
        return self.cluster_probabilities_[labels]

    def predict(self, X: ArrayLike) -> Array:
        """Class (n_samples,) of each sample: the majority of its cluster."""
        winners = self.predict_proba(X).argmax(axis=1)
        return self.classes_[winners]

    @classmethod
    def load(cls: type[Self], path: files.PathLike) -> Self:
        """Read a model that `save` has written: see `KMeans.load`."""
        model = super().load(path)
        classes, shares = (vars(model).get(name, NONE) for name in cls._saved[1:])
        if shares.shape != (len(model.cluster_centers_), classes.size):
            raise ValueError(
                f"{path}: damaged model: {classes.size} classes, but shares of shape "
                f"{shares.shape}"
            )
        return model

    def score(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Accuracy: the (weighted) share of samples whose class is predicted."""
        predicted = self.predict(X)
        classes, codes = validation.as_classes(y, len(predicted))
        hits = predicted == classes[codes]
        weights = validation.as_weights(sample_weight, len(predicted))
        return float(np.average(hits, weights=weights))


def _count(
    labels: Array, codes: Array, weights: Array | None, n_clusters: int, n_classes: int
) -> Array:
    """Weight (exact sum) of each class in each cluster, (n_clusters, n_classes)."""
    cells = labels.astype(np.int64) * n_classes + codes
    votes = np.zeros(n_clusters * n_classes)
    if weights is None:
        votes += np.bincount(cells, minlength=len(votes))
    else:
        order = np.argsort(cells, kind="stable")
        filled, starts = np.unique(cells[order], return_index=True)
        groups = np.split(weights[order], starts[1:])
        votes[filled] = [math.fsum(group) for group in groups]
    return votes.reshape(n_clusters, n_classes)
