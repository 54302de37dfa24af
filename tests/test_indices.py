"""Indices of a clustering: against plain NumPy, scikit-learn, and by hand."""

import numpy as np
import pytest
import sklearn.metrics
from sklearn.datasets import load_iris, make_blobs

from fastkm import metrics

SILHOUETTES = ["silhouette_score", "simplified_silhouette_score"]
DISPERSION = ["davies_bouldin_score", "calinski_harabasz_score"]
every_index = pytest.mark.parametrize("index", SILHOUETTES + DISPERSION)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def clustering(name, dtype=np.float64):
    rng = np.random.default_rng(5)
    if name == "iris":
        X, labels = load_iris(return_X_y=True)
    elif name == "blobs":
        X, labels = make_blobs(700, 9, centers=12, random_state=0)
    elif name == "noise":
        X, labels = rng.normal(size=(300, 3)), rng.integers(0, 40, 300)
    elif name == "singletons":
        X, labels = rng.normal(size=(60, 2)), np.minimum(np.arange(60), 20)
    elif name == "duplicates":
        X, labels = rng.integers(0, 3, (200, 2)), rng.integers(0, 5, 200)
    elif name == "gaps":
        X, labels = rng.normal(size=(90, 4)), rng.choice([-7, 3, 2**40], 90)
    return np.asarray(X, dtype), labels


CLUSTERINGS = "iris blobs noise singletons duplicates gaps".split()
every_clustering = pytest.mark.parametrize("name", CLUSTERINGS)


def lengths(differences):
    return np.sqrt((differences**2).sum(axis=-1))


def naive_silhouettes(X, labels):
    X = X.astype(np.float64)
    values = np.zeros(len(X))
    for i, label in enumerate(labels):
        apart = lengths(X - X[i])
        others = [apart[labels == other].mean() for other in set(labels) - {label}]
        size = np.count_nonzero(labels == label)
        if size > 1:
            a, b = apart[labels == label].sum() / (size - 1), min(others)
            values[i] = (b - a) / (max(a, b) or 1.0)
    return values


def naive_simplified(X, labels):
    names, codes = np.unique(labels, return_inverse=True)
    means = np.array([X[labels == name].mean(axis=0, dtype="f8") for name in names])
    values = []
    for x, code in zip(X.astype(np.float64), codes, strict=True):
        apart = lengths(means - x)
        a, b = apart[code], np.delete(apart, code).min()
        values.append((b - a) / (max(a, b) or 1.0))
    return np.mean(values)


@every_dtype
@every_clustering
def test_silhouettes_are_those_of_the_definition(name, dtype):
    X, labels = clustering(name, dtype)
    # Quotients at most 1 of means of at most 700 positive float64 numbers, added in
    # different orders: 4 x 700 roundings of 2^-53 are 3.1e-13.
    atol = 1e-12
    fast, slow = metrics.silhouette_samples(X, labels), naive_silhouettes(X, labels)
    # 4 x 700 roundings of 2^-53, as said above.
    np.testing.assert_allclose(fast, slow, rtol=0, atol=atol)
    score = metrics.simplified_silhouette_score(X, labels)
    # 4 x 700 roundings of 2^-53 again: distances to means of at most 700 samples.
    assert score == pytest.approx(naive_simplified(X, labels), abs=atol)


@pytest.mark.parametrize("name", ["iris", "blobs", "noise", "gaps"])
def test_silhouettes_are_those_of_scikit_learn(name):
    X, labels = clustering(name)
    # Its distances come from |x|^2 - 2 x.y + |y|^2, off by some 1e-14 of |x|^2, here
    # up to 1e3: near 1e-11 in a square, up to its root where samples coincide.
    atol = 1e-8
    fast = metrics.silhouette_samples(X, labels)
    slow = sklearn.metrics.silhouette_samples(X, labels)
    # Its squares are off by 1e-11, so its distances by up to the root of that.
    np.testing.assert_allclose(fast, slow, rtol=0, atol=atol)
    # An average is off by no more than its terms, by 1e-8 as above.
    assert metrics.silhouette_score(X, labels) == pytest.approx(slow.mean(), abs=atol)


