"""BisectingKMeans: the bits of a plain twin, and scikit-learn's semantics."""

import inspect
import pickle

import numpy as np
import pytest
import sklearn.base
import sklearn.cluster
from sklearn.datasets import make_blobs

from fastkm import BisectingKMeans, ConvergenceWarning, KMeans, reference

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
STRATEGIES = ["biggest_inertia", "largest_cluster"]
CHOOSERS = {
    "k-means++": reference.kmeans_plusplus,
    "random": reference.random_samples,
    "farthest": reference.farthest_first,
}


def blobs(dtype=np.float64, n_samples=400, n_features=3):
    X, _ = make_blobs(n_samples, n_features, centers=7, random_state=2)
    return X.astype(dtype)


# --- the twin: NumPy and the reference only


class Branch:
    def __init__(self, center, members):
        self.center, self.members, self.halves = center, members, ()

    def leaves(self):
        return [leaf for half in self.halves for leaf in half.leaves()] or [self]

    def label(self, x, labels):
        if not self.halves:
            return labels[id(self)]
        pair = np.array([half.center for half in self.halves])
        return self.halves[reference.assign(x[None], pair)[0][0]].label(x, labels)


def twin_tree(X, k, seed, weights=None, *, init="random", n_init=1, strategy):
    rng = np.random.default_rng(seed)
    all_weights = reference.unit_weights(X, weights)
    root = Branch(None, np.arange(len(X)))
    made = [root]

    def score(leaf):
        w = all_weights[leaf.members]
        if strategy == "largest_cluster":
            return reference.exact_sum(w)
        if leaf is root:
            return 0.0
        _, distances = reference.assign(X[leaf.members], leaf.center[None])
        return reference.inertia(distances, w)

    while len(root.leaves()) < k:
        # The earliest made among equals.
        leaf = max([b for b in made if not b.halves], key=score)
        rows = X[leaf.members]
        w = None if weights is None else weights[leaf.members]
        runs = [
            reference.kmeans(rows, rows[CHOOSERS[init](rows, 2, rng, w)], w)
            for _ in range(n_init)
        ]
        best = min(runs, key=lambda run: run.inertia)
        leaf.halves = [
            Branch(best.centers[side], leaf.members[best.labels == side])
            for side in (0, 1)
        ]
        made += leaf.halves
    return root


@every_dtype
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"init": "k-means++", "n_init": 3}], ids=str)
def test_a_fit_has_the_bits_of_the_twin(options, weighted, strategy, dtype, rng):
    X = blobs(dtype)
    weights = rng.integers(0, 4, len(X)) * 0.3 if weighted else None
    model = BisectingKMeans(9, random_state=5, bisecting_strategy=strategy, **options)
    model.fit(X, sample_weight=weights)
    root = twin_tree(X, 9, 5, weights, strategy=strategy, **options)
    leaves = root.leaves()
    centers = np.array([leaf.center for leaf in leaves])
    np.testing.assert_array_equal(model.cluster_centers_, centers, strict=True)
    for label, leaf in enumerate(leaves):
        assert np.flatnonzero(model.labels_ == label).tolist() == leaf.members.tolist()
    own = ((X.astype("f8") - centers[model.labels_].astype("f8")) ** 2).T
    distances = np.add.accumulate(own, axis=0)[-1]  # in the order of the features
    assert model.inertia_ == reference.inertia(distances, weights)
    fresh = blobs(dtype, 200)[::-1] + dtype(0.5)
    labels = {id(leaf): label for label, leaf in enumerate(leaves)}
    assert model.predict(fresh).tolist() == [root.label(x, labels) for x in fresh]


@every_dtype
@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_and_inertia_belong_to_the_tree(strategy, offset, dtype, rng):
    X, weights = (blobs() + offset).astype(dtype), rng.gamma(1.0, size=400)
    model = BisectingKMeans(30, bisecting_strategy=strategy, random_state=0)
    model.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(model.labels_, model.predict(X), strict=True)
    assert model.inertia_ == -model.score(X, sample_weight=weights)
    assert model.cluster_centers_.dtype == dtype
    assert np.bincount(model.labels_).min() > 0 and model.labels_.max() == 29


def test_the_nearest_center_may_be_in_another_branch():
    X = blobs()
    model = BisectingKMeans(30, random_state=0).fit(X)
    nearest, distances = reference.assign(X, model.cluster_centers_)
    assert (nearest != model.labels_).any()
    assert model.inertia_ > reference.inertia(distances)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_change_a_bit(n_threads, monkeypatch):
    X = blobs(n_samples=3000)
    expected = BisectingKMeans(12, random_state=1, n_threads=1).fit(X)
    monkeypatch.setattr("fastkm.engines.InMemory.n_chunks", lambda self, _: n_threads)
    model = BisectingKMeans(12, random_state=1, n_threads=n_threads).fit(X)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, expected.labels_)
    assert model.inertia_ == expected.inertia_


