"""MiniBatchKMeans: the bits of a plain twin, and scikit-learn's semantics."""

import inspect
import math
import pickle

import numpy as np
import pytest
import sklearn.base
import sklearn.cluster
from sklearn.datasets import make_blobs

from fastkm import KMeans, MiniBatchKMeans, reference

DTYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
CHOOSERS = {
    "k-means++": reference.kmeans_plusplus,
    "random": reference.random_samples,
    "farthest": reference.farthest_first,
}


def blobs(dtype=np.float64, n_samples=3000, n_features=5):
    X, _ = make_blobs(n_samples, n_features, centers=9, random_state=2)
    return X.astype(dtype)


# --- the twin: NumPy and the reference only


class Twin:
    """Running sums of all samples that a cluster was given, and centers from them."""

    def __init__(self, centers):
        self.centers = centers.copy()
        self.sums = np.zeros(centers.shape)
        self.counts = np.zeros(len(centers))
        self.n_since = 0

    def learn(self, X, weights, rng, ratio):
        k = len(self.centers)
        self.n_since += len(X)
        is_due = self.n_since >= 10 * k or 0 in self.counts
        labels, distances = reference.assign(X, self.centers)
        sums, counts = reference.sum_clusters(X, labels, k, weights)
        for j in range(k):
            self.sums[j] += sums[j]
            self.counts[j] += counts[j]
            if counts[j] > 0:
                self.centers[j] = self.sums[j] / self.counts[j]
        if is_due:
            self.n_since = 0
            self.replace(X, weights, rng, ratio)
        return reference.inertia(distances, weights)

    def replace(self, X, weights, rng, ratio):
        largest = self.counts.max()
        by_size = sorted(range(len(self.counts)), key=lambda j: (self.counts[j], j))
        small = [j for j in by_size if self.counts[j] < ratio * largest]
        small = sorted(small[: len(X) // 2])
        if small:
            chosen = reference.random_samples(X, len(small), rng, weights)
            others = [c for j, c in enumerate(self.counts) if j not in small]
            for j, i in zip(small, chosen, strict=True):
                self.centers[j] = X[i]
                self.counts[j] = min(others)
                self.sums[j] = X[i].astype(np.float64) * self.counts[j]


def twin_draw(n, weights, size, rng):
    if weights is None:
        return rng.integers(0, n, size)
    ends, draws = np.cumsum(weights), rng.random(size)
    return np.array([np.flatnonzero(ends > u * ends[-1])[0] for u in draws])


def twin_fit(
    X,
    k,
    seed,
    weights=None,
    *,
    init="k-means++",
    batch_size=1024,
    max_iter=100,
    tol=0.0,
    patience=10,
    init_size=None,
    n_init=1,
    ratio=0.01,
):
    n, rng = len(X), np.random.default_rng(seed)
    batch_size = min(batch_size, n)
    size = min(n, init_size or 3 * batch_size)
    if n_init > 1:
        tests = X[twin_draw(n, weights, size, rng)]
    tries = []
    for _ in range(n_init):
        part, part_weights = X, weights
        if size < n:
            part, part_weights = X[twin_draw(n, weights, size, rng)], None
        centers = part[CHOOSERS[init](part, k, rng, part_weights)]
        judged = reference.assign(tests, centers)[1] if n_init > 1 else [0.0]
        tries.append((reference.inertia(np.array(judged)), centers))
    twin = Twin(min(tries, key=lambda pair: pair[0])[1])
    average, least, n_worse = None, math.inf, 0
    share = min(1.0, 2 * batch_size / (n + 1))
    for step in range(1, max_iter * n // batch_size + 1):
        batch = X[twin_draw(n, weights, batch_size, rng)]
        before = twin.centers.copy()
        value = twin.learn(batch, None, rng, ratio) / batch_size
        if step == 1:
            continue
        average = value if average is None else average * (1 - share) + value * share
        if tol and reference.movement(before, twin.centers) <= (
            tol * reference.mean_variance(X, weights)
        ):
            break
        n_worse = 0 if average < least else n_worse + 1
        least = min(least, average)
        if n_worse >= patience:
            break
    return twin.centers, step, average


def check(model, X, centers, n_steps, weights=None):
    labels, distances = reference.assign(X, centers)
    np.testing.assert_array_equal(model.cluster_centers_, centers, strict=True)
    np.testing.assert_array_equal(model.labels_, labels, strict=True)
    assert model.inertia_ == reference.inertia(distances, weights)
    assert model.n_steps_ == n_steps


@every_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"init": "random", "n_init": 3},
        {"init": "farthest", "init_size": 40},
        {"ratio": 0.9},
        {"ratio": 0.0, "patience": 3},
        {"tol": 1e-3, "max_iter": 4},
        {"init_size": 10_000},
    ],
    ids=str,
)
def test_a_fit_has_the_bits_of_the_twin(options, weighted, dtype, rng):
    X = blobs(dtype, 800)
    weights = rng.integers(0, 3, 800) * 0.7 if weighted else None
    centers, n_steps, _ = twin_fit(X, 20, 5, weights, batch_size=60, **options)
    names = {"ratio": "reassignment_ratio", "patience": "max_no_improvement"}
    options = {names.get(name, name): value for name, value in options.items()}
    model = MiniBatchKMeans(20, batch_size=60, random_state=5, **options)
    check(model.fit(X, sample_weight=weights), X, centers, n_steps, weights)
    assert model.n_iter_ == math.ceil(n_steps * 60 / 800)


