"""MiniBatchKMeans: k-means by small random batches.

A batch is drawn, its samples are assigned to their nearest centers, and every center
takes a step towards each of its samples (`fastkm.batches`). Stopping and the
replacement of small clusters follow scikit-learn.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines, lloyd, seeding, validation
from fastkm.api import as_weighted
from fastkm.batches import Clusters, Smoothed, cumulated, draw, learn
from fastkm.estimator import KMeans
from fastkm.files import PathLike
from fastkm.parameters import Self, feature_names

Array = NDArray[Any]
Generator = np.random.Generator


class MiniBatchKMeans(KMeans):
    """k-means by random batches, for many samples or samples that arrive in parts.

    Faster than `KMeans` to a clustering that is nearly as good, and not an exact
    optimum: use `KMeans` where it is fast enough. The parameters are those of
    `sklearn.cluster.MiniBatchKMeans`; `init="farthest"` and `n_threads` are additions.
    `labels_ == predict(X)` and `inertia_ == -score(X)` hold bit for bit, and the same
    seed gives the same bits on any number of threads.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "random", "farthest"}, array-like or callable
        As in `KMeans`, on `init_size` samples.
    max_iter : int, default 100
        Passes over the data, in samples that were drawn.
    batch_size : int, default 1024
        Samples of a batch, drawn with replacement in proportion to their weight.
    verbose : int
        Taken for scikit-learn's sake, without effect.
    compute_labels : bool, default True
        Whether `fit` assigns all samples in the end, and `partial_fit` its batch.
    random_state : int, Generator, RandomState, SeedSequence or None
    tol : float, default 0
        Also stop when a batch moves the centers by a summed square of at most `tol`
        times the mean variance of the features.
    max_no_improvement : int or None, default 10
        Stop after so many batches in a row that do not lower the smoothed inertia per
        sample. Never for this when None.
    init_size : int, optional
        Samples, drawn like those of a batch, that the initial centers are chosen from:
        3 batches when None, and 3 n_clusters where that is below n_clusters.
    n_init : int or "auto"
        Initial centers that are tried, of which the best on `init_size` samples are
        used. "auto" is 3 for "random" and callables, otherwise 1; given centers are
        tried once.
    reassignment_ratio : float from 0 to 1, default 0.01
        Clusters of less than this share of the weight of the largest move to random
        samples of the batch: after every 10 n_clusters samples, and while there is a
        cluster that was given none. 0 for never.
    n_threads : int, optional

    Attributes
    ----------
    cluster_centers_ : (n_clusters, n_features), of the dtype of X
    labels_ : (n_samples,) int32
        Of X, or of the last batch of `partial_fit`. Not there if not `compute_labels`.
    inertia_ : float
        Of the same samples; if not `compute_labels`, that of X estimated by batches.
    n_iter_ : int
        Passes over the data, begun ones included.
    n_steps_ : int
        Batches.
    n_features_in_ : int

    References
    ----------
    Sculley, Web-scale k-means clustering (2010), algorithm 1.

    Examples
    --------
    >>> X = np.tile([[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]], (500, 1))
    >>> model = MiniBatchKMeans(2, batch_size=100, random_state=0).fit(X)
    >>> model.cluster_centers_[model.predict([[8.0, 0.5]])].round().tolist()
    [[9.0, 1.0]]

    Samples that arrive in parts:

    >>> model = MiniBatchKMeans(2, random_state=0)
    >>> for batch in np.split(X, 10):
    ...     model = model.partial_fit(batch)
    >>> model.n_steps_, model.inertia_
    (10, 200.0)
    """

    n_steps_: int
    _saved = ("feature_names_in_", "_sums", "_weights")
    _read = staticmethod(validation.as_samples)

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        verbose: int = 0,
        compute_labels: bool = True,
        random_state: validation.Seed = None,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | str = "auto",
        reassignment_ratio: float = 0.01,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            n_clusters,
            init=init,
            n_init=n_init,
            max_iter=max_iter,
            tol=tol,
            random_state=random_state,
            n_threads=n_threads,
        )
        self.batch_size = batch_size
        self.verbose = verbose
        self.compute_labels = compute_labels
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.reassignment_ratio = reassignment_ratio

    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> MiniBatchKMeans:
        """Cluster the samples by batches that are drawn from them.

        Parameters
        ----------
        X : array-like (n_samples, n_features), finite
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
        X, weights = as_weighted(X, sample_weight)
        n_samples = len(X)
        given = self._checked(n_samples)
        samples = engines.Lanes(X, weights, given.n_threads)
        init = self._checked_init(samples)
        n_init = validation.check_n_init(self.n_init, init, many=3)
        if n_init > 1 and isinstance(init, np.ndarray):
            validation.warn_of_one_init(n_init)
            n_init = 1
        threshold = given.tol * lloyd.mean_variance(samples) if given.tol > 0 else -1.0
        rng = validation.check_random_state(self.random_state)  # last: may draw a seed

        clusters = Clusters(_initial_centers(samples, given, init, n_init, rng))
        ratio, cumulative = given.reassignment_ratio, cumulated(weights)
        smoothed = Smoothed(min(1.0, 2 * given.batch_size / (n_samples + 1)))
        for step in range(1, given.max_iter * n_samples // given.batch_size + 1):
            drawn = draw(n_samples, cumulative, given.batch_size, rng)
            before = clusters.centers
            inertia = learn(clusters, X[drawn], None, rng, ratio, given.n_threads)
            if step == 1:  # the inertia of the initial centers
                continue
            smoothed.see(inertia / given.batch_size)
            moved, _ = lloyd.movement(before, clusters.centers)
            if moved <= threshold or smoothed.n_worse >= given.max_no_improvement:
                break
        self._keep(clusters, rng, X, weights, given.n_threads)
        self._keep_names(names)
        self.n_steps_ = step
        self.n_iter_ = math.ceil(step * given.batch_size / n_samples)
        if not self.compute_labels:
            mean = smoothed.average
            mean = inertia / given.batch_size if mean is None else mean
            self.inertia_ = mean * samples.total_weight()
        return self

    def partial_fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> MiniBatchKMeans:
        """Go on with one batch, as it is given.

        The first batch also gives the initial centers, all of it being used.

        Parameters
        ----------
        X : array-like (n_samples, n_features), finite
            The first batch holds n_clusters samples or more.
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
        is_first, names = not hasattr(self, "cluster_centers_"), feature_names(X)
        if not is_first:
            X = self._check_samples(X)
        X, weights = as_weighted(X, sample_weight)
        if is_first:
            given = self._checked(len(X))
            samples = engines.Lanes(X, weights, given.n_threads)
            init = self._checked_init(samples)
            self._rng = validation.check_random_state(self.random_state)
            self._clusters = Clusters(
                seeding.initial_centers(samples, given.n_clusters, init, self._rng)
            )
            self.n_steps_ = 0
        else:
            # A later batch may hold fewer samples than there are clusters.
            given = self._checked(max(len(X), len(self.cluster_centers_)))
            if not hasattr(self, "_clusters"):
                self._go_on()
        ratio = given.reassignment_ratio
        learn(self._clusters, X, weights, self._rng, ratio, given.n_threads)
        self._keep(self._clusters, self._rng, X, weights, given.n_threads)
        if is_first:
            self._keep_names(names)
        self.n_steps_ += 1
        return self

    def _go_on(self) -> None:
        """Take over given centers, or what a file kept."""
        self._rng = validation.check_random_state(self.random_state)
        self._clusters = Clusters(self.cluster_centers_)
        if hasattr(self, "_sums"):
            self._clusters.sums, self._clusters.weights = self._sums, self._weights
        self.n_steps_ = 0

    @classmethod
    def load(cls: type[Self], path: PathLike) -> Self:
        """Read a model as `KMeans.load` does; `partial_fit` goes on with it."""
        model: Any = super().load(path)
        if hasattr(model, "_sums") and not (
            model._sums.shape == model.cluster_centers_.shape
            and model._weights.shape == model.cluster_centers_.shape[:1]
            and (model._weights >= 0).all()
            and np.isfinite(model._sums).all()
        ):
            raise ValueError(f"{path}: damaged model: sums of other clusters")
        return model

    def _checked(self, n_samples: int) -> Given:
        """Check the parameters."""
        n_clusters = validation.check_n_clusters(self.n_clusters, n_samples)
        batch_size = validation.check_integer(self.batch_size, "batch_size")
        batch_size = min(batch_size, n_samples)
        patience = self.max_no_improvement
        if patience is not None:
            patience = validation.check_integer(patience, "max_no_improvement", least=0)
        init_size = self.init_size
        if init_size is None:
            init_size = 3 * batch_size
        elif validation.check_integer(init_size, "init_size") < n_clusters:
            validation.warn(
                f"init_size={init_size} should be larger than n_clusters={n_clusters}. "
                "Setting it to min(3*n_clusters, n_samples)",
                RuntimeWarning,
            )
        if init_size < n_clusters:
            init_size = 3 * n_clusters
        return Given(
            n_clusters=n_clusters,
            max_iter=validation.check_integer(self.max_iter, "max_iter"),
            batch_size=batch_size,
            tol=validation.check_tol(self.tol),
            max_no_improvement=math.inf if patience is None else patience,
            init_size=min(init_size, n_samples),
            reassignment_ratio=validation.check_share(
                self.reassignment_ratio, "reassignment_ratio"
            ),
            n_threads=validation.check_n_threads(self.n_threads),
        )

    def _checked_init(self, samples: engines.Lanes) -> Any:
        """Check init; an array becomes centers."""
        init = validation.check_init(self.init)
        if isinstance(init, str) or callable(init):
            return init
        total = samples.total_weight()
        return validation.as_init(init, samples.X, self.n_clusters, total)

    def _keep(
        self,
        clusters: Clusters,
        rng: Generator,
        X: Array,
        weights: Array | None,
        n_threads: int,
    ) -> None:
        """Keep what was learned, and what it makes of X."""
        self._clusters, self._rng = clusters, rng
        self._sums, self._weights = clusters.sums, clusters.weights
        self.cluster_centers_ = clusters.centers
        self.n_features_in_ = X.shape[1]
        for name in ("labels_", "inertia_"):  # of another call
            self.__dict__.pop(name, None)
        if self.compute_labels:
            engine = engines.choose(X, weights, len(clusters.centers), n_threads).engine
            self.labels_, distances = engine.assign(clusters.centers)
            self.inertia_ = engine.inertia(distances)


class Given(NamedTuple):
    """Checked parameters of a fit."""

    n_clusters: int
    max_iter: int
    batch_size: int
    tol: float
    max_no_improvement: float
    init_size: int
    reassignment_ratio: float
    n_threads: int


def _initial_centers(
    samples: engines.Lanes, given: Given, init: Any, n_init: int, rng: Generator
) -> Array:
    """Of n_init initial centers those that are best on a random part of the samples."""
    X, n_samples, size = samples.X, samples.n_samples, given.init_size
    cumulative = cumulated(samples.weights)
    tests = None
    if n_init > 1:
        drawn = draw(n_samples, cumulative, size, rng)
        tests = engines.Lanes(X[drawn], None, given.n_threads)
    best, least = np.empty(0), math.inf
    for _ in range(n_init):
        part = samples
        if size < n_samples:
            drawn = draw(n_samples, cumulative, size, rng)
            part = engines.Lanes(X[drawn], None, given.n_threads)
        centers = seeding.initial_centers(part, given.n_clusters, init, rng)
        if tests is None:
            return centers
        inertia = tests.inertia(tests.assign(centers)[1])
        if inertia < least:
            best, least = centers, inertia
    return best