def naive_davies_bouldin(X, labels):
    members = [X[labels == name] for name in np.unique(labels)]
    means = np.array([some.mean(axis=0) for some in members])
    pairs = zip(members, means, strict=True)
    spread = np.array([lengths(some - mean).mean() for some, mean in pairs])
    apart = np.array([lengths(means - mean) for mean in means])
    np.fill_diagonal(apart, np.inf)
    return ((spread[:, None] + spread) / apart).max(axis=1).mean(), apart.min()


@every_clustering
def test_davies_bouldin_is_that_of_the_definition(name):
    X, labels = clustering(name)
    slow, _ = naive_davies_bouldin(X, labels)
    # Sums of at most 700 x 9 terms without cancellation, but for differences of means,
    # which lose two of 16 digits: 6300 roundings of 2^-53 of 100 parts are 7e-11 if all
    # have one sign, the root of 6300 of them 1e-12.
    assert metrics.davies_bouldin_score(X, labels) == pytest.approx(slow, rel=1e-11)


@pytest.mark.parametrize("index", DISPERSION)
@every_clustering
def test_dispersion_is_that_of_scikit_learn(index, name):
    X, labels = clustering(name)
    ours = getattr(metrics, index)(X, labels)
    theirs = getattr(sklearn.metrics, index)(X, labels)
    off = 0.0
    if index == "davies_bouldin_score":
        # Its |x|^2 - 2 x.m + |m|^2 in d features is off by (d + 3) 2^-53 of
        # (|x| + |m|)^2, and the distance by the root of that where a sample is the
        # mean: it says 1e-7 for 0, as the BLAS has it. Two spreads stand in a quotient.
        _, nearest = naive_davies_bouldin(X, labels)
        reach = 2 * lengths(X).max()
        off = 2 * np.sqrt((X.shape[1] + 3) * 2.0**-53) * reach / nearest
    # 1e-11 for 6300 roundings of sums, as in the test before; `off` for its distances.
    assert ours == pytest.approx(theirs, rel=1e-11, abs=off)


@every_index
def test_float32_samples_are_taken_as_they_are(index):
    X, labels = clustering("blobs", np.float32)
    score = getattr(metrics, index)
    assert score(X, labels) == score(X.astype(np.float64), labels)


@every_index
def test_an_offset_changes_nothing(index):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 50, (200, 3)) + np.array([2.0**20, 0, 0])
    labels = (X[:, 0] > 2.0**20 + 24).astype(int) + (X[:, 1] > 24)
    score = getattr(metrics, index)
    near, far = score(X - [2.0**20, 0, 0], labels), score(X.astype("f4"), labels)
    # The samples are whole, their differences exact; the means are rounded at 2^20, so
    # off by 2^-33, which is 1e-11 of the distances; 1e-9 of their squares' quotients.
    assert far == pytest.approx(near, rel=1e-9)


@every_index
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_change_a_bit(index, n_threads, monkeypatch):
    X, labels = clustering("noise")
    score = getattr(metrics, index)
    expected = score(X, labels, n_threads=1)
    monkeypatch.setattr("fastkm.engines.InMemory.n_chunks", lambda self, _: n_threads)
    assert score(X, labels, n_threads=n_threads) == expected


@every_index
def test_names_of_clusters_do_not_matter(index):
    X, labels = clustering("noise")
    score = getattr(metrics, index)
    assert score(X, labels * 7 - 50) == score(X, labels)
    assert score(X, labels.astype(np.uint8)) == score(X, labels)


