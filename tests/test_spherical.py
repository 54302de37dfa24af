"""SphericalKMeans: the reference with another `move`, and what a sphere promises."""

import pickle

import numpy as np
import pytest
import sklearn.base
from cases import SPECIAL

from fastkm import KMeans, SphericalKMeans, reference
from fastkm.engines import ENGINES
from fastkm.spherical import directions

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
CHOOSERS = {
    "k-means++": reference.kmeans_plusplus,
    "random": reference.random_samples,
    "farthest": reference.farthest_first,
}


def rays(dtype=np.float64, n_samples=600, n_features=5, n_rays=8):
    """Samples of all lengths around some directions."""
    rng = np.random.default_rng(3)
    axes = rng.normal(size=(n_rays, n_features))
    X = axes[rng.integers(0, n_rays, n_samples)]
    X = X + 0.2 * rng.normal(size=X.shape)
    return (X * 10.0 ** rng.uniform(-3, 3, (n_samples, 1))).astype(dtype)


# --- the twin: `reference.kmeans` with unit vectors


def by_length(row):
    """A row divided by its length, one operation after the other."""
    scaled = row.astype(np.float64) / np.abs(row).max()
    total = 0.0
    for value in scaled:
        total += value * value
    return scaled / np.sqrt(total)


def twin_directions(X):
    return np.array([by_length(row) for row in X.astype(np.float64)]).astype(X.dtype)


def twin_move(centers, sums, cluster_weights, frozen):
    assert frozen is None
    moved = centers.copy()
    for j, weight in enumerate(cluster_weights):
        if weight > 0 and sums[j].any():
            moved[j] = by_length(sums[j])
    return moved


def check(model, X, expected):
    np.testing.assert_array_equal(model.cluster_centers_, expected.centers, strict=True)
    np.testing.assert_array_equal(model.labels_, expected.labels, strict=True)
    assert model.inertia_ == expected.inertia
    assert (model.n_iter_, model.report_.stop) == (expected.n_iter, expected.stop)


@every_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("init", CHOOSERS)
def test_a_fit_has_the_bits_of_the_twin(init, weighted, dtype, rng, monkeypatch):
    monkeypatch.setattr(reference, "move", twin_move)
    X = rays(dtype)
    weights = rng.integers(0, 3, len(X)) * 0.7 if weighted else None
    unit = twin_directions(X)
    chosen = CHOOSERS[init](unit, 11, np.random.default_rng(5), weights)
    expected = reference.kmeans(unit, unit[chosen], weights)
    model = SphericalKMeans(11, init=init, n_init=1, random_state=5)
    check(model.fit(X, sample_weight=weights), X, expected)


@every_dtype
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_has_the_bits_of_the_twin(engine, dtype, monkeypatch):
    monkeypatch.setattr(reference, "move", twin_move)
    X = rays(dtype, 400, 33)
    unit = twin_directions(X)
    expected = reference.kmeans(unit, unit[:9], tol=0)
    model = SphericalKMeans(9, init=X[:9], tol=0, engine=engine)
    check(model.fit(X), X, expected)


@every_dtype
@pytest.mark.parametrize(
    "special", ["duplicates", "lattice", "weighted", "huge", "tiny"]
)
def test_special_cases_have_the_bits_of_the_twin(special, dtype, monkeypatch):
    monkeypatch.setattr(reference, "move", twin_move)
    case = SPECIAL[special](dtype)
    kept = case.X.any(axis=1)
    X, weights = case.X[kept], case.weights
    init = X[:: len(X) // len(case.centers)][: len(case.centers)]
    unit, unit_init = twin_directions(X), twin_directions(init)
    expected = reference.kmeans(unit, unit_init, weights, max_iter=30)
    model = SphericalKMeans(len(init), init=init, max_iter=30)
    check(model.fit(X, sample_weight=weights), X, expected)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_change_a_bit(n_threads, monkeypatch):
    X = rays(n_samples=3000)
    expected = SphericalKMeans(11, random_state=1, n_threads=1).fit(X)
    monkeypatch.setattr("fastkm.engines.InMemory.n_chunks", lambda self, _: n_threads)
    model = SphericalKMeans(11, random_state=1, n_threads=n_threads).fit(X)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, expected.labels_)


# --- what a sphere promises


@every_dtype
def test_centers_are_unit_vectors_of_the_samples_dtype(dtype):
    model = SphericalKMeans(8, random_state=0).fit(rays(dtype))
    assert model.cluster_centers_.dtype == dtype
    lengths = np.linalg.norm(model.cluster_centers_.astype(np.float64), axis=1)
    # Each of 5 features is rounded once, by a relative eps / 2.
    np.testing.assert_allclose(lengths, 1, atol=np.finfo(dtype).eps)


@every_dtype
def test_labels_are_those_of_the_largest_cosine(dtype):
    X = rays(dtype)
    model = SphericalKMeans(8, random_state=0).fit(X)
    unit = X.astype("f8") / np.linalg.norm(X.astype("f8"), axis=1, keepdims=True)
    cosines = unit @ model.cluster_centers_.astype("f8").T
    own = cosines[np.arange(len(X)), model.labels_]
    # Rounding of directions and centers to the dtype, twice 5 features.
    assert (own >= cosines.max(axis=1) - 4 * np.finfo(dtype).eps).all()
    # The same, relative to a mean of 1 - cosine of some 0.01, with room.
    assert model.inertia_ == pytest.approx(
        2 * (1 - own).sum(), rel=1e3 * float(np.finfo(dtype).eps)
    )


