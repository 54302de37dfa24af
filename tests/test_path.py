"""A path over numbers of clusters: every row is what the parts give on their own."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from fastkm import (
    ConvergenceWarning,
    kmeans,
    kmeans_path,
    kmeans_plusplus,
    metrics,
    reference,
)
from fastkm.engines import ENGINES
from fastkm.path import KMeansPath

CHOOSERS = {
    "k-means++": reference.kmeans_plusplus,
    "random": reference.random_samples,
    "farthest": reference.farthest_first,
}
FULL = ["silhouette", "simplified_silhouette", "davies_bouldin", "calinski_harabasz"]


def blobs(dtype=np.float64):
    X, _ = make_blobs(400, 3, centers=5, cluster_std=0.7, random_state=1)
    return X.astype(dtype)


def assert_same(fit, other):
    for name in ("centers", "labels", "inertia", "n_iter"):
        np.testing.assert_array_equal(getattr(fit, name), getattr(other, name))
    assert fit.report.stop == other.report.stop
    assert fit.report.shifts == other.report.shifts


def assert_same_path(path, other):
    for name in ["n_clusters", "inertia", *FULL]:
        np.testing.assert_array_equal(getattr(path, name), getattr(other, name))
    for fit, other_fit in zip(path.fits, other.fits, strict=True):
        assert_same(fit, other_fit)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("init", CHOOSERS)
def test_a_fit_starts_from_the_first_samples_of_one_seeding(init, dtype):
    X = blobs(dtype)
    path = kmeans_path(X, range(1, 9), init=init, n_init=1, random_state=4)
    chosen = CHOOSERS[init](X, 8, np.random.default_rng(4))
    for k, fit in zip(path.n_clusters, path.fits, strict=True):
        assert_same(fit, kmeans(X, k, init=X[chosen[:k]]))
        slow = reference.kmeans(X, X[chosen[:k]])
        np.testing.assert_array_equal(fit.centers, slow.centers)


def test_weights_enter_seeding_and_fits(rng):
    X, weights = blobs(), rng.integers(0, 4, 400).astype(float)
    path = kmeans_path(X, [2, 6], sample_weight=weights, random_state=4)
    chosen = reference.kmeans_plusplus(X, 6, np.random.default_rng(4), weights)
    for k, fit in zip(path.n_clusters, path.fits, strict=True):
        assert_same(fit, kmeans(X, k, init=X[chosen[:k]], sample_weight=weights))


def test_of_several_seedings_the_best_run_is_kept():
    X, rng = blobs(), np.random.default_rng(9)
    path = kmeans_path(X, [3, 7], init="random", n_init=4, random_state=9)
    seedings = [reference.random_samples(X, 7, rng) for _ in range(4)]
    for k, fit in zip(path.n_clusters, path.fits, strict=True):
        runs = [kmeans(X, k, init=X[chosen[:k]]) for chosen in seedings]
        assert fit.report.inertias == [run.inertia for run in runs]
        assert_same(fit, min(runs, key=lambda run: run.inertia))
    assert_same_path(
        kmeans_path(X, [3], init="random", random_state=9),
        kmeans_path(X, [3], init="random", n_init=10, random_state=9),
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_has_served_one_number_serves_the_next(engine, weighted, rng):
    X = rng.normal(size=(3000, 40)) * rng.gamma(1.0, size=40)
    X = X[:, :3] if engine == "blocks" else X
    weights = rng.gamma(1.0, size=3000) if weighted else None
    options = {"sample_weight": weights, "max_iter": 20, "tol": 0, "engine": engine}
    path = kmeans_path(X, [2, 3, 150], random_state=1, sample_size=50, **options)
    assert {fit.report.engine for fit in path.fits} == {engine}
    chosen = kmeans_plusplus(X, 150, sample_weight=weights, random_state=1)[1]
    for k, fit in zip(path.n_clusters, path.fits, strict=True):
        alone = kmeans(X, k, init=X[chosen[:k]], **options)
        assert_same(fit, alone)
        if engine != "prefix":  # which looks for its way anew in every fit
            assert fit.report.counts == alone.report.counts


def test_the_indices_are_those_of_the_metrics():
    X = blobs()
    path = kmeans_path(X, [2, 5, 9], random_state=0)
    for row, fit in enumerate(path.fits):
        assert path.inertia[row] == fit.inertia
        for name in FULL:
            score = getattr(metrics, f"{name}_score")
            assert getattr(path, name)[row] == score(X, fit.labels)


def test_the_silhouette_may_be_taken_of_some_samples():
    X, rng = blobs(), np.random.default_rng(2)
    path = kmeans_path(X, [2, 5], sample_size=100, random_state=2)
    reference.kmeans_plusplus(X, 5, rng)  # draws before the samples are drawn
    drawn = np.sort(rng.choice(400, 100, replace=False, shuffle=False))
    for row, fit in enumerate(path.fits):
        some = metrics.silhouette_score(X[drawn], fit.labels[drawn])
        assert path.silhouette[row] == some
        whole = metrics.simplified_silhouette_score(X, fit.labels)
        assert path.simplified_silhouette[row] == whole
    everything = kmeans_path(X, [2, 5], sample_size=None, random_state=2)
    assert_same_path(everything, kmeans_path(X, [2, 5], random_state=2))


def test_indices_that_are_not_defined_are_nan():
    X = blobs()[:12]
    path = kmeans_path(X, [1, 5, 12], random_state=0)
    for name in FULL:
        assert np.isnan(getattr(path, name)).tolist() == [True, False, True]
    assert path.inertia[2] == 0.0


def test_a_sample_that_falls_into_one_cluster_has_no_silhouette():
    X = np.concatenate([np.zeros(99), [9.0]])[:, None] + np.arange(100)[:, None] / 1e3
    path = kmeans_path(X, [2], sample_size=3, random_state=0)
    assert np.isnan(path.silhouette[0]) and path.simplified_silhouette[0] > 0.9


def test_rows_are_ascending_and_each_once():
    path = kmeans_path(blobs(), iter([5, 2, 5, 3]), random_state=0)
    assert path.n_clusters.tolist() == [2, 3, 5]
    assert [len(fit.centers) for fit in path.fits] == [2, 3, 5]
    default = kmeans_path(blobs(), random_state=0)
    assert default.n_clusters.tolist() == list(range(2, 11))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_change_a_bit(n_threads, monkeypatch):
    X, expected = blobs(), kmeans_path(blobs(), [2, 7], random_state=0, n_threads=1)
    monkeypatch.setattr("fastkm.engines.InMemory.n_chunks", lambda self, _: n_threads)
    path = kmeans_path(X, [2, 7], random_state=0, n_threads=n_threads)
    assert_same_path(path, expected)
    assert path.fits[0].report.n_threads == n_threads


def test_blobs_are_counted_by_the_silhouette():
    X, _ = make_blobs(400, 3, centers=5, cluster_std=0.5, random_state=4)
    path = kmeans_path(X, range(2, 9), random_state=0)
    assert path.n_clusters[path.silhouette.argmax()] == 5


@pytest.mark.parametrize(
    ("n_clusters", "inertia", "elbow"),
    [
        ([1, 2, 3, 4, 5], [100, 60, 20, 15, 10], 3),
        ([2, 4, 8], [8, 2, 0], 4),
        ([2, 3, 4], [9, 6, 3], 2),  # a straight line: the first
        ([3, 4], [5, 1], 3),
        ([7], [5], 7),
        ([2, 3, 4], [0, 0, 0], 2),
    ],
)
def test_the_elbow_is_farthest_below_the_straight_line(n_clusters, inertia, elbow):
    k, inertia = np.array(n_clusters), np.array(inertia, float)
    none = np.full(len(k), np.nan)
    assert KMeansPath(k, inertia, none, none, none, none, []).elbow == elbow


def test_too_few_distinct_samples_warn():
    X = np.repeat([[0.0], [1.0], [5.0]], 9, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"clusters \(3\) .*n_clusters \(4\)"):
        path = kmeans_path(X, [2, 4], random_state=0)
    assert path.inertia[1] == 0.0
    assert path.fits[1].report.n_empty == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": [2, 0]}, "n_clusters=0 must be at least 1"),
        ({"n_clusters": [401]}, "n_samples=400 should be >= n_clusters=401"),
        ({"n_clusters": [2.5]}, "n_clusters=2.5 must be an integer"),
        ({"n_clusters": []}, r"n_clusters=\[\] must hold one integer or more"),
        ({"n_clusters": 5}, "n_clusters=5 must be several integers"),
        ({"init": np.zeros((10, 3))}, "(?s)init=array.*must be one of"),
        ({"init": "best"}, "init='best' must be one of"),
        ({"n_init": 0}, "n_init=0 must be at least 1"),
        ({"max_iter": 0}, "max_iter=0 must be at least 1"),
        ({"tol": -1}, "tol=-1 must be"),
        ({"sample_size": 2}, "sample_size=2 must be at least 3"),
        ({"engine": "steam"}, "engine='steam' must be one of"),
        ({"n_threads": 0}, "n_threads=0 must be at least 1"),
        ({"random_state": "x"}, "random_state='x' must be"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        kmeans_path(blobs(), **options)
