"""KMeans: scikit-learn's interface over `fastkm.api`, without scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines, metrics, validation
from fastkm.api import assign, kmeans

Array = NDArray[Any]
Self = TypeVar("Self", bound="Parameters")

TRANSFORM_BLOCK = 2**22  # squared distances, in float64, that `transform` holds at once


class Parameters:
    """The parameters of a fit, stored as given and checked when fitting."""

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: validation.Seed = None,
        n_threads: int | None = None,
        engine: str = "auto",
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_threads = n_threads
        self.engine = engine

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Parameters of the constructor, subclasses' included, with their defaults."""
        parameters = inspect.signature(cls.__init__).parameters
        return {name: p.default for name, p in parameters.items() if name != "self"}

    def _clustering(self) -> dict[str, Any]:
        """Give the parameters of `fastkm.kmeans`."""
        return {name: getattr(self, name) for name in Parameters._defaults()}

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn (which asks, so it is there) what this estimator is."""
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Give the parameters by name (`deep` has no effect: none holds another)."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self: Self, **params: Any) -> Self:
        """Set parameters by name; the object itself is returned."""
        for name in params:
            if name not in self._defaults():
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}; valid "
                    f"parameters are: {list(self._defaults())}"
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Show the parameters that differ from their defaults."""
        given = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if not _same(getattr(self, name), default)
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _check_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                "with samples before using this method."
            )


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and value == default)


class NotFittedError(ValueError, AttributeError):
    """A result was asked for before `fit`."""


class KMeans(Parameters):
    """Exact k-means clustering with scikit-learn's interface.

    The parameters are those of `fastkm.kmeans`, under the names and with the meaning
    that they have in `sklearn.cluster.KMeans`; `init="farthest"`, `n_threads` and
    `engine` are additions. `labels_ == predict(X)` and `inertia_ == -score(X)` hold
    bit for bit, on any number of threads.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "random", "farthest"}, array-like or callable
    n_init : int or "auto"
    max_iter : int, default 300
    tol : float, default 1e-4
    random_state : int, Generator, RandomState, SeedSequence or None
    n_threads : int, optional
    engine : "auto" or the name of an engine

    Attributes
    ----------
    cluster_centers_ : (n_clusters, n_features), of the dtype of X
    labels_ : (n_samples,) int32
    inertia_ : float
        Sum of weight * squared distance to the nearest center.
    n_iter_ : int
    n_features_in_ : int
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

    cluster_centers_: Array
    labels_: Array
    inertia_: float
    n_iter_: int
    n_features_in_: int

    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> KMeans:
        """Cluster the samples.

        Parameters
        ----------
        X : array-like or sparse matrix (n_samples, n_features), finite
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
        result = kmeans(X, sample_weight=sample_weight, **self._clustering())
        self.cluster_centers_ = result.centers
        self.labels_ = result.labels
        self.inertia_ = result.inertia
        self.n_iter_ = result.n_iter
        self.report_ = result.report
        self.n_features_in_ = result.centers.shape[1]
        return self

    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Array:
        """Cluster the samples; returns `labels_`."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def predict(self, X: ArrayLike) -> Array:
        """Label (int32) of the nearest center of each sample of X."""
        return assign(
            self._check_samples(X), self.cluster_centers_, n_threads=self.n_threads
        )[0]

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
        from sklearn.utils import TransformerTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "clusterer"
        tags.input_tags.sparse = True
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        return tags

    def _check_samples(self, X: ArrayLike) -> Any:
        self._check_fitted("cluster_centers_")
        return validation.as_input(X, n_features=self.n_features_in_)