def test_the_length_of_a_sample_does_not_matter(rng):
    X = rays()
    model = SphericalKMeans(8, random_state=0).fit(X)
    # Powers of two change no bit.
    scaled = X * 2.0 ** rng.integers(-20, 20, (len(X), 1))
    other = SphericalKMeans(8, random_state=0).fit(scaled)
    np.testing.assert_array_equal(other.cluster_centers_, model.cluster_centers_)
    np.testing.assert_array_equal(model.predict(scaled), model.labels_)


def test_rays_are_found_that_distances_do_not_show():
    X = rays()
    axes = np.random.default_rng(3).normal(size=(8, 5))
    truth = np.random.default_rng(3)
    truth.normal(size=(8, 5))
    truth = truth.integers(0, 8, 600)
    found = SphericalKMeans(8, n_init=5, random_state=0).fit(X)

    def purity(labels):
        return sum(np.bincount(truth[labels == j]).max() for j in set(labels)) / 600

    # Rays with a noise of 0.2 in each of 5 directions, at lengths of some 2.
    assert (
        purity(found.labels_)
        > 0.9
        > purity(KMeans(8, n_init=5, random_state=0).fit_predict(X))
    )
    nearest = directions(axes) @ found.cluster_centers_.T
    assert (nearest.max(axis=1) > 0.95).mean() > 0.8


@every_dtype
@pytest.mark.parametrize("options", [{}, {"max_iter": 1}, {"tol": 0}], ids=str)
def test_labels_and_inertia_belong_to_the_centers(options, dtype, rng):
    X, weights = rays(dtype), rng.gamma(1.0, size=600)
    model = SphericalKMeans(20, random_state=0, **options)
    model.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(model.labels_, model.predict(X), strict=True)
    assert model.inertia_ == -model.score(X, sample_weight=weights)


def test_the_inertia_never_rises():
    X = rays()
    fits = [SphericalKMeans(30, init=X[:30], max_iter=n, tol=0) for n in range(1, 12)]
    inertias = [model.fit(X).inertia_ for model in fits]
    # Centers are rounded to float64, which may cost a last digit.
    assert (np.diff(inertias) <= 1e-13 * inertias[0]).all()


def test_a_cluster_whose_samples_cancel_keeps_its_center():
    X = [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-2.0, 0.0]]
    model = SphericalKMeans(1, init=[[0.0, 3.0]]).fit(X)
    assert model.cluster_centers_.tolist() == [[0.0, 1.0]]
    assert model.inertia_ == 8.0
    assert model.report_.stop == "unchanged"


def test_transform_gives_distances_of_directions():
    model = SphericalKMeans(2, init=[[5.0, 0.0], [0.0, 2.0]])
    model.fit([[3.0, 0.0], [0.0, 9.0]])
    distances = model.transform([[7.0, 0.0], [-1.0, 0.0]])
    assert distances.tolist() == [[0.0, np.sqrt(2.0)], [2.0, np.sqrt(2.0)]]


def test_a_callable_init_gets_directions_and_may_give_any_lengths():
    X, seen = rays(), []

    def init(X, n_clusters, random_state):
        seen.append(np.linalg.norm(X, axis=1))
        return 7 * X[:n_clusters]

    model = SphericalKMeans(8, init=init, n_init=1).fit(X)
    # A division of each of 5 features.
    np.testing.assert_allclose(seen[0], 1, atol=1e-15)
    expected = SphericalKMeans(8, init=7 * directions(X)[:8]).fit(X)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)


@every_dtype
@pytest.mark.parametrize("size", ["tiny", "max"])
def test_extreme_lengths_are_divided_out(size, dtype):
    info = np.finfo(dtype)
    value = info.tiny if size == "tiny" else info.max
    rows = np.array([[value, value], [-value, 0.0]], dtype)
    found = directions(rows)
    # Two roundings and one to the dtype.
    np.testing.assert_allclose(
        found, [[0.5**0.5, 0.5**0.5], [-1, 0]], rtol=2 * info.eps
    )


def test_inputs_are_not_changed():
    X = rays()
    before, init = X.copy(), X[:8].copy()
    SphericalKMeans(8, init=init).fit(X).predict(X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(init, before[:8])


def test_directions_in_pieces_are_the_same(monkeypatch):
    whole = directions(rays())
    monkeypatch.setattr("fastkm.spherical.BLOCK", 70)
    np.testing.assert_array_equal(directions(rays()), whole)


def test_a_clone_and_a_pickle_keep_what_they_should():
    model = SphericalKMeans(8, random_state=0).fit(rays())
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(rays()), model.labels_)
    assert sklearn.base.clone(model).get_params() == model.get_params()
    assert repr(model) == "SphericalKMeans(random_state=0)"


def test_rows_of_zeros_are_refused():
    X = rays()
    model = SphericalKMeans(8, random_state=0).fit(X)
    X[[17, 30]] = 0
    message = r"X\[17\] is zero .* no direction; 2 of 600 rows are to be left out"
    for call in (SphericalKMeans(8).fit, model.predict, model.score, model.transform):
        with pytest.raises(ValueError, match=message):
            call(X)
    with pytest.raises(ValueError, match=r"init\[1\] is zero"):
        SphericalKMeans(2, init=[[1.0] * 5, [0.0] * 5]).fit(rays())
    with pytest.raises(ValueError, match=r"the result of init\[0\] is zero"):
        SphericalKMeans(2, init=lambda X, k, random_state: 0 * X[:k]).fit(rays())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 601}, "n_samples=600 should be >= n_clusters=601"),
        ({"init": "best"}, "init='best' must be one of"),
        ({"init": np.ones((3, 5))}, r"shape of the initial centers \(3, 5\) \(init\)"),
        ({"tol": -1.0}, "tol=-1.0 must be"),
        ({"n_threads": 0}, "n_threads=0 must be at least 1"),
    ],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SphericalKMeans(**options).fit(rays())
