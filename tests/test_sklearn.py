"""Beside scikit-learn: the same numbers where both mean the same."""

import numpy as np
import pytest
import sklearn.cluster
from sklearn import datasets

from fastkm import KMeans

DATA = {
    "digits": lambda: datasets.load_digits().data,
    "iris": lambda: datasets.load_iris().data,
    "wine": lambda: datasets.load_wine().data,
    "breast cancer": lambda: datasets.load_breast_cancer().data,
    "diabetes": lambda: datasets.load_diabetes().data,
    "blobs": lambda: datasets.make_blobs(1000, 8, centers=6, random_state=3)[0],
    "moons": lambda: datasets.make_moons(1000, noise=0.1, random_state=0)[0],
    "swiss roll": lambda: datasets.make_swiss_roll(1000, random_state=0)[0],
    "overlapping": lambda: np.random.default_rng(8).normal(size=(700, 3)),
    "heavy tails": lambda: np.random.default_rng(9).standard_t(3, size=(700, 40)),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("n_clusters", [2, 7, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_same_labels_from_the_same_centers(name, n_clusters, weighted, rng):
    X = DATA[name]()
    # Beside the samples, for some lie on grids: where two centers tie, scikit-learn's
    # rounding decides.
    init = X[rng.choice(len(X), n_clusters, replace=False)]
    init = init + 0.01 * X.std(axis=0) * rng.normal(size=init.shape)
    weights = rng.uniform(0.5, 2, len(X)) if weighted else None
    options = {"init": init, "n_init": 1, "tol": 0}
    ours = KMeans(n_clusters, **options).fit(X, sample_weight=weights)
    theirs = sklearn.cluster.KMeans(n_clusters, **options).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    # They subtract the mean of X and add up n numbers in float64, each at most twice
    # max |X|: at most n roundings of 2^-53 relative to the sum.
    atol = len(X) * 2.0**-52 * np.abs(X).max()
    np.testing.assert_allclose(
        ours.cluster_centers_, theirs.cluster_centers_, rtol=0, atol=atol
    )
    # The inertia is flat at the optimum: their error is that of adding up n terms, each
    # rounding 2^-53 of the sum, and as much for the terms themselves.
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=len(X) * 2.0**-52)


@pytest.mark.parametrize("tol", [1e-4, 1e-2])
def test_tol_has_sklearns_meaning(tol):
    X = datasets.load_digits().data
    options = {"init": X[:10], "n_init": 1, "tol": tol}
    ours = KMeans(10, **options).fit(X)
    assert ours.n_iter_ == sklearn.cluster.KMeans(10, **options).fit(X).n_iter_
    assert ours.report_.stop in ("tol", "unchanged")
