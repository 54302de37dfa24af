"""Metrics: distances that never go negative, inertia and loss against naive twins."""

import math

import numpy as np
import pytest

from fastkm import metrics, reference

DTYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def naive_loss(X, labels):
    """For each cluster the mean of all n x n pairwise distances, per sample."""
    loss = 0.0
    for label in set(labels):
        members = X[labels == label].astype(np.float64)
        pairs = ((members[:, None] - members[None]) ** 2).sum(axis=2)
        loss += pairs.mean() / len(members)
    return loss


@every_dtype
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_equal_rows_are_at_distance_zero_and_none_below(dtype, offset, rng):
    X = (rng.normal(size=(130, 17)) + offset).astype(dtype)
    distances = metrics.squared_distances(X, X)
    assert (distances >= 0).all()
    assert (np.diagonal(distances) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 63), (65, 1, 2), (513, 5, 9)])
@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("y_dtype", DTYPES)
def test_distances_have_the_bits_of_the_reference(shape, x_dtype, y_dtype, rng):
    n_samples, n_others, n_features = shape
    X = rng.normal(size=(n_samples, n_features)).astype(x_dtype)
    Y = rng.normal(size=(n_others, n_features)).astype(y_dtype)
    distances = metrics.squared_distances(X, Y)
    assert distances.dtype == np.float64
    np.testing.assert_array_equal(distances, reference.squared_distances(X, Y))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8, 100])
def test_threads_do_not_change_distances_and_inertia(n_threads, rng):
    X, Y = rng.normal(size=(5000, 9)), rng.normal(size=(7, 9))
    np.testing.assert_array_equal(
        metrics.squared_distances(X, Y, n_threads=n_threads),
        reference.squared_distances(X, Y),
    )
    expected = reference.inertia(reference.assign(X, Y)[1])
    assert metrics.inertia(X, Y, n_threads=n_threads) == expected


def test_distances_are_symmetric(rng):
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(50, 3))
    forth, back = metrics.squared_distances(X, Y), metrics.squared_distances(Y, X)
    np.testing.assert_array_equal(forth, back.T)


def test_distances_by_hand():
    distances = metrics.squared_distances([[0, 0], [3, 4]], [[3, 4], [0, 1]])
    assert distances.tolist() == [[25.0, 1.0], [0.0, 18.0]]


@every_dtype
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_inertia_has_the_bits_of_the_reference(dtype, scale, rng):
    X = (scale * rng.normal(size=(400, 5))).astype(dtype)
    centers = X[:7]
    _, distances = reference.assign(X, centers)
    assert metrics.inertia(X, centers) == reference.inertia(distances)


@every_dtype
def test_weighted_inertia_has_the_bits_of_the_reference(dtype, rng):
    X = rng.normal(size=(400, 5)).astype(dtype)
    weights = 10.0 ** rng.integers(-12, 12, 400)
    weights[::7] = 0
    _, distances = reference.assign(X, X[:7])
    assert metrics.inertia(X, X[:7], sample_weight=weights) == reference.inertia(
        distances, weights
    )


def test_inertia_by_hand():
    X, centers = [[0.0], [3.0], [10.0]], [[1.0], [9.0]]
    assert metrics.inertia(X, centers) == 6.0
    assert metrics.inertia(X, centers, sample_weight=[3, 0, 2]) == 5.0
    assert metrics.inertia(X, X) == 0.0


def test_inertia_takes_more_centers_than_samples():
    assert metrics.inertia([[1.0]], [[5.0], [3.0], [4.0]]) == 4.0


def test_inertia_of_order_dependent_terms_is_rounded_once(rng):
    X = rng.normal(size=(3000, 1)) * 10.0 ** rng.integers(-8, 8, (3000, 1))
    expected = math.fsum((X[:, 0] * X[:, 0]).tolist())
    assert metrics.inertia(X, [[0.0]]) == expected
    assert metrics.inertia(X[::-1], [[0.0]]) == expected