@every_dtype
@pytest.mark.parametrize("weighted", [False, True])
def test_partial_fits_have_the_bits_of_the_twin(weighted, dtype, rng):
    X, random = blobs(dtype, 1000), np.random.default_rng(7)
    batches = np.split(X, [200, 230, 235, 600])
    model, twin = MiniBatchKMeans(12, reassignment_ratio=0.5, random_state=7), None
    for number, batch in enumerate(batches, 1):
        weights = rng.gamma(1.0, size=len(batch)) if weighted else None
        if twin is None:
            twin = Twin(batch[reference.kmeans_plusplus(batch, 12, random, weights)])
        twin.learn(batch, weights, random, 0.5)
        assert model.partial_fit(batch, sample_weight=weights) is model
        check(model, batch, twin.centers, number, weights)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_change_a_bit(n_threads, monkeypatch):
    X = blobs()
    expected = MiniBatchKMeans(12, batch_size=300, random_state=1, n_threads=1).fit(X)
    monkeypatch.setattr("fastkm.engines.InMemory.n_chunks", lambda self, _: n_threads)
    model = MiniBatchKMeans(12, batch_size=300, random_state=1, n_threads=n_threads)
    check(model.fit(X), X, expected.cluster_centers_, expected.n_steps_)


# --- scikit-learn


def test_parameters_have_sklearns_names_order_and_defaults():
    theirs = inspect.signature(sklearn.cluster.MiniBatchKMeans).parameters
    ours = inspect.signature(MiniBatchKMeans).parameters
    assert list(ours) == [*theirs, "n_threads"]
    for name in theirs:
        assert ours[name].default == theirs[name].default
        assert ours[name].kind == theirs[name].kind


def test_partial_fits_are_those_of_scikit_learn():
    X = blobs()
    shared = {"init": X[:9], "n_init": 1, "reassignment_ratio": 0.0}
    ours = MiniBatchKMeans(9, **shared)
    theirs = sklearn.cluster.MiniBatchKMeans(9, **shared)
    for batch in np.split(X, 10):
        ours.partial_fit(batch)
        theirs.partial_fit(batch)
        # Its centers take ten steps of rounded running means of numbers of some 10.
        np.testing.assert_allclose(
            ours.cluster_centers_, theirs.cluster_centers_, atol=1e-12
        )
        np.testing.assert_array_equal(ours.labels_, theirs.labels_)


def test_fits_are_as_good_as_those_of_scikit_learn():
    X = blobs()

    def median(cls):
        return np.median([cls(9, random_state=s).fit(X).inertia_ for s in range(15)])

    best = KMeans(9, n_init=5, random_state=0).fit(X).inertia_
    ours, theirs = median(MiniBatchKMeans), median(sklearn.cluster.MiniBatchKMeans)
    # Nine clear blobs: a seeding that misses one has twice the inertia, a batch's mean
    # deviates by percents.
    assert best <= ours < 1.1 * max(best, theirs)


def test_a_clone_and_a_pickle_keep_what_they_should():
    X = blobs()
    model = MiniBatchKMeans(9, batch_size=100, random_state=3).fit(X)
    clone = sklearn.base.clone(model)
    assert not hasattr(clone, "labels_")
    assert clone.get_params() == model.get_params()
    copy = pickle.loads(pickle.dumps(model))
    for each in (model, copy):
        each.partial_fit(X[:500])
    np.testing.assert_array_equal(copy.cluster_centers_, model.cluster_centers_)


# --- what belongs together


@every_dtype
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_labels_and_inertia_belong_to_the_centers(dtype, offset, rng):
    X, weights = (blobs() + offset).astype(dtype), rng.gamma(1.0, size=3000)
    model = MiniBatchKMeans(9, batch_size=200, random_state=0)
    model.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    assert model.inertia_ == -model.score(X, sample_weight=weights)
    assert model.cluster_centers_.dtype == dtype
    batch, some = X[:700], weights[:700]
    model.partial_fit(batch, sample_weight=some)
    np.testing.assert_array_equal(model.labels_, model.predict(batch))
    assert model.inertia_ == -model.score(batch, sample_weight=some)


def test_a_center_is_the_mean_of_all_it_was_given():
    """Where float32 running means stop moving, after 2^24 samples."""
    model = MiniBatchKMeans(1, init=np.zeros((1, 1), np.float32), random_state=0)
    batch = np.full((2, 1), 1.0, np.float32)
    model.partial_fit(batch, sample_weight=[2.0**40, 2.0**40])
    for _ in range(64):
        model.partial_fit(3 * batch, sample_weight=[2.0**35, 2.0**35])
    # 2^41 samples at 1 and 2 x 2^41 at 3.
    assert model.cluster_centers_.tolist() == [[np.float32(7 / 3)]]


