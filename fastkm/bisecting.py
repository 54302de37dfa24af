"""BisectingKMeans: k-means that splits one cluster in two after the other.

Steinbach, Karypis and Kumar, A comparison of document clustering techniques (2000),
section 4: begin with all samples, and split a cluster by 2-means until there are
n_clusters. The clusters are the leaves of a binary tree. The clustering is a greedy
one: with many clusters it costs some log2(n_clusters) passes instead of n_clusters, and
its inertia is higher than that of `KMeans`.

A sample belongs to the leaf that it reaches from the root by always taking the nearer
center of two, as in scikit-learn. This is not always the leaf whose center is nearest;
but it is how the samples were divided, so only in this way each center is the mean of
its samples, and `labels_ == predict(X)`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import engines, lloyd, validation
from fastkm.api import as_weighted, kmeans, nearest_labels
from fastkm.bases import ConvergenceWarning
from fastkm.estimator import KMeans
from fastkm.files import PathLike
from fastkm.parameters import Self, feature_names

Array = NDArray[Any]

LEAF = -1, -1  # the children of a node that has none


class BisectingKMeans(KMeans):
    """k-means by repeated splits in two.

    The parameters are those of `sklearn.cluster.BisectingKMeans`; `init="farthest"`,
    `n_threads` and `engine` are additions. `labels_ == predict(X)` and
    `inertia_ == -score(X)` hold bit for bit, and the same seed gives the same bits on
    any number of threads.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "random", "farthest"} or callable, default "random"
        Of each split; a callable is asked for 2 clusters.
    n_init : int or "auto", default 1
        Runs of each split, of which the one of least inertia is kept.
    random_state : int, Generator, RandomState, SeedSequence or None
    max_iter : int, default 300
        Of each run.
    verbose : int
        Taken for scikit-learn's sake, without effect; so are the next but one two.
    tol : float, default 1e-4
        Of each run, in terms of the variance within the cluster that is split.
    copy_x : bool
    algorithm : str
    bisecting_strategy : {"biggest_inertia", "largest_cluster"}
        What is split next: the cluster of the largest inertia, or of the most samples
        (by weight, if there are weights). The earliest among equals.
    n_threads : int, optional
    engine : "auto" or the name of an engine

    Attributes
    ----------
    cluster_centers_ : (n_clusters, n_features), of the dtype of X
        In the order of the leaves; fewer than n_clusters, with a warning, when no
        cluster is left that holds two different samples.
    labels_ : (n_samples,) int32
    inertia_ : float
        Sum of weight * squared distance to the center of the label.
    n_features_in_ : int

    References
    ----------
    Steinbach, Karypis and Kumar, A comparison of document clustering techniques (2000),
    section 4.

    Examples
    --------
    >>> X = [[0.0], [1.0], [10.0], [11.0], [30.0], [31.0]]
    >>> model = BisectingKMeans(3, random_state=0).fit(X)
    >>> sorted(model.cluster_centers_.ravel().tolist()), model.inertia_
    ([0.5, 10.5, 30.5], 1.5)
    >>> bool(model.predict([[9.0]])[0] == model.labels_[2])
    True
    """

    _saved = ("feature_names_in_", "_nodes", "_children", "_leaves")
    _read = staticmethod(validation.as_samples)

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "random",
        n_init: int | str = 1,
        random_state: validation.Seed = None,
        max_iter: int = 300,
        verbose: int = 0,
        tol: float = 1e-4,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        bisecting_strategy: str = "biggest_inertia",
        n_threads: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(
            n_clusters,
            init=init,
            n_init=n_init,
            max_iter=max_iter,
            tol=tol,
            random_state=random_state,
            n_threads=n_threads,
            engine=engine,
        )
        self.verbose = verbose
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.bisecting_strategy = bisecting_strategy

    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> BisectingKMeans:
        """Cluster the samples.

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

        Warns
        -----
        ConvergenceWarning
            When X has fewer distinct samples than n_clusters.
        """
        names = feature_names(X)
        X, weights = as_weighted(X, sample_weight)
        n_clusters = validation.check_n_clusters(self.n_clusters, len(X))
        strategy = validation.check_bisecting_strategy(self.bisecting_strategy)
        init = validation.check_splitting_init(self.init)
        options = {
            "init": init,
            "n_init": validation.check_n_init(self.n_init, init),
            "max_iter": validation.check_integer(self.max_iter, "max_iter"),
            "tol": validation.check_tol(self.tol),
            "n_threads": validation.check_n_threads(self.n_threads),
            "engine": validation.check_engine(self.engine),
            "random_state": validation.check_random_state(self.random_state),
        }
        tree = Tree(X, weights, strategy, options)
        while tree.n_leaves < n_clusters and tree.scores:
            tree.split_next()
        if tree.n_leaves < n_clusters:
            validation.warn(
                f"Number of distinct clusters ({tree.n_leaves}) found smaller than "
                f"n_clusters ({n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
            )

        self._keep_names(names)
        self._nodes, self._children = np.array(tree.centers), np.array(tree.children)
        self._leaves = leaves_in_order(self._children)
        self.cluster_centers_ = self._nodes[self._leaves]
        self.n_features_in_ = X.shape[1]
        self.labels_ = np.empty(len(X), np.int32)
        for label, leaf in enumerate(self._leaves):
            self.labels_[tree.members[leaf]] = label
        self.inertia_ = self._inertia(X, weights, self.labels_)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Label (int32) of the leaf that each sample of X reaches."""
        samples = self._check_samples(X)
        nodes = np.zeros(len(samples), np.int64)
        waiting = [(0, np.arange(len(samples)))]
        while waiting:
            node, members = waiting.pop()
            children = self._children[node]
            if children[0] < 0 or not len(members):
                nodes[members] = node
                continue
            centers = self._nodes[children]
            sides = nearest_labels(samples[members], centers, self.n_threads)
            waiting += [(children[side], members[sides == side]) for side in (0, 1)]
        labels = np.zeros(len(self._nodes), np.int32)
        labels[self._leaves] = np.arange(len(self._leaves))
        return labels[nodes]

    def score(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Inertia of X about the centers of the predicted labels, sign turned."""
        X, weights = as_weighted(self._check_samples(X), sample_weight)
        return -self._inertia(X, weights, self.predict(X))

    @classmethod
    def from_centers(cls: type[Self], centers: ArrayLike, **params: Any) -> Self:
        """Refuse: centers alone do not say how samples go down to them."""
        raise TypeError(
            f"{cls.__name__} has a tree, which centers do not give: use "
            "KMeans.from_centers, or load"
        )

    @classmethod
    def load(cls: type[Self], path: PathLike) -> Self:
        """Read a model as `KMeans.load` does."""
        model: Any = super().load(path)
        nodes, children, leaves = (
            vars(model).get(name, np.empty(0)) for name in cls._saved[1:]
        )
        if not is_tree(nodes, children, leaves, model.cluster_centers_):
            raise ValueError(f"{path}: damaged model: no tree")
        return model

    def _inertia(self, X: Array, weights: Array | None, labels: Array) -> float:
        n_threads = validation.check_n_threads(self.n_threads)
        samples = engines.Lanes(X, weights, n_threads)
        centers = self.cluster_centers_.astype(np.float64)
        return samples.inertia(samples.own_distances(centers, labels))


class Tree:
    """Clusters and the halves that they were split into, while it grows.

    centers, children : of each node, in the order of their making; LEAF for no children
    members : of each leaf, indices of its samples
    scores : of each leaf that can be split, how much it wants to be
    """

    def __init__(
        self, X: Array, weights: Array | None, strategy: str, options: dict[str, Any]
    ) -> None:
        self.X, self.weights = X, weights
        self.strategy, self.options = strategy, options
        self.centers: list[Array] = []
        self.children: list[tuple[int, int]] = []
        self.members: dict[int, Array] = {}
        self.scores: dict[int, float] = {}
        samples = engines.Lanes(X, weights, options["n_threads"])
        labels = np.zeros(len(X), np.int32)
        totals = lloyd.exact_totals(samples, samples.sums(labels, 1), labels)
        center = (totals[0, :-1] / totals[0, -1]).astype(X.dtype)
        self._add(center, np.arange(len(X)), math.inf)  # alone: any score will do

    @property
    def n_leaves(self) -> int:
        """Clusters so far."""
        return len(self.members)

    def split_next(self) -> None:
        """Split the leaf of the highest score in two."""
        leaf = max(self.scores, key=self.scores.__getitem__)
        del self.scores[leaf]
        members = self.members[leaf]
        X, weights = self.X[members], None
        if self.weights is not None:
            weights = self.weights[members]
        fit = kmeans(X, 2, sample_weight=weights, **self.options)
        if fit.report.n_empty:  # rounding keeps two samples together
            return
        del self.members[leaf]
        self.children[leaf] = len(self.children), len(self.children) + 1
        terms = np.ones(len(X))
        if self.strategy == "biggest_inertia":
            samples = engines.Lanes(X, None, self.options["n_threads"])
            terms = samples.own_distances(fit.centers.astype(np.float64), fit.labels)
        if weights is not None:
            terms *= weights
        for side, center in enumerate(fit.centers):
            part = fit.labels == side
            self._add(center, members[part], math.fsum(terms[part]))

    def _add(self, center: Array, members: Array, score: float) -> None:
        node = len(self.centers)
        self.centers.append(center)
        self.children.append(LEAF)
        self.members[node] = members
        rows = self.X[members]
        if self.weights is not None:
            rows = rows[self.weights[members] > 0]
        if (rows != rows[:1]).any():
            self.scores[node] = score


def is_tree(nodes: Array, children: Array, leaves: Array, centers: Array) -> bool:
    """Whether arrays from a file are a tree with these centers as its leaves."""
    n_nodes = len(nodes)
    if children.shape != (n_nodes, 2) or children.dtype.kind != "i" or not n_nodes:
        return False
    later = (children > np.arange(n_nodes)[:, None]) & (children < n_nodes)
    if not (later.all(axis=1) | (children == LEAF).all(axis=1)).all():
        return False
    inner = children[children[:, 0] >= 0].ravel()
    if len(np.unique(inner)) != n_nodes - 1 or len(inner) != n_nodes - 1:
        return False
    return np.array_equal(leaves, leaves_in_order(children)) and np.array_equal(
        nodes[leaves], centers
    )


def leaves_in_order(children: Array) -> Array:
    """Nodes that are leaves, from left to right."""
    leaves, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        if children[node, 0] < 0:
            leaves.append(node)
        else:
            waiting += [children[node, 1], children[node, 0]]
    return np.array(leaves)