def test_cluster_loss_by_hand():
    # Pairs of {0, 2}: (0 + 4 + 4 + 0) / 4 = 2, over 2 samples; a single sample adds 0;
    # pairs of {5, 5, 8}: 4 x 9 / 9 = 4, over 3 samples.
    X = [[0.0], [2.0], [7.0], [5.0], [5.0], [8.0]]
    # 1 + 0 + 4/3 take three roundings.
    assert metrics.cluster_loss(X, [0, 0, 1, 2, 2, 2]) == pytest.approx(
        7 / 3, rel=4 * 2.0**-52
    )


@every_dtype
@pytest.mark.parametrize("n_clusters", [1, 2, 5, 60])
def test_cluster_loss_is_the_mean_of_all_pairs_per_sample(dtype, n_clusters, rng):
    X = (rng.normal(size=(120, 6)) + 3).astype(dtype)
    labels = rng.integers(0, n_clusters, 120)
    # Both add at most 120^2 x 6 non-negative float64 terms, most of them pairwise, and
    # a difference loses 3 of 16 digits at an offset of 3: 1e-12 is far above.
    assert metrics.cluster_loss(X, labels) == pytest.approx(
        naive_loss(X, labels), rel=1e-12
    )


def test_cluster_loss_of_single_samples_is_zero(rng):
    assert metrics.cluster_loss(rng.normal(size=(50, 3)) + 1e8, np.arange(50)) == 0.0


def test_cluster_loss_of_copies_is_zero():
    assert metrics.cluster_loss(np.full((9, 2), 0.5), np.zeros(9, int)) == 0.0


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.int32])
def test_cluster_loss_takes_integers_of_every_kind(dtype, rng):
    X, labels = rng.normal(size=(30, 2)), rng.integers(0, 2, 30)
    assert metrics.cluster_loss(X, labels.astype(dtype)) == metrics.cluster_loss(
        X, labels
    )


def test_cluster_loss_does_not_read_labels_as_indices(rng):
    X, labels = rng.normal(size=(30, 2)), rng.integers(0, 3, 30)
    names = np.array([-(2**62), 7, 2**62])  # in the order of 0, 1, 2
    assert metrics.cluster_loss(X, names[labels]) == metrics.cluster_loss(X, labels)


def test_cluster_loss_does_not_depend_on_the_names_of_clusters(rng):
    X, labels = rng.normal(size=(90, 2)), rng.integers(0, 4, 90)
    renamed = np.array([2, 0, 3, 1])[labels]
    # The four terms are added in another order: at most 3 roundings each way.
    assert metrics.cluster_loss(X, renamed) == pytest.approx(
        metrics.cluster_loss(X, labels), rel=6 * 2.0**-53
    )


def test_cluster_loss_is_twice_the_inertia_per_size_squared(rng):
    X = rng.normal(size=(64, 3))
    # One cluster: the mean as center; both are sums of 192 terms, rounded each time.
    assert metrics.cluster_loss(X, np.zeros(64, int)) == pytest.approx(
        2 * metrics.inertia(X, X.mean(axis=0, keepdims=True)) / 64**2, rel=1e-13
    )


def test_cluster_loss_holds_far_from_the_origin(rng):
    X, labels = rng.integers(0, 50, (80, 2)).astype(float), rng.integers(0, 4, 80)
    # Whole numbers, so the offset is exact; the mean is off by at most
    # 20 x 2^-53 x 1e8 = 2e-7, and the loss by twice that over the spread of 14.
    assert metrics.cluster_loss(X + 1e8, labels) == pytest.approx(
        metrics.cluster_loss(X, labels), rel=1e-7
    )


@pytest.mark.parametrize("function", ["squared_distances", "inertia", "cluster_loss"])
def test_inputs_are_not_changed(function, rng):
    X, labels = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    other = labels if function == "cluster_loss" else X[:4].copy()
    before = X.copy(), other.copy()
    getattr(metrics, function)(X, other)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(other, before[1])