def test_samples_without_weight_are_never_drawn():
    X = np.concatenate([blobs(n_samples=500), np.full((500, 5), 1e6)])
    weights = np.repeat([1.0, 0.0], 500)
    model = MiniBatchKMeans(9, batch_size=50, init_size=30, random_state=0)
    model.fit(X, sample_weight=weights)
    assert np.abs(model.cluster_centers_).max() < 100


def test_without_labels_the_inertia_is_an_estimate():
    X = blobs()
    model = MiniBatchKMeans(9, batch_size=100, compute_labels=False, random_state=0)
    assert not hasattr(model.fit(X), "labels_")
    _, _, average = twin_fit(X, 9, 0, batch_size=100)
    assert model.inertia_ == average * 3000
    model.partial_fit(X[:50])
    assert not hasattr(model, "labels_") and not hasattr(model, "inertia_")
    single = MiniBatchKMeans(2, compute_labels=False, max_iter=1, random_state=0)
    assert single.fit(X[:3]).inertia_ >= 0


def test_fit_forgets_partial_fits_and_partial_fit_goes_on_after_fit():
    X = blobs()
    model = MiniBatchKMeans(9, batch_size=100, random_state=0)
    model.partial_fit(X[:100] + 50).fit(X)
    fresh = MiniBatchKMeans(9, batch_size=100, random_state=0).fit(X)
    np.testing.assert_array_equal(model.cluster_centers_, fresh.cluster_centers_)
    n_steps = model.n_steps_
    model.partial_fit(X[:100])
    assert model.n_steps_ == n_steps + 1
    moved = np.abs(model.cluster_centers_ - fresh.cluster_centers_).max()
    assert 0 < moved < 1  # not begun anew


def test_init_may_be_a_callable_or_centers():
    X, asked = blobs(), []

    def init(X, n_clusters, random_state):
        asked.append((len(X), n_clusters, type(random_state)))
        return X[:n_clusters]

    MiniBatchKMeans(9, init=init, batch_size=100).fit(X)
    assert asked == [(300, 9, np.random.Generator)] * 3
    options = {"init": X[:9], "batch_size": 100, "random_state": 0}
    one = MiniBatchKMeans(9, n_init=1, **options).fit(X)
    with pytest.warns(RuntimeWarning, match="performing only one init"):
        five = MiniBatchKMeans(9, n_init=5, **options).fit(X)
    np.testing.assert_array_equal(five.cluster_centers_, one.cluster_centers_)


def test_more_clusters_than_a_small_init_size_warn():
    with pytest.warns(RuntimeWarning, match="init_size=5 should be larger than n_clu"):
        MiniBatchKMeans(9, init_size=5, random_state=0).fit(blobs())


def test_later_batches_may_be_small():
    X = blobs()
    model = MiniBatchKMeans(9, random_state=0).partial_fit(X[:100])
    assert model.partial_fit(X[100:103]).labels_.shape == (3,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 0}, "n_clusters=0 must be at least 1"),
        ({"n_clusters": 3001}, "n_samples=3000 should be >= n_clusters=3001"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"batch_size": 2.5}, "batch_size=2.5 must be an integer"),
        ({"max_no_improvement": -1}, "max_no_improvement=-1 must be at least 0"),
        ({"init_size": 0}, "init_size=0 must be at least 1"),
        ({"n_init": "many"}, "n_init='many' must be"),
        ({"reassignment_ratio": 1.5}, "reassignment_ratio=1.5 must be from 0 to 1"),
        ({"reassignment_ratio": "x"}, "reassignment_ratio='x' must be a number from"),
        ({"max_iter": 0}, "max_iter=0 must be at least 1"),
        ({"tol": -1.0}, "tol=-1.0 must be"),
        ({"init": "best"}, "init='best' must be one of"),
        ({"init": np.zeros((2, 5))}, r"shape of the initial centers \(2, 5\) \(init\)"),
        ({"random_state": -1}, "random_state=-1 must be"),
    ],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MiniBatchKMeans(**options).fit(blobs())


def test_bad_batches_are_named():
    X = blobs()
    with pytest.raises(ValueError, match="n_samples=5 should be >= n_clusters=8"):
        MiniBatchKMeans().partial_fit(X[:5])
    model = MiniBatchKMeans(random_state=0).partial_fit(X[:50])
    centers = model.cluster_centers_.copy()
    with pytest.raises(
        ValueError, match="X has 4 features, but MiniBatchKMeans is expecting 5"
    ):
        model.partial_fit(X[:50, :4])
    with pytest.raises(ValueError, match=r"X\[0, 0\] is nan"):
        model.partial_fit(X[:2] * np.nan)
    np.testing.assert_array_equal(model.cluster_centers_, centers)
    assert model.n_steps_ == 1