def test_parameters_have_sklearns_names_order_and_defaults():
    theirs = inspect.signature(sklearn.cluster.BisectingKMeans).parameters
    ours = inspect.signature(BisectingKMeans).parameters
    assert list(ours) == [*theirs, "n_threads", "engine"]
    for name in theirs:
        assert ours[name].default == theirs[name].default
        assert ours[name].kind == theirs[name].kind


def first_and_last(X, n_clusters, random_state):
    return X[[0, -1]]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_splits_are_those_of_scikit_learn(strategy):
    X = blobs()
    options = {"init": first_and_last, "n_init": 1, "bisecting_strategy": strategy}
    ours = BisectingKMeans(9, **options).fit(X)
    theirs = sklearn.cluster.BisectingKMeans(9, **options).fit(X)
    # It numbers the leaves in the same order. Its centers are means of n numbers less
    # the mean of all, plus that again: 2 n roundings of 2^-53, of twice max |X| each.
    atol = 2 * len(X) * 2.0**-52 * np.abs(X).max()
    pairs = ours.cluster_centers_, theirs.cluster_centers_
    # 2 n roundings of 2^-53, of twice max |X| each, as said above.
    np.testing.assert_allclose(*pairs, rtol=0, atol=atol)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_array_equal(ours.predict(X + 0.3), theirs.predict(X + 0.3))


def test_one_cluster_is_the_mean():
    X = blobs()
    model = BisectingKMeans(1).fit(X)
    assert model.labels_.tolist() == [0] * 400
    mean = reference.sum_clusters(X, model.labels_, 1)[0] / 400
    np.testing.assert_array_equal(model.cluster_centers_, mean)
    assert model.inertia_ == -model.score(X)
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_every_sample_may_have_a_cluster_of_its_own():
    X = blobs(n_samples=40)
    model = BisectingKMeans(40, random_state=0).fit(X)
    assert model.inertia_ == 0.0
    assert sorted(model.labels_) == list(range(40))


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5] * 9])
def test_too_few_distinct_samples_warn_and_give_fewer_clusters(weights):
    X = np.repeat([[0.1], [0.3], [0.7]], 9, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"clusters \(3\) .*n_clusters \(5\)"):
        model = BisectingKMeans(5, random_state=0).fit(X, sample_weight=weights)
    assert model.cluster_centers_.shape == (3, 1)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    assert model.transform(X).shape == (27, 3)


def test_samples_without_weight_do_not_ask_for_a_split():
    X, weights = np.array([[0.0], [0.0], [5.0], [9.0]]), [1.0, 1.0, 0.0, 1.0]
    with pytest.warns(ConvergenceWarning, match=r"clusters \(2\)"):
        model = BisectingKMeans(3, random_state=0).fit(X, sample_weight=weights)
    assert sorted(model.cluster_centers_.ravel()) == [0.0, 9.0]
    np.testing.assert_array_equal(model.labels_, model.predict(X))


def test_a_deep_tree_is_no_recursion():
    X = 2.0 ** np.arange(900)[:, None] / 2.0**450
    model = BisectingKMeans(900, init="farthest", random_state=0).fit(X)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.labels_)
    assert model.inertia_ == 0.0


def test_the_inertia_is_above_that_of_k_means():
    X = blobs(n_samples=2000)
    best = KMeans(7, n_init=5, random_state=0).fit(X).inertia_
    assert best <= BisectingKMeans(7, n_init=5, random_state=0).fit(X).inertia_


def test_a_clone_has_equal_parameters_and_no_fit():
    model = BisectingKMeans(3, init=first_and_last, copy_x=False).fit(blobs())
    clone = sklearn.base.clone(model)
    assert clone.get_params() == model.get_params()
    assert not hasattr(clone, "labels_")


def test_predict_takes_a_few_samples_of_another_dtype():
    model = BisectingKMeans(7, random_state=0).fit(blobs(np.float32))
    centers = model.cluster_centers_.astype(np.float64)
    assert model.predict(centers[3:4]).shape == (1,)
    assert model.transform(centers).dtype == np.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 401}, "n_samples=400 should be >= n_clusters=401"),
        ({"init": [[0.0] * 3] * 2}, "init=.* must be one of .* or a callable"),
        ({"init": "best"}, "init='best' must be one of .* or a callable"),
        ({"n_init": 0}, "n_init=0 must be at least 1"),
        ({"max_iter": 0}, "max_iter=0 must be at least 1"),
        ({"tol": -1.0}, "tol=-1.0 must be"),
        ({"bisecting_strategy": "fair"}, "bisecting_strategy='fair' must be one of"),
        ({"n_threads": 0}, "n_threads=0 must be at least 1"),
        ({"engine": "steam"}, "engine='steam' must be one of"),
        ({"random_state": -1}, "random_state=-1 must be"),
    ],
)
@pytest.mark.parametrize("n_clusters", [1, 8])
def test_bad_parameters_are_named(options, message, n_clusters):
    with pytest.raises(ValueError, match=message):
        BisectingKMeans(**{"n_clusters": n_clusters, **options}).fit(blobs())