def test_silhouettes_in_pieces_are_the_same(monkeypatch):
    X, labels = clustering("blobs")
    whole = metrics.silhouette_samples(X, labels)
    monkeypatch.setattr("fastkm.metrics.silhouettes.TERMS", 1)
    monkeypatch.setattr("fastkm.metrics.silhouettes.ROWS", 17)
    np.testing.assert_array_equal(metrics.silhouette_samples(X, labels), whole)


def test_means_in_pieces_are_the_same(monkeypatch):
    X, labels = clustering("noise")
    whole = metrics.davies_bouldin_score(X, labels)
    monkeypatch.setattr("fastkm.metrics.dispersion.TABLE", 1)
    assert metrics.davies_bouldin_score(X, labels) == whole


def test_silhouettes_by_hand():
    X, labels = [[0.0], [2.0], [9.0]], [0, 0, 1]
    assert metrics.silhouette_samples(X, labels).tolist() == [7 / 9, 5 / 7, 0.0]
    score = metrics.simplified_silhouette_score(X, labels)
    # Means 1 and 9; 1 for the single sample, which is its own mean. Here and there two
    # divisions, two additions and a division, each rounded by 2^-53.
    assert score == pytest.approx(np.mean([8 / 9, 6 / 7, 1.0]), rel=10 * 2.0**-53)


def test_copies_at_one_place_have_no_silhouette():
    X, labels = np.ones((6, 2)), [0, 0, 0, 1, 1, 1]
    assert metrics.silhouette_score(X, labels) == 0.0
    assert metrics.simplified_silhouette_score(X, labels) == 0.0
    assert metrics.davies_bouldin_score(X, labels) == 0.0
    assert metrics.calinski_harabasz_score(X, labels) == 1.0


def test_tiny_data_is_not_taken_for_zero():
    X, labels = clustering("iris")
    small, large = (metrics.davies_bouldin_score(s * X, labels) for s in (2.0**-60, 1))
    assert small == large > 0


def test_a_sample_of_the_samples():
    X, labels = clustering("blobs")
    some = metrics.silhouette_score(X, labels, sample_size=200, random_state=3)
    assert some == metrics.silhouette_score(
        X, labels, sample_size=200, random_state=3, n_threads=1
    )
    assert some != metrics.silhouette_score(X, labels, sample_size=200, random_state=4)
    everything = metrics.silhouette_score(X, labels)
    assert metrics.silhouette_score(X, labels, sample_size=700) == everything
    # The deviation of a mean of 200 values between -1 and 1 is below 0.07.
    assert some == pytest.approx(everything, abs=0.2)


@every_index
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0, 0], "Number of labels is 1.*2 to n_samples - 1.*here 3"),
        ([5, 6, 7, 8], "Number of labels is 4.*2 to n_samples - 1.*here 3"),
        ([0, 1, 1], r"labels have shape \(3,\)"),
        ([0.0, 1.0, 1.0, 1.0], "labels have .*float64"),
        ([], r"labels have shape \(0,\)"),
    ],
)
def test_labels_that_make_no_index_are_refused(index, labels, message):
    with pytest.raises(ValueError, match=message):
        getattr(metrics, index)([[0.0], [1.0], [2.0], [3.0]], labels)


@every_index
def test_bad_samples_are_refused(index):
    score = getattr(metrics, index)
    with pytest.raises(ValueError, match=r"X\[1, 0\] is nan"):
        score([[0.0], [np.nan], [1.0]], [0, 0, 1])
    with pytest.raises(ValueError, match="n_threads=0"):
        score([[0.0], [2.0], [1.0]], [0, 0, 1], n_threads=0)


@pytest.mark.parametrize("size", [0, 2.5, True])
def test_a_bad_sample_size_is_refused(size):
    with pytest.raises(ValueError, match="sample_size"):
        metrics.silhouette_score([[0.0], [2.0], [1.0]], [0, 0, 1], sample_size=size)


@every_index
def test_inputs_are_not_changed(index):
    X, labels = clustering("noise")
    before = X.copy(), labels.copy()
    getattr(metrics, index)(X, labels)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(labels, before[1])
